namespace NeuronQuant.Checkpoints;

/// <summary>Reads the rotary embedding of a config.json from whichever of its places it stands in.</summary>
/// <remarks>
/// rope_theta stands at the top level, since transformers 5 in rope_parameters, and between the two some writers put it into rope_scaling; the
/// type is called rope_type and, in older files, type. Whatever is said twice must agree: transformers takes one of them without a word, and
/// a theta of 10,000 for 500,000 is another model. What this library does not compute (linear, dynamic, yarn, longrope, a part of the
/// head's width, a rotary embedding for each kind of layer) does not stop the reading, since quantizing needs no forward pass; it is
/// said in <see cref="ModelConfig.NotComputed"/>, and the forward pass refuses.
/// </remarks>
internal sealed record RopeFields(double Theta, RopeScaling? Scaling, string? NotComputed)
{
    private const double StandardTheta = 10_000;

    private static readonly string[] Places = ["rope_parameters", "rope_scaling"];

    public static RopeFields Read(ConfigFields fields)
    {
        double? theta = fields.OptionalPositive("rope_theta");
        string? obstacle = Partial(fields);
        (string Place, string Type, RopeScaling? Scaling)? first = null;
        foreach (string place in Places)
        {
            if (!fields.Has(place) || fields.OptionalObject(place) is not { } nested) continue;
            if (nested.OptionalPositive("rope_theta") is double own)
                theta = theta is null || theta == own ? own
                    : throw nested.Value("rope_theta", Text(own), $"{Text(theta.Value)}, which stands in another place of the file");
            if (nested.Objects().Any()) obstacle ??= $"{place} has a rotary embedding for each kind of layer";
            obstacle ??= Partial(nested);
            string type = TypeOf(nested);
            var scaling = type == "llama3" ? RopeScaling.Read(nested) : null;
            if (type is not ("llama3" or "default"))
                obstacle ??= $"the rotary embedding is of the type {CheckpointException.Quote(type)}, of which this library computes no forward pass";
            if (first is { } other && (other.Type, other.Scaling) != (type, scaling))
                throw fields.Value(place, Describe(type, scaling), $"{Describe(other.Type, other.Scaling)}, as in {other.Place}");
            first ??= (place, type, scaling);
        }
        return new RopeFields(theta ?? StandardTheta, first?.Scaling, obstacle);
    }

    private static string TypeOf(ConfigFields nested)
    {
        string? type = nested.OptionalText("rope_type"), old = nested.OptionalText("type");
        if (type is not null && old is not null && type != old)
            throw nested.Value("type", CheckpointException.Quote(old), $"{CheckpointException.Quote(type)}, as rope_type says");
        return type ?? old ?? (nested.Has("factor") ? throw nested.Missing("rope_type") : "default");
    }

    private static string? Partial(ConfigFields fields) => fields.OptionalPositive("partial_rotary_factor") is double part and not 1
        ? $"only {Text(part)} of a head's width is rotated (partial_rotary_factor), of which this library computes no forward pass" : null;

    private static string Describe(string type, RopeScaling? scaling) => scaling is null ? CheckpointException.Quote(type) : $"{scaling}";

    private static string Text(double number) => FormattableString.Invariant($"{number}");
}
