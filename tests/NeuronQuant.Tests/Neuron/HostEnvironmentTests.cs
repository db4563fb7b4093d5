using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>environment.yml beside data/neuron/environment.json, the record of where each version was read: the same names, the same versions,
/// nothing unpinned.</summary>
public sealed partial class HostEnvironmentTests
{
    private static readonly JsonObject Recorded = JsonNode.Parse(
        File.ReadAllText(Repository.PathOf("data", "neuron", "environment.json")))!.AsObject();
    private static readonly string[] Lines = File.ReadAllLines(Repository.PathOf("environment.yml"));

    [Theory]
    [InlineData("channels", "  - ")]
    [InlineData("pip", "      - ")]
    public void Every_package_is_pinned_to_the_recorded_version_and_none_is_missing(string kind, string indent)
    {
        var entries = Lines.SkipWhile(line => line != "dependencies:").Skip(1).Where(line => line.StartsWith(indent, StringComparison.Ordinal))
            .Select(line => line[indent.Length..]).Where(entry => !entry.StartsWith("--", StringComparison.Ordinal) && entry != "pip:");
        Assert.Equal(Pins(kind).Order(StringComparer.Ordinal),
            entries.Select(entry => string.Join(' ', Pin().Split(entry))).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void The_system_packages_that_its_head_names_are_the_recorded_ones()
    {
        string head = string.Join(' ', Lines.TakeWhile(line => line.StartsWith('#')).Select(line => line.TrimStart('#', ' ')));
        Assert.Equal(Pins("system").Order(StringComparer.Ordinal), System().Matches(head).Select(match => match.Value).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Every_version_has_its_source_and_the_release_of_NxD_Inference_is_the_one_that_the_bridge_knows()
    {
        foreach (string kind in new[] { "channels", "pip", "system" })
            Assert.All(Recorded[kind]!.AsObject(), one => Assert.NotEmpty((string)one.Value!["source"]!));
        string known = File.ReadAllText(Repository.PathOf("lib", "neuron_bridge", "environment.py"));
        Assert.Contains($"\"{Recorded["pip"]!["neuronx-distributed-inference"]!["version"]}\": \"{Recorded["sdk"]}\"", known,
            StringComparison.Ordinal);
    }

    private static IEnumerable<string> Pins(string kind) => Recorded[kind]!.AsObject().Select(one => $"{one.Key} {one.Value!["version"]}");

    [GeneratedRegex("==?")]
    private static partial Regex Pin();

    [GeneratedRegex(@"aws-neuronx-[a-z-]+ [0-9.]*[0-9]")]
    private static partial Regex System();
}
