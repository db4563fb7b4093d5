using System.Reflection;
using System.Runtime.Loader;

namespace NeuronQuant.Display;

/// <summary>Lets Plotly.NET load in a host that ships an older FSharp.Core than it asks for, as the published .NET Interactive tool does.</summary>
/// <remarks>
/// Plotly.NET and what it needs are loaded together from beside the library, in a context of their own, whenever the host itself does not find
/// them. FSharp.Core alone would not do: the others would then bind the host's. Where the host has all of them, as <c>nq</c> has, nothing happens.
/// </remarks>
internal static class PlotlyAssemblies
{
    private static readonly HashSet<string> Names = ["Plotly.NET", "Plotly.NET.CSharp", "DynamicObj", "Giraffe.ViewEngine", "FSharp.Core", "Fable.Core", "Newtonsoft.Json"];
    private static int _registered;

    /// <summary>Answers what the host cannot; a second call does nothing. To be called before a method that names a type of Plotly.NET is entered.</summary>
    public static void Register()
    {
        if (Interlocked.Exchange(ref _registered, 1) != 0) return;
        var own = new Own(Path.GetDirectoryName(typeof(PlotlyAssemblies).Assembly.Location) ?? "");
        AssemblyLoadContext.Default.Resolving += (_, name) => name.Name is { } simple && Names.Contains(simple) ? own.LoadFromAssemblyName(new AssemblyName(simple)) : null;
    }

    private sealed class Own(string folder) : AssemblyLoadContext("plotly")
    {
        protected override Assembly? Load(AssemblyName assemblyName)
        {
            string path = Path.Combine(folder, $"{assemblyName.Name}.dll");
            return assemblyName.Name is { } simple && Names.Contains(simple) && File.Exists(path) ? LoadFromAssemblyPath(path) : null;
        }
    }
}
