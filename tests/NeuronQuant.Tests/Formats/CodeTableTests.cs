using NeuronQuant.Formats;
using Xunit;

namespace NeuronQuant.Tests.Formats;

public class CodeTableTests
{
    [Theory]
    [InlineData(Format.Int8, 256, 256)]
    [InlineData(Format.F8E4M3, 240, 239)]
    [InlineData(Format.F8E5M2, 248, 247)]
    public void Tables_are_whole_and_say_what_may_be_written(Format format, int writable, int distinct)
    {
        var table = CodeTable.Of(format);
        Assert.Equal(Enumerable.Range(0, 256).Select(code => (byte)code), table.Select(entry => entry.Code));
        Assert.Equal(writable, table.Count(entry => entry.Writable));
        Assert.Equal(distinct, CodeTable.Values(format).Length);
    }

    [Fact]
    public void Fields_are_set_apart() => Assert.Equal("1 0111 000", CodeTable.Of(Format.F8E4M3)[0xB8].Bits);

    [Fact]
    public void Bf16_has_no_table() => Assert.Throws<ArgumentException>(() => CodeTable.Of(Format.Bf16));

    [Theory]
    [InlineData("int8", Format.Int8)]
    [InlineData("f8e4m3", Format.F8E4M3)]
    [InlineData("f8e5m2", Format.F8E5M2)]
    public void Names_are_those_of_nxdi(string name, Format format)
    {
        Assert.Equal(format, FormatNames.Parse(name));
        Assert.Equal(name, format.NxdiName());
        Assert.Throws<ArgumentException>(() => FormatNames.Parse("fp8"));
    }
}
