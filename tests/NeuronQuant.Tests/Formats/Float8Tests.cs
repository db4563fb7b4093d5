using NeuronQuant.Formats;
using Xunit;

namespace NeuronQuant.Tests.Formats;

/// <summary>
/// Every code of both fp8 formats. Decoding is compared with .NET's own Half (e5m2 is its upper byte; e4m3 is reached through the exact
/// fraction), encoding with a search for the nearest writable value in the table, ties to the even code.
/// </summary>
public class Float8Tests
{
    [Fact]
    public void E5m2_is_the_upper_byte_of_half_precision()
    {
        for (int code = 0; code < 256; code++)
        {
            float half = (float)BitConverter.UInt16BitsToHalf((ushort)(code << 8));
            Assert.Equal(half, Float8E5M2.Decode((byte)code));
        }
    }

    [Theory]
    [InlineData(0x00, 0)]
    [InlineData(0x01, 1.0 / 512)]
    [InlineData(0x07, 7.0 / 512)]
    [InlineData(0x08, 1.0 / 64)]
    [InlineData(0x38, 1)]
    [InlineData(0x3F, 1.875)]
    [InlineData(0x77, 240)]
    [InlineData(0x78, 256)]
    [InlineData(0x7E, 448)]
    [InlineData(0xF7, -240)]
    public void E4m3_decodes_the_published_landmarks(byte code, double value) => Assert.Equal(value, Float8E4M3.Decode(code));

    [Fact]
    public void E4m3_values_rise_with_the_code_and_only_7F_is_NaN()
    {
        for (int code = 1; code < 0x7F; code++)
        {
            Assert.True(Float8E4M3.Decode((byte)code) > Float8E4M3.Decode((byte)(code - 1)));
            Assert.Equal(-Float8E4M3.Decode((byte)code), Float8E4M3.Decode((byte)(code | 0x80)));
        }
        Assert.True(float.IsNaN(Float8E4M3.Decode(0x7F)));
        Assert.True(float.IsNaN(Float8E4M3.Decode(0xFF)));
    }

    [Theory]
    [InlineData(Format.F8E4M3, 0x77)]
    [InlineData(Format.F8E5M2, 0x7B)]
    public void Every_writable_code_survives_and_every_midpoint_goes_to_the_even_code(Format format, int largest)
    {
        (Func<float, byte> encode, Func<byte, float> decode) = Codec(format);
        for (int code = 0; code <= largest; code++)
        {
            float value = decode((byte)code);
            Assert.Equal(code, encode(value));
            Assert.Equal(code | 0x80, encode(-value));
            if (code == largest) continue;
            float next = decode((byte)(code + 1)), middle = (value + next) / 2;
            Assert.Equal(code + (code & 1), encode(middle));
            Assert.Equal(code, encode(MathF.BitDecrement(middle)));
            Assert.Equal(code + 1, encode(MathF.BitIncrement(middle)));
        }
    }

    [Theory]
    [InlineData(Format.F8E4M3, 300)]
    [InlineData(Format.F8E5M2, 70000)]
    public void Random_values_go_to_the_nearest_value_of_the_table(Format format, float range)
    {
        (Func<float, byte> encode, Func<byte, float> decode) = Codec(format);
        float[] values = CodeTable.Values(format);
        var random = new Random(7);
        for (int i = 0; i < 20_000; i++)
        {
            float x = (float)((random.NextDouble() - 0.5) * 2 * range * Math.Pow(2, -random.Next(24)));
            double nearest = values.Min(v => Math.Abs((double)v - x));
            Assert.Equal(nearest, Math.Abs((double)decode(encode(x)) - x));
        }
    }

    [Fact]
    public void No_float_whatever_is_written_with_a_forbidden_e4m3_code()
    {
        for (long bits = 0; bits < 1L << 32; bits += 65_521)
        {
            float value = BitConverter.UInt32BitsToSingle((uint)bits);
            if (float.IsNaN(value)) Assert.Throws<ArgumentException>(() => Float8E4M3.Encode(value));
            else Assert.False(Float8E4M3.IsForbidden(Float8E4M3.Encode(value)));
        }
    }

    [Fact]
    public void Infinities_saturate_and_e5m2_keeps_NaN()
    {
        Assert.Equal(0x77, Float8E4M3.Encode(float.PositiveInfinity));
        Assert.Equal(0xF7, Float8E4M3.Encode(float.NegativeInfinity));
        Assert.Equal(0x7B, Float8E5M2.Encode(float.PositiveInfinity));
        Assert.True(float.IsNaN(Float8E5M2.Decode(Float8E5M2.Encode(float.NaN))));
    }

    [Fact]
    public void Spans_equal_the_scalar_codec()
    {
        var random = new Random(3);
        float[] values = [.. Enumerable.Range(0, 1003).Select(_ => (float)(random.NextDouble() - 0.5) * 600)];
        var codes = new byte[values.Length];
        var back = new float[values.Length];
        Float8E4M3.Encode(values, codes);
        Float8E4M3.Decode(codes, back);
        Assert.Equal(values.Select(v => Float8E4M3.Decode(Float8E4M3.Encode(v))), back);
        Float8E5M2.Encode(values, codes);
        Float8E5M2.Decode(codes, back);
        Assert.Equal(values.Select(v => Float8E5M2.Decode(Float8E5M2.Encode(v))), back);
    }

    private static (Func<float, byte> Encode, Func<byte, float> Decode) Codec(Format format) => format == Format.F8E4M3
        ? (Float8E4M3.Encode, Float8E4M3.Decode)
        : (Float8E5M2.Encode, Float8E5M2.Decode);
}
