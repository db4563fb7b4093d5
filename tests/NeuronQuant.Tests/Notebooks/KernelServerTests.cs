using System.Diagnostics;
using System.Text.Json.Nodes;
using Xunit;

namespace NeuronQuant.Tests.Notebooks;

/// <summary>The protocol of the kernel's engine: what runs a cell, what ends it, and what a bad line costs.</summary>
[Collection("notebooks")]
public sealed class KernelServerTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("kernel").FullName;
    private readonly KernelEngine _engine;

    // A cell's folder is the whole process's current directory, and a program that another test starts meanwhile begins there: it must stay.
    public KernelServerTests() => _engine = new KernelEngine(Path.GetTempPath());

    private string Go => Path.Combine(_folder, "go");

    public void Dispose()
    {
        _engine.Dispose();
        if (Directory.Exists(_folder)) Directory.Delete(_folder, true);
    }

    [Fact]
    public void Outputs_come_in_order_and_then_one_answer()
    {
        var (outputs, done) = _engine.Execute("Console.WriteLine(\"a\");\nConsole.Error.WriteLine(\"b\");\ndisplay(3);\nvar x = 40;\nx + 2");
        Assert.Equal(["stream", "stream", "display_data", "execute_result"], outputs.Select(output => (string)output["output_type"]!));
        Assert.Equal(["a\n", "b\n", "3", "42"], outputs.Select(NotebookText.Plain));
        Assert.Equal(["stdout", "stderr"], outputs.Take(2).Select(output => (string)output["name"]!));
        Assert.Equal((1, null, false), ((int)done["execution_count"]!, done["error"], (bool)done["left_behind"]!));
        (outputs, done) = _engine.Execute("x");
        Assert.Equal("40", NotebookText.Plain(Assert.Single(outputs))); // the state is kept
        Assert.Equal(2, (int)done["execution_count"]!);
    }

    [Fact]
    public void Text_comes_while_the_cell_runs()
    {
        int number = _engine.Ask("execute", $"Console.WriteLine(\"first\");\nwhile (!System.IO.File.Exists(@\"{Go}\")) await Task.Delay(10);\nConsole.WriteLine(\"last\");");
        Assert.Equal("first\n", NotebookText.Plain(_engine.Next()["output"]));
        File.WriteAllText(Go, ""); // the cell could not have ended before
        Assert.Equal("last\n", NotebookText.Plain(Assert.Single(_engine.Follow(number).Outputs)));
    }

    [Fact]
    public void An_update_names_the_display_that_it_replaces()
    {
        var (outputs, _) = _engine.Execute("var one = display(\"one\");\nvar two = display(\"two\");\none.Update(\"1\");\ntwo.Update(\"2\");");
        Assert.Equal(["display_data", "display_data", "update_display_data", "update_display_data"], outputs.Select(output => (string)output["output_type"]!));
        Assert.Equal([0, 1, 0, 1], outputs.Select(output => (int)output["display_id"]!));
        Assert.Equal(["one", "two", "1", "2"], outputs.Select(NotebookText.Plain));
    }

    [Theory]
    [InlineData("Console.WriteLine(1);\nint y = ;", "CompilationError", "CS1525", "line 2")]
    [InlineData("throw new InvalidOperationException(\"no\");", "InvalidOperationException", "no", "line 1")]
    [InlineData("#!time", "CommandError", "#!time", "line 1")]
    public void A_cell_that_fails_shows_its_error_and_answers_it(string code, string name, string text, string line)
    {
        var (outputs, done) = _engine.Execute(code);
        var output = Assert.Single(outputs); // also of the compile error: nothing of the cell ran
        var error = done["error"]!;
        Assert.Equal("error", (string)output["output_type"]!);
        Assert.Equal(name, (string)error["ename"]!);
        Assert.Contains(text, (string)error["evalue"]!, StringComparison.Ordinal);
        Assert.StartsWith(line, (string)error["traceback"]![0]!, StringComparison.Ordinal);
        Assert.Equal(["ename", "evalue", "traceback"], error.AsObject().Select(part => part.Key));
        Assert.All(error.AsObject(), part => Assert.True(JsonNode.DeepEquals(part.Value, output[part.Key])));
        Assert.Equal("7", NotebookText.Plain(_engine.Execute("7").Outputs.Single()));
    }

    [Theory]
    [InlineData("not json")]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("{\"id\": 1, \"op\": 2}")]
    [InlineData("{\"id\": 1, \"op\": \"complete\", \"cursor\": \"two\"}")]
    [InlineData("{\"id\": 1, \"op\": \"execute\", \"code\": {}}")]
    public void A_line_that_is_no_request_is_refused_and_costs_nothing(string line)
    {
        _engine.Write(line);
        var answer = _engine.Next();
        Assert.Null(answer["id"]);
        Assert.StartsWith("The line ", (string)answer["done"]!["error"]!, StringComparison.Ordinal);
        Assert.Equal("2", NotebookText.Plain(_engine.Execute("1 + 1").Outputs.Single()));
    }

    [Fact]
    public void An_unknown_operation_is_named_with_those_that_exist()
    {
        Assert.Equal("'stop' is no operation: execute, interrupt, complete, inspect or is_complete.", (string)_engine.Follow(_engine.Ask("stop")).Done["error"]!);
        _engine.Ask("interrupt"); // of nothing: no answer, no harm
        Assert.Equal("2", NotebookText.Plain(_engine.Execute("1 + 1").Outputs.Single()));
    }

    [Fact]
    public void A_folder_that_is_gone_is_the_cells_error()
    {
        Directory.Delete(_folder);
        using var engine = new KernelEngine(_folder);
        var (outputs, done) = engine.Execute("1");
        Assert.Equal("error", (string)Assert.Single(outputs)["output_type"]!);
        Assert.Equal("DirectoryNotFoundException", (string)done["error"]!["ename"]!);
        Assert.Equal("complete", (string)engine.Follow(engine.Ask("is_complete", "1")).Done["status"]!); // the server lives
    }

    [Fact]
    public void Cells_asked_for_at_once_run_one_after_the_other()
    {
        int first = _engine.Ask("execute", "var n = 1; await Task.Delay(200); n = 2;"), second = _engine.Ask("execute", "n");
        Assert.Empty(_engine.Follow(first).Outputs);
        Assert.Equal("2", NotebookText.Plain(_engine.Follow(second).Outputs.Single()));
    }

    [Fact]
    public void An_interrupt_ends_a_long_call_of_the_library_and_the_session_lives()
    {
        _engine.Execute("#r \"NeuronQuant.dll\"\nusing NeuronQuant;\nvar kept = 5;");
        int number = _engine.Ask("execute", "Console.WriteLine(\"runs\");\nvar progress = Workbook.Progress(100000);\nfor (var i = 0; i < 100000; i++) { System.Threading.Thread.Sleep(5); progress.Advance(); }");
        Assert.Equal("runs\n", NotebookText.Plain(_engine.Next()["output"]));
        var clock = Stopwatch.StartNew();
        _engine.Ask("interrupt");
        var (outputs, done) = _engine.Follow(number);
        Assert.True(clock.Elapsed.TotalSeconds < 1.5, $"{clock.Elapsed}: it stops at the next step, before the engine's own limit of 1.5 s");
        Assert.Equal("Cancelled: The run was cancelled.", NotebookText.Plain(outputs.Single()));
        Assert.False((bool)done["left_behind"]!);
        Assert.Equal("5", NotebookText.Plain(_engine.Execute("kept").Outputs.Single()));
    }

    [Fact]
    public async Task A_cell_that_goes_on_is_left_behind_and_the_server_ends()
    {
        int number = _engine.Ask("execute", $"Console.WriteLine(\"runs\");\nwhile (!System.IO.File.Exists(@\"{Go}\")) System.Threading.Thread.Sleep(20);");
        Assert.Equal("runs\n", NotebookText.Plain(_engine.Next()["output"]));
        int waiting = _engine.Ask("execute", "1");
        var clock = Stopwatch.StartNew();
        _engine.Ask("interrupt");
        var (_, done) = _engine.Follow(number);
        Assert.InRange(clock.Elapsed.TotalSeconds, 1.4, 2.5); // 1.5 s of grace, and a second for a busy machine
        Assert.True((bool)done["left_behind"]!);
        await _engine.Ended.WaitAsync(TimeSpan.FromSeconds(5), TestContext.Current.CancellationToken);
        Assert.Throws<TimeoutException>(() => _engine.Follow(waiting, TimeSpan.FromSeconds(0.2))); // a dead session runs nothing
        File.WriteAllText(Go, "");
    }

    [Fact]
    public async Task The_end_of_the_input_ends_the_server_whatever_a_cell_does()
    {
        _engine.Ask("execute", $"Console.WriteLine(\"runs\");\nwhile (!System.IO.File.Exists(@\"{Go}\")) System.Threading.Thread.Sleep(20);");
        Assert.Equal("runs\n", NotebookText.Plain(_engine.Next()["output"]));
        _engine.Close();
        await _engine.Ended.WaitAsync(TimeSpan.FromSeconds(5), TestContext.Current.CancellationToken);
        File.WriteAllText(Go, "");
        _engine.Next(); // the cell itself ends too, and leaves the console to the next test
    }
}
