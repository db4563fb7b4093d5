using NeuronQuant.CommandLine;
using NeuronQuant.CommandLine.Notebooks;
using Xunit;

namespace NeuronQuant.Tests.Notebooks;

/// <summary>Parameters by papermill's convention, typed by the literals that the notebook declares.</summary>
public class ParametersTests
{
    private const string Declaration = "var model = \"demo\"; // a folder\nint layers = 4;\nvar rate = -0.5;\nbool fast = false;\nvar computed = layers * 2;";

    private static Notebook Sample() => NotebookText.Make("a.ipynb", ("markdown", "# A", null), ("code", Declaration, "parameters"),
        ("code", "model", null));

    [Fact]
    public void TheLiteralsGiveTheTypes() => Assert.Equal(
        [new Parameter("model", "string", "\"demo\""), new Parameter("layers", "int", "4"), new Parameter("rate", "double", "-0.5"),
            new Parameter("fast", "bool", "false")],
        Parameters.Declared(Sample()));

    [Theory]
    [InlineData("string", "C:\\a \"b\"", "\"C:\\\\a \\\"b\\\"\"")]
    [InlineData("int", "-3", "-3")]
    [InlineData("int", "3.5", null)]
    [InlineData("long", "5000000000", "5000000000L")]
    [InlineData("double", "1e-3", "0.001d")]
    [InlineData("double", "2", "2d")]
    [InlineData("double", "1,5", null)]
    [InlineData("float", "0.1", "0.1f")]
    [InlineData("bool", "True", "true")]
    [InlineData("bool", "yes", null)]
    public void ValuesBecomeLiterals(string type, string value, string? literal) => Assert.Equal(literal, Parameters.Literal(type, value));

    [Fact]
    public void TheInjectedCellFollowsAndReplacesAnEarlierOne()
    {
        var notebook = Sample();
        Parameters.Inject(notebook, Parameters.Parse(["model=first"]));
        Parameters.Inject(notebook, Parameters.Parse(["model=a=b", "layers=7", "elsewhere=1"]));
        Assert.Equal(4, notebook.Cells.Count);
        Assert.True(notebook.Cells[2].IsInjected);
        Assert.Equal("// Parameters\nvar model = \"a=b\";\nvar layers = 7;", notebook.Cells[2].Source);
        Assert.Equal(notebook.ToJson(), Notebook.Parse(notebook.ToJson(), "a.ipynb").ToJson());
    }

    [Theory]
    [InlineData("depth=1", "Declared: fast (bool), layers (int), model (string), rate (double)")]
    [InlineData("layers=four", "declares layers as int (layers = 4), and \"four\" is none")]
    public void UnknownNamesAndWrongTypesAreUsageErrors(string assignment, string message) => Assert.Contains(
        message, Assert.Throws<UsageException>(() => Parameters.Check([Sample()], Parameters.Parse([assignment]))).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("name")]
    [InlineData("=1")]
    [InlineData("a=1|a=2")]
    public void MalformedAssignmentsAreUsageErrors(string texts) => Assert.Throws<UsageException>(() => Parameters.Parse(texts.Split('|')));
}
