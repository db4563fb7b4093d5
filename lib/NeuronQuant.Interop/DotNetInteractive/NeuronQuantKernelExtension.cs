using Microsoft.DotNet.Interactive;

namespace NeuronQuant.Interop.DotNetInteractive;

/// <summary>What .NET Interactive calls after <c>#r "nuget: NeuronQuant.Interop"</c>: registers every adapter of this package.</summary>
/// <remarks>
/// NuGet puts each package into a folder of its own, so the library cannot find this one beside itself; here it is told. The package's file
/// interactive-extensions/dotnet/extension.dib makes the call: an assembly in that folder would be a second copy of this one.
/// </remarks>
public sealed class NeuronQuantKernelExtension : IKernelExtension
{
    /// <summary>Registers the adapters and follows the kernel's cancellation.</summary>
    public Task OnLoadAsync(Kernel kernel)
    {
        ArgumentNullException.ThrowIfNull(kernel);
        Adapters.Use(typeof(NeuronQuantKernelExtension).Assembly);
        DotNetInteractiveAdapter.Attach(kernel.RootKernel ?? kernel);
        return Task.CompletedTask;
    }
}
