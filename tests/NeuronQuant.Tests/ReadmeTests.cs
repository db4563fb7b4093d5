using System.Text.RegularExpressions;
using NeuronQuant.CommandLine;
using NeuronQuant.CommandLine.Notebooks;
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
    public async Task The_example_in_CSharp_compiles_and_runs()
    {
        using var model = new TinyModel();
        string usings = string.Join('\n', new[] { "Checkpoints", "Formats", "Neuron", "Quantization", "Selection", "Sensitivity" }.Select(room => $"using NeuronQuant.{room};"));
        string example = Assert.Single(Blocks("csharp")).Replace("using var source", "var source", StringComparison.Ordinal);
        string cell = $"#r \"NeuronQuant.dll\"\n{usings}\nvar model = @\"{model.Folder}\"; var output = @\"{model.PathOf("out")}\";\n{example}";
        var result = await new Session(model.Root).RunAsync(cell, null, CancellationToken.None);
        Assert.True(result.Error is null, $"{result.Error}");
        Assert.Contains("passed", result.Outputs.ToJsonString(), StringComparison.Ordinal);
    }

    private static IEnumerable<string> Blocks(string language) =>
        Regex.Matches(Text, $"```{language}\n(.*?)```", RegexOptions.Singleline).Select(match => match.Groups[1].Value);

    private static async Task<(int Code, string Output)> Run(string[] arguments)
    {
        var (before, writer) = (Console.Out, new StringWriter());
        Console.SetOut(writer);
        try
        {
            return (await Program.Main(arguments), writer.ToString());
        }
        finally
        {
            Console.SetOut(before);
        }
    }
}
