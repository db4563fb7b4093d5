using NeuronQuant.CommandLine.Notebooks;
using Xunit;

namespace NeuronQuant.Tests.Notebooks;

/// <summary>Each rule of what a cell may assume, as it was measured on .NET Interactive.</summary>
[Collection("notebooks")]
public sealed class SessionTests : IAsyncLifetime
{
    private readonly string _folder = Directory.CreateTempSubdirectory("session").FullName;
    private Session _session = null!;

    public async ValueTask InitializeAsync() => _session = await Session.StartAsync(_folder);

    public ValueTask DisposeAsync()
    {
        _session.Dispose();
        Directory.Delete(_folder, true);
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task ATrailingExpressionIsShownAndAStatementIsNot()
    {
        Assert.Equal("42", await Shown("40 + 2"));
        Assert.Empty((await Run("Math.Max(40, 2);")).Outputs);
        Assert.Empty((await Run("var y = 3;")).Outputs);
        Assert.Equal("4", await Shown("return y + 1;"));
        Assert.Empty((await Run("void F() { }\nF()")).Outputs);
    }

    [Fact]
    public async Task StringsArePlainAndOtherTypesAlsoHtml()
    {
        var text = (await Run("\"<b>\"")).Outputs[0]!["data"]!.AsObject();
        Assert.Equal(["text/plain"], text.Select(pair => pair.Key));
        var number = (await Run("1.5")).Outputs[0]!["data"]!.AsObject();
        Assert.Equal(["text/html", "text/plain"], number.Select(pair => pair.Key));
        Assert.StartsWith("<div class=\"dni-plaintext\"><pre>1.5</pre></div>", Cell.Join(number["text/html"]), StringComparison.Ordinal);
        Assert.Equal("1.5", Cell.Join(number["text/plain"]));
    }

    [Fact]
    public async Task NullIsShownAsNull()
    {
        Assert.Equal("<null>", await Shown("(string)null"));
        Assert.Empty((await Run("string nothing = null;")).Outputs);
    }

    [Fact]
    public async Task AVariableMayBeRedeclaredInALaterCell()
    {
        await Run("var x = 1;");
        await Run("var x = \"two\";");
        Assert.Equal("two", await Shown("x"));
    }

    [Fact]
    public async Task AnExceptionKeepsWhatWasAssignedBefore()
    {
        await Run("var x = 1;");
        var failed = await Run("x = 2;\nvar zero = 0;\nx = 1 / zero;");
        Assert.Equal("DivideByZeroException", failed.Error!.Name);
        Assert.Equal(3, failed.Error.Line);
        Assert.Equal("line 3: x = 1 / zero;", (string)failed.Outputs[0]!["traceback"]![0]!);
        Assert.Equal("2", await Shown("x"));
    }

    [Fact]
    public async Task ACompileErrorRunsNothingOfTheCell()
    {
        var failed = await Run("Console.WriteLine(\"ran\");\nint y = \"text\";");
        Assert.Equal("CompilationError", failed.Error!.Name);
        Assert.Equal(2, failed.Error.Line);
        Assert.Contains("CS0029", failed.Error.Message, StringComparison.Ordinal);
        Assert.Equal("error", (string)failed.Outputs.Single()!["output_type"]!);
        Assert.Equal("7", await Shown("7"));
    }

    [Fact]
    public async Task AwaitWorksAtTheTopLevelAndATaskIsNotAwaited()
    {
        Assert.Equal("5", await Shown("await Task.FromResult(5)"));
        Assert.Equal("True", await Shown("Task.FromResult(5) is Task<int>"));
        Assert.DoesNotContain("5", await Shown("Task.FromResult(5)"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task DisplayShowsInOrderAndIsNotShownTwice()
    {
        var outputs = (await Run("display(1);\n\"two\".Display();\nConsole.WriteLine(\"three\");\ndisplay(4)")).Outputs;
        Assert.Equal(["1", "two", "three\n", "4"], outputs.Select(NotebookText.Plain));
        Assert.Equal(["display_data", "display_data", "stream", "display_data"], outputs.Select(output => (string)output!["output_type"]!));
    }

    [Fact]
    public async Task ADisplayedValueCanBeUpdated() =>
        Assert.Equal("second", NotebookText.Plain((await Run("var shown = display(\"first\");\nshown.Update(\"second\");")).Outputs.Single()));

    [Fact]
    public async Task HtmlAndDisplayAsChooseTheMimeType()
    {
        var html = (await Run("HTML(\"<b>x</b>\")")).Outputs[0]!["data"]!;
        Assert.Equal("<b>x</b>", Cell.Join(html["text/html"]));
        var plain = (await Run("5.DisplayAs(\"text/plain\");")).Outputs[0]!["data"]!.AsObject();
        Assert.Equal(["text/plain"], plain.Select(pair => pair.Key));
    }

    [Fact]
    public async Task ConsoleTextIsRecordedByStream()
    {
        var outputs = (await Run("Console.Write(1);\nConsole.WriteLine(\" a\");\nConsole.Error.WriteLine(\"bad\");\nConsole.WriteLine(\"b\");")).Outputs;
        Assert.Equal(["stdout", "stderr", "stdout"], outputs.Select(output => (string)output!["name"]!));
        Assert.Equal("1 a\n", NotebookText.Plain(outputs[0]));
    }

    [Fact]
    public async Task ListsShowTwentyItems()
    {
        Assert.Equal("[ 1, 2, 3 ]", await Shown("new[] { 1, 2, 3 }"));
        var many = await Shown("Enumerable.Range(0, 25).ToList()");
        Assert.EndsWith("19 ... (5 more) ]", many, StringComparison.Ordinal);
    }

    [Fact]
    public async Task TheUsingsInScopeAreThoseOfTheRealEngine()
    {
        Assert.Equal("ab", await Shown("new StringBuilder(\"a\").Append(new List<string> { \"b\" }.Single()).ToString()"));
        Assert.Contains("CS0103", (await Run("File.Exists(\"x\")")).Error!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AChartIsShownAsPlotlyAsAPictureAndAsText()
    {
        var data = (await Run(References + "Charts.Line(\"s\", [1, 2], [3.0, 4.0]).Titled(\"t\")")).Outputs.Single()!["data"]!.AsObject();
        Assert.Equal(["application/vnd.plotly.v1+json", "text/html", "text/plain"], data.Select(pair => pair.Key));
        Assert.Equal(4.0, (double)data["application/vnd.plotly.v1+json"]!["data"]![0]!["y"]![1]!);
        Assert.StartsWith("<img alt=\"t\"", Cell.Join(data["text/html"]), StringComparison.Ordinal);
        Assert.StartsWith("t\n  s  2 points, 3 to 4", Cell.Join(data["text/plain"]), StringComparison.Ordinal);
        Assert.Equal(typeof(Workbook).Assembly.Location, await Shown("typeof(Charts).Assembly.Location")); // the loaded one
    }

    [Fact]
    public async Task ADataFrameIsShownWithItsFormats() =>
        Assert.Equal("n  square\n-  ------\n1    1.00\n2    4.00", await Shown(References + "Frames.From(\"\", new[] { 1, 2 }, (\"n\", n => n), (new Column(\"square\", \"0.00\"), n => n * n))"));

    [Fact]
    public async Task ATensorIsMadeInACell() =>
        Assert.Equal("10", await Shown(References + "Workbook.Start();\nTorchSharp.torch.arange(5).sum().item<long>()"));

    [Fact]
    public async Task AReferenceIsRelativeToTheNotebooksFolder()
    {
        Directory.CreateDirectory(Path.Combine(_folder, "lib"));
        File.Copy(typeof(SessionTests).Assembly.Location, Path.Combine(_folder, "lib", "Copy.dll"));
        Assert.Null((await Run("#r \"lib/Copy.dll\"\n1")).Error);
        Assert.Contains("Absent.dll", (await Run("#r \"lib/Absent.dll\"")).Error!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnUnknownMagicCommandFailsTheCell() => Assert.Contains("#!time", (await Run("1\n#!time")).Error!.Message, StringComparison.Ordinal);

    [Fact]
    public async Task TheCurrentDirectoryIsTheNotebooks()
    {
        File.WriteAllText(Path.Combine(_folder, "data.txt"), "here");
        Assert.Equal("here", await Shown("System.IO.File.ReadAllText(\"data.txt\")"));
    }

    [Fact]
    public async Task ACellThatIgnoresItsTimeoutIsReported()
    {
        var result = await _session.RunAsync("System.Threading.Thread.Sleep(8000); System.IO.File.WriteAllText(\"ended.txt\", \"\");",
            TimeSpan.FromSeconds(0.3), TestContext.Current.CancellationToken);
        Assert.Equal("CellTimeout", result.Error!.Name);
        Assert.Contains("within 0.3 s", result.Error.Message, StringComparison.Ordinal);
        // When such a cell ends at last, .NET Interactive gives the console back, and would take it from a test that has it by then.
        for (int i = 0; i < 300 && !File.Exists(Path.Combine(_folder, "ended.txt")); i++) await Task.Delay(100, TestContext.Current.CancellationToken);
        await Task.Delay(500, TestContext.Current.CancellationToken);
    }

    [Fact]
    public async Task LongLibraryCallsStopAtTheTimeout()
    {
        await Run($"#r \"{typeof(Workbook).Assembly.Location}\"\nusing NeuronQuant;");
        var source = "var progress = Workbook.Progress(1000);\nfor (var i = 0; i < 1000; i++) { System.Threading.Thread.Sleep(20); progress.Advance(); }";
        var result = await _session.RunAsync(source, TimeSpan.FromSeconds(0.5), TestContext.Current.CancellationToken);
        Assert.Equal("CellTimeout", result.Error!.Name);
        Assert.False(result.LeftBehind, "it ended by itself");
    }

    [Fact]
    public async Task SessionsShareNothing()
    {
        await Run("var secret = 1;");
        using var second = await Session.StartAsync(_folder);
        var other = await second.RunAsync("secret", null, TestContext.Current.CancellationToken);
        Assert.Contains("CS0103", other.Error!.Message, StringComparison.Ordinal);
    }

    private static string References { get; } = string.Concat(new[] { "NeuronQuant", "DynamicObj", "Microsoft.Data.Analysis", "Plotly.NET", "Plotly.NET.CSharp", "TorchSharp" }
        .Select(name => $"#r \"{Path.Combine(Path.GetDirectoryName(typeof(Workbook).Assembly.Location)!, name)}.dll\"\n")) + "using NeuronQuant;\nusing NeuronQuant.Display;\n";

    private Task<CellResult> Run(string source) => _session.RunAsync(source, null, TestContext.Current.CancellationToken);

    private async Task<string> Shown(string source)
    {
        var result = await Run(source);
        Assert.Null(result.Error);
        return NotebookText.Plain(result.Outputs.Last());
    }
}
