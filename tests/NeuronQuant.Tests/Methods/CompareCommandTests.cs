using System.Text.Json;
using Xunit;

namespace NeuronQuant.Tests.Methods;

/// <summary>nq compare from its entry point: the blog's rows by default, others by name, and what it refuses.</summary>
[Collection("notebooks")]
public sealed class CompareCommandTests
{
    private const string Kept = "layers.1.self_attn";
    private static readonly string Model = Repository.PathOf("data", "demo-model"), Texts = Repository.PathOf("data", "demo-calibration.jsonl");

    [Fact]
    public async Task Compare_grades_six_rows_on_the_same_problems_and_says_what_was_done()
    {
        string[] few = ["--recipe", "light", "--samples", "4", "--limit", "12", "--calibration", Texts];
        var (code, output, _) = await Nq.Run(["compare", Model, "--bits", "2", "--keep", Kept, "--json", .. few]);
        Assert.Equal(0, code);
        var table = JsonDocument.Parse(output).RootElement;
        var rows = table.GetProperty("rows").EnumerateArray().ToArray();
        Assert.Equal(6, rows.Length);
        Assert.All(rows, row => Assert.Equal(12, row.GetProperty("scores")[0].GetProperty("total").GetInt32()));
        Assert.Equal(Kept, table.GetProperty("modules_to_not_convert")[0].GetString());
        Assert.Equal("unquantized", table.GetProperty("pairs")[0].GetProperty("against").GetString());
        Assert.Equal(["unquantized", "all", "AutoRound", "selective", "AutoRound + selective", "GPTQ"], rows.Select(row => row.GetProperty("method").GetString()));
        var text = await Nq.Run(["compare", Model, "--outliers", "128", "--methods", "rtn,gptq", .. few]);
        Assert.Equal(0, text.Code);
        Assert.Contains("every row is of the changed model", text.Error, StringComparison.Ordinal);
        Assert.Contains("unquantized", text.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--bits", "9")]
    [InlineData("--average-bits", "7")]
    [InlineData("--recipe", "bold")]
    public async Task Options_that_cannot_be_are_usage_errors(string option, string value) => Assert.Equal(2, (await Nq.Run(["compare", Model, option, value])).Code);

    [Fact]
    public async Task A_factor_that_would_round_weights_is_refused()
    {
        var (code, _, error) = await Nq.Run(["compare", Model, "--outliers", "100", "--calibration", Texts]);
        Assert.Equal(1, code);
        Assert.Contains("power of two", error, StringComparison.Ordinal);
    }
}
