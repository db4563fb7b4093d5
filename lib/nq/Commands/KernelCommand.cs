using System.CommandLine;
using NeuronQuant.CommandLine.Notebooks;

namespace NeuronQuant.CommandLine.Commands;

/// <summary><c>nq kernel install</c> registers .NET Interactive as the Jupyter kernel that the notebooks ask for.</summary>
internal static class KernelCommand
{
    public static Command Create() => new("kernel", "Open the notebooks in VS Code's Jupyter or JupyterLab.") { Install() };

    private static Command Install()
    {
        var prefix = new Option<string?>("--prefix") { Description = "Install below this folder (share/jupyter/kernels), such as an environment's; the user's own folder without it." };
        var name = new Option<string>("--name") { Description = "The kernel's name; the notebooks ask for the standard one.", DefaultValueFactory = _ => KernelSpec.StandardName };
        var overwrite = new Option<bool>("--overwrite") { Description = "Replace another program's kernel of this name." };
        var command = new Command("install", "Register the kernel with Jupyter.") { prefix, name, overwrite };
        command.SetAction(result =>
        {
            string folder = KernelSpec.Install(KernelSpec.Kernels(result.GetValue(prefix)), result.GetRequiredValue(name), result.GetValue(overwrite));
            CommandOutput.Say($"{folder}: installed. Open a notebook in VS Code or JupyterLab and choose the kernel .NET (C#).");
            return 0;
        });
        return command;
    }
}
