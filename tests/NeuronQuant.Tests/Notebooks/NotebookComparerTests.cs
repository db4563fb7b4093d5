using System.Text.Json.Nodes;
using NeuronQuant.CommandLine.Notebooks;
using Xunit;

namespace NeuronQuant.Tests.Notebooks;

/// <summary>Numbers within the tolerance agree; any other difference is found and placed.</summary>
public class NotebookComparerTests
{
    [Theory]
    [InlineData("mse 0.1234567890", "mse 0.1234567891", true)]
    [InlineData("mse 0.12345", "mse 0.12346", false)]
    [InlineData("1e-30", "1.0000001e-30", true)]
    [InlineData("layers.3 has 0.5", "layers.4 has 0.5", false)]
    [InlineData("-0.5", "0.5", false)]
    [InlineData("a 1", "b 1", false)]
    [InlineData("1 2", "1 2 3", false)]
    [InlineData("x=\"1.5\" y", "x=\"1.5000001\" y", true)]
    [InlineData("NaN", "1", false)]
    [InlineData("0", "1e-9", false)]
    public void TextsAreComparedNumberByNumber(string kept, string now, bool agree)
    {
        var difference = new NotebookComparer(WithOutput(kept), WithOutput(now)).FirstDifference();
        if (agree) Assert.Null(difference);
        else Assert.Contains("test.ipynb, code cell 1 (id c1), output 1: text/plain: kept", difference, StringComparison.Ordinal);
    }

    [Fact]
    public void TheToleranceCanBeChosen() => Assert.Null(new NotebookComparer(WithOutput("1.00"), WithOutput("1.01"), 0.02).FirstDifference());

    [Fact]
    public void MissingOutputsAndOtherSourcesAreFound()
    {
        Assert.Contains("0 outputs are kept and 1 were made", new NotebookComparer(NotebookText.Of("1"), WithOutput("1")).FirstDifference(),
            StringComparison.Ordinal);
        Assert.Contains("the sources differ", new NotebookComparer(NotebookText.Of("1"), NotebookText.Of("2")).FirstDifference(),
            StringComparison.Ordinal);
        Assert.Contains("1 code cells are kept and 2 were run",
            new NotebookComparer(NotebookText.Of("1"), NotebookText.Of("1", "2")).FirstDifference(), StringComparison.Ordinal);
    }

    private static Notebook WithOutput(string text)
    {
        var notebook = NotebookText.Of("1");
        var data = new JsonObject { ["text/plain"] = new JsonArray(text) };
        notebook.Cells[0].SetOutputs(1, [new JsonObject { ["data"] = data, ["output_type"] = "execute_result" }]);
        return notebook;
    }
}
