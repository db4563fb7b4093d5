using System.Globalization;

namespace NeuronQuant.CommandLine;

/// <summary>What is left of an exception that nobody expected: one line for a person, and the whole trace in a file for whoever mends it.</summary>
internal static class CrashReport
{
    /// <summary>Writes the trace to a file of the temporary folder and says where.</summary>
    public static void Write(Exception exception)
    {
        string path = Path.Combine(Path.GetTempPath(),
            string.Create(CultureInfo.InvariantCulture, $"nq-{DateTime.UtcNow:yyyyMMdd-HHmmss}-{Environment.ProcessId}-{Guid.NewGuid():N}.txt"));
        string what = $"{exception.GetType().Name}: {exception.Message.ReplaceLineEndings(" ")}";
        try
        {
            File.WriteAllText(path, $"nq {typeof(CrashReport).Assembly.GetName().Version?.ToString(3)}\n{exception}\n");
            Terminal.WriteError($"{what} This is a defect of nq; the full trace is in {path}");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            Terminal.WriteError($"{what} This is a defect of nq, and its trace could not be written ({error.Message}):\n{exception}");
        }
    }
}
