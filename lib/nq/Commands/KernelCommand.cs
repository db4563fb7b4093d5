using System.CommandLine;
using System.Text;
using NeuronQuant.CommandLine.Kernel;
using NeuronQuant.Neuron;

namespace NeuronQuant.CommandLine.Commands;

/// <summary><c>nq kernel install</c> registers the notebook engine as a Jupyter kernel; <c>nq kernel serve</c> is what that kernel talks to.</summary>
internal static class KernelCommand
{
    public static Command Create() => new("kernel", "Open the notebooks in VS Code's Jupyter or JupyterLab.") { Install(), Serve() };

    private static Command Install()
    {
        var prefix = new Option<string?>("--prefix") { Description = "Install below this folder (share/jupyter/kernels), such as an environment's; the user's own folder without it." };
        var name = new Option<string>("--name") { Description = "The kernel's name; the notebooks ask for the standard one.", DefaultValueFactory = _ => KernelSpec.StandardName };
        var python = new Option<string?>("--python") { Description = "A Python with ipykernel; NEURON_PYTHON, the active environment or the PATH without it." };
        var overwrite = new Option<bool>("--overwrite") { Description = "Replace another program's kernel of this name." };
        var command = new Command("install", "Register the kernel with Jupyter.") { prefix, name, python, overwrite };
        command.SetAction(result =>
        {
            string folder = KernelSpec.Install(
                KernelSpec.Kernels(result.GetValue(prefix)), result.GetRequiredValue(name), PythonInterpreter.Find(result.GetValue(python)), result.GetValue(overwrite));
            CommandOutput.Say($"{folder}: installed. Open a notebook in VS Code or JupyterLab and choose the kernel .NET (C#).");
            return 0;
        });
        return command;
    }

    private static Command Serve()
    {
        var command = new Command("serve", "Run cells that arrive on standard input; for the kernel, not for a person.") { Hidden = true };
        command.SetAction(async (_, _) =>
        {
            var utf8 = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);
            using var input = new StreamReader(Console.OpenStandardInput(), utf8);
            Console.SetIn(TextReader.Null); // A cell that asks for a line gets none, and takes none of the protocol's.
            using var output = new StreamWriter(Console.OpenStandardOutput(), utf8) { NewLine = "\n" };
            await new KernelServer(Directory.GetCurrentDirectory(), output).Run(input);
            // A cell that was left behind must not keep the process, nor may a reader that still waits for a line.
            Environment.Exit(0);
            return 0;
        });
        return command;
    }
}
