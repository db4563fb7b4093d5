using System.CommandLine;
using System.CommandLine.Parsing;
using NeuronQuant.CommandLine.Commands;

namespace NeuronQuant.CommandLine;

/// <summary>The entry point of <c>nq</c>.</summary>
/// <remarks>
/// Exit code 0 = done, 1 = found something or failed, 2 = usage. An exception type of this program or its library carries a message that
/// says what was found and what to do: it is printed alone. Any other is a defect: one line says so, and where its full trace was written.
/// An empty value is what an unset variable of a shell leaves; no option but a prompt has a meaning for it, so it is a usage error everywhere.
/// Commands with work to do run it on a thread of the pool: System.CommandLine listens for Ctrl+C only once an action has returned its task.
/// </remarks>
public static class Program
{
    /// <summary>Runs one command.</summary>
    public static async Task<int> Main(string[] args)
    {
        AppDomain.CurrentDomain.UnhandledException -= LastWord; // Main may run more than once in a process.
        AppDomain.CurrentDomain.UnhandledException += LastWord;
        Workbook.IsHeadless = true;
        try
        {
            var root = Root();
            RefuseEmptyValues(root);
            var parsed = root.Parse(args);
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
        catch (FileNotFoundException exception) when (exception.FileName is null) // A path was made whole, and there is no folder to begin at.
        {
            Terminal.WriteError("The current directory was deleted or cannot be read. Change to another and start again.");
            return 1;
        }
        catch (Exception exception) when (IsExplained(exception))
        {
            Terminal.WriteError(exception.Message);
            return 1;
        }
        catch (Exception exception)
        {
            CrashReport.Write(exception);
            return 1;
        }
        finally
        {
            Workbook.IsHeadless = false;
        }
    }

    // An exception of a thread that nobody waits for would otherwise end the process with a trace and the code of a crash.
    private static void LastWord(object sender, UnhandledExceptionEventArgs unhandled)
    {
        CrashReport.Write(unhandled.ExceptionObject as Exception ?? new InvalidOperationException($"{unhandled.ExceptionObject}"));
        Environment.Exit(1);
    }

    private static void RefuseEmptyValues(Command command)
    {
        foreach (var option in command.Options.Where(option => option.Name != GenerateCommand.Prompt))
            option.Validators.Add(result => Refuse(result, option.Name));
        foreach (var argument in command.Arguments) argument.Validators.Add(result => Refuse(result, argument.Name));
        foreach (var child in command.Subcommands) RefuseEmptyValues(child);

        static void Refuse(SymbolResult result, string name)
        {
            if (result.Tokens.Any(token => string.IsNullOrWhiteSpace(token.Value)))
                result.AddError($"{name}: the value is empty. Is a variable not set?");
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
        StudyCommand.Create(),
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
