using System.Runtime.InteropServices;
using NeuronQuant.Checkpoints;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace NeuronQuant.Models;

/// <summary>A tensor of a checkpoint within a model: the whole of a tensor that is computed with, or some of its rows.</summary>
/// <param name="name">name in a Hugging Face checkpoint, such as model.layers.0.mlp.up_proj.weight</param>
/// <param name="whole">what is computed with; gradients are its own</param>
/// <param name="first">first row of this part</param>
/// <param name="rows">rows of this part: out features, or the length of a vector</param>
public sealed class Parameter(string name, Tensor whole, long first, long rows)
{
    /// <summary>Name in a Hugging Face checkpoint.</summary>
    public string Name { get; } = name;

    /// <summary>The values, shared with the model: [out, in], or [length] of a vector. Written in place, they are what the model computes with.</summary>
    public Tensor Tensor { get; } = Torch.Run(() => Torch.Keep(whole.detach().narrow(0, first, rows)));

    /// <summary>What is computed with: the leaf of a graph.</summary>
    internal Tensor Whole => whole;

    /// <summary>The gradient of the last backward pass, [out, in]; null when there was none.</summary>
    public Tensor? Gradient => Torch.Run(() => whole.grad)?.narrow(0, first, rows);

    /// <summary>Out features, or the length of a vector.</summary>
    public int Rows => (int)Tensor.shape[0];

    /// <summary>In features; 1 for a vector.</summary>
    public int Columns => (int)(Tensor.numel() / Tensor.shape[0]);

    /// <summary>The values themselves, to be read and written in place, in C order.</summary>
    /// <exception cref="ModelException">they are not float32 on the processor; use <see cref="Tensor"/></exception>
    public Span<float> Values => Tensor.dtype == ScalarType.Float32 && Tensor.device_type == TorchSharp.DeviceType.CPU
        ? MemoryMarshal.Cast<byte, float>(Tensor.bytes)
        : throw new ModelException(Name, $"is {Tensor.dtype} on {Tensor.device}; only float32 on the cpu can be reached as a span. Use its Tensor.");

    /// <summary>All values as float32, in C order, some whole rows at a time.</summary>
    /// <param name="values">of a part at most, unless a row has more</param>
    public IEnumerable<float[]> InRows(int values)
    {
        int step = Math.Max(1, values / Columns);
        for (int row = 0; row < Rows; row += step) yield return Tensor.narrow(0, row, Math.Min(step, Rows - row)).ToFloats();
    }

    /// <summary>Frees the whole tensor, of which other parameters may be parts too.</summary>
    internal void Dispose()
    {
        Tensor.Dispose();
        whole.Dispose();
    }

    /// <summary>All values as float32, in C order.</summary>
    public float[] ToArray() => Tensor.ToFloats();

    /// <summary>Replaces all values.</summary>
    /// <param name="values">in C order</param>
    /// <exception cref="ModelException">another number of values</exception>
    public void Set(float[] values)
    {
        ArgumentNullException.ThrowIfNull(values);
        if (values.Length != Tensor.numel()) throw new ModelException(Name, $"has {Tensor.numel()} values, not {values.Length}. Are they of another module?");
        Torch.Run(() => { Tensor.copy_(tensor(values).view(Tensor.shape)); });
    }
}

/// <summary>A linear module of a checkpoint: y = x w^T + b.</summary>
/// <param name="Module">its name</param>
/// <param name="Weight">[out, in]</param>
/// <param name="Bias">[out]; null for none</param>
public sealed record Linear(ModuleName Module, Parameter Weight, Parameter? Bias)
{
    /// <summary>Name in a Hugging Face checkpoint, such as model.layers.0.mlp.up_proj.</summary>
    public string Name => Module.HuggingFaceName;

    /// <summary>In features.</summary>
    public int In => Weight.Columns;

    /// <summary>Out features.</summary>
    public int Out => Weight.Rows;

    /// <summary>The weight's values now, for the passes that need no model.</summary>
    public WeightMatrix ToWeightMatrix() => WeightMatrix.Of(Weight.Name, Weight.ToArray(), Out, In);

    /// <summary>Replaces the weight by scale * code.</summary>
    /// <exception cref="ModelException">the codes are of another shape</exception>
    public void Apply(QuantizedWeight quantized)
    {
        ArgumentNullException.ThrowIfNull(quantized);
        if ((quantized.Rows, quantized.Columns) != (Out, In))
            throw new ModelException(Name, $"is [{Out}, {In}], but its codes are [{quantized.Rows}, {quantized.Columns}]. Are they of another model?");
        Weight.Set(quantized.Dequantize());
    }
}

/// <summary>Linear modules that read the same input, as one multiplication: their weights lie below one another.</summary>
/// <remarks>q, k and v are one, gate and up are one: a third fewer operations, and wide products are faster than narrow ones.</remarks>
internal sealed class FusedLinear
{
    public FusedLinear(Placement place, int? layer, long columns, bool bias, params (string Type, long Rows)[] parts)
    {
        long rows = parts.Sum(part => part.Rows);
        Weight = Torch.Keep(zeros(rows, columns, place.Type, place.Device));
        Bias = bias ? Torch.Keep(zeros(rows, place.Type, place.Device)) : null;
        var modules = new List<Linear>();
        long first = 0;
        foreach (var (type, count) in parts)
        {
            var module = new ModuleName(layer, type);
            string name = module.HuggingFaceName;
            modules.Add(new Linear(module, new Parameter($"{name}.weight", Weight, first, count), Bias is null ? null : new Parameter($"{name}.bias", Bias, first, count)));
            first += count;
        }
        Modules = modules;
    }

    private FusedLinear(Tensor weight, Tensor? bias, IReadOnlyList<Linear> modules) => (Weight, Bias, Modules) = (weight, bias, modules);

    public Tensor Weight { get; }

    public Tensor? Bias { get; }

    public IReadOnlyList<Linear> Modules { get; }

    /// <summary>[..., in] to [..., out of all modules, one after another].</summary>
    public Tensor Forward(Tensor x) => F.linear(x, Weight, Bias);

    /// <summary>The same, some modules reading a rounded input; null for none.</summary>
    public Tensor Forward(Tensor x, InputRounding? inputs)
    {
        if (inputs is null || !Modules.Any(inputs.Reaches)) return Forward(x);
        var rounded = inputs.Format.Round(x);
        if (Modules.All(inputs.Reaches)) return Forward(rounded);
        return cat([.. Modules.Select(module => F.linear(inputs.Reaches(module) ? rounded : x, module.Weight.Tensor, module.Bias?.Tensor))], -1);
    }

    /// <summary>The weight with scale * code in place of the modules that are among the quantized ones; itself where none is.</summary>
    public Tensor Weights(IReadOnlyDictionary<ModuleName, QuantizedWeight> quantized) => !Modules.Any(linear => quantized.ContainsKey(linear.Module)) ? Weight
        : cat([.. Modules.Select(linear => quantized.GetValueOrDefault(linear.Module) is { } codes
            ? tensor(codes.Dequantize()).view(linear.Out, linear.In).to(Weight.dtype).to(Weight.device) : linear.Weight.Tensor)], 0);

    /// <summary>The same modules with another weight, which is not owned.</summary>
    public FusedLinear With(Tensor weight) => new(weight, Bias, Modules);
}
