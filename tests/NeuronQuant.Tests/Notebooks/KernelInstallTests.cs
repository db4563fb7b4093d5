using System.Text.Json;
using System.Text.Json.Nodes;
using Xunit;

namespace NeuronQuant.Tests.Notebooks;

/// <summary><c>nq kernel install</c>: what it writes, and what it refuses. A script stands in for a Python, with ipykernel or without.</summary>
[Collection("notebooks")]
public sealed class KernelInstallTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("kernels-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private string Kernels => Path.Combine(_folder, "share", "jupyter", "kernels");

    [Fact]
    public async Task It_writes_what_Jupyter_starts_and_may_be_repeated()
    {
        string python = Python("echo /of/its/own/python");
        for (int time = 0; time < 2; time++)
        {
            var (code, output, error) = await Install("--python", python);
            Assert.True(code == 0, error);
            Assert.Contains(Path.Combine(Kernels, ".net-csharp"), output, StringComparison.Ordinal);
        }
        Assert.Equal([".net-csharp"], Directory.EnumerateFileSystemEntries(Kernels).Select(Path.GetFileName)); // nothing half-made beside it
        var spec = JsonNode.Parse(File.ReadAllText(Path.Combine(Kernels, ".net-csharp", "kernel.json")))!;
        string[] argv = [.. spec["argv"]!.AsArray().Select(part => (string)part!)];
        Assert.Equal(["/of/its/own/python", Path.Combine(Kernels, ".net-csharp", "nq_kernel.py"), "-f", "{connection_file}"], argv);
        Assert.Equal(File.ReadAllText(Repository.PathOf("lib", "nq", "Kernel", "nq_kernel.py")), File.ReadAllText(argv[1]));
        Assert.Equal((".NET (C#)", "C#"), ((string)spec["display_name"]!, (string)spec["language"]!));
        string[] engine = JsonSerializer.Deserialize<string[]>((string)spec["env"]!["NQ_KERNEL_ENGINE"]!)!;
        Assert.Equal(["kernel", "serve"], engine[1..]);
        Assert.True(File.Exists(engine[0]), engine[0]);
        Assert.True(Directory.Exists(Path.Combine((string)spec["env"]!["DOTNET_ROOT"]!, "shared", "Microsoft.NETCore.App")));
    }

    [Fact]
    public async Task The_README_has_a_command_that_works()
    {
        string line = Assert.Single(File.ReadAllLines(Repository.PathOf("README.md")), line => line.StartsWith("nq kernel install", StringComparison.Ordinal));
        string[] words = line.Split(' ')[3..];
        words[Array.IndexOf(words, "--python") + 1] = Python("echo python");
        Assert.Equal(0, (await Install(words)).Code);
    }

    [Theory]
    [InlineData("{\"argv\": [\"other\"]}")]
    [InlineData("not json")]
    [InlineData(null)]
    public async Task Another_programs_kernel_stays_unless_asked(string? content)
    {
        string python = Python("echo python"), folder = Directory.CreateDirectory(Path.Combine(Kernels, ".net-csharp")).FullName, file = Path.Combine(folder, "kernel.json");
        if (content is not null) File.WriteAllText(file, content);
        var (code, _, error) = await Install("--python", python);
        Assert.Equal(2, code);
        Assert.Contains("another program", error, StringComparison.Ordinal);
        Assert.Contains("--overwrite", error, StringComparison.Ordinal);
        Assert.Equal(content, File.Exists(file) ? File.ReadAllText(file) : null);
        Assert.Equal(0, (await Install("--python", python, "--name", "mine")).Code);
        Assert.Equal(0, (await Install("--python", python, "--overwrite")).Code);
        Assert.Contains("nq_kernel.py", File.ReadAllText(file), StringComparison.Ordinal);
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
        var (code, _, error) = await Install("--python", Python("echo python"), "--name", name, "--overwrite");
        Assert.Equal(2, code);
        Assert.Contains("--name", error, StringComparison.Ordinal);
        Assert.True(Directory.Exists(beside));
    }

    [Fact]
    public async Task A_Python_without_ipykernel_is_named_with_the_remedy()
    {
        string python = Python("echo \"ModuleNotFoundError: No module named 'ipykernel'\" >&2; exit 1");
        var (code, _, error) = await Install("--python", python);
        Assert.Equal(2, code);
        Assert.Contains($"{python} (the option) lacks ipykernel: ModuleNotFoundError", error, StringComparison.Ordinal);
        Assert.Contains("python3-ipykernel", error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(Kernels));
    }

    private Task<(int Code, string Output, string Error)> Install(params string[] arguments) => Nq.Run(["kernel", "install", "--prefix", _folder, .. arguments]);

    private string Python(string script)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "needs a shell script");
        string path = Path.Combine(_folder, "python");
        File.WriteAllText(path, $"#!/bin/sh\n{script}\n");
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserExecute | UnixFileMode.UserWrite);
        return path;
    }
}
