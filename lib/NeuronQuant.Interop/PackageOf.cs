using System.Reflection;

namespace NeuronQuant.Interop;

/// <summary>The version of a package, as its own assembly says it.</summary>
internal static class PackageOf
{
    /// <summary>"3.1.0" of "3.1.0+d2d2716"; a build's digest would only blur a report.</summary>
    public static string Version(Type type) =>
        (type.Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? $"{type.Assembly.GetName().Version}").Split('+')[0];
}
