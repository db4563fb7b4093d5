using System.Collections.Concurrent;
using System.Reflection;
using System.Runtime.Loader;
using System.Text.RegularExpressions;
using Microsoft.CodeAnalysis;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>Finds the assemblies that a cell's <c>#r "path"</c> lines name, and the platform's.</summary>
/// <remarks>
/// <para>Lines that begin with #r or #! are commands of the engine, not C#, also when they stand inside a string literal, as in .NET
/// Interactive. They are replaced by empty lines so that line numbers stay.</para>
/// <para>A reference to an assembly that this program has loaded itself, NeuronQuant.dll above all, means the loaded one, wherever the
/// path points: a second copy would have other types under the same names, and the path may name another build configuration.</para>
/// </remarks>
internal static partial class CellReferences
{
    private static readonly ConcurrentDictionary<string, PortableExecutableReference> ByPath = new(StringComparer.Ordinal);

    /// <summary>The .NET platform, read once for all sessions: reading it is most of a session's start.</summary>
    public static IReadOnlyList<MetadataReference> Platform { get; } = FindPlatform();

    /// <summary>The metadata of an assembly file.</summary>
    public static PortableExecutableReference Of(string path) => ByPath.GetOrAdd(path, static file => MetadataReference.CreateFromFile(file));

    /// <summary>Splits a cell into C# and the assemblies that it refers to.</summary>
    /// <exception cref="CellCommandException">A command is unknown, or its file is absent.</exception>
    public static (string Code, IReadOnlyList<Assembly> Assemblies) Read(string source, string folder)
    {
        var lines = source.Split('\n');
        var assemblies = new List<Assembly>();
        for (var i = 0; i < lines.Length; i++)
        {
            if (lines[i].StartsWith("#!", StringComparison.Ordinal))
                throw new CellCommandException($"{lines[i].Trim()} is a magic command of another engine, and this one has none: use C# only.", i + 1);
            if (!lines[i].StartsWith("#r", StringComparison.Ordinal)) continue;
            if (Reference().Match(lines[i]) is not { Success: true } match)
                throw new CellCommandException($"{lines[i].Trim()} is not a reference: expected #r \"path/of/an/assembly.dll\".", i + 1);
            assemblies.Add(Load(match.Groups[1].Value, folder, i + 1));
            lines[i] = "";
        }
        return (string.Join('\n', lines), assemblies);
    }

    private static Assembly Load(string reference, string folder, int line)
    {
        if (reference.StartsWith("nuget:", StringComparison.OrdinalIgnoreCase))
            throw new CellCommandException($"#r \"{reference}\" would download a package: "
                + "notebooks here use one assembly by path, with its dependencies beside it.", line);
        var name = Path.GetFileNameWithoutExtension(reference.Replace('\\', '/'));
        if (Loaded(name) is { } loaded) return loaded;
        var path = Path.GetFullPath(Path.Combine(folder, reference));
        if (!File.Exists(path))
            throw new CellCommandException($"#r \"{reference}\": there is no such file, seen from the notebook's folder: "
                + "build it first (dotnet build -c Release).", line);
        try
        {
            return Assembly.LoadFrom(path);
        }
        catch (BadImageFormatException)
        {
            throw new CellCommandException($"#r \"{reference}\" is not a .NET assembly.", line);
        }
    }

    private static Assembly? Loaded(string name) => AssemblyLoadContext.Default.Assemblies
        .FirstOrDefault(assembly => !assembly.IsDynamic && assembly.Location.Length > 0
            && string.Equals(assembly.GetName().Name, name, StringComparison.OrdinalIgnoreCase));

    private static MetadataReference[] FindPlatform()
    {
        var folder = Path.GetDirectoryName(typeof(object).Assembly.Location);
        var trusted = ((string?)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES") ?? "").Split(Path.PathSeparator);
        return [.. trusted.Where(path => Path.GetDirectoryName(path) == folder).Select(Of)];
    }

    [GeneratedRegex("""^#r\s+"([^"]+)"\s*(?://.*)?$""")]
    private static partial Regex Reference();
}

/// <summary>A line of a cell that is a command of the engine and cannot be carried out.</summary>
internal sealed class CellCommandException(string message, int line) : Exception(message)
{
    public int Line { get; } = line;
}
