using NeuronQuant.Formats;

namespace NeuronQuant.Quantization;

/// <summary>
/// A grid says where the code points lie: scale = extreme / divisor, and which codes may be used. Tools disagree on the divisor, and
/// integers learned on one grid do not survive on another, so the grid is always named.
/// </summary>
/// <remarks>
/// For b bits, with b = 8 in brackets:
/// nxd: absmax / (2^(b-1)-1) [127], what NxD, vLLM and ggml's Q8_0 use per channel; codes -127..127.
/// half: absmax / ((2^b-1)/2) [127.5], what torch's MinMaxObserver (NxD per tensor), compressed-tensors and torchao use; codes -128..127.
/// autoround: signed extreme / 2^(b-1) [128], so that the extreme always lands on -128; the scale is negative when the positive
/// side dominates; codes -128..127. auto-round data_type/int.py:165-238 with scale_dtype fp32.
/// f8e4m3 and f8e5m2: absmax / 240 and absmax / 57344, nxd quantization_utils.py:126-152.
/// The integer grids of NxD multiply by the fp32 reciprocal of the scale; autoround and fp8 divide. Ties go to even everywhere.
/// Left out: asymmetric and group-wise grids, which NxDI cannot load for Inf2.
/// </remarks>
public sealed record Grid
{
    /// <summary>NxD's floor of an int8 scale: float32's machine epsilon (observer.py:83).</summary>
    public const float Int8Floor = 1.1920929e-07f;

    /// <summary>NxD's floor of an fp8 scale (quantization_utils.py:126-142).</summary>
    public const float Fp8Floor = 1e-5f;

    /// <summary>auto-round's floor of a float32 scale.</summary>
    public const float AutoRoundFloor = 1e-8f;

    private Grid(string name, Format format, int bits, float divisor, int minimum, int maximum, float floor, bool signed)
    {
        (Name, Format, Bits, Divisor, Minimum, Maximum, Floor, Signed) = (name, format, bits, divisor, minimum, maximum, floor, signed);
    }

    /// <summary>nxd, half, autoround, f8e4m3 or f8e5m2.</summary>
    public string Name { get; }

    /// <summary>The format of a code.</summary>
    public Format Format { get; }

    /// <summary>Bits of a code, 2 to 8; below 8 for teaching and for measuring what a width costs, as Inf2 stores 8.</summary>
    public int Bits { get; }

    /// <summary>What the extreme weight is divided by.</summary>
    public float Divisor { get; }

    /// <summary>The smallest integer code (integer grids).</summary>
    public int Minimum { get; }

    /// <summary>The largest integer code (integer grids).</summary>
    public int Maximum { get; }

    /// <summary>The smallest scale in magnitude.</summary>
    public float Floor { get; }

    /// <summary>True when the scale carries the sign of the side that dominates (autoround).</summary>
    public bool Signed { get; }

    /// <summary>True for the integer grids.</summary>
    public bool IsInteger => Format == Format.Int8;

    /// <summary>absmax / (2^(b-1)-1): NxD per channel.</summary>
    public static Grid Nxd(int bits = 8) => Integer("nxd", bits, HalfRange(bits) - 1, -(HalfRange(bits) - 1), Int8Floor, false);

    /// <summary>absmax / ((2^b-1)/2): NxD per tensor.</summary>
    public static Grid Half(int bits = 8) => Integer("half", bits, HalfRange(bits) - 0.5f, -HalfRange(bits), Int8Floor, false);

    /// <summary>Signed extreme / 2^(b-1): auto-round's default.</summary>
    public static Grid AutoRound(int bits = 8) => Integer("autoround", bits, HalfRange(bits), -HalfRange(bits), AutoRoundFloor, true);

    /// <summary>fp8 e4m3 in Neuron's range.</summary>
    public static Grid F8E4M3 { get; } = new("f8e4m3", Format.F8E4M3, 8, Float8E4M3.MaxValue, 0, 0, Fp8Floor, false);

    /// <summary>fp8 e5m2.</summary>
    public static Grid F8E5M2 { get; } = new("f8e5m2", Format.F8E5M2, 8, Float8E5M2.MaxValue, 0, 0, Fp8Floor, false);

    /// <summary>The grid on which NxDI itself quantizes to this format with this granularity.</summary>
    /// <exception cref="ArgumentException">bf16 has no grid</exception>
    public static Grid OfNxdi(Format format, Granularity granularity) => format switch
    {
        Format.Int8 => granularity == Granularity.PerChannelSymmetric ? Nxd() : Half(),
        Format.F8E4M3 => F8E4M3,
        Format.F8E5M2 => F8E5M2,
        _ => throw new ArgumentException("bf16 is what an unquantized weight has; it has no grid. Choose int8, f8e4m3 or f8e5m2.", nameof(format)),
    };

    /// <summary>A grid by its name (nxd, half, autoround, f8e4m3, f8e5m2).</summary>
    /// <exception cref="ArgumentException">no grid has that name, or bits is outside 2-8</exception>
    public static Grid Parse(string name, int bits = 8) => name switch
    {
        "nxd" => Nxd(bits),
        "half" => Half(bits),
        "autoround" => AutoRound(bits),
        "f8e4m3" => F8E4M3,
        "f8e5m2" => F8E5M2,
        _ => throw new ArgumentException($"'{name}' is not a grid. Use nxd (127), half (127.5), autoround (signed 128), f8e4m3 or f8e5m2.", nameof(name)),
    };

    /// <summary>
    /// Effectively computes max(absmax / divisor, floor) in float32; for the signed grid the extreme keeps the sign that puts it on the
    /// smallest code, and the floor keeps that sign.
    /// </summary>
    /// <param name="minimum">the smallest weight that shares the scale</param>
    /// <param name="maximum">the largest weight that shares the scale</param>
    public float Scale(float minimum, float maximum)
    {
        float below = MathF.Max(-minimum, 0), above = MathF.Max(maximum, 0);
        float scale = MathF.Max(MathF.Max(below, above) / Divisor, Floor);
        return Signed && above >= below ? -scale : scale;
    }

    /// <inheritdoc/>
    public override string ToString() => Bits == 8 ? Name : $"{Name}, {Bits} bits";

    private static float HalfRange(int bits) => bits is >= 2 and <= 8
        ? 1 << (bits - 1)
        : throw new ArgumentOutOfRangeException(nameof(bits), bits, "An integer grid has 2 to 8 bits.");

    private static Grid Integer(string name, int bits, float divisor, float minimum, float floor, bool signed) =>
        new(name, Format.Int8, bits, divisor, (int)minimum, (int)HalfRange(bits) - 1, floor, signed);
}
