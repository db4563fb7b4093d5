using System.Text.Json.Nodes;
using NeuronQuant.CommandLine.Kernel;
using NeuronQuant.CommandLine.Notebooks;
using Xunit;

namespace NeuronQuant.Tests.Notebooks;

/// <summary>What a host is told of a cell that is being written. The mark | is the cursor.</summary>
[Collection("notebooks")]
public sealed class CellAssistanceTests(CellAssistanceTests.Earlier earlier) : IClassFixture<CellAssistanceTests.Earlier>
{
    private readonly CellAssistance _assistance = earlier.Assistance;

    [Theory]
    [InlineData("text.ToUp|", "ToUpper,ToUpperInvariant")]
    [InlineData("text.sub|", "Substring")] // case does not matter
    [InlineData("text.Trim().Leng|", "Length")]
    [InlineData("text?.Leng|", "Length")]
    [InlineData("numbers.Wher|", "Where")] // an extension method
    [InlineData("numbers.Select(n => n.CompareT|", "CompareTo")] // inside what is not closed yet
    [InlineData("Math.Sqr|", "Sqrt")]
    [InlineData("System.IO.Path.GetFileNameW|", "GetFileNameWithoutExtension")]
    [InlineData("System.Text.Json.JsonDoc|", "JsonDocument,JsonDocumentOptions")]
    [InlineData("figu|", "figure,Figure,FigureFormatterSource,FigureKind")]
    [InlineData("Twi|", "Twice")]
    [InlineData("figure.ToSv|", "ToSvg")]
    [InlineData("var inner = 1; inne|", "inner")]
    [InlineData("text.ToUpperI|\nvar other = 1;", "ToUpperInvariant")] // the next line reads as part of the name
    [InlineData("text.ToUpperI|nvariant()", "ToUpperInvariant")]
    [InlineData("// 𝒳\ntext.ToUpperI|", "ToUpperInvariant")]
    [InlineData("#r \"Absent.dll\"\ntext.ToUpperI|", "ToUpperInvariant")] // commands of the engine keep their place
    [InlineData("text.Nothing|", "")]
    [InlineData("unknown.Th|", "")]
    public void Names_that_fit_are_found(string code, string expected)
    {
        var (found, start, end) = Complete(code);
        Assert.Equal(expected, string.Join(',', found));
        string plain = code.Replace("|", "", StringComparison.Ordinal);
        Assert.All(found, name => Assert.StartsWith(plain[start..code.IndexOf('|', StringComparison.Ordinal)], name, StringComparison.OrdinalIgnoreCase));
        Assert.True(end == plain.Length || !char.IsLetterOrDigit(plain[end]));
    }

    [Fact]
    public void Members_behind_a_dot_are_those_of_the_instance_or_of_the_type()
    {
        string[] instance = Complete("text.\nvar next = 1;", 5).Found, type = Complete("string.|").Found;
        Assert.Contains("Length", instance);
        Assert.Contains("Select", instance);
        Assert.DoesNotContain("IsNullOrEmpty", instance);
        Assert.Contains("IsNullOrEmpty", type);
        Assert.DoesNotContain("Length", type);
        Assert.Equal(type, type.Distinct());
    }

    [Theory]
    [InlineData("var a = 1; fi|gure", "Figure figure", null)]
    [InlineData("Fig|ure.Line(\"x\")", "class Figure", "a picture of numbers")]
    [InlineData("Figure.Li|ne(\"x\")", "Figure Figure.Line(", "line")]
    [InlineData("Twic|e(1)", "int Twice(int number)", null)]
    [InlineData("Math.Sq|rt(2)", "double Math.Sqrt(double d)", null)]
    [InlineData("Console.WriteLin|e", "void Console.WriteLine()", null)]
    public void A_name_is_told_with_its_declaration_and_summary(string code, string declaration, string? summary)
    {
        string text = Inspect(code)!;
        Assert.Contains(declaration, text, StringComparison.Ordinal);
        string[] parts = text.Split("\n\n");
        Assert.Equal(summary is null ? 1 : 2, parts.Length);
        if (summary is not null) Assert.Contains(summary, parts[1], StringComparison.OrdinalIgnoreCase);
    }

    [Theory]
    [InlineData("nothing|")]
    [InlineData("1 | + 1")]
    [InlineData("|")]
    public void What_is_no_name_is_not_told(string code) => Assert.Null(Inspect(code));

    [Theory]
    [InlineData("1 + 1", "complete")]
    [InlineData("var x = 1;", "complete")]
    [InlineData("#r \"x.dll\"\n1", "complete")]
    [InlineData("if (true) {", "incomplete")]
    [InlineData("Console.WriteLine(", "incomplete")]
    [InlineData("int = 3 ) ;", "invalid")]
    public void A_console_knows_what_Enter_means(string code, string status) => Assert.Equal(status, CellAssistance.Status(code));

    [Theory]
    [InlineData(-5)]
    [InlineData(500)]
    public void A_cursor_outside_the_cell_is_taken_to_its_nearest_end(int cursor)
    {
        var (_, start, end) = Complete("Math.Sq", cursor);
        Assert.Equal(cursor < 0 ? (0, 4) : (5, 7), (start, end));
    }

    private (string[] Found, int Start, int End) Complete(string code) =>
        Complete(code.Replace("|", "", StringComparison.Ordinal), code.IndexOf('|', StringComparison.Ordinal));

    private (string[] Found, int Start, int End) Complete(string code, int cursor)
    {
        var answer = _assistance.Complete(code, cursor);
        return ([.. answer["matches"]!.AsArray().Select(name => (string)name!)], (int)answer["start"]!, (int)answer["end"]!);
    }

    private string? Inspect(string code)
    {
        JsonObject answer = _assistance.Inspect(code.Replace("|", "", StringComparison.Ordinal), code.IndexOf('|', StringComparison.Ordinal));
        return (string?)answer["text"];
    }

    /// <summary>The cell that ran before; asking changes nothing of it, so all tests share it.</summary>
    public sealed class Earlier : IAsyncLifetime
    {
        private readonly Session _session = new(Path.GetTempPath());

        public Earlier() => Assistance = new CellAssistance(_session);

        internal CellAssistance Assistance { get; }

        public async ValueTask InitializeAsync()
        {
            string cell = "#r \"NeuronQuant.dll\"\nusing NeuronQuant.Display;\nvar text = \"abc\"; int[] numbers = { 1, 2 }; var figure = Figure.Line(\"t\");\nint Twice(int number) => 2 * number;";
            Assert.Null((await _session.RunAsync(cell, null, CancellationToken.None)).Error);
        }

        public ValueTask DisposeAsync() => default;
    }
}
