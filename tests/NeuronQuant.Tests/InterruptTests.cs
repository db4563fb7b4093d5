using System.Diagnostics;
using Xunit;

namespace NeuronQuant.Tests;

/// <summary>Ctrl+C in the middle of long work, sent to the real program as a signal.</summary>
public class InterruptTests
{
    [Fact]
    public async Task Ctrl_C_ends_a_training_cleanly_and_leaves_no_model() =>
        await Interrupted(folder => ["train", "--out", folder, "--steps", "1000000"], folder => File.Exists(Path.Combine(folder, "tokenizer.json")),
            folder => Assert.False(File.Exists(Path.Combine(folder, "model.safetensors"))));

    [Fact]
    public async Task Ctrl_C_within_a_tuning_ends_it_between_two_iterations_and_leaves_no_half_block() =>
        await Interrupted(folder => ["autoround", Repository.PathOf("data", "demo-model"), "--out", Path.Combine(folder, "tuned"), "--iterations", "1000000",
                "--calibration", Repository.PathOf("data", "demo-calibration.jsonl"), "--samples", "8"],
            folder => Directory.Exists(Path.Combine(folder, "tuned.tuning")),
            folder =>
            {
                Assert.False(Directory.Exists(Path.Combine(folder, "tuned")));
                Assert.Empty(Directory.GetDirectories(Path.Combine(folder, "tuned.tuning")));
            });

    private static async Task Interrupted(Func<string, string[]> arguments, Func<string, bool> begun, Action<string> left)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() || OperatingSystem.IsMacOS(), "signals are sent with kill");
        string folder = Directory.CreateTempSubdirectory("neuronquant-").FullName;
        try
        {
            using var process = Process.Start(Repository.Start("dotnet", [typeof(CommandLine.Program).Assembly.Location, .. arguments(folder)]))!;
            var error = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
            for (int i = 0; i < 300 && !begun(folder); i++) await Task.Delay(100);
            await Task.Delay(500); // Into a step.
            using (var kill = Process.Start(Repository.Start("kill", "-INT", $"{process.Id}"))!) await kill.WaitForExitAsync();
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
            await process.WaitForExitAsync(limit.Token);
            Assert.Equal(1, process.ExitCode);
            Assert.Contains("Cancelled.", await error, StringComparison.Ordinal);
            left(folder);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
