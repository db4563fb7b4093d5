using System.CommandLine;
using NeuronQuant.CommandLine.Commands;

namespace NeuronQuant.CommandLine;

/// <summary>The entry point of <c>nq</c>.</summary>
/// <remarks>
/// Exit code 0 = done, 1 = found something or failed, 2 = usage. An exception type of this program or its library carries a message that
/// says what was found and what to do: it is printed alone. Any other is a defect and keeps its stack trace.
/// Commands with work to do run it on a thread of the pool: System.CommandLine listens for Ctrl+C only once an action has returned its task.
/// </remarks>
public static class Program
{
    /// <summary>Runs one command.</summary>
    public static async Task<int> Main(string[] args)
    {
        var parsed = Root().Parse(args);
        try
        {
            var code = await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = TimeSpan.FromSeconds(20) });
            return parsed.Errors.Count > 0 ? 2 : code;
        }
        catch (UsageException exception)
        {
            Terminal.WriteError(exception.Message);
            return 2;
        }
        catch (OperationCanceledException)
        {
            Terminal.WriteError("Cancelled.");
            return 1;
        }
        catch (Exception exception) when (IsExplained(exception))
        {
            Terminal.WriteError(exception.Message);
            return 1;
        }
    }

    private static RootCommand Root() => new("Learn, reproduce and apply LLM weight quantization for AWS Inferentia.")
    {
        RunCommand.Create(),
        RunOneCommand.Create(),
        DiffCommand.Create(),
        InspectCommand.Create(),
        SensitivityCommand.Create(),
        QuantizeCommand.Create(),
        AutoRoundCommand.Create(),
        GptqCommand.Create(),
        SelectCommand.Create(),
        CompareCommand.Create(),
        AuditCommand.Create(),
        NeuronCommand.Create(),
        PlanCommand.Create(),
        EvalCommand.Create(),
        GenerateCommand.Create(),
        TrainCommand.Create(),
        KernelCommand.Create(),
        DoctorCommand.Create(),
    };

    private static bool IsExplained(Exception exception) => exception is IOException or UnauthorizedAccessException or InvalidDataException
        || exception.GetType().Namespace?.StartsWith(nameof(NeuronQuant), StringComparison.Ordinal) == true;
}
