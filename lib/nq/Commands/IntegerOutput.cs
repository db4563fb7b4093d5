using NeuronQuant.Neuron;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>How commands that quantize say what became of the integers of a source that was quantized already.</summary>
internal static class IntegerOutput
{
    public static void Say(IntegerChanges? changes)
    {
        if (changes is { Modules.Count: > 0 }) CommandOutput.Note(changes.ToString());
    }

    public static object? Document(IntegerChanges? changes) => changes is null ? null
        : new { changes.Weights, changes.Changed, changes.ScalesChanged, modules = changes.Modules.Select(Document) };

    public static object Document(ModuleIntegers module) =>
        new { module = module.Module.Name, module.Weights, module.Changed, module.ScalesChanged, module.WhyNotKept };
}
