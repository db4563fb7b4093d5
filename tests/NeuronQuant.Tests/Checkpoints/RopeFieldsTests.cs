using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using Xunit;

namespace NeuronQuant.Tests.Checkpoints;

/// <summary>The rotary embedding from each of its places in config.json; what is said twice must agree, what is not computed stops only a forward pass.</summary>
public sealed class RopeFieldsTests : IDisposable
{
    private readonly TestFiles _files = new();

    public void Dispose() => _files.Dispose();

    private ModelConfig Read(string rope) => ModelConfig.Read(_files.Text("config.json", $$"""
        {"model_type": "llama", "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 2, "num_attention_heads": 8, "vocab_size": 512,
         "max_position_embeddings": 2048, "rms_norm_eps": 1e-5{{rope}}}
        """));

    [Theory]
    [InlineData("", 10_000)]
    [InlineData(", \"rope_theta\": 500000.0", 500_000)]
    [InlineData(", \"rope_parameters\": {\"rope_theta\": 500000}", 500_000)]
    [InlineData(", \"rope_scaling\": {\"rope_theta\": 500000, \"rope_type\": \"default\"}", 500_000)]
    [InlineData(", \"rope_scaling\": {\"rope_theta\": 1000000, \"type\": \"default\"}, \"rope_theta\": 1e6", 1_000_000)]
    [InlineData(", \"rope_scaling\": null, \"rope_parameters\": {\"rope_theta\": 2, \"rope_type\": \"default\", \"type\": \"default\"}", 2)]
    [InlineData(", \"rope_scaling\": {\"rope_theta\": 7, \"rope_type\": \"yarn\", \"factor\": 4}", 7)]
    public void Theta_is_read_from_any_of_its_three_places(string rope, double theta) => Assert.Equal(theta, Read(rope).RopeTheta);

    [Theory]
    [InlineData("rope_scaling.rope_theta", ", \"rope_theta\": 10000, \"rope_scaling\": {\"rope_theta\": 500000}")]
    [InlineData("rope_parameters.rope_theta", ", \"rope_theta\": 10000, \"rope_parameters\": {\"rope_theta\": 500000}")]
    [InlineData("rope_scaling.rope_theta", ", \"rope_parameters\": {\"rope_theta\": 10000}, \"rope_scaling\": {\"rope_theta\": 500000}")]
    [InlineData("rope_scaling.type", ", \"rope_scaling\": {\"rope_type\": \"default\", \"type\": \"linear\"}")]
    [InlineData("rope_scaling", ", \"rope_parameters\": {\"rope_type\": \"yarn\"}, \"rope_scaling\": {\"type\": \"linear\"}")]
    public void Two_that_disagree_are_an_error(string field, string rope)
    {
        var error = Assert.Throws<CheckpointException>(() => Read(rope));
        Assert.Equal((CheckpointFailure.ConfigFieldValue, field), (error.Failure, error.Tensor));
    }

    [Theory]
    [InlineData(", \"rope_scaling\": {\"rope_type\": \"yarn\", \"type\": \"yarn\", \"factor\": 4}", "\"yarn\"")]
    [InlineData(", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}", "\"linear\"")]
    [InlineData(", \"rope_parameters\": {\"rope_type\": \"longrope\"}", "\"longrope\"")]
    [InlineData(", \"partial_rotary_factor\": 0.5", "partial_rotary_factor")]
    [InlineData(", \"rope_parameters\": {\"rope_type\": \"default\", \"partial_rotary_factor\": 0.25}", "partial_rotary_factor")]
    [InlineData(", \"rope_parameters\": {\"full_attention\": {\"rope_theta\": 1e6}, \"sliding_attention\": {\"rope_theta\": 1e4}}", "each kind of layer")]
    public void What_is_not_computed_stops_a_forward_pass_and_nothing_else(string rope, string named)
    {
        var config = Read(rope);
        Assert.Contains(named, config.NotComputed, StringComparison.Ordinal);
        Assert.Contains(named, Assert.Throws<ModelException>(() => new LlamaModel(config)).Message, StringComparison.Ordinal);
        Assert.Null(Read("").NotComputed);
    }
}
