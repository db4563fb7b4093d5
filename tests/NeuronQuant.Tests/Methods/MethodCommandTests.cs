using System.Text.Json;
using NeuronQuant.Evaluation;
using NeuronQuant.Methods;
using NeuronQuant.Quantization;
using NeuronQuant.Tests.Tuning;
using NeuronQuant.Tuning;
using Xunit;

namespace NeuronQuant.Tests.Methods;

/// <summary>Methods by name from the command line, and a reader's own in a comparison beside ours.</summary>
[Collection("notebooks")] // They take over the console as well.
public sealed class MethodCommandTests : IDisposable
{
    private static readonly string Model = Repository.PathOf("data", "demo-model");
    private static readonly string[] Few = ["--samples", "4", "--recipe", "light", "--calibration", Repository.PathOf("data",
        "demo-calibration.jsonl")];
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string Out => Path.Combine(_folder.Path, "out");

    [Theory]
    [InlineData("awq", "nxd")]
    [InlineData("awq", "fake")]
    [InlineData("awq+gptq", "nxd", "bfloat16")]
    [InlineData("hadamard+gptq", "nxd")]
    [InlineData("spinquant", "nxd", "bfloat16")]
    [InlineData("adaround", "fake")]
    public async Task Quantize_by_a_method_writes_a_folder_that_passes_its_audit(string method, string layout, string type = "float32")
    {
        var made = await Nq.Run(["quantize", Model, "--out", Out, "--method", method, "--layout", layout, "--dtype", type, "--keep", "layers.0.mlp,lm_head", .. Few]);
        Assert.Equal((0, ""), (made.Code, made.Code == 0 ? "" : made.Error));
        Assert.Equal(method.StartsWith("adaround", StringComparison.Ordinal), !made.Output.Contains("What was folded", StringComparison.Ordinal));
        var audit = await Nq.Run(["audit", Model, Out]);
        Assert.Equal(0, audit.Code);
        Assert.Contains($"codes by {method}", audit.Output, StringComparison.Ordinal);
        Assert.Contains(type, File.ReadAllText(Path.Combine(Out, "neuronquant.json")), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--method", "nothing")]
    [InlineData("--method", "gptq+awq")]
    [InlineData("--method", "awq+selective")] // --keep says what is kept.
    [InlineData("--method", "hqq", "--bits", "4")] // Layout nxd stores eight bits.
    [InlineData("--method", "awq", "--layout", "auto-round")]
    [InlineData("--method", "awq", "--format", "f8e4m3")]
    public async Task What_cannot_be_is_a_usage_error(params string[] options)
    {
        var (code, output, error) = await Nq.Run(["quantize", Model, "--out", Out, .. options, .. Few]);
        Assert.Equal(2, code);
        Assert.DoesNotContain("(Parameter", output + error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Out));
    }

    [Fact]
    public async Task Compare_takes_rows_by_name_and_corrects_all_its_tests_together()
    {
        var (code, output, error) = await Nq.Run(["compare", Model, "--bits", "2", "--methods", "rtn,clip,hqq,smoothquant+clip,clip+selective",
            "--keep",
            "layers.1.self_attn", "--limit", "12", "--json", .. Few]);
        Assert.Equal((0, ""), (code, code == 0 ? "" : error));
        var table = JsonDocument.Parse(output).RootElement;
        var rows = table.GetProperty("rows").EnumerateArray().ToArray();
        Assert.Equal(["unquantized", "rtn", "clip", "hqq", "smoothquant+clip", "clip+selective"], rows.Select(row =>
            row.GetProperty("method").GetString()));
        Assert.Equal(0, rows[0].GetProperty("divergence").GetDouble(), 1e-9);
        Assert.All(rows.Skip(1), row => Assert.InRange(row.GetProperty("divergence").GetDouble(), 1e-6, 20));
        Assert.True(rows[5].GetProperty("linear_bytes").GetInt64() > rows[2].GetProperty("linear_bytes").GetInt64());
        Assert.Contains(rows, row => row.GetProperty("on_front").GetBoolean());
        Assert.Contains("zero points", rows[3].GetProperty("why_not_on_neuron").GetString(), StringComparison.Ordinal);
        var pairs = table.GetProperty("pairs").EnumerateArray().ToArray();
        Assert.InRange(pairs.Length, 9, 10); // Five against the model, four against rounding, the best against the next if that is not among them.
        Assert.All(pairs, pair => Assert.True(pair.GetProperty("p_holm").GetDouble() >= pair.GetProperty("p").GetDouble()));
        Assert.Equal(2, (await Nq.Run(["compare", Model, "--methods", "rtn,nothing"])).Code);
        Assert.Equal(2, (await Nq.Run(["compare", Model, "--methods", "rtn", "--tasks", "demo,nothing"])).Code);
        Assert.Equal(2, (await Nq.Run(["compare", Model, "--methods", "rtn", "--tasks", "demo,demo"])).Code);
    }

    [Fact]
    public async Task Finished_rows_are_not_made_again_and_those_of_other_settings_are_refused()
    {
        string file = Path.Combine(Directory.CreateTempSubdirectory("nq-rows").FullName, "rows.json");
        Task<(int Code, string Output, string Error)> Compare(string methods, string bits = "4", string seed = "42", string limit = "5", string outliers = "0") =>
            Nq.Run(["compare", Model, "--methods", methods, "--bits", bits, "--seed", seed, "--limit", limit, "--outliers", outliers, "--resume", file, "--json", .. Few]);
        Assert.Equal(0, (await Compare("rtn")).Code);
        // What the file says is what the next run shows: the rows were not made again.
        File.WriteAllText(file, File.ReadAllText(file).Replace("\"AverageBits\": 4,", "\"AverageBits\": 4.25,", StringComparison.Ordinal));
        var rows = JsonDocument.Parse((await Compare("rtn,clip")).Output).RootElement.GetProperty("rows").EnumerateArray();
        Assert.Equal([16, 4.25, 4], rows.Select(row => row.GetProperty("average_bits").GetDouble()));
        foreach (var (bits, seed, limit, outliers) in new[] { ("3", "42", "5", "0"), ("4", "1", "5", "0"), ("4", "42", "6", "0"), ("4", "42", "5", "8") })
        {
            var refused = await Compare("rtn", bits, seed, limit, outliers);
            Assert.NotEqual(0, refused.Code);
            Assert.Contains("remove this one to begin again", refused.Error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Rows_on_several_tasks_are_kept_too_and_other_tasks_are_refused()
    {
        string file = Path.Combine(Directory.CreateTempSubdirectory("nq-rows").FullName, "rows.json");
        Task<(int Code, string Output, string Error)> Compare(string tasks) =>
            Nq.Run(["compare", Model, "--methods", "rtn", "--bits", "3", "--tasks", tasks, "--limit", "6", "--resume", file, "--json", .. Few]);
        var first = await Compare("demo,demo_choices");
        File.WriteAllText(file, File.ReadAllText(file).Replace("\"AverageBits\": 3,", "\"AverageBits\": 3.25,", StringComparison.Ordinal));
        var again = JsonDocument.Parse((await Compare("demo,demo_choices")).Output).RootElement;
        Assert.Equal(3.25, again.GetProperty("rows")[1].GetProperty("average_bits").GetDouble());
        Assert.Equal(["demo", "demo_choices"], again.GetProperty("rows")[1].GetProperty("scores").EnumerateArray().Select(score => score.GetProperty("task").GetString()));
        Assert.Equal(JsonDocument.Parse(first.Output).RootElement.GetProperty("pairs").GetRawText(), again.GetProperty("pairs").GetRawText());
        var refused = await Compare("demo");
        Assert.NotEqual(0, refused.Code);
        Assert.Contains("remove this one to begin again", refused.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_reader_s_own_class_stands_in_the_table()
    {
        var engine = EngineModel.Load(Model);
        var texts = CalibrationTexts.Read(Repository.PathOf("data", "demo-calibration.jsonl"), engine.Tokenizer, 512).Take(4).ToArray();
        var calibration = CalibrationSet.Of(texts, texts.Max(text => text.Length), 4, engine.Tokenizer.Roles.Pad);
        var task = WordProblemTask.Demo(DemoTask.Generate(DemoPart.HeldOut, 5, 10).Select(problem => problem.Problem));
        MethodRow[] rows = [MethodRegistry.Parse("rtn"), new("mine", new Mine(), false)];
        var compared = await MethodComparison.Run(engine, engine.Model, Grid.Nxd(4), [], rows, new MethodInput(calibration), [task]);
        Assert.Equal(["unquantized", "rtn", "mine"], compared.Rows.Select(row => row.Name));
        Assert.Contains("mine", compared.ToString(), StringComparison.Ordinal);
        Assert.Equal(compared.Methods[0].Bytes, compared.Methods[1].Bytes);
        Assert.NotEqual(compared.Methods[0].Answers, compared.Methods[1].Answers);
    }

    // Clipped by a fixed share, in a few lines.
    private sealed class Mine : IQuantizationMethod
    {
        public string Name => "mine";

        public MethodNeeds Needs => MethodNeeds.Nothing;

        public QuantizedModel Apply(NeuronQuant.Models.LlamaModel model, IReadOnlyDictionary<NeuronQuant.Checkpoints.ModuleName, Grid> grids,
            MethodInput input) =>
            QuantizedModel.Each(Name, model, grids, (linear, grid) => Clipping.Search(linear.ToWeightMatrix(), grid, new ClippingOptions(1, 0.7,
                2)).Weight);
    }
}
