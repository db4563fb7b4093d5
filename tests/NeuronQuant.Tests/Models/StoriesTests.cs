using System.Text.Json;
using NeuronQuant.Models;
using NeuronQuant.Tests.Checkpoints;
using Xunit;

namespace NeuronQuant.Tests.Models;

/// <summary>A published model of 260,000 parameters against numbers that a float64 program in Python computed from it.</summary>
public class StoriesTests
{
    [Fact]
    public void Last_logits_of_a_published_model_are_those_of_an_independent_program()
    {
        var (model, reference) = Load();
        int[] tokens = [.. reference.GetProperty("token_ids").EnumerateObject().First().Value.EnumerateArray().Select(t => t.GetInt32())];
        float[] last = new ModelPass(model).Logits(new TokenBatch(tokens, [], 1))[((tokens.Length - 1) * 512)..];
        var expected = reference.GetProperty("last_position_logits");
        foreach (var (value, i) in expected.GetProperty("first_eight").EnumerateArray().Select((v, i) => (v.GetDouble(), i)))
            Assert.Equal(value, last[i], 1e-4);
        Assert.Equal(expected.GetProperty("argmax").GetInt32(), Array.IndexOf(last, last.Max()));
        Assert.Equal(expected.GetProperty("max").GetDouble(), last.Max(), 1e-4);
    }

    internal static (LlamaModel Model, JsonElement Reference) Load()
    {
        string folder = RealModel.Folder();
        return (LlamaModel.Load(folder), JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "reference.json"))).RootElement);
    }
}
