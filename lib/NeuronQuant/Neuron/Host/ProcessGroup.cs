using System.Diagnostics;
using System.Runtime.InteropServices;

namespace NeuronQuant.Neuron;

/// <summary>
/// Ends a process and everything that it started. The bridge leads a process group of its own (os.setsid), so that compiler workers whose
/// parent is gone already, and whom no tree would find, end with it.
/// </summary>
internal static partial class ProcessGroup
{
    private const int Kill = 9; // SIGKILL, on every Unix

    public static void End(Process process)
    {
        if (!OperatingSystem.IsWindows()) _ = SendSignal(-process.Id, Kill); // No such group: the process had not made one yet.
        try
        {
            process.Kill(entireProcessTree: true);
        }
        catch (Exception error) when (error is InvalidOperationException or System.ComponentModel.Win32Exception or AggregateException)
        {
            // It ended in the meantime.
        }
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int SendSignal(int process, int signal);
}
