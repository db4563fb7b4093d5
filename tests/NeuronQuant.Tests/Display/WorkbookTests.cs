using NeuronQuant.CommandLine;
using Xunit;

namespace NeuronQuant.Tests.Display;

/// <summary>What a notebook's first cell says.</summary>
[Collection("notebooks")] // The doctor writes to the console.
public sealed class WorkbookTests
{
    [Fact]
    public void ItSaysWhatIsInUseAndWhatIsDamaged()
    {
        var status = new WorkbookStatus("1", [new Package("TorchSharp", "models", "0.107.0"), new Package("libtorch", "computes", "", "<none> here.")]);
        Assert.Contains("0.107.0", status.ToString(), StringComparison.Ordinal);
        Assert.Contains("damaged", status.ToHtml(), StringComparison.Ordinal);
        Assert.EndsWith("\n<none> here.", status.ToString(), StringComparison.Ordinal);
        Assert.Contains("&lt;none&gt; here.", status.ToHtml(), StringComparison.Ordinal);
    }

    [Fact]
    public void EveryPackageIsInUseAndLibtorchSaysItsOwnVersion()
    {
        Assert.All(Workbook.Start().Packages, package => Assert.Null(package.Problem));
        Assert.Equal("2.10.0", Workbook.Start().Packages.Single(package => package.Name == "libtorch").Version);
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
    public async Task TheDoctorNamesEveryPackage()
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
        foreach (string package in new[] { "TorchSharp", "libtorch", "pythonnet", "Plotly.NET", "Microsoft.Data.Analysis", "Microsoft.DotNet.Interactive" })
            Assert.Contains(package, writer.ToString(), StringComparison.Ordinal);
    }
}
