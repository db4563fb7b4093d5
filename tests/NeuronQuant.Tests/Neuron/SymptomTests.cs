using System.Text.Json.Nodes;
using NeuronQuant.Checkpoints;
using NeuronQuant.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>data/neuron/symptoms.json: each mistake that is an option is made in the good configuration, and the check must name it.</summary>
public class SymptomTests
{
    private static readonly JsonArray Rows = JsonNode.Parse(
        File.ReadAllText(Repository.PathOf("data", "neuron", "symptoms.json")))!["rows"]!.AsArray();

    public static TheoryData<string> WithOptions => [.. Rows.Where(row => row!["options"] is not null).Select(row => (string)row!["mistake"]!)];

    [Theory]
    [MemberData(nameof(WithOptions))]
    public void The_check_names_the_mistake_and_is_silent_without_it(string mistake)
    {
        var row = Rows.Single(row => (string)row!["mistake"]! == mistake)!;
        var nemo = ModelConfig.Read(Repository.PathOf("data", "mistral-nemo-12b", "config.json"));
        var good = NeuronSetup.Read(Repository.PathOf("data", "neuron", "corrected-config.json"));
        var made = good with
        {
            Config = row["options"]!.AsObject().Aggregate(good.Config, (config, option) =>
            config.With(option.Key, option.Value))
        };
        Assert.Contains(NeuronConfigCheck.Run(made, nemo).Findings, finding => finding.Option == (string)row["finding"]!);
        Assert.Empty(NeuronConfigCheck.Run(good, nemo).Findings);
    }

    [Fact]
    public void Every_row_says_symptom_mistake_and_source_and_how_it_is_found()
    {
        Assert.All(Rows, row => Assert.All(new[] { "symptom", "mistake", "seen" }, field => Assert.NotEqual("", (string?)row![field] ?? "")));
        Assert.All(Rows, row => Assert.True(row!["options"] is null != row["found_by"] is null, $"{row}"));
        Assert.Contains(Rows, row => (string)row!["symptom"]! == "silence");
    }
}
