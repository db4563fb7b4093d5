using System.Text.RegularExpressions;
using NeuronQuant.CommandLine.Notebooks;
using NeuronQuant.Neuron;
using NeuronQuant.Tests.Neuron;
using Xunit;

namespace NeuronQuant.Tests;

/// <summary>Runs what the README says: every nq command, in order, and the C# example.</summary>
[Collection("notebooks")]
public class ReadmeTests
{
    private static readonly string Text = File.ReadAllText(Repository.PathOf("README.md"));

    [Fact]
    public async Task Every_command_works_as_printed()
    {
        using var model = new TinyModel();
        string[] commands = [.. Blocks("sh").SelectMany(block => block.Split('\n')).Where(line => line.StartsWith("nq ", StringComparison.Ordinal))];
        Assert.True(commands.Length >= 7);
        foreach (string command in commands)
        {
            string[] arguments = [.. command.Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1)
                .Select(word => word == "MODEL" ? model.Folder : word.StartsWith("data/", StringComparison.Ordinal) ? Repository.PathOf(word.Split('/')) : Regex.IsMatch(word, "^[A-Z]{4,}$") ? model.PathOf(word) : word)];
            var (code, output) = await Run(arguments);
            Assert.True(code == 0, $"{command}\n{output}");
            if (arguments.Contains("--json")) System.Text.Json.JsonDocument.Parse(output).Dispose();
        }
    }

    [Fact]
    public async Task The_walk_on_a_host_leads_to_a_record_with_the_fake_in_place_of_the_device()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "the tool of the fake is a shell script");
        using var model = new TinyModel();
        Directory.CreateDirectory(model.PathOf("PROBLEMS"));
        foreach (string part in new[] { "test", "train" })
            File.WriteAllText(model.PathOf($"PROBLEMS/{part}.jsonl"), string.Concat(Enumerable.Range(1, 5).Select(n => $"{{\"question\": \"What is {n} + 3?\", \"answer\": \"#### {n + 3}\"}}\n")));
        foreach (string command in Assert.Single(Blocks("bash")).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] arguments = [.. command.Replace("nq ", "", StringComparison.Ordinal).Replace("python=auto", $"python={PythonForTests.Interpreter()} -p standIn={PythonForTests.Fake}", StringComparison.Ordinal)
                .Replace("neuron conformance", $"neuron conformance --python {PythonForTests.Interpreter()} --stand-in {PythonForTests.Fake}", StringComparison.Ordinal)
                .Split(' ').Select(word => Regex.Replace(word, "^(data|notebooks)/.*", path => Repository.PathOf(path.Value.Split('/'))))
                .Select(word => Regex.Replace(word, "(?<=^|=)[A-Z]{4,}$", name => name.Value == "MODEL" ? Repository.PathOf("data", "demo-model") : model.PathOf(name.Value)))];
            var (code, output) = await Run(arguments);
            Assert.True(code == 0, $"{command}\n{output}");
        }
        Assert.Equal(1, Assert.Single(DeviceRun.ReadAll(model.PathOf("RESULTS"))).Score!.Right); // the fake answers 7, and one of five is
        Assert.True(File.Exists(model.PathOf("BOOK/index.html")));
    }

    [Fact]
    public async Task The_example_in_CSharp_compiles_and_runs()
    {
        using var model = new TinyModel();
        string usings = string.Join('\n', new[] { "Checkpoints", "Formats", "Neuron", "Quantization", "Selection", "Sensitivity" }.Select(room => $"using NeuronQuant.{room};"));
        string example = Assert.Single(Blocks("csharp")).Replace("using var source", "var source", StringComparison.Ordinal);
        string cell = $"#r \"{typeof(Workbook).Assembly.Location}\"\n{usings}\nvar model = @\"{model.Folder}\"; var output = @\"{model.PathOf("out")}\";\n{example}";
        using var session = await Session.StartAsync(model.Root);
        var result = await session.RunAsync(cell, null, CancellationToken.None);
        Assert.True(result.Error is null, $"{result.Error}");
        Assert.Contains("passed", result.Outputs.ToJsonString(), StringComparison.Ordinal);
    }

    private static IEnumerable<string> Blocks(string language) =>
        Regex.Matches(Text, $"```{language}\n(.*?)```", RegexOptions.Singleline).Select(match => match.Groups[1].Value);

    private static async Task<(int Code, string Output)> Run(string[] arguments)
    {
        var (code, output, error) = await Nq.Run(arguments);
        return (code, code == 0 ? output : output + error);
    }
}
