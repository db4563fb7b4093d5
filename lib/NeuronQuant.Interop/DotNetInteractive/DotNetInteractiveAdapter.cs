using System.Reflection;
using System.Runtime.CompilerServices;
using Microsoft.DotNet.Interactive;
using Microsoft.DotNet.Interactive.Formatting;
using NeuronQuant;
using NeuronQuant.Interop.DotNetInteractive;

[assembly: AdapterRegistration("Microsoft.DotNet.Interactive", typeof(DotNetInteractiveAdapter))]

namespace NeuronQuant.Interop.DotNetInteractive;

/// <summary>Offers the library a display of progress that updates in place, and ends its long calls with the host's stop button.</summary>
/// <remarks>
/// The host's own version of the package is the one in use, whichever this was compiled against. The methods that touch what changed between
/// versions are therefore compiled to machine code at once: a member that is missing is named by <c>Workbook.Start()</c>, not in the middle of a run.
/// </remarks>
internal static class DotNetInteractiveAdapter
{
    private static readonly ConditionalWeakTable<Kernel, object> Attached = [];

    public static string Register()
    {
        foreach (var method in typeof(LiveProgress).GetMethods(BindingFlags.Instance | BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly))
            RuntimeHelpers.PrepareMethod(method.MethodHandle);
        Formatter.Register<ProgressView>((view, writer) => writer.Write(view.ToHtml()), HtmlFormatter.MimeType);
        Workbook.ProgressDisplay = LiveProgress.Open;
        if (KernelInvocationContext.Current?.HandlingKernel?.RootKernel is { } root) Attach(root);
        return PackageOf.Version(typeof(Kernel));
    }

    /// <summary>Gives every command's cancellation to the library, once for a kernel.</summary>
    public static void Attach(Kernel root)
    {
        if (!Attached.TryAdd(root, root)) return;
        root.AddMiddleware(async (command, context, next) =>
        {
            Workbook.Cancellation = context.CancellationToken;
            await next(command, context).ConfigureAwait(false);
        });
        if (KernelInvocationContext.Current is { } running) Workbook.Cancellation = running.CancellationToken;
    }
}
