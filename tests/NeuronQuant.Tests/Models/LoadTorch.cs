using System.Runtime.CompilerServices;
using NeuronQuant.Models;

namespace NeuronQuant.Tests.Models;

/// <summary>Loads libtorch before any test: a test may make a tensor of its own first, and TorchSharp left to itself copies 600 MB and then fails.</summary>
internal static class LoadTorch
{
    [ModuleInitializer]
    internal static void BeforeAnyTest() => TorchLibrary.Load();
}
