using NeuronQuant.Formats;
using Xunit;

namespace NeuronQuant.Tests.Formats;

public class BFloat16Tests
{
    [Fact]
    public void Every_pattern_decodes_to_the_upper_half_of_a_float_and_encodes_back()
    {
        for (int code = 0; code <= 0xFFFF; code++)
        {
            float value = BFloat16.Decode((ushort)code);
            Assert.Equal((uint)code << 16, BitConverter.SingleToUInt32Bits(value));
            int expected = float.IsNaN(value) ? code | 0x40 : code;
            Assert.Equal(expected, BFloat16.Encode(value));
        }
    }

    [Fact]
    public void Every_midpoint_goes_to_the_even_code_and_its_neighbours_to_the_nearest()
    {
        for (int code = 0; code < 0x7F80; code++)
        {
            uint middle = ((uint)code << 16) | 0x8000;
            int even = code + (code & 1);
            Assert.Equal(even, BFloat16.Encode(BitConverter.UInt32BitsToSingle(middle)));
            Assert.Equal(code, BFloat16.Encode(BitConverter.UInt32BitsToSingle(middle - 1)));
            Assert.Equal(code + 1, BFloat16.Encode(BitConverter.UInt32BitsToSingle(middle + 1)));
            Assert.Equal(even | 0x8000, BFloat16.Encode(BitConverter.UInt32BitsToSingle(middle | 0x8000_0000)));
        }
    }

    [Theory]
    [InlineData(float.PositiveInfinity, 0x7F80)]
    [InlineData(float.NegativeInfinity, 0xFF80)]
    [InlineData(float.MaxValue, 0x7F80)]
    [InlineData(-0f, 0x8000)]
    [InlineData(float.Epsilon, 0)]
    public void The_ends_of_the_range_follow_the_stated_rules(float value, int code) => Assert.Equal(code, BFloat16.Encode(value));

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(31)]
    [InlineData(33)]
    [InlineData(1027)]
    public void Spans_equal_the_scalar_twin_at_odd_lengths(int length)
    {
        var random = new Random(length);
        var values = new float[length];
        for (int i = 0; i < length; i++) values[i] = BitConverter.UInt32BitsToSingle((uint)random.NextInt64(1L << 32));
        var codes = new ushort[length];
        BFloat16.Encode(values, codes);
        Assert.Equal(values.Select(BFloat16.Encode), codes);
        var back = new float[length];
        BFloat16.Decode(codes, back);
        Assert.Equal(codes.Select(BFloat16.Decode).Select(BitConverter.SingleToUInt32Bits), back.Select(BitConverter.SingleToUInt32Bits));
    }

    [Fact]
    public void Unequal_lengths_are_refused() => Assert.Throws<ArgumentException>(() => BFloat16.Encode(new float[3], new ushort[2]));
}
