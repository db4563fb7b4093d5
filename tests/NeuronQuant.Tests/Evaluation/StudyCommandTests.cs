using System.Text.Json;
using NeuronQuant.Evaluation;
using NeuronQuant.Methods;
using NeuronQuant.Models;
using NeuronQuant.Selection;
using NeuronQuant.Tensors;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

/// <summary>The studies from the command line: the numbers of the library's own verbs, and refusals that say what to give.</summary>
[Collection("notebooks")] // They take over the console as well.
public class StudyCommandTests
{
    private static readonly string Model = Repository.PathOf("data", "demo-model");
    private static readonly string Problems = Repository.PathOf("data", "demo-calibration.jsonl");

    // The command reads the same texts with the same sums in the same order; 1e-12 relative allows for nothing but printing.
    private static void Same(double expected, JsonElement found) => Assert.Equal(expected, found.GetDouble(), 1e-12 + Math.Abs(expected) * 1e-12);

    private static (LlamaModel Model, int[][] Texts) Read(int count, int length)
    {
        var engine = EngineModel.Load(Model);
        return (engine.Model, [.. CalibrationTexts.Read(Problems, engine.Tokenizer, length).Take(count).Select(text => text[..Math.Min(length, text.Length)])]);
    }

    [Theory]
    [InlineData("int8", 0)]
    [InlineData("e4m3", 1)]
    [InlineData("e4m3-nxd", 2)]
    public async Task Inputs_gives_the_numbers_of_the_library(string name, int number)
    {
        var (code, output, error) = await Nq.Run(["study", "inputs", Model, "--format", name, "--texts", Problems, "--samples", "3", "--bits", "9.5", "--json"]);
        Assert.Equal((0, ""), (code, code == 0 ? "" : error));
        var (model, texts) = Read(3, 512);
        var format = InputFormat.All[number];
        var scores = InputScores.Divergence(model, texts, format, TestContext.Current.CancellationToken);
        var crest = InputScores.CrestFactor(model, texts, TestContext.Current.CancellationToken);
        var chosen = InputScores.Choose(model, scores, 9.5);
        var found = JsonDocument.Parse(output).RootElement;
        Assert.Equal(format.Name, found.GetProperty("format").GetString());
        Same(InputScores.DivergenceOf(model, texts, format, cancellation: TestContext.Current.CancellationToken), found.GetProperty("divergence"));
        var modules = found.GetProperty("modules").EnumerateArray().ToArray();
        Assert.Equal(scores.Values.Keys.Order().Select(module => module.Name), modules.Select(module => module.GetProperty("module").GetString()));
        foreach (var (module, printed) in scores.Values.Keys.Order().Zip(modules))
        {
            Same(scores[module], printed.GetProperty("divergence"));
            Same(crest[module], printed.GetProperty("crest_factor"));
        }
        var ranges = InputRanges.Measure(model, texts, cancellation: TestContext.Current.CancellationToken);
        foreach (var (range, printed) in ranges.Inputs.Zip(found.GetProperty("inputs").EnumerateArray().ToArray()))
        {
            Assert.Equal((range.Layer, range.Input), (printed.GetProperty("layer").GetInt32(), printed.GetProperty("input").GetString()));
            Same(range.Ratio, printed.GetProperty("largest_over_median"));
        }
        Assert.Empty(found.GetProperty("outlier_features").EnumerateArray()); // The demo model has none.
        var choice = found.GetProperty("choice");
        Assert.NotEmpty(chosen.Selection.Kept);
        Assert.Equal(chosen.Selection.Kept.Select(module => module.Name), choice.GetProperty("kept").EnumerateArray().Select(module => module.GetString()));
        Same(chosen.LostScore, choice.GetProperty("sum_of_others"));
        Same(InputScores.DivergenceOf(model, texts, format, chosen.Selection.Kept, TestContext.Current.CancellationToken), choice.GetProperty("divergence"));
        Assert.True(choice.GetProperty("divergence").GetDouble() < found.GetProperty("divergence").GetDouble());
    }

    [Fact]
    public async Task Cache_gives_the_numbers_of_the_library_on_texts_cut_to_the_length()
    {
        var (code, output, error) = await Nq.Run(["study", "cache", Model, "--texts", Problems, "--samples", "4", "--length", "40", "--json"]);
        Assert.Equal((0, ""), (code, code == 0 ? "" : error));
        var (model, texts) = Read(4, 40);
        Assert.All(texts, text => Assert.Equal(40, text.Length));
        var (range, study) = (CacheRange.Measure(model, texts, TestContext.Current.CancellationToken), CacheStudy.Measure(model, texts, cancellation: TestContext.Current.CancellationToken));
        var found = JsonDocument.Parse(output).RootElement;
        foreach (var (layer, printed) in range.Layers.Zip(found.GetProperty("range").EnumerateArray().ToArray()))
        {
            Same(layer.Keys.Max(head => head.Max()), printed.GetProperty("largest_key"));
            Same(layer.Values.Max(), printed.GetProperty("largest_value"));
            Assert.Equal((layer.KeysBeyond, layer.ValuesBeyond, layer.Count), (printed.GetProperty("keys_above_240").GetInt64(),
                printed.GetProperty("values_above_240").GetInt64(), printed.GetProperty("of").GetInt64()));
        }
        var caches = found.GetProperty("caches").EnumerateArray().ToArray();
        Assert.Equal(["as computed", "e4m3", "e5m2", "keys e4m3", "values e4m3"], caches.Select(cache => cache.GetProperty("cache").GetString()));
        foreach (var printed in caches)
        {
            string cache = printed.GetProperty("cache").GetString()!;
            Same(study.Difference(cache), printed.GetProperty("loss_added"));
            Same(study.Divergence(cache), printed.GetProperty("divergence"));
            foreach (var (bucket, position) in study.Of(cache).Zip(printed.GetProperty("positions").EnumerateArray().ToArray()))
            {
                Assert.Equal((bucket.From, bucket.Tokens), (position.GetProperty("from").GetInt32(), position.GetProperty("tokens").GetInt32()));
                Same(bucket.Nats, position.GetProperty("loss"));
                Same(bucket.Divergence, position.GetProperty("divergence"));
            }
        }
    }

    [Fact]
    public async Task Without_texts_the_model_writes_them_and_tables_say_so()
    {
        foreach (string study in new[] { "inputs", "cache" })
        {
            var (code, output, error) = await Nq.Run(["study", study, Model, "--samples", "2", "--length", "24"]);
            Assert.Equal(0, code);
            Assert.Contains("2 texts by the model itself", error, StringComparison.Ordinal);
            Assert.Contains("--texts", error, StringComparison.Ordinal);
            Assert.Contains(study == "inputs" ? "layers.0.mlp.down_proj" : "values e4m3", output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Keys_beyond_the_range_are_said_with_the_remedy()
    {
        string folder = Directory.CreateTempSubdirectory("nq-study").FullName;
        try
        {
            var model = EngineModel.Load(Model).Model.Copy();
            double[][] apart = [.. Enumerable.Range(0, model.Config.KeyValueHeadCount).Select(_ => Enumerable.Repeat(1.0 / 1024, model.Config.HeadSize / 2).ToArray())];
            foreach (var block in model.Blocks) CacheScales.IntoKeys(block, apart, model.Config);
            ModelFiles.Save(model, folder);
            File.Copy(Path.Combine(Model, "tokenizer.json"), Path.Combine(folder, "tokenizer.json"), overwrite: true);
            var (code, _, error) = await Nq.Run(["study", "cache", folder, "--texts", Problems, "--samples", "2"]);
            Assert.Equal(0, code);
            Assert.Contains("lie beyond 240", error, StringComparison.Ordinal);
            Assert.Contains("--method cachescales", error, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Theory]
    [InlineData("inputs", "--format", "int4")]
    [InlineData("inputs", "--bits", "7.9")]
    [InlineData("inputs", "--bits", "NaN")]
    [InlineData("inputs", "--bits", "many")]
    [InlineData("inputs", "--samples", "0")]
    [InlineData("cache", "--length", "1")]
    [InlineData("cache", "--bits", "9")] // A cache has no budget.
    [InlineData("nothing")]
    public async Task What_cannot_be_is_a_usage_error(string study, params string[] options)
    {
        var (code, output, error) = await Nq.Run(["study", study, Model, .. options]);
        Assert.Equal(2, code);
        Assert.NotEqual("", error);
        Assert.DoesNotContain("nats", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_that_is_missing_is_named()
    {
        var (code, _, error) = await Nq.Run(["study", "cache", Model, "--texts", "nothing.jsonl"]);
        Assert.Equal(1, code);
        Assert.Contains("nothing.jsonl: no such file", error, StringComparison.Ordinal);
    }
}
