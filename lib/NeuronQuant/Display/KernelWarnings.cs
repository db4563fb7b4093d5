using System.Reflection;
using Microsoft.DotNet.Interactive;

namespace NeuronQuant.Display;

/// <summary>Keeps warnings that no reader can act upon out of the cells, where .NET Interactive is the kernel.</summary>
/// <remarks>
/// TorchSharp is compiled against the framework of .NET 8; the kernel runs on a later one, and its compiler reports that the two agree (CS1701,
/// level 2) at every cell that makes a tensor. The SDK's own projects silence it by name; a script has only a level. Level 1 keeps what is likely a
/// mistake, such as obsolete calls. The kernel offers no way to set it, so its field is set; a kernel without that field keeps its warnings.
/// </remarks>
internal static class KernelWarnings
{
    /// <summary>Lowers the level for the cells after this one, if a cell is running.</summary>
    public static void Register()
    {
        var kernel = KernelInvocationContext.Current?.HandlingKernel;
        var field = kernel?.GetType().GetField("_scriptOptions", BindingFlags.Instance | BindingFlags.NonPublic);
        if (field?.GetValue(kernel) is { } options && options.GetType().GetMethod("WithWarningLevel", [typeof(int)]) is { } withLevel)
            field.SetValue(kernel, withLevel.Invoke(options, [1]));
    }
}
