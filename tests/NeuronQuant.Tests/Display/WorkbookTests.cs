using Xunit;

namespace NeuronQuant.Tests.Display;

/// <summary>What a notebook's first cell says.</summary>
public sealed class WorkbookTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("workbook").FullName;

    public void Dispose() => Directory.Delete(_folder, true);

    [Fact]
    public void AnAdapterIsInUseOnlyWithInteropAndItsPackageBesideTheLibrary()
    {
        File.WriteAllText(Path.Combine(_folder, "TorchSharp.dll"), "");
        Assert.All(Workbook.Inspect(_folder).Adapters, adapter => Assert.False(adapter.InUse));
        File.WriteAllText(Path.Combine(_folder, "NeuronQuant.Interop.dll"), "");
        var status = Workbook.Inspect(_folder);
        Assert.Equal(["TorchSharp"], status.Adapters.Where(adapter => adapter.InUse).Select(adapter => adapter.Package));
        Assert.Contains("NeuronQuant.Interop", status.Advice, StringComparison.Ordinal);
    }

    [Fact]
    public void ItNamesTheVersionAndNoPath()
    {
        var status = Workbook.Start();
        Assert.Contains($"NeuronQuant {status.Version}", status.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain(AppContext.BaseDirectory, status.ToString() + status.ToHtml(), StringComparison.Ordinal);
        Assert.Equal(status.ToHtml(), Workbook.Start().ToHtml());
    }
}
