using System.Diagnostics;
using Xunit;

namespace NeuronQuant.Tests;

/// <summary>Ctrl+C in the middle of long work, sent to the real program as a signal.</summary>
public class InterruptTests
{
    [Fact]
    public async Task Ctrl_C_ends_a_command_cleanly_and_leaves_no_model()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() || OperatingSystem.IsMacOS(), "signals are sent with kill");
        string folder = Directory.CreateTempSubdirectory("neuronquant-").FullName;
        try
        {
            var start = new ProcessStartInfo("dotnet", [typeof(CommandLine.Program).Assembly.Location, "train", "--out", folder, "--steps", "1000000"])
            {
                RedirectStandardError = true,
                RedirectStandardOutput = true,
            };
            using var process = Process.Start(start)!;
            var error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
            for (int i = 0; i < 300 && !File.Exists(Path.Combine(folder, "tokenizer.json")); i++) await Task.Delay(100);
            using (var kill = Process.Start("kill", ["-INT", $"{process.Id}"])) await kill.WaitForExitAsync();
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
            await process.WaitForExitAsync(limit.Token);
            Assert.Equal(1, process.ExitCode);
            Assert.Contains("Cancelled.", await error, StringComparison.Ordinal);
            Assert.False(File.Exists(Path.Combine(folder, "model.safetensors")));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
