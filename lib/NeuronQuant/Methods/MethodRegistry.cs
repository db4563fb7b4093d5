using System.Collections.Concurrent;

namespace NeuronQuant.Methods;

/// <summary>A row of a comparison.</summary>
/// <param name="Name">its name in tables: the method's, with "+selective" where some modules are kept</param>
/// <param name="Method">the method</param>
/// <param name="Selective">whether the modules of an exclusion list stay in bf16</param>
public sealed record MethodRow(string Name, IQuantizationMethod Method, bool Selective);

/// <summary>The methods by name: ours, and those that a reader registers.</summary>
/// <remarks>
/// A name may be composed: "awq+gptq" is AWQ's scales and GPTQ's rounding, "hadamard+autoround+selective" keeps some modules in bf16 besides. What
/// stands in front of another method must be a transform; "selective" alone is rounding to nearest with kept modules.
/// </remarks>
public static class MethodRegistry
{
    private const string Selective = "selective";

    private static readonly ConcurrentDictionary<string, IQuantizationMethod> Known = new(StringComparer.Ordinal);

    static MethodRegistry()
    {
        foreach (var method in new IQuantizationMethod[]
            { new RoundToNearestMethod(), new ClippingMethod(), new HqqMethod(), new GptqMethod(), new GptqMethod(LargestFirst: true), new AutoRoundMethod(), new SmoothQuant(),
                new Awq(), new Awq(new AwqOptions(DuoScaling: true)), new Rotation(), new SpinQuant(), new AdaRound(),
                new CacheScales() })
            Register(method);
    }

    /// <summary>All names, in alphabetical order.</summary>
    public static IReadOnlyList<string> Names => [.. Known.Keys.Order(StringComparer.Ordinal)];

    /// <summary>Adds a method, or replaces one of the same name, so that it can be named like any other.</summary>
    /// <exception cref="ArgumentException">the name cannot be told from a composed one</exception>
    public static void Register(IQuantizationMethod method)
    {
        ArgumentNullException.ThrowIfNull(method);
        if (string.IsNullOrWhiteSpace(method.Name) || method.Name == Selective || method.Name.AsSpan().ContainsAny("+, "))
            throw new ArgumentException($"'{method.Name}' is no name for a method: give one without '+', ',' and blanks, and not {Selective}.",
                nameof(method));
        Known[method.Name] = method;
    }

    /// <summary>The row of a name, which may be composed.</summary>
    /// <param name="name">for example awq, awq+gptq, autoround+selective</param>
    /// <param name="replaced">methods to take in place of the registered ones of the same name, such as AutoRound with another recipe</param>
    /// <exception cref="ArgumentException">no method has that name, or a part that is followed by another is no transform</exception>
    public static MethodRow Parse(string name, params IEnumerable<IQuantizationMethod> replaced)
    {
        ArgumentNullException.ThrowIfNull(name);
        string[] parts = name.Split('+', StringSplitOptions.TrimEntries);
        bool selective = parts[^1] == Selective;
        if (selective) parts = parts.Length == 1 ? ["rtn"] : parts[..^1];
        var own = replaced.ToDictionary(method => method.Name);
        IQuantizationMethod[] methods = [.. parts.Select(part => own.GetValueOrDefault(part) ?? Known.GetValueOrDefault(part)
            ?? throw new ArgumentException($"'{part}' is no method. Use {string.Join(", ", Names)}, and +{Selective}."))];
        var whole = methods[^1];
        foreach (var before in methods.SkipLast(1).Reverse())
            whole = before is IModelTransform transform ? transform.Then(whole)
                : throw new ArgumentException($"'{name}': {before.Name} chooses integers, so nothing can follow it. Put a transform first.");
        return new MethodRow(selective && parts is ["rtn"] ? Selective : selective ? $"{whole.Name}+{Selective}" : whole.Name, whole, selective);
    }
}
