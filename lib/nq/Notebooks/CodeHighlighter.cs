using System.Net;
using System.Text;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>Colours C# by its tokens: keywords, strings, numbers and comments.</summary>
/// <remarks>Tokens are enough to read by; telling types from variables would need the compiler's whole analysis, and does not help more.</remarks>
internal static class CodeHighlighter
{
    /// <summary>The code as HTML, character for character.</summary>
    public static string Highlight(string code)
    {
        var html = new StringBuilder();
        var root = CSharpSyntaxTree.ParseText(code, new CSharpParseOptions(LanguageVersion.CSharp13, kind: SourceCodeKind.Script)).GetRoot();
        foreach (var token in root.DescendantTokens())
        {
            foreach (var trivia in token.LeadingTrivia) Append(html, IsComment(trivia) ? "c" : null, trivia.ToFullString());
            Append(html, ClassOf(token), token.Text);
            foreach (var trivia in token.TrailingTrivia) Append(html, IsComment(trivia) ? "c" : null, trivia.ToFullString());
        }
        return html.ToString();
    }

    private static bool IsComment(SyntaxTrivia trivia) => trivia.Kind() is SyntaxKind.SingleLineCommentTrivia or SyntaxKind.MultiLineCommentTrivia;

    private static string? ClassOf(SyntaxToken token) => token.Kind() switch
    {
        SyntaxKind.StringLiteralToken or SyntaxKind.CharacterLiteralToken or SyntaxKind.InterpolatedStringTextToken
            or SyntaxKind.InterpolatedStringStartToken
            or SyntaxKind.InterpolatedStringEndToken or SyntaxKind.InterpolatedVerbatimStringStartToken or SyntaxKind.SingleLineRawStringLiteralToken
            or SyntaxKind.MultiLineRawStringLiteralToken => "s",
        SyntaxKind.NumericLiteralToken => "n",
        SyntaxKind.IdentifierToken when token.Text == "var" => "k",
        _ => token.IsKeyword() ? "k" : null,
    };

    private static void Append(StringBuilder html, string? style, string text)
    {
        if (text.Length == 0) return;
        var encoded = WebUtility.HtmlEncode(text);
        html.Append(style is null ? encoded : $"<span class=\"{style}\">{encoded}</span>");
    }
}
