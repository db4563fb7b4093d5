using System.Runtime.Loader;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using NeuronQuant.Neuron;
using NeuronQuant.Tests.Neuron;
using NeuronQuant.Tuning;
using Xunit;

namespace NeuronQuant.Tests;

/// <summary>What the library makes of an assembly of adapters beside it: whole, partial, damaged or absent. The assemblies are compiled here.</summary>
public sealed class AdaptersTests : IDisposable
{
    private const string Source = """
        using NeuronQuant;
        [assembly: AdapterRegistration("TorchSharp", typeof(Whole))]
        [assembly: AdapterRegistration("pythonnet", typeof(Lost))]
        [assembly: AdapterRegistration("Plotly.NET", typeof(Old))]
        static class Whole { static string Register() => Needed.Version.Text; }
        static class Lost { static string Register() => throw new System.IO.FileNotFoundException("Could not load Python.Runtime"); }
        static class Old { static int Enrol() => 1; }
        """;

    private readonly string _folder = Directory.CreateTempSubdirectory("adapters").FullName;
    private readonly AssemblyLoadContext _context = new("adapters", isCollectible: true);

    public void Dispose()
    {
        _context.Unload();
        Directory.Delete(_folder, true);
    }

    [Fact]
    public void WhatWasBuiltIsInUseAndTheRestIsNamed()
    {
        byte[] needed = Compile("Needed", "namespace Needed { public static class Version { public const int One = 1; public static string Text => \"0.106.0\"; } }");
        File.WriteAllBytes(Path.Combine(_folder, "Needed.dll"), needed);
        File.WriteAllBytes(Path.Combine(_folder, Adapters.InteropFile), Compile("NeuronQuant.Interop", Source, needed));
        var found = Adapters.Inspect(_folder, _context).ToDictionary(adapter => adapter.Package);
        Assert.Equal("in use, 0.106.0", found["TorchSharp"].State); // its package was found beside the library
        Assert.Contains("Python.Runtime", found["pythonnet"].Problem, StringComparison.Ordinal);
        Assert.Contains("no 'static string Register()'", found["Plotly.NET"].Problem, StringComparison.Ordinal);
        Assert.Equal("absent", found["Microsoft.Data.Analysis"].State);
    }

    [Fact]
    public void APackageThatIsMissingIsNamedAndTakesNoOtherWithIt()
    {
        byte[] needed = Compile("Needed", "namespace Needed { public static class Version { public static string Text => \"1\"; } }");
        File.WriteAllBytes(Path.Combine(_folder, Adapters.InteropFile), Compile("NeuronQuant.Interop", Source, needed));
        var found = Adapters.Inspect(_folder, _context).ToDictionary(adapter => adapter.Package);
        Assert.Equal("damaged", found["TorchSharp"].State);
        Assert.Contains("'Needed", found["TorchSharp"].Problem, StringComparison.Ordinal);
        Assert.Equal("absent", found["Microsoft.DotNet.Interactive"].State);
    }

    [Fact]
    public void AFileThatIsNoAssemblyIsNamed()
    {
        Assert.All(Adapters.Inspect(_folder, _context), adapter => Assert.Equal("absent", adapter.State));
        File.WriteAllText(Path.Combine(_folder, Adapters.InteropFile), "");
        Assert.All(Adapters.Inspect(_folder, _context), adapter => Assert.Contains(Adapters.InteropFile, adapter.Problem, StringComparison.Ordinal));
    }

    [Fact]
    public async Task WithoutThemTheEmbeddedOnesServeAndSayWhy()
    {
        Assert.SkipWhen(File.Exists(Path.Combine(Adapters.Folder, Adapters.InteropFile)), "adapters lie beside the library");
        var chosen = BlockTuners.Choose();
        Assert.IsType<ManagedBlockTuner>(chosen.Tuner);
        Assert.Equal("managed: the adapter for TorchSharp is absent.", chosen.ToString());
        var python = await PythonHosts.Open(new ChildProcessOptions(PythonForTests.Interpreter()), TestContext.Current.CancellationToken);
        await using var host = python.Host;
        Assert.IsType<ChildProcessHost>(host);
        Assert.Equal("Python in a child process: the adapter for pythonnet is absent.", python.ToString());
    }

    private static byte[] Compile(string name, string source, params byte[][] references)
    {
        string platform = Path.GetDirectoryName(typeof(object).Assembly.Location)!;
        MetadataReference[] all =
        [
            .. new[] { typeof(object).Assembly.Location, Path.Combine(platform, "System.Runtime.dll"), typeof(Adapters).Assembly.Location }.Select(path => MetadataReference.CreateFromFile(path)),
            .. references.Select(image => MetadataReference.CreateFromImage(image)),
        ];
        using var image = new MemoryStream();
        var result = CSharpCompilation.Create(name, [CSharpSyntaxTree.ParseText(source)], all, new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary)).Emit(image);
        Assert.True(result.Success, string.Join('\n', result.Diagnostics));
        return image.ToArray();
    }
}
