using NeuronQuant.CommandLine;
using NeuronQuant.Display;
using Xunit;

namespace NeuronQuant.Tests.Notebooks;

/// <summary>Progress beside a notebook: overwritten in a terminal, rare in a log.</summary>
public class ProgressLineTests
{
    [Fact]
    public void ATerminalsLineIsOverwrittenAndTakenAway()
    {
        var writer = new StringWriter();
        using (var line = new ProgressLine(writer, isRedirected: false)) line.Show(Report(1, 5));
        Assert.Equal("\r1/4 (25 %): x\r             \r", writer.ToString());
    }

    [Fact]
    public void ALogGetsALineEveryThirtySeconds()
    {
        var writer = new StringWriter();
        using var line = new ProgressLine(writer, isRedirected: true);
        foreach (var seconds in new[] { 1, 29, 31, 45, 62, 5, 33 }) line.Show(Report(seconds, seconds));
        Assert.Equal(["31/4", "62/4", "33/4"], writer.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(text => text.Split(' ')[0]));
    }

    private static ProgressReport Report(long done, double seconds) => new(done, 4, "x", TimeSpan.FromSeconds(seconds), null);
}
