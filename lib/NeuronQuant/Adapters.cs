using System.Reflection;
using System.Runtime.InteropServices;
using System.Runtime.Loader;

namespace NeuronQuant;

/// <summary>An optional package and what it is for.</summary>
/// <param name="Package">Its name.</param>
/// <param name="Purpose">What it adds.</param>
/// <param name="Without">What happens when it is absent.</param>
/// <param name="Version">The version in use; null when it is not in use.</param>
/// <param name="Problem">Why a package that lies there cannot be used; null when nothing is wrong.</param>
public sealed record Adapter(string Package, string Purpose, string Without, string? Version = null, string? Problem = null)
{
    /// <summary>Whether the library uses the package.</summary>
    public bool InUse => Version is not null && Problem is null;

    /// <summary>"in use, 3.1.0", "damaged" or "absent".</summary>
    public string State => InUse ? $"in use, {Version}" : Problem is null ? "absent" : "damaged";
}

/// <summary>On an assembly of adapters: the type that puts one package to use.</summary>
/// <param name="package">the package's name, as in <see cref="Adapter.Package"/></param>
/// <param name="registration">a static type with <c>static string Register()</c>, which fills the library's seams and returns the package's version</param>
[AttributeUsage(AttributeTargets.Assembly, AllowMultiple = true)]
public sealed class AdapterRegistrationAttribute(string package, Type registration) : Attribute
{
    /// <summary>The package's name.</summary>
    public string Package { get; } = package;

    /// <summary>The type with <c>static string Register()</c>.</summary>
    public Type Registration { get; } = registration;
}

/// <summary>Finds NeuronQuant.Interop beside the library and lets it put the packages that it was built with to use.</summary>
/// <remarks>
/// By looking, never by a setting: what lies beside the library is used. The assembly says in an attribute for each package which type
/// registers it, so that one damaged package is named and takes no other with it. It is loaded into the context that holds the library; a
/// second copy elsewhere would have other types under the same names. Packages are looked for beside the library only after the host has
/// not found them itself, so that a notebook host's own Microsoft.DotNet.Interactive is the one in use.
/// </remarks>
public static class Adapters
{
    internal const string InteropFile = "NeuronQuant.Interop.dll";

    private static readonly Adapter[] Known =
    [
        new("TorchSharp", "tuning of blocks on a GPU", "the managed kernels tune on the CPU"),
        new("pythonnet", "Python inside the process", "Python runs as a child process"),
        new("Plotly.NET", "figure.ToPlotlyNet()", "figures are SVG and Plotly JSON"),
        new("Microsoft.Data.Analysis", "table.ToDataFrame()", "tables are rows and JSON"),
        new("Microsoft.DotNet.Interactive", "outputs that update in place", "outputs are shown once"),
    ];

    private static readonly Lock Gate = new();
    private static IReadOnlyList<Adapter>? _found;

    /// <summary>Every optional package; what is there is loaded on the first call.</summary>
    public static IReadOnlyList<Adapter> All
    {
        get
        {
            lock (Gate) return _found ??= Inspect(Folder, AssemblyLoadContext.GetLoadContext(typeof(Adapters).Assembly) ?? AssemblyLoadContext.Default);
        }
    }

    internal static string Folder => Path.GetDirectoryName(typeof(Adapters).Assembly.Location) ?? "";

    /// <summary>One package; what is there is loaded on the first call.</summary>
    /// <exception cref="ArgumentException">the library has no adapter for it</exception>
    public static Adapter Of(string package) => All.FirstOrDefault(adapter => adapter.Package == package)
        ?? throw new ArgumentException($"There is no adapter for '{package}'. There are: {string.Join(", ", Known.Select(adapter => adapter.Package))}.", nameof(package));

    /// <summary>Uses an assembly of adapters that does not lie beside the library, as when NuGet puts each package into a folder of its own.</summary>
    public static void Use(Assembly interop)
    {
        ArgumentNullException.ThrowIfNull(interop);
        lock (Gate) _found = Register(interop);
    }

    /// <summary>Loads what lies in a folder into a context, and says what became of each package.</summary>
    internal static IReadOnlyList<Adapter> Inspect(string folder, AssemblyLoadContext context)
    {
        string file = Path.Combine(folder, InteropFile);
        if (!File.Exists(file)) return Known;
        context.Resolving += (loading, name) => Managed(loading, folder, name);
        context.ResolvingUnmanagedDll += (_, name) => Native(folder, name);
        try
        {
            return Register(context.LoadFromAssemblyPath(file));
        }
        catch (Exception error) when (error is IOException or BadImageFormatException or TypeLoadException or CustomAttributeFormatException)
        {
            return [.. Known.Select(adapter => adapter with { Problem = $"{InteropFile} cannot be loaded ({error.GetType().Name}). Build it again." })];
        }
    }

    private static IReadOnlyList<Adapter> Register(Assembly interop)
    {
        AdapterRegistrationAttribute[] registrations = [.. interop.GetCustomAttributes<AdapterRegistrationAttribute>()];
        return [.. Known.Select(adapter => registrations.FirstOrDefault(entry => entry.Package == adapter.Package) is { } found ? Register(adapter, found) : adapter)];
    }

    private static Adapter Register(Adapter adapter, AdapterRegistrationAttribute registration)
    {
        try
        {
            var register = registration.Registration.GetMethod("Register", BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic, Type.EmptyTypes);
            return register?.Invoke(null, null) is string version ? adapter with { Version = version }
                : adapter with { Problem = $"{registration.Registration.FullName} has no 'static string Register()'. Build the library and {InteropFile} from one source." };
        }
        catch (Exception error) // A damaged package may throw anything, and must take nothing else with it.
        {
            var cause = error;
            while (cause is TargetInvocationException or TypeInitializationException && cause.InnerException is { } inner) cause = inner;
            string message = cause.Message.Split('\n')[0].Trim().Replace(Folder, "the library's folder", StringComparison.Ordinal);
            return adapter with { Problem = $"{message} ({cause.GetType().Name}). Build NeuronQuant.Interop again, or with a version of {adapter.Package} that fits." };
        }
    }

    private static Assembly? Managed(AssemblyLoadContext context, string folder, AssemblyName name)
    {
        string path = Path.Combine(folder, $"{name.Name}.dll");
        return name.Name is not null && File.Exists(path) ? context.LoadFromAssemblyPath(path) : null;
    }

    // A package's native library is copied to runtimes/RID/native, where only a program's own deps.json would look.
    private static nint Native(string folder, string name)
    {
        string[] files = OperatingSystem.IsWindows() ? [$"{name}.dll", name] : OperatingSystem.IsMacOS() ? [$"lib{name}.dylib", name] : [$"lib{name}.so", name];
        string native = Path.Combine(folder, "runtimes", RuntimeInformation.RuntimeIdentifier, "native");
        string? path = files.SelectMany(file => new[] { Path.Combine(folder, file), Path.Combine(native, file) }).FirstOrDefault(File.Exists);
        return path is not null && NativeLibrary.TryLoad(path, out nint library) ? library : 0;
    }
}
