using NeuronQuant.CommandLine;
using Xunit;

namespace NeuronQuant.Tests.Display;

/// <summary>What a notebook's first cell says.</summary>
[Collection("notebooks")] // The doctor writes to the console.
public sealed class WorkbookTests
{
    private static readonly Adapter Torch = new("TorchSharp", "a GPU", "a CPU"), Python = new("pythonnet", "in process", "a child");

    [Fact]
    public void ItSaysWhatIsInUseWhatIsAbsentAndWhatIsDamaged()
    {
        var mixed = new WorkbookStatus("1", [Torch with { Version = "0.106.0" }, Python, Torch with { Package = "Plotly.NET", Problem = "It cannot be loaded." }]);
        Assert.Contains("in use, 0.106.0", mixed.ToString(), StringComparison.Ordinal);
        Assert.Contains("damaged", mixed.ToHtml(), StringComparison.Ordinal);
        Assert.StartsWith("Plotly.NET: It cannot be loaded. Everything works without pythonnet. ", mixed.Advice, StringComparison.Ordinal);
        Assert.Equal("Every adapter is in use.", new WorkbookStatus("1", [Torch with { Version = "1" }]).Advice);
        Assert.StartsWith("Everything works without them. To get what is absent", new WorkbookStatus("1", [Torch, Python]).Advice, StringComparison.Ordinal);
    }

    [Fact]
    public void ItNamesTheVersionAndNoPath()
    {
        var status = Workbook.Start();
        Assert.Contains($"NeuronQuant {status.Version}", status.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain(AppContext.BaseDirectory, status.ToString() + status.ToHtml(), StringComparison.Ordinal);
        Assert.Equal(status.ToHtml(), Workbook.Start().ToHtml());
    }

    [Fact]
    public async Task TheDoctorNamesEveryAdapter()
    {
        var (before, writer) = (Console.Out, new StringWriter());
        Console.SetOut(writer);
        try
        {
            Assert.Equal(0, await Program.Main(["doctor"]));
        }
        finally
        {
            Console.SetOut(before);
        }
        foreach (string package in new[] { "TorchSharp", "pythonnet", "Plotly.NET", "Microsoft.Data.Analysis", "Microsoft.DotNet.Interactive" })
            Assert.Contains(package, writer.ToString(), StringComparison.Ordinal);
        Assert.Contains("lib/NeuronQuant.Interop", writer.ToString(), StringComparison.Ordinal);
    }
}
