using System.Runtime.CompilerServices;
using NeuronQuant.CommandLine.Notebooks;
using NeuronQuant.Tensors;
using NeuronQuant.Tests.Notebooks;

namespace NeuronQuant.Tests;

/// <summary>
/// What has to be done before any test: libtorch is loaded, since a test may make a tensor of its own first, and TorchSharp left to itself copies 600 MB and
/// then fails; and the package folder is kept, since a test beside others sets another.
/// </summary>
internal static class BeforeAnyTest
{
    [ModuleInitializer]
    internal static void Prepare()
    {
        TorchLibrary.Load();
        JupyterForTests.Packages = KernelSpec.PackageFolder();
    }
}
