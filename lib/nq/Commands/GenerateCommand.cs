using System.CommandLine;
using NeuronQuant.Evaluation;
using NeuronQuant.Models;
using NeuronQuant.Tensors;

namespace NeuronQuant.CommandLine.Commands;

/// <summary><c>nq generate</c>: continue a prompt with a model, printing as it goes; greedy unless a temperature is given.</summary>
internal static class GenerateCommand
{
    /// <summary>The option that may be empty.</summary>
    public const string Prompt = "--prompt";

    public static Command Create()
    {
        var (model, json) = (Arguments.Model(), Arguments.Json());
        var prompt = new Option<string>(Prompt) { Description = "The text to continue.", Required = true };
        var count = new Option<int>("--max-new-tokens") { Description = "New tokens at most.", DefaultValueFactory = _ => 256 };
        var temperature = new Option<double>("--temperature") { Description = "0 takes the likeliest token each time." };
        var seed = new Option<ulong>("--seed") { Description = "Of the draws, with a temperature above 0." };
        var command = new Command("generate", "Continue a prompt.") { model, prompt, count, temperature, seed, json };
        var place = new PlacementOptions();
        place.AddTo(command);
        command.SetAction((result, cancellation) => Task.Run(() => Run(
            result.GetRequiredValue(model), place.Read(result), result.GetRequiredValue(prompt), result.GetValue(count),
            new GenerationOptions(result.GetValue(count), null, result.GetValue(temperature), result.GetValue(seed)), result.GetValue(json), cancellation)));
        return command;
    }

    private static int Run(string path, Placement place, string prompt, int count, GenerationOptions options, bool json, CancellationToken cancellation)
    {
        if (count < 1) throw new UsageException("--max-new-tokens: give a number above zero.");
        if (options.Temperature is not (>= 0 and <= 2)) throw new UsageException("--temperature: give a number from 0 to 2.");
        using var source = ModelSource.Open(path);
        var model = ModelFiles.Load(source, place);
        var tokenizer = CalibrationSource.TokenizerOf(source);
        TokenRange.Check(model.Config, tokenizer);
        int[] tokens = TokenRange.Encode(model.Config, tokenizer, prompt);
        if (tokens.Length + count > model.Config.MaxPositionEmbeddings)
            CommandOutput.Note($"the prompt has {tokens.Length} tokens and the model's context is {model.Config.MaxPositionEmbeddings}; generation ends there.");
        var stream = tokenizer.Stream();
        foreach (int token in tokens) stream.Add(token); // the space before the first new word depends on what stands before it
        int shown = 0;
        var made = Models.Generation.Run(model, [tokens], options with
        {
            StopTokens = model.Config.EndTokenIds,
            StopWhen = (_, soFar) =>
            {
                for (; !json && shown < soFar.Count; shown++) Console.Out.Write(stream.Add(soFar[shown]));
                return false;
            },
        }, cancellation: cancellation)[0];
        if (json) CommandOutput.Json(new { prompt, text = tokenizer.Decode([.. tokens, .. made])[tokenizer.Decode(tokens).Length..], tokens = made });
        else CommandOutput.Say(stream.Finish());
        return 0;
    }
}
