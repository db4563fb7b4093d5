using NeuronQuant.Formats;

namespace NeuronQuant.Quantization;

/// <summary>
/// A grid says where the code points lie: scale = extreme / divisor, which codes may be used, whether zero lies on a code of its own, and
/// how many weights along the input share one scale. Tools disagree on all of it, and integers learned on one grid do not survive on another,
/// so the grid is always named.
/// </summary>
/// <remarks>
/// For b bits, with b = 8 in brackets:
/// nxd: absmax / (2^(b-1)-1) [127], what NxD, vLLM and ggml's Q8_0 use per channel; codes -127..127.
/// half: absmax / ((2^b-1)/2) [127.5], what torch's MinMaxObserver (NxD per tensor), compressed-tensors and torchao use; codes -128..127.
/// autoround: signed extreme / 2^(b-1) [128], so that the extreme always lands on -128; the scale is negative when the positive
/// side dominates; codes -128..127. auto-round data_type/int.py:165-238 with scale_dtype fp32.
/// asymmetric: (max - min) / (2^b-1) [255] with zero inside the range, zero point = smallest code - rne(min / scale), w is about scale * (code -
/// zero point); codes -128..127. torch's MinMaxObserver with per_channel_affine; GPTQ quant.py:55-76 and AWQ quantizer.py:69-75 count codes
/// from 0, so both their codes and their zero points are larger by 2^(b-1).
/// f8e4m3 and f8e5m2: absmax / 240 and absmax / 57344, nxd quantization_utils.py:126-152.
/// The integer grids of NxD multiply by the fp32 reciprocal of the scale; autoround and fp8 divide. Ties go to even everywhere.
/// A grid of your own is <c>new Grid("mine", bits: 4, divisor: 7.5f, minimum: -8, maximum: 7)</c>; groups are <c>Grid.Nxd(4).InGroups(64)</c>.
/// What NxDI cannot load says so in <see cref="WhyNotOnNeuron"/>.
/// </remarks>
public sealed record Grid
{
    /// <summary>NxD's floor of an int8 scale: float32's machine epsilon (observer.py:83).</summary>
    public const float Int8Floor = 1.1920929e-07f;

    /// <summary>NxD's floor of an fp8 scale (quantization_utils.py:126-142).</summary>
    public const float Fp8Floor = 1e-5f;

    /// <summary>auto-round's floor of a float32 scale.</summary>
    public const float AutoRoundFloor = 1e-8f;

    /// <summary>An integer grid of your own; it rounds w * (1/scale), or w / scale when it is signed.</summary>
    /// <param name="name">what records and messages call it</param>
    /// <param name="bits">2 to 8</param>
    /// <param name="divisor">what the extreme weight is divided by; of an asymmetric grid the whole range</param>
    /// <param name="minimum">the smallest code, at least -2^(bits-1)</param>
    /// <param name="maximum">the largest code, at most 2^(bits-1)-1</param>
    /// <param name="floor">the smallest scale in magnitude, in weight units</param>
    /// <param name="signed">whether the scale takes the sign that puts the extreme on the smallest code</param>
    /// <param name="asymmetric">whether each scale comes with a zero point</param>
    /// <exception cref="ArgumentException">the numbers are no grid</exception>
    public Grid(string name, int bits, float divisor, int minimum, int maximum, float floor = Int8Floor, bool signed = false, bool asymmetric = false)
        : this(name, Format.Int8, bits, divisor, floor)
    {
        int half = (int)HalfRange(bits);
        if (minimum < -half || maximum > half - 1 || minimum >= maximum)
            throw new ArgumentException($"Codes {minimum}..{maximum} are none of {bits} bits, which hold {-half}..{half - 1}.", nameof(minimum));
        if (!float.IsFinite(divisor) || divisor <= 0) throw new ArgumentException($"The divisor {divisor} is not above zero.", nameof(divisor));
        if (!float.IsFinite(floor) || floor <= 0)
            throw new ArgumentException($"The floor {floor} is not above zero; a scale of 0 has no reciprocal.", nameof(floor));
        if (signed && asymmetric) throw new ArgumentException("A signed scale and a zero point exclude each other.", nameof(signed));
        (Minimum, Maximum, Signed, HasZeroPoint) = (minimum, maximum, signed, asymmetric);
    }

    private Grid(string name, Format format, int bits, float divisor, float floor)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        (Name, Format, Bits, Divisor, Floor) = (name, format, bits, divisor, floor);
    }

    /// <summary>nxd, half, autoround, asymmetric, f8e4m3, f8e5m2, or a reader's own.</summary>
    public string Name { get; }

    /// <summary>The format of a code.</summary>
    public Format Format { get; }

    /// <summary>Bits of a code, 2 to 8; below 8 for teaching and for measuring what a width costs, as Inf2 stores 8.</summary>
    public int Bits { get; }

    /// <summary>What the extreme weight is divided by; of an asymmetric grid what the range is divided by.</summary>
    public float Divisor { get; }

    /// <summary>The smallest integer code (integer grids).</summary>
    public int Minimum { get; }

    /// <summary>The largest integer code (integer grids).</summary>
    public int Maximum { get; }

    /// <summary>The smallest scale in magnitude.</summary>
    public float Floor { get; }

    /// <summary>True when the scale carries the sign of the side that dominates (autoround).</summary>
    public bool Signed { get; }

    /// <summary>True when each scale comes with a zero point, the code of the weight 0 (asymmetric).</summary>
    public bool HasZeroPoint { get; }

    /// <summary>How many weights along the input share a scale; null when all of a row do.</summary>
    public int? GroupSize { get; private init; }

    /// <summary>True for the integer grids.</summary>
    public bool IsInteger => Format == Format.Int8;

    /// <summary>
    /// Why NxDI cannot load codes of this grid; null when it can. Any 8-bit code with one scale a row loads, whatever its divisor: NxDI reads
    /// weight [out, in] and scale [out, 1] and multiplies (nxd quantization_layers.py:673-688).
    /// </summary>
    public string? WhyNotOnNeuron => HasZeroPoint ? "NxDI has no zero points: its layers compute scale * code"
        : GroupSize is { } size ? $"NxDI reads one scale a row or one a tensor, and here every {size} columns have their own"
        : Bits < 8 ? $"Inf2 stores codes in 8 bits, and these have {Bits}" : null;

    /// <summary>absmax / (2^(b-1)-1): NxD per channel.</summary>
    public static Grid Nxd(int bits = 8) => Integer("nxd", bits, HalfRange(bits) - 1, -(HalfRange(bits) - 1), Int8Floor);

    /// <summary>absmax / ((2^b-1)/2): NxD per tensor.</summary>
    public static Grid Half(int bits = 8) => Integer("half", bits, HalfRange(bits) - 0.5f, -HalfRange(bits), Int8Floor);

    /// <summary>Signed extreme / 2^(b-1): auto-round's default.</summary>
    public static Grid AutoRound(int bits = 8) => Integer("autoround", bits, HalfRange(bits), -HalfRange(bits), AutoRoundFloor, signed: true);

    /// <summary>(max - min) / (2^b-1) with a zero point: torch's per_channel_affine, GPTQ's and AWQ's own. NxDI cannot load it.</summary>
    public static Grid Asymmetric(int bits = 8) =>
        Integer("asymmetric", bits, 2 * HalfRange(bits) - 1, -HalfRange(bits), Int8Floor, asymmetric: true);

    /// <summary>fp8 e4m3 in Neuron's range.</summary>
    public static Grid F8E4M3 { get; } = new("f8e4m3", Format.F8E4M3, 8, Float8E4M3.MaxValue, Fp8Floor);

    /// <summary>fp8 e5m2.</summary>
    public static Grid F8E5M2 { get; } = new("f8e5m2", Format.F8E5M2, 8, Float8E5M2.MaxValue, Fp8Floor);

    /// <summary>The grid on which NxDI itself quantizes to this format with this granularity.</summary>
    /// <exception cref="ArgumentException">bf16 has no grid</exception>
    public static Grid OfNxdi(Format format, Granularity granularity) => format switch
    {
        Format.Int8 => granularity == Granularity.PerChannelSymmetric ? Nxd() : Half(),
        Format.F8E4M3 => F8E4M3,
        Format.F8E5M2 => F8E5M2,
        _ => throw new ArgumentException("bf16 is what an unquantized weight has; it has no grid. Choose int8, f8e4m3 or f8e5m2.", nameof(format)),
    };

    /// <summary>A grid of the library by its name (nxd, half, autoround, asymmetric, f8e4m3, f8e5m2).</summary>
    /// <exception cref="ArgumentException">no grid has that name, or bits is outside 2-8</exception>
    public static Grid Parse(string name, int bits = 8) => name switch
    {
        "nxd" => Nxd(bits),
        "half" => Half(bits),
        "autoround" => AutoRound(bits),
        "asymmetric" => Asymmetric(bits),
        "f8e4m3" => F8E4M3,
        "f8e5m2" => F8E5M2,
        _ => throw new ArgumentException(
            $"'{name}' is not a grid. Use nxd (127), half (127.5), autoround (signed 128), asymmetric, f8e4m3 or f8e5m2.", nameof(name)),
    };

    /// <summary>The same code points with a scale for every so many weights along the input; the last group of a row may be shorter.</summary>
    /// <param name="size">weights that share a scale, 2 or more; usual are 32, 64 and 128</param>
    public Grid InGroups(int size)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(size, 2);
        return this with { GroupSize = size };
    }

    /// <summary>Scales of a row of so many weights: 1 without groups.</summary>
    public int GroupsIn(int columns) => GroupSize is { } size ? (columns + size - 1) / size : 1;

    /// <summary>
    /// Effectively computes max(absmax / divisor, floor) in float32; for the signed grid the extreme keeps the sign that puts it on the
    /// smallest code, and the floor keeps that sign. With a zero point max((max - min) / divisor, floor), min and max reaching to 0.
    /// </summary>
    /// <param name="minimum">the smallest weight that shares the scale</param>
    /// <param name="maximum">the largest weight that shares the scale</param>
    public float Scale(float minimum, float maximum)
    {
        float below = MathF.Max(-minimum, 0), above = MathF.Max(maximum, 0);
        float scale = MathF.Max((HasZeroPoint ? above + below : MathF.Max(below, above)) / Divisor, Floor);
        return Signed && above >= below ? -scale : scale;
    }

    /// <summary>clamp(smallest code - rne(min(minimum, 0) / scale)) to the codes: the code of weight 0; 0 for a grid without zero points.</summary>
    /// <param name="minimum">the smallest weight that shares the scale</param>
    /// <param name="scale">their scale</param>
    public float ZeroPoint(float minimum, float scale) => HasZeroPoint
        ? Math.Clamp(Minimum - MathF.Round(MathF.Min(minimum, 0) / scale, MidpointRounding.ToEven), Minimum, Maximum) : 0;

    /// <inheritdoc/>
    public override string ToString() => Name + (Bits == 8 ? "" : $", {Bits} bits") + (GroupSize is { } size ? $", groups of {size}" : "");

    private static float HalfRange(int bits) => bits is >= 2 and <= 8
        ? 1 << (bits - 1)
        : throw new ArgumentOutOfRangeException(nameof(bits), bits, "An integer grid has 2 to 8 bits.");

    private static Grid Integer(string name, int bits, float divisor, float minimum, float floor, bool signed = false, bool asymmetric = false) =>
        new(name, bits, divisor, (int)minimum, (int)HalfRange(bits) - 1, floor, signed, asymmetric);
}
