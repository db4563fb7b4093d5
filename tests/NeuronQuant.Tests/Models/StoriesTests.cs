using System.Text.Json;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
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
        float[] last = model.Logits(new TokenBatch(tokens, [], 1)).ToFloats()[((tokens.Length - 1) * 512)..];
        var expected = reference.GetProperty("last_position_logits");
        foreach (var (value, i) in expected.GetProperty("first_eight").EnumerateArray().Select((v, i) => (v.GetDouble(), i)))
            Assert.Equal(value, last[i], 1e-4);
        Assert.Equal(expected.GetProperty("argmax").GetInt32(), Array.IndexOf(last, last.Max()));
        Assert.Equal(expected.GetProperty("max").GetDouble(), last.Max(), 1e-4);
    }

    [Fact]
    public void Greedy_text_and_its_likelihood_are_those_of_an_independent_program()
    {
        var (model, reference) = Load();
        int[] prompt = [.. reference.GetProperty("token_ids").EnumerateObject().First().Value.EnumerateArray().Select(t => t.GetInt32())];
        int[] tokens = Generation.Run(model, [prompt], new GenerationOptions(60))[0];
        string expected = reference.GetProperty("greedy")[0].GetProperty("text").GetString()!;
        string text = string.Concat(Pieces([.. prompt[1..], .. tokens])).TrimStart();
        Assert.StartsWith(text, expected);
        Assert.InRange(text.Length, 100, expected.Length);
        var likelihood = reference.GetProperty("mean_negative_log_likelihood"); // Its text is how the greedy one begins.
        int[] counted = [.. prompt, .. tokens[..(likelihood.GetProperty("tokens_with_bos").GetInt32() - prompt.Length)]];
        Assert.Equal(likelihood.GetProperty("nats_per_token").GetDouble(), -Scoring.Of(model, [(counted, 1)])[0].LogProbabilities.Average(value => (double)value), 1e-5);
    }

    [Fact]
    public void Every_module_of_a_published_model_equals_the_reference() =>
        Assert.Null(ReferenceModel.Compare(Load().Model, [1, 403, 407, 261, 378], 1e-4).First);

    private static IEnumerable<string> Pieces(IEnumerable<int> tokens)
    {
        using var tokenizer = JsonDocument.Parse(File.ReadAllText(Path.Combine(RealModel.Folder(), "tokenizer.json")));
        var vocabulary = tokenizer.RootElement.GetProperty("model").GetProperty("vocab").EnumerateObject().ToDictionary(p => p.Value.GetInt32(), p => p.Name);
        return [.. tokens.Select(token => vocabulary[token].Replace('\u2581', ' ').Replace("<0x0A>", "\n", StringComparison.Ordinal))];
    }

    internal static (LlamaModel Model, JsonElement Reference) Load()
    {
        string folder = RealModel.Folder();
        return (LlamaModel.Load(folder), JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "reference.json"))).RootElement);
    }
}
