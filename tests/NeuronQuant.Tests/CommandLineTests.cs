using NeuronQuant.Checkpoints;
using NeuronQuant.Tests.Neuron;
using Xunit;

namespace NeuronQuant.Tests;

/// <summary>What must hold for every command: an empty value is a usage error, and nothing ends in a trace.</summary>
[Collection("notebooks")]
public sealed class CommandLineTests
{
    private static readonly string Model = Repository.PathOf("data", "demo-model");

    [Theory] // MODEL is the demo model, _ an empty value and __ one of blanks.
    [InlineData("inspect _")]
    [InlineData("inspect __")]
    [InlineData("sensitivity _")]
    [InlineData("quantize _ --out x")]
    [InlineData("quantize MODEL --out _")]
    [InlineData("autoround _ --out x")]
    [InlineData("autoround MODEL --out _")]
    [InlineData("autoround MODEL --out x --calibration _")]
    [InlineData("gptq MODEL --out _")]
    [InlineData("gptq MODEL --out x --calibration _")]
    [InlineData("select _ --average-bits 9")]
    [InlineData("select MODEL --average-bits 9 --calibration _")]
    [InlineData("compare _")]
    [InlineData("compare MODEL --tasks _")]
    [InlineData("audit _ x")]
    [InlineData("audit MODEL _")]
    [InlineData("plan _")]
    [InlineData("eval _")]
    [InlineData("eval MODEL --data _")]
    [InlineData("eval MODEL --samples _")]
    [InlineData("eval MODEL --baseline _")]
    [InlineData("eval --endpoint _")]
    [InlineData("generate _ --prompt x")]
    [InlineData("train --out _")]
    [InlineData("run _")]
    [InlineData("run --out _")]
    [InlineData("neuron check _")]
    [InlineData("neuron check x --model _")]
    [InlineData("neuron config _")]
    [InlineData("neuron config x --model _")]
    [InlineData("neuron config x --out _")]
    [InlineData("neuron serve-config _ --model x")]
    [InlineData("neuron serve-config x --model _")]
    [InlineData("neuron serve-config x --model y --compiled _")]
    [InlineData("neuron conformance _ --out x")]
    [InlineData("neuron conformance MODEL --out _")]
    [InlineData("neuron conformance MODEL --out x --python _")]
    [InlineData("kernel install --prefix _")]
    [InlineData("kernel install --name _")]
    [InlineData("quantize MODEL --out x --keep _")]
    [InlineData("quantize MODEL --out x --group _")]
    [InlineData("sensitivity MODEL --bits _")]
    public async Task An_empty_value_is_a_usage_error(string arguments)
    {
        var (code, output, error) = await Nq.Run([.. arguments.Split(' ').Select(word => word switch { "MODEL" => Model, "_" => "", "__" => "  ", _ => word })]);
        Assert.Equal(2, code);
        Assert.Contains("the value is empty. Is a variable not set?", error + output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_empty_prompt_is_a_prompt() =>
        Assert.NotEqual(2, (await Nq.Run(["generate", Model, "--prompt", "", "--max-new-tokens", "1"])).Code);

    [Fact] // No shell can pass a zero character, so nothing looks for one.
    public async Task What_nobody_expected_is_one_line_and_a_file_with_the_trace()
    {
        var (code, _, error) = await Nq.Run(["eval", Model, "--data", "a\0b", "--samples", "x"]);
        Assert.Equal(1, code);
        string line = Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        const string mark = "the full trace is in ";
        Assert.Contains(mark, line, StringComparison.Ordinal);
        string file = line[(line.IndexOf(mark, StringComparison.Ordinal) + mark.Length)..].Trim();
        Assert.Contains("   at NeuronQuant.", File.ReadAllText(file), StringComparison.Ordinal); // Which frames are left depends on what was compiled into what.
        File.Delete(file);
    }

    [Theory]
    [InlineData("--bits 4", 1, "these have 4. Write layout fake")]
    [InlineData("--group 64", 1, "every 64 columns have their own")]
    [InlineData("--asymmetric", 1, "NxDI has no zero points")]
    [InlineData("--layout fake --bits 9", 2, "give 2 to 8")]
    [InlineData("--layout fake --bits four", 2, "'four'")]
    [InlineData("--layout fake --group 48", 2, "'48'")]
    [InlineData("--layout fake --grid half --asymmetric", 2, "Give one of them")]
    [InlineData("--layout compressed-tensors --bits 4", 1, "Use layout auto-round")]
    [InlineData("--layout auto-round --bits 3", 1, "4 and 8 bits")]
    [InlineData("--layout auto-round --format f8e4m3", 1, "int8 per_channel_symmetric")]
    public async Task A_grid_that_a_layout_does_not_hold_is_refused_with_the_reason(string options, int expected, string reason)
    {
        string target = Path.Combine(Path.GetTempPath(), $"neuronquant-{Guid.NewGuid():N}");
        var (code, output, error) = await Nq.Run(["quantize", Model, "--out", target, .. options.Split(' ')]);
        Assert.Equal(expected, code);
        Assert.Contains(reason, error + output, StringComparison.Ordinal);
        Assert.False(Directory.Exists(target));
    }

    [Theory]
    [InlineData("budget", "100000000")]
    [InlineData("average-bits", "9")]
    public async Task Select_works_with_one_float_linear_left(string option, string value)
    {
        using var model = new TinyModel();
        string one = model.Rewrite(model.Folder, "one", (tensor, bytes) => tensor.Name is "model.embed_tokens.weight" or "model.layers.1.mlp.up_proj.weight"
            ? [(new TensorDeclaration(tensor.Name, tensor.Type, tensor.Shape), bytes)] : []);
        var (code, output, error) = await Nq.Run(["select", one, $"--{option}", value]);
        Assert.True(code == 0, error);
        Assert.DoesNotContain("rank correlation", output, StringComparison.Ordinal);
    }
}
