using System.Text.Json.Nodes;
using NeuronQuant.CommandLine.Notebooks;
using Xunit;

namespace NeuronQuant.Tests.Notebooks;

/// <summary><c>nq kernel install</c>: what it writes, and what it refuses.</summary>
[Collection("notebooks")]
public sealed class KernelInstallTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("kernels-").FullName;
    private readonly string? _packages = Environment.GetEnvironmentVariable("NUGET_PACKAGES");

    public KernelInstallTests()
    {
        // A package folder of the test's own: the tool itself need not be here.
        string tool = Directory.CreateDirectory(Path.Combine(_folder, "packages", "microsoft.dotnet-interactive", KernelSpec.ToolVersion, "tools", "net10.0", "any")).FullName;
        File.WriteAllText(Path.Combine(tool, "Microsoft.DotNet.Interactive.App.dll"), "");
        Environment.SetEnvironmentVariable("NUGET_PACKAGES", Path.Combine(_folder, "packages"));
    }

    public void Dispose()
    {
        Environment.SetEnvironmentVariable("NUGET_PACKAGES", _packages);
        Directory.Delete(_folder, recursive: true);
    }

    private string Kernels => Path.Combine(_folder, "share", "jupyter", "kernels");

    [Fact]
    public async Task It_writes_what_Jupyter_starts_and_may_be_repeated()
    {
        for (int time = 0; time < 2; time++) Assert.Contains(Path.Combine(Kernels, ".net-csharp"), (await Install()).Output, StringComparison.Ordinal);
        Assert.Equal([".net-csharp"], Directory.EnumerateFileSystemEntries(Kernels).Select(Path.GetFileName)); // nothing half-made beside it
        var spec = JsonNode.Parse(File.ReadAllText(Path.Combine(Kernels, ".net-csharp", "kernel.json")))!;
        string[] argv = [.. spec["argv"]!.AsArray().Select(part => (string)part!)];
        Assert.True(File.Exists(argv[1]));
        Assert.Equal(["jupyter", "--http-local-only", "--default-kernel", "csharp", "{connection_file}"], argv[2..]);
        Assert.Equal((".NET (C#)", "C#", "signal"), ((string)spec["display_name"]!, (string)spec["language"]!, (string)spec["interrupt_mode"]!));
    }

    [Fact]
    public void The_release_is_the_one_that_the_tool_manifest_pins()
    {
        var manifest = JsonNode.Parse(File.ReadAllText(Repository.PathOf(".config", "dotnet-tools.json")))!;
        Assert.Equal(KernelSpec.ToolVersion, (string)manifest["tools"]!["microsoft.dotnet-interactive"]!["version"]!);
    }

    [Fact]
    public async Task Without_the_tool_the_remedy_is_named()
    {
        Directory.Delete(Path.Combine(_folder, "packages"), recursive: true);
        var (code, _, error) = await Install();
        Assert.Equal(2, code);
        Assert.Contains("dotnet tool restore", error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Kernels));
    }

    [Theory]
    [InlineData("{\"argv\": [\"other\"]}")]
    [InlineData("not json")]
    [InlineData(null)]
    public async Task Another_programs_kernel_stays_unless_asked(string? content)
    {
        string folder = Directory.CreateDirectory(Path.Combine(Kernels, ".net-csharp")).FullName, file = Path.Combine(folder, "kernel.json");
        if (content is not null) File.WriteAllText(file, content);
        var (code, _, error) = await Install();
        Assert.Equal(2, code);
        Assert.Contains("another program", error, StringComparison.Ordinal);
        Assert.Equal(content, File.Exists(file) ? File.ReadAllText(file) : null);
        Assert.Equal(0, (await Install("--name", "mine")).Code);
        Assert.Equal(0, (await Install("--overwrite")).Code);
        Assert.Contains("neuronquant", File.ReadAllText(file), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a/b")]
    [InlineData("with space")]
    [InlineData("..")]
    [InlineData(".")]
    [InlineData("")]
    public async Task A_name_that_Jupyter_would_not_take_or_that_is_another_folder_is_refused(string name)
    {
        string beside = Directory.CreateDirectory(Path.Combine(Kernels, "beside")).FullName;
        var (code, _, error) = await Install("--name", name, "--overwrite");
        Assert.Equal(2, code);
        Assert.Contains("--name", error, StringComparison.Ordinal);
        Assert.True(Directory.Exists(beside));
    }

    private Task<(int Code, string Output, string Error)> Install(params string[] arguments) => Nq.Run(["kernel", "install", "--prefix", _folder, .. arguments]);
}
