using NeuronQuant.Formats;
using Xunit;

namespace NeuronQuant.Tests.Formats;

public class Int8Tests
{
    [Fact]
    public void Every_code_survives_and_every_half_goes_to_the_even_integer()
    {
        for (int code = -128; code <= 127; code++)
        {
            Assert.Equal(code, Int8.Encode(Int8.Decode((sbyte)code)));
            if (code < 127) Assert.Equal(code + (code & 1), Int8.Encode(code + 0.5f));
        }
    }

    [Theory]
    [InlineData(127.5f, 127)]
    [InlineData(-128.5f, -128)]
    [InlineData(1e30f, 127)]
    [InlineData(float.NegativeInfinity, -128)]
    public void Values_outside_saturate(float value, int code) => Assert.Equal(code, Int8.Encode(value));

    [Fact]
    public void NaN_is_refused() => Assert.Throws<ArgumentException>(() => Int8.Encode(float.NaN));

    [Fact]
    public void Spans_equal_the_scalar_codec()
    {
        float[] values = [-3.5f, -0.5f, 0.5f, 1.5f, 200f];
        var codes = new sbyte[5];
        Int8.Encode(values, codes);
        Assert.Equal([-4, 0, 0, 2, 127], codes);
    }
}
