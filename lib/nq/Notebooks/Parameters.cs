using System.Globalization;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>One parameter that a notebook declares.</summary>
/// <param name="Name">The variable.</param>
/// <param name="Type">"string", "int", "long", "float", "double" or "bool".</param>
/// <param name="Default">Its literal in the notebook.</param>
internal sealed record Parameter(string Name, string Type, string Default);

/// <summary>Reads the parameters of a notebook and sets them, by papermill's convention.</summary>
/// <remarks>
/// The cell tagged "parameters" declares variables with a literal each; a run with <c>-p name=value</c> puts a cell tagged
/// "injected-parameters" after it, so that the notebook says what it was run with. The literal gives the type, so that a value of another
/// type is refused before anything runs, not by the compiler in the middle of a batch job.
/// </remarks>
internal static class Parameters
{
    /// <summary>What the notebook declares; nothing without a tagged cell.</summary>
    public static IReadOnlyList<Parameter> Declared(Notebook notebook)
    {
        var found = new List<Parameter>();
        foreach (var cell in notebook.Cells.Where(cell => cell.IsParameters))
        {
            var tree = CSharpSyntaxTree.ParseText(cell.Source,
                new CSharpParseOptions(LanguageVersion.CSharp13, kind: Microsoft.CodeAnalysis.SourceCodeKind.Script));
            foreach (var field in tree.GetCompilationUnitRoot().Members.OfType<FieldDeclarationSyntax>())
                foreach (var variable in field.Declaration.Variables)
                    if (variable.Initializer is { } initializer && TypeOf(field.Declaration.Type.ToString(), initializer.Value) is { } type)
                        found.Add(new Parameter(variable.Identifier.Text, type, initializer.Value.ToString()));
        }
        return found;
    }

    /// <summary>Splits "name=value" texts.</summary>
    /// <exception cref="UsageException">A text has no name or no equals sign, or a name comes twice.</exception>
    public static IReadOnlyDictionary<string, string> Parse(IEnumerable<string> assignments)
    {
        var values = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var text in assignments)
        {
            var equals = text.IndexOf('=', StringComparison.Ordinal);
            if (equals < 1) throw new UsageException($"-p {text}: expected name=value.");
            if (!values.TryAdd(text[..equals].Trim(), text[(equals + 1)..])) throw new UsageException($"-p {text}: {text[..equals]} is given twice.");
        }
        return values;
    }

    /// <summary>Checks values against all notebooks of a run, before any of them runs.</summary>
    /// <exception cref="UsageException">No notebook declares a name, or a value is not of the declared type.</exception>
    public static void Check(IReadOnlyCollection<Notebook> notebooks, IReadOnlyDictionary<string, string> values)
    {
        var declared = notebooks.SelectMany(notebook => Declared(notebook).Select(parameter => (notebook, parameter))).ToArray();
        foreach (var (name, value) in values)
        {
            if (declared.All(d => d.parameter.Name != name))
            {
                var known = declared.Select(d => $"{d.parameter.Name} ({d.parameter.Type})").Distinct().Order(StringComparer.Ordinal).ToArray();
                throw new UsageException($"-p {name}: no notebook of this run declares that parameter. "
                    + (known.Length == 0 ? "They declare none (no cell is tagged \"parameters\")." : $"Declared: {string.Join(", ", known)}."));
            }
            foreach (var (notebook, parameter) in declared.Where(d => d.parameter.Name == name))
                if (Literal(parameter.Type, value) is null)
                    throw new UsageException($"-p {name}={value}: {notebook.Name} declares {name} as {parameter.Type} ({name} = {parameter.Default}), "
                        + $"and \"{value}\" is none.");
        }
    }

    /// <summary>Puts the values that the notebook declares after its parameters, in place of those of an earlier run.</summary>
    public static void Inject(Notebook notebook, IReadOnlyDictionary<string, string> values)
    {
        foreach (var old in notebook.Cells.Where(cell => cell.IsInjected).ToArray()) notebook.Remove(old);
        var lines = Declared(notebook).Where(parameter => values.ContainsKey(parameter.Name))
            .Select(parameter => $"var {parameter.Name} = {Literal(parameter.Type, values[parameter.Name])};").ToArray();
        if (lines.Length == 0) return;
        var injected = Cell.Injected("// Parameters\n" + string.Join('\n', lines));
        notebook.InsertAfter(notebook.Cells.Last(cell => cell.IsParameters), injected);
    }

    /// <summary>The C# literal of a value; null when the value is not of the type.</summary>
    internal static string? Literal(string type, string value)
    {
        var culture = CultureInfo.InvariantCulture;
        return type switch
        {
            "string" => SymbolDisplay.FormatLiteral(value, quote: true),
            "int" when int.TryParse(value, NumberStyles.AllowLeadingSign, culture, out var number) => number.ToString(culture),
            "long" when long.TryParse(value, NumberStyles.AllowLeadingSign, culture, out var number) => number.ToString(culture) + "L",
            "float" when float.TryParse(value, NumberStyles.Float, culture, out var number) && float.IsFinite(number) =>
                number.ToString("R", culture) + "f",
            "double" when double.TryParse(value, NumberStyles.Float, culture, out var number) && double.IsFinite(number) =>
                number.ToString("R", culture) + "d",
            "bool" when bool.TryParse(value, out var flag) => flag ? "true" : "false",
            _ => null,
        };
    }

    private static string? TypeOf(string declared, ExpressionSyntax value)
    {
        if (declared.TrimEnd('?') is "string" or "int" or "long" or "float" or "double" or "bool") return declared.TrimEnd('?');
        if (declared != "var") return null;
        var literal = value is PrefixUnaryExpressionSyntax { Operand: LiteralExpressionSyntax operand } ? operand : value as LiteralExpressionSyntax;
        return literal?.Token.Value switch
        {
            string => "string",
            int => "int",
            long => "long",
            float => "float",
            double => "double",
            bool => "bool",
            _ => null,
        };
    }
}
