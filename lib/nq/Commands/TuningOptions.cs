using System.CommandLine;
using NeuronQuant.Neuron;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using NeuronQuant.Tuning;

namespace NeuronQuant.CommandLine.Commands;

/// <summary>What a tuning command was asked for.</summary>
internal sealed record TuningRequest(
    string Model, string Output, Grid Grid, string[] Keep, CheckpointLayout Layout, string? Calibration, int? Samples, int SequenceLength, bool Overwrite, bool Json, Placement Place)
{
    /// <summary>Where the finished blocks of autoround are kept until the folder is written.</summary>
    public string State => Path.TrimEndingDirectorySeparator(Output) + ".tuning";

    /// <summary>The calibration texts, as many as the recipe wants unless a number was given.</summary>
    public CalibrationSource Source(TuningRecipe recipe) => new(Calibration, Samples ?? recipe.Samples, SequenceLength);
}

/// <summary>The options that autoround and gptq share, and what they mean together. What cannot be written is refused before hours of tuning.</summary>
internal sealed class TuningOptions
{
    private readonly Argument<string> _model = Arguments.Model();
    private readonly Option<string> _output = new("--out") { Description = "The folder to write; it appears whole or not at all.", Required = true };
    private readonly Option<int> _bits = Sized("--bits", "Width of the codes. Inf2 stores 8; fewer only with --layout fake, to measure what a width costs.", 2, 8, 8);
    private readonly Option<string> _grid = Arguments.Choice("--grid", "nxd keeps every integer through NxDI; autoround is that tool's own grid", "nxd", "nxd", "autoround");
    private readonly Option<string[]> _keep = Arguments.Keep();
    private readonly Option<string> _layout = Arguments.Choice("--layout", "Codes and scales for NxDI, or fake-quantized bf16 weights", "nxd", "nxd", "fake");
    private readonly Option<string?> _calibration = Calibration();
    private readonly Option<int?> _samples = Samples();
    private readonly Option<int> _length = SequenceLength();
    private readonly Option<bool> _overwrite = new("--overwrite") { Description = "Replace a checkpoint that is already in the folder." };
    private readonly Option<bool> _json = Arguments.Json();
    private readonly PlacementOptions _place = new();

    /// <summary>A command with these options.</summary>
    public Command Command(string name, string description)
    {
        var command = new Command(name, description) { _model, _output, _bits, _grid, _keep, _layout, _calibration, _samples, _length, _overwrite, _json };
        _place.AddTo(command);
        return command;
    }

    /// <summary>What was asked for, checked.</summary>
    /// <exception cref="UsageException">the options do not go together, or the target is taken</exception>
    public TuningRequest Read(ParseResult result)
    {
        var layout = result.GetRequiredValue(_layout) == "fake" ? CheckpointLayout.Fake : CheckpointLayout.Nxd;
        int bits = result.GetValue(_bits);
        string output = result.GetRequiredValue(_output);
        if (bits < 8 && layout == CheckpointLayout.Nxd)
            throw new UsageException($"--bits {bits}: Inf2 stores 8 bits. Add --layout fake to write bf16 weights with {bits}-bit values, to measure what the width costs.");
        CheckpointTarget.Free(output, result.GetValue(_overwrite));
        return new TuningRequest(result.GetRequiredValue(_model), output, Grid.Parse(result.GetRequiredValue(_grid), bits), result.GetValue(_keep) ?? [], layout,
            result.GetValue(_calibration), result.GetValue(_samples), result.GetValue(_length), result.GetValue(_overwrite), result.GetValue(_json), _place.Read(result));
    }

    /// <summary>The option for calibration texts.</summary>
    public static Option<string?> Calibration() => new("--calibration")
    {
        Description = "A text file, or .jsonl with question and answer. Without it the model writes its own texts.",
    };

    /// <summary>The option for the number of calibration sequences.</summary>
    /// <param name="standard">what the command takes without it, in words</param>
    /// <param name="what">what they are</param>
    public static Option<int?> Samples(string standard = "the recipe's, 128 but for best", string what = "Calibration sequences")
    {
        var option = new Option<int?>("--samples") { Description = $"{what} at most. Default: {standard}." };
        option.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int?>() < 1) result.AddError("--samples: give a number above zero.");
        });
        return option;
    }

    /// <summary>The option for the length of calibration sequences.</summary>
    public static Option<int> SequenceLength() => Sized("--sequence-length", "Tokens of a calibration sequence at most.", 2, int.MaxValue, 512);

    /// <summary>A whole number within limits; anything else is a usage error that names them.</summary>
    public static Option<int> Sized(string name, string description, int smallest, int largest, int standard)
    {
        var option = new Option<int>(name) { Description = description, DefaultValueFactory = _ => standard };
        option.Validators.Add(result =>
        {
            int value = result.GetValueOrDefault<int>();
            if (value < smallest || value > largest) result.AddError(largest == int.MaxValue ? $"{name}: give at least {smallest}." : $"{name}: give {smallest} to {largest}.");
        });
        return option;
    }
}
