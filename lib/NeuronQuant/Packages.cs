using System.Reflection;
using NeuronQuant.Tensors;

namespace NeuronQuant;

/// <summary>A package that the workbook is made of, as it is in use in this process.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Purpose">What it does here.</param>
/// <param name="Version">The version that is loaded, as it says itself.</param>
/// <param name="Problem">What is wrong and what to do; null when nothing is.</param>
public sealed record Package(string Name, string Purpose, string Version, string? Problem = null)
{
    /// <summary>"0.107.0", or "damaged".</summary>
    public string State => Problem is null ? Version : "damaged";
}

/// <summary>The five packages, and the native library below one of them.</summary>
/// <remarks>Each is asked by a type of its own, in a method of its own: a file that is missing or damaged is named, and takes no other with it.</remarks>
public static class Packages
{
    /// <summary>Asks each; the first call loads libtorch.</summary>
    public static IReadOnlyList<Package> All() =>
    [
        Ask("TorchSharp", "models, tuning, gradients", () => VersionOf(typeof(TorchSharp.torch))),
        Ask("libtorch", "what TorchSharp computes with", TorchLibrary.Version),
        Ask("Plotly.NET", "every figure", () => VersionOf(typeof(Plotly.NET.GenericChart))),
        Ask("Microsoft.Data.Analysis", "every table", () => VersionOf(typeof(Microsoft.Data.Analysis.DataFrame))),
        Ask("Microsoft.DotNet.Interactive", "runs the cells, shows values and progress", () => VersionOf(typeof(Microsoft.DotNet.Interactive.Kernel))),
        Ask("pythonnet", "Python in this process, for NxD Inference", () => VersionOf(typeof(global::Python.Runtime.PyObject))),
    ];

    /// <summary>The version of a type's package: "3.2.1" of "3.2.1+d2d2716", since a build's digest would only blur a report.</summary>
    internal static string VersionOf(Type type) =>
        (type.Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? $"{type.Assembly.GetName().Version}").Split('+')[0];

    private static Package Ask(string name, string purpose, Func<string> version)
    {
        try
        {
            return new Package(name, purpose, version());
        }
        catch (Exception error) when (error is TorchException or IOException or BadImageFormatException or TypeLoadException)
        {
            return new Package(name, purpose, "", error is TorchException ? error.Message : $"{name} cannot be loaded ({error.GetType().Name}). Build again: dotnet build -c Release.");
        }
    }
}
