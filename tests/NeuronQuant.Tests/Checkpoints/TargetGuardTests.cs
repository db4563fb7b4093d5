using NeuronQuant.Checkpoints;
using NeuronQuant.Formats;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;
using NeuronQuant.Tests.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Checkpoints;

/// <summary>No writer may put its files where the model lies that it reads, by whatever way the path leads there.</summary>
[Collection("notebooks")]
public sealed class TargetGuardTests : IDisposable
{
    private readonly TinyModel _model = new();

    public TargetGuardTests()
    {
        Directory.CreateSymbolicLink(_model.PathOf("link"), _model.Folder);
        Directory.CreateSymbolicLink(_model.PathOf("link-to-link"), "link");
        Directory.CreateSymbolicLink(_model.PathOf("above"), ".");
        Directory.CreateDirectory(_model.PathOf("snapshot"));
        foreach (string file in Directory.EnumerateFiles(_model.Folder)) File.CreateSymbolicLink(Path.Combine(_model.PathOf("snapshot"), Path.GetFileName(file)), file);
    }

    public void Dispose() => _model.Dispose();

    [Theory]
    [InlineData("model", "model")]
    [InlineData("model", "model/")]
    [InlineData("model", "model/../model/.")]
    [InlineData("model", "link")]
    [InlineData("model", "link-to-link")]
    [InlineData("model", "above/above/model")]
    [InlineData("link", "model")]
    [InlineData("link-to-link", "above/link")]
    [InlineData("snapshot", "snapshot")]
    [InlineData("snapshot", "model")]
    [InlineData("model/model.safetensors", "link")]
    public void The_folder_of_the_source_is_no_target(string source, string target)
    {
        byte[] before = File.ReadAllBytes(Path.Combine(_model.Folder, "model.safetensors"));
        using var checkpoint = Checkpoint.Open(_model.PathOf(source));
        var error = Assert.Throws<CheckpointException>(() =>
            NeuronCheckpoint.Write(checkpoint, _model.PathOf(target), QuantizationPlan.Create(checkpoint, Format.Int8), overwrite: true));
        Assert.Equal(CheckpointFailure.TargetIsSource, error.Failure);
        Assert.Contains("would replace the model that is read", error.Message, StringComparison.Ordinal);
        Assert.Equal(before, File.ReadAllBytes(Path.Combine(_model.Folder, "model.safetensors")));
    }

    [Theory]
    [InlineData("model", "model/quantized")]
    [InlineData("model", "link/quantized")]
    [InlineData("model", "models")]
    [InlineData("snapshot", "new/folder")]
    public void Any_other_folder_is(string source, string target)
    {
        using var checkpoint = Checkpoint.Open(_model.PathOf(source));
        NeuronCheckpoint.Write(checkpoint, _model.PathOf(target), QuantizationPlan.Create(checkpoint, Format.Int8), overwrite: true);
        Assert.True(File.Exists(Path.Combine(_model.PathOf(target), "model.safetensors")));
        TargetGuard.Check(checkpoint, _model.PathOf("elsewhere"));
    }

    [Fact]
    public void Links_in_a_circle_end()
    {
        File.CreateSymbolicLink(_model.PathOf("a"), "b");
        File.CreateSymbolicLink(_model.PathOf("b"), "a");
        Assert.Throws<CheckpointException>(() => TargetGuard.RealPath(_model.PathOf("a")));
    }

    [Theory]
    [InlineData("quantize")]
    [InlineData("quantize", "--layout", "fake")]
    [InlineData("gptq")]
    [InlineData("autoround")]
    public async Task Every_command_that_writes_refuses(string command, params string[] options)
    {
        byte[] before = File.ReadAllBytes(Path.Combine(_model.Folder, "model.safetensors"));
        foreach (string target in new[] { "model", "link", "above/model" })
        {
            var (code, _, error) = await Nq.Run([command, _model.Folder, "--out", _model.PathOf(target), "--overwrite", .. options]);
            Assert.Equal(1, code);
            Assert.Contains("the folder of the source's", error, StringComparison.Ordinal);
        }
        Assert.Equal(before, File.ReadAllBytes(Path.Combine(_model.Folder, "model.safetensors")));
    }

    [Fact]
    public async Task What_is_written_beside_a_target_is_kept_off_the_source_too()
    {
        Directory.Move(_model.Folder, _model.PathOf("tuned.tuning"));
        var tuned = await Nq.Run(["autoround", _model.PathOf("tuned.tuning"), "--out", _model.PathOf("tuned"), "--resume"]);
        Assert.Equal(1, tuned.Code);
        Assert.Contains("the folder of the source's", tuned.Error, StringComparison.Ordinal);
        Directory.Move(_model.PathOf("tuned.tuning"), _model.Folder);
        var trained = await Nq.Run(["train", "--out", _model.Folder, "--steps", "1"]);
        Assert.Equal(2, trained.Code);
        Assert.Contains("there is a checkpoint", trained.Error, StringComparison.Ordinal);
        string notebook = _model.PathOf("a.ipynb");
        File.WriteAllText(notebook, """{"cells":[],"metadata":{},"nbformat":4,"nbformat_minor":5}""");
        var run = await Nq.Run(["run", notebook, "--out", _model.PathOf("above")]);
        Assert.Equal(2, run.Code);
        Assert.Contains("would replace the notebook", run.Error, StringComparison.Ordinal);
        string samples = _model.PathOf("problems.jsonl");
        File.WriteAllText(samples, "{\"question\":\"One?\",\"answer\":\"#### 1\"}\n");
        var graded = await Nq.Run(["eval", _model.Folder, "--data", samples, "--samples", _model.PathOf("above/problems.jsonl")]);
        Assert.Equal(2, graded.Code);
        Assert.Contains("this file is read as well", graded.Error, StringComparison.Ordinal);
    }
}
