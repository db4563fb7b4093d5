using System.Text.Json;
using NeuronQuant.Checkpoints;
using NeuronQuant.Evaluation;
using NeuronQuant.Formats;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
using NeuronQuant.Tokenization;
using NeuronQuant.Quantization;
using NeuronQuant.Tuning;
using Xunit;

namespace NeuronQuant.Tests.Tuning;

/// <summary>nq autoround, gptq and select on the demo model, from the entry point to the audit: folders, notes, JSON, exit codes.</summary>
[Collection("notebooks")] // They take over the console as well.
public sealed class TuningCommandTests : IDisposable
{
    private static readonly string Model = Repository.PathOf("data", "demo-model");
    private static readonly string[] Few = ["--samples", "4", "--sequence-length", "48"];
    private static readonly string[] FewShipped = [.. Few, "--calibration", Repository.PathOf("data", "demo-calibration.jsonl")];
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("nxd", "nxd")]
    [InlineData("nxd", "fake")]
    [InlineData("autoround", "nxd")]
    public async Task AutoRound_folders_pass_their_audit(string grid, string layout)
    {
        var tuned = await Nq.Run(["autoround", Model, "--out", Out, "--iterations", "2", "--grid", grid, "--layout", layout, "--keep", "layers.0.mlp,lm_head", .. FewShipped]);
        Assert.Equal(0, tuned.Code);
        Assert.Contains("4 texts of demo-calibration.jsonl", tuned.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("will change", tuned.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Out + ".tuning"));
        var audit = await Nq.Run(["audit", Model, Out]);
        Assert.Equal(0, audit.Code);
        Assert.Contains("codes by autoround", audit.Output, StringComparison.Ordinal);
        var made = JsonDocument.Parse(File.ReadAllText(Path.Combine(Out, "neuronquant.json"))).RootElement.GetProperty("computation");
        Assert.Equal(("float32", "cpu", Torch.Threads, 42), (made.GetProperty("dtype").GetString(), made.GetProperty("device").GetString(),
            made.GetProperty("threads").GetInt32(), made.GetProperty("seed").GetInt32()));
    }

    [Fact]
    public async Task Texts_by_a_model_that_only_repeats_itself_are_refused()
    {
        // The demo model learned answers alone, so the texts that it writes from nothing are one token over and over.
        var tuned = await Nq.Run(["autoround", Model, "--out", Out, "--iterations", "1", "--samples", "4", "--sequence-length", "32"]);
        Assert.Equal(1, tuned.Code);
        Assert.Contains("--calibration", tuned.Error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Out));
    }

    [Fact]
    public async Task The_signed_grid_as_a_bf16_folder_warns_with_the_count_that_the_audit_finds()
    {
        var tuned = await Nq.Run(["autoround", Model, "--out", Out, "--iterations", "1", "--grid", "autoround", "--layout", "fake", "--json", .. FewShipped]);
        long changed = Json(tuned).GetProperty("record").GetProperty("integers_changed").GetInt64();
        Assert.InRange(changed, 1000, long.MaxValue);
        var audit = await Nq.Run(["audit", Model, Out, "--json"]);
        Assert.Equal((1, changed), (audit.Code, Json(audit).GetProperty("integers_changed").GetInt64()));
        var again = await Nq.Run(["autoround", Model, "--out", Out, "--overwrite", "--iterations", "1", "--grid", "autoround", "--layout", "fake", .. FewShipped]);
        Assert.Contains($"NxDI will change {changed} of", again.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_stopped_run_goes_on_and_ends_with_the_same_bytes()
    {
        string[] arguments = ["autoround", Model, "--iterations", "2", "--calibration", Problems(4), .. Few];
        Assert.Equal(0, (await Nq.Run([.. arguments, "--out", Out])).Code);
        string second = Path.Combine(_folder.Path, "second");
        StopInTheSecondBlock(second + ".tuning", Problems(4));
        Assert.Equal(2, (await Nq.Run([.. arguments, "--out", second])).Code); // It is not thrown away, and not taken up unasked.
        var other = await Nq.Run([.. arguments, "--out", second, "--resume", "--keep", "layers.2"]);
        Assert.Equal(1, other.Code);
        Assert.Contains("another plan", other.Error, StringComparison.Ordinal);
        Assert.Equal(0, (await Nq.Run([.. arguments, "--out", second, "--resume"])).Code);
        Assert.Equal(File.ReadAllBytes(Path.Combine(Out, "model.safetensors")), File.ReadAllBytes(Path.Combine(second, "model.safetensors")));
    }

    [Fact]
    public async Task Gptq_at_four_bits_writes_a_bf16_folder_that_passes_and_beats_rounding()
    {
        var tuned = await Nq.Run(["gptq", Model, "--out", Out, "--bits", "4", "--layout", "fake", "--calibration", Problems(4), "--json", .. Few]);
        var losses = Json(tuned).GetProperty("losses").EnumerateArray().ToArray();
        Assert.Equal(21, losses.Length);
        Assert.All(losses, loss => Assert.True(loss.GetProperty("error").GetDouble() < loss.GetProperty("rounded_error").GetDouble(), $"{loss}"));
        Assert.Equal(0, (await Nq.Run(["audit", Model, Out])).Code);
    }

    [Theory]
    [InlineData("int8_mse", "--average-bits", "9")]
    [InlineData("divergence", "--budget", "2000000")]
    public async Task Select_keeps_within_the_budget_and_its_entries_are_safe(string score, string option, string value)
    {
        var chosen = Json(await Nq.Run(["select", Model, option, value, "--score", score, "--calibration", Problems(2), "--json", .. Few]));
        if (option == "--budget") Assert.InRange(chosen.GetProperty("bytes").GetInt64(), 1, 2_000_000);
        else Assert.InRange(chosen.GetProperty("average_bits").GetDouble(), 8, 9);
        string[] entries = [.. chosen.GetProperty("modules_to_not_convert").EnumerateArray().Select(entry => entry.GetString()!)];
        using var source = Checkpoint.Open(Model);
        Assert.Equal(chosen.GetProperty("kept").GetArrayLength(), QuantizationPlan.Create(source, Format.Int8, modulesToNotConvert: entries).Kept.Count());
        Assert.Equal(score == "divergence", chosen.GetProperty("divergence_of_the_set").ValueKind == JsonValueKind.Number);
        var agreement = chosen.GetProperty("rank_correlation").EnumerateObject().ToArray();
        Assert.Equal(score == "divergence" ? 4 : 1, agreement.Length);
        Assert.All(agreement, pair => Assert.InRange(pair.Value.GetDouble(), -1, 1));
    }

    [Theory]
    [InlineData("autoround", "--bits", "4")] // Layout nxd stores eight bits.
    [InlineData("gptq", "--bits", "9")]
    [InlineData("gptq", "--samples", "0")]
    [InlineData("autoround", "--recipe", "bold")]
    public async Task Options_that_cannot_be_are_usage_errors_before_any_work(string command, string option, string value)
    {
        Assert.Equal(2, (await Nq.Run([command, Model, "--out", Out, option, value])).Code);
        Assert.False(Directory.Exists(Out));
    }

    [Fact]
    public async Task A_budget_that_cannot_be_kept_is_a_usage_error_and_a_missing_file_a_failure()
    {
        Assert.Equal(2, (await Nq.Run(["select", Model])).Code);
        Assert.Equal(2, (await Nq.Run(["select", Model, "--budget", "10", "--average-bits", "9"])).Code);
        Assert.Equal(2, (await Nq.Run(["select", Model, "--average-bits", "7"])).Code);
        var small = await Nq.Run(["select", Model, "--budget", "10"]);
        Assert.Equal(2, small.Code);
        Assert.Contains("below the linear modules in 8 bits", small.Error, StringComparison.Ordinal);
        var missing = await Nq.Run(["gptq", Model, "--out", Out, "--calibration", Path.Combine(_folder.Path, "none.txt")]);
        Assert.Equal(1, missing.Code);
        Assert.Contains("none.txt", missing.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void Plain_text_is_cut_into_pieces_and_the_models_own_texts_repeat_by_seed()
    {
        var tokenizer = Tokenizer.Load(Path.Combine(Model, "tokenizer.json"));
        string path = Path.Combine(_folder.Path, "plain.txt"), text = string.Join('\n', Enumerable.Repeat("Carl has 8 nuts. He buys 12 more nuts.", 9));
        File.WriteAllText(path, text);
        var pieces = CalibrationTexts.Read(path, tokenizer, 16);
        Assert.All(pieces.SkipLast(1), piece => Assert.Equal(16, piece.Length));
        Assert.Equal(tokenizer.Encode(text), pieces.SelectMany(piece => piece));
        var model = LlamaModel.Load(Model);
        var first = CalibrationTexts.Generate(model, tokenizer, 3, 80, seed: 5);
        Assert.All(first, made => Assert.Equal((0, true), (made[0], made.Length is > 1 and <= 80)));
        Assert.Equal(first, CalibrationTexts.Generate(model, tokenizer, 3, 80, seed: 5));
        Assert.NotEqual(first, CalibrationTexts.Generate(model, tokenizer, 3, 80, seed: 6));
    }

    [Fact]
    public void The_shipped_calibration_file_holds_training_problems_and_none_that_is_graded()
    {
        var shipped = WordProblemFile.Read(Repository.PathOf("data", "demo-calibration.jsonl"));
        Assert.Equal(DemoTask.Generate(DemoPart.Training, 7, 128).Select(problem => problem.Problem), shipped);
        var graded = DemoTask.Generate(DemoPart.HeldOut, DemoTask.GradingSeed, 1000).Select(problem => problem.Problem.Question).ToHashSet();
        Assert.DoesNotContain(shipped, problem => graded.Contains(problem.Question));
    }

    private string Out => Path.Combine(_folder.Path, "out");

    private string Problems(int count)
    {
        string path = Path.Combine(_folder.Path, $"{count}.jsonl");
        WordProblemFile.Write(path, DemoTask.Generate(DemoPart.Training, 3, count).Select(problem => problem.Problem));
        return path;
    }

    // What the command would leave behind if it were stopped there.
    private static void StopInTheSecondBlock(string state, string problems)
    {
        using var source = Checkpoint.Open(Model);
        var tokenizer = Tokenizer.Load(Path.Combine(Model, "tokenizer.json"));
        var set = CalibrationSet.Of(CalibrationTexts.Read(problems, tokenizer, 48), 48, 4, tokenizer.Roles.Pad);
        using var stop = new CancellationTokenSource();
        Assert.Throws<OperationCanceledException>(() => AutoRound.Tune(ModelFiles.Load(source), TuningGrids.Of(QuantizationPlan.Create(source, Format.Int8)), set,
            TuningRecipe.Default with { Iterations = 2, Samples = 4 }, stateFolder: state, progress: step =>
            {
                if (step.Layer == 1) stop.Cancel();
            }, cancellation: stop.Token));
        Assert.Single(Directory.EnumerateDirectories(state));
    }

    private static JsonElement Json((int Code, string Output, string Error) result) => JsonDocument.Parse(result.Output).RootElement;
}
