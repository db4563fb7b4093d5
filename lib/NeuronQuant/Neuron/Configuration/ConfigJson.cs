using System.Text.Encodings.Web;
using System.Text.Json;

namespace NeuronQuant.Neuron;

/// <summary>How this room writes JSON: letters as they are, so that a path or a name stays readable in a file and on a command line.</summary>
internal static class ConfigJson
{
    public static JsonSerializerOptions Plain { get; } = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static JsonSerializerOptions Indented { get; } = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, WriteIndented = true };
}
