using System.Text.Json.Nodes;
using NeuronQuant.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>The check beside what the real class said to the same options: Golden/neuronconfig_answers.json, which says how it was made.</summary>
public class NeuronConfigAnswersTests
{
    private static readonly JsonObject Recorded = JsonNode.Parse(
        File.ReadAllText(Repository.PathOf("tests", "NeuronQuant.Tests", "Golden", "neuronconfig_answers.json")))!["cases"]!.AsObject();

    public static TheoryData<string> Cases => [.. Recorded.Select(one => one.Key)];

    [Theory]
    [MemberData(nameof(Cases))]
    public void What_the_class_refuses_is_an_error_of_its_kind_and_what_it_takes_is_none_of_its_refusals(string name)
    {
        var (options, answer) = (Recorded[name]!["kwargs"]!.AsObject(), (string)Recorded[name]!["answer"]!);
        var refusals = ConfigConstructor.Check(NeuronConfig.Of(options)).ToArray();
        if (answer == "ok") Assert.True(refusals.Length == 0, $"the class takes it: {string.Join(" ", refusals.Select(finding => $"{finding}"))}");
        else Assert.True(refusals.Any(finding => finding.Raises == answer),
            $"{answer} ({Recorded[name]!["message"]}) expected among: {string.Join(" ", refusals.Select(finding => $"{finding}"))}");
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void What_the_class_ignores_or_changes_is_found_as_well(string name)
    {
        var one = Recorded[name]!;
        if ((one["ignored"] ?? one["forced"]) is null) return;
        string said = one["ignored"] is { } ignored ? (string)ignored! : (string)one["forced"]![0]!;
        var found = NeuronConfigCheck.Run(NeuronSetup.Of(NeuronConfig.Of(one["kwargs"]!.AsObject()), "inf2.8xlarge")).Findings;
        Assert.Contains(found, finding => one["kwargs"]!.AsObject().Any(option =>
            said.Contains(option.Key, StringComparison.Ordinal) && finding.Option == option.Key)
            || finding.Option is "activation_quantization_type" or "quantized_mlp_kernel_enabled");
    }

    [Fact]
    public void Options_that_the_class_takes_and_the_check_refuses_are_these_and_each_has_its_reason()
    {
        string[] refused = [.. Recorded.Where(one => (string)one.Value!["answer"]! == "ok")
            .Where(one => !NeuronConfigCheck.Run(NeuronSetup.Of(NeuronConfig.Of(one.Value!["kwargs"]!.AsObject()), "inf2.48xlarge")).Passed)
            .Select(one => one.Key).Order(StringComparer.Ordinal)];
        Assert.Equal(Deviations.Keys.Order(StringComparer.Ordinal), refused);
    }

    // The class accepts them; each ends in a crash at load, in garbage, or in an option that does nothing.
    private static readonly Dictionary<string, string> Deviations = new()
    {
        ["act dynamic int8"] = "int8 codes meet an fp8 graph",
        ["dynamic activations"] = "int8 codes meet an fp8 graph",
        ["batch 2.0"] = "a shape is no whole number",
        ["tp 0"] = "no core at all",
        ["lnc 2"] = "joins cores that Inf2 does not have",
        ["capture as list"] = "warns and captures nothing",
        ["replacement as text"] = "warns and replaces nothing",
        ["dtype F8E4M3"] = "the compiler flag is tied to the exact text",
        ["torch_dtype float8"] = "no model runs in it",
        ["fused qkv per tensor"] = "scales are split by heads: RuntimeError at load",
        ["fused_qkv self_attn glob"] = "the scales are fused all the same",
        ["glu_mlp"] = "logged and ignored",
        ["skip vision"] = "logged and ignored",
        ["trace_tokengen_model"] = "logged and ignored",
        ["unknown option"] = "logged and ignored",
        ["overrides w/o dtype"] = "logged and ignored",
        ["overrides without dtype"] = "logged and ignored",
        ["ods bad key"] = "ignored without a word",
        ["sampling unknown"] = "ignored without a word",
        ["kv bad field"] = "ignored without a word",
        ["kv unknown field"] = "ignored without a word",
        ["kv empty"] = "compiling fails without the flag of kv_cache_quant",
        ["kv scaled default"] = "compiling fails without the flag of kv_cache_quant",
        ["kv scaled text method"] = "the cache raises ValueError when it is made",
        ["mlp kernel unquantized no list"] = "a kernel of Trn2",
        ["mlp q kernel"] = "a kernel of Trn2",
        ["quantized mlp kernel"] = "a kernel of Trn2",
        ["quantized mlp kernel int8"] = "a kernel of Trn2",
        ["rmsnorm kernel"] = "a kernel of Trn2",
        ["modules model."] = "the graph has no such prefix: codes read as weights",
        ["per tensor + list"] = "codes read as weights",
        ["quantized=1"] = "neither true nor false for the class",
        ["type per_channel"] = "refused when the weights are quantized",
    };

    [Fact]
    public void There_are_enough_of_either_kind()
    {
        Assert.True(Recorded.Count >= 90);
        Assert.True(Recorded.Count(one => (string)one.Value!["answer"]! != "ok") >= 40);
    }
}
