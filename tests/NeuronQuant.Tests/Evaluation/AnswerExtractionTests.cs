using NeuronQuant.Evaluation;
using Xunit;

namespace NeuronQuant.Tests.Evaluation;

public class AnswerExtractionTests
{
    [Theory]
    [InlineData(" 3 + 4 = 7.\n#### 7", "7", "7")]
    [InlineData("#### 1,234", "1,234", "1,234")]
    [InlineData("#### -5.5", "-5.5", "-5.5")]
    [InlineData("#### $18", "[invalid]", "$18")] // the strict pattern has no dollar sign
    [InlineData("####18", "[invalid]", "18")] // it wants the space
    [InlineData("#### 7\n#### 8", "7", "8")] // first and last
    [InlineData("The answer is 18.", "[invalid]", "18.")]
    [InlineData("It costs $2,000.50 in all", "[invalid]", "$2,000.50")]
    [InlineData("He has 5", "[invalid]", "5")]
    [InlineData("no number", "[invalid]", "[invalid]")]
    [InlineData("ends with dots ...", "[invalid]", "...")] // two or more of its characters are a match, numbers or not
    [InlineData("x-3", "[invalid]", "-3")]
    [InlineData("3-4", "[invalid]", "-4")]
    public void Filters(string output, string strict, string flexible)
    {
        Assert.Equal(strict, AnswerExtraction.Strict(output));
        Assert.Equal(flexible, AnswerExtraction.Flexible(output));
    }

    [Theory]
    [InlineData("18.", "18", true)]
    [InlineData("$1,800", "Some steps.\n#### 1800", true)]
    [InlineData("1,800", "#### 1,800", true)]
    [InlineData("18.0", "18", false)] // text is compared, not numbers
    [InlineData("18..", "18", false)] // one point goes
    [InlineData("[invalid]", "18", false)]
    [InlineData("ABC", "abc", true)]
    [InlineData("a #### b #### 4", "4", true)] // everything up to the last marker goes
    [InlineData("-18", "18", false)]
    public void Comparison(string extracted, string gold, bool expected) => Assert.Equal(expected, AnswerExtraction.IsRight(extracted, gold));

    [Theory]
    [InlineData(" 7\n#### 7\n\nQuestion: next", " 7\n#### 7\n\n")]
    [InlineData("a</s>b<|im_end|>", "a")]
    [InlineData("a<|im_end|>b</s>", "a")]
    [InlineData("nothing", "nothing")]
    public void TheFirstStopEndsTheText(string text, string expected) =>
        Assert.Equal(expected, new GenerationSettings(["Question:", "</s>", "<|im_end|>"], 256).Cut(text));
}
