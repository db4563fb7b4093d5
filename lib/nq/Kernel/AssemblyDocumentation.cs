using System.Collections.Concurrent;
using System.Text.RegularExpressions;
using System.Xml;
using System.Xml.Linq;

namespace NeuronQuant.CommandLine.Kernel;

/// <summary>Summaries from the XML file that the compiler leaves beside an assembly, found by a member's documentation id.</summary>
/// <remarks>Read once for each assembly. Assemblies without such a file, the platform's among them, have no summaries.</remarks>
internal static partial class AssemblyDocumentation
{
    private static readonly ConcurrentDictionary<string, IReadOnlyDictionary<string, string>> ByAssembly = new(StringComparer.Ordinal);

    /// <summary>The summary of a member as plain text; null when there is none.</summary>
    public static string? Summary(string assembly, string? id) =>
        id is not null && ByAssembly.GetOrAdd(assembly, static path => Read(Path.ChangeExtension(path, ".xml"))).TryGetValue(id, out var text) ? text : null;

    private static Dictionary<string, string> Read(string path)
    {
        if (!File.Exists(path)) return [];
        try
        {
            return XDocument.Load(path).Descendants("member").Where(member => member.Element("summary") is not null)
                .ToDictionary(member => (string)member.Attribute("name")!, member => Text(member.Element("summary")!));
        }
        catch (XmlException)
        {
            return []; // A damaged file costs the reader the summaries and nothing else.
        }
    }

    private static string Text(XElement summary) => Blanks().Replace(string.Concat(summary.Nodes().Select(node => node switch
    {
        XElement { Name.LocalName: "see" or "paramref" } reference => ((string?)reference.Attribute("cref") ?? (string?)reference.Attribute("name") ?? reference.Value).Split('.', ':')[^1],
        XElement element => element.Value,
        _ => node.ToString(SaveOptions.DisableFormatting),
    })), " ").Trim();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Blanks();
}
