using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using NeuronQuant.CommandLine.Notebooks;

namespace NeuronQuant.CommandLine.Kernel;

/// <summary>What a host asks of a cell that is being written: which names fit here, what a name means, whether the cell is whole.</summary>
/// <remarks>
/// The compiler itself answers: the draft is compiled behind the cells that ran, and symbols are looked up where the cursor stands. So
/// variables of earlier cells, members of their types and extension methods are known. Left out: ranking, snippets, and overload help; the
/// editor services of Roslyn would bring them, with a dozen packages.
/// </remarks>
internal sealed partial class CellAssistance(Session session)
{
    private const int MostMatches = 500;
    private static readonly SymbolDisplayFormat Declaration = SymbolDisplayFormat.MinimallyQualifiedFormat.AddKindOptions(SymbolDisplayKindOptions.IncludeTypeKeyword);

    /// <summary>Names that fit at the cursor: {"matches": […], "start": …, "end": …} in UTF-16 units.</summary>
    public JsonObject Complete(string code, int cursor)
    {
        cursor = Math.Clamp(cursor, 0, code.Length);
        var (start, end) = Word(code, cursor);
        var (model, root) = Read(code);
        var symbols = start > 0 && code[start - 1] == '.' ? Members(model, root, start - 1) : model.LookupSymbols(start).AsEnumerable();
        var names = symbols.Where(symbol => symbol.CanBeReferencedByName && !symbol.IsImplicitlyDeclared).Select(symbol => symbol.Name)
            .Where(name => name.StartsWith(code[start..cursor], StringComparison.OrdinalIgnoreCase))
            .Distinct(StringComparer.Ordinal).Order(StringComparer.OrdinalIgnoreCase).Take(MostMatches);
        return new JsonObject { ["matches"] = new JsonArray([.. names.Select(name => (JsonNode)name)]), ["start"] = start, ["end"] = end };
    }

    /// <summary>What the name at the cursor is: {"text": declaration and summary}, or null.</summary>
    public JsonObject Inspect(string code, int cursor)
    {
        var (start, end) = Word(code, cursor);
        var (model, root) = Read(code);
        var node = end > start ? root.FindToken(start).Parent : null;
        var info = node is null ? default : model.GetSymbolInfo(node);
        var symbol = info.Symbol ?? info.CandidateSymbols.FirstOrDefault() ?? (node is null ? null : model.GetDeclaredSymbol(node));
        return new JsonObject { ["text"] = symbol is null ? null : Describe(symbol, info.CandidateSymbols.Length, model.Compilation) };
    }

    /// <summary>"complete", "incomplete" or "invalid": what a console does with Enter.</summary>
    public static string Status(string code)
    {
        var tree = CSharpSyntaxTree.ParseText(Plain(code), new CSharpParseOptions(LanguageVersion.CSharp13, kind: SourceCodeKind.Script));
        return !SyntaxFactory.IsCompleteSubmission(tree) ? "incomplete" : tree.GetDiagnostics().Any(found => found.Severity == DiagnosticSeverity.Error) ? "invalid" : "complete";
    }

    private (SemanticModel Model, SyntaxNode Root) Read(string code)
    {
        var compilation = session.Draft(Plain(code));
        var tree = compilation.SyntaxTrees.Single();
        return (compilation.GetSemanticModel(tree), tree.GetRoot());
    }

    private static IEnumerable<ISymbol> Members(SemanticModel model, SyntaxNode root, int dot)
    {
        var left = root.FindToken(dot).Parent switch
        {
            MemberAccessExpressionSyntax access => access.Expression,
            MemberBindingExpressionSyntax { Parent.Parent: ConditionalAccessExpressionSyntax outer } => outer.Expression,
            MemberBindingExpressionSyntax { Parent: ConditionalAccessExpressionSyntax outer } => outer.Expression,
            QualifiedNameSyntax qualified => qualified.Left,
            _ => null,
        };
        if (left is null) return [];
        // Half a line above a declaration reads as the name of its type: "text.", "var next = 1;". What stands there is asked for as a value too.
        var value = left.Parent is QualifiedNameSyntax ? SyntaxFactory.ParseExpression(left.ToString()) : null;
        var found = value is null ? model.GetSymbolInfo(left) : model.GetSpeculativeSymbolInfo(dot, value, SpeculativeBindingOption.BindAsExpression);
        if (found.Symbol is INamespaceOrTypeSymbol named)
            return model.LookupSymbols(dot, named).Where(symbol => symbol.IsStatic || symbol is INamespaceOrTypeSymbol);
        var typed = value is null ? model.GetTypeInfo(left) : model.GetSpeculativeTypeInfo(dot, value, SpeculativeBindingOption.BindAsExpression);
        return typed.Type is { } type
            ? model.LookupSymbols(dot, type, includeReducedExtensionMethods: true).Where(symbol => !symbol.IsStatic || symbol is IMethodSymbol { ReducedFrom: not null })
            : [];
    }

    private static string Describe(ISymbol symbol, int overloads, Compilation compilation)
    {
        string declaration = symbol.ToDisplayString(Declaration), more = overloads > 1 ? $" (+ {overloads - 1} overloads)" : "";
        var assembly = symbol.ContainingAssembly is { } own && compilation.GetMetadataReference(own) is PortableExecutableReference { FilePath: { } path } ? path : null;
        string? summary = assembly is null ? null : AssemblyDocumentation.Summary(assembly, symbol.OriginalDefinition.GetDocumentationCommentId());
        return summary is null ? declaration + more : $"{declaration}{more}\n\n{summary}";
    }

    private static (int Start, int End) Word(string code, int cursor)
    {
        int start = Math.Clamp(cursor, 0, code.Length), end = start;
        while (start > 0 && SyntaxFacts.IsIdentifierPartCharacter(code[start - 1])) start--;
        while (end < code.Length && SyntaxFacts.IsIdentifierPartCharacter(code[end])) end++;
        return (start, end);
    }

    // Commands of the engine become blanks of the same length, so that every position stays.
    private static string Plain(string code) => Commands().Replace(code, match => new string(' ', match.Length));

    [GeneratedRegex("^#[r!].*$", RegexOptions.Multiline)]
    private static partial Regex Commands();
}
