using System.CommandLine;
using NeuronQuant.Tensors;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>Where and in which type a model is computed; every command that runs one has these two options.</summary>
internal sealed class PlacementOptions
{
    private readonly Option<string> _type = Arguments.Choice("--dtype", "Type that weights are multiplied in; what is learned is float32 in both", "float32", "float32", "bfloat16");
    private readonly Option<string> _device = new("--device") { Description = "cpu, cuda, cuda:N, or auto: the first GPU if there is one.", DefaultValueFactory = _ => "cpu" };

    /// <summary>Adds both options to a command.</summary>
    public void AddTo(Command command)
    {
        command.Add(_type);
        command.Add(_device);
    }

    /// <summary>What was asked for.</summary>
    /// <exception cref="TorchException">no such device</exception>
    public Placement Read(ParseResult result) => Placement.Parse(result.GetRequiredValue(_type), result.GetRequiredValue(_device));
}
