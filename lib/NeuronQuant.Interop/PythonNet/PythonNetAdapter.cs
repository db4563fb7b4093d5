using NeuronQuant;
using NeuronQuant.Interop.PythonNet;
using NeuronQuant.Neuron;
using Python.Runtime;

[assembly: AdapterRegistration("pythonnet", typeof(PythonNetAdapter))]

namespace NeuronQuant.Interop.PythonNet;

/// <summary>Offers <see cref="InProcessPythonHost"/> to the library. No Python is looked for until one is asked for.</summary>
internal static class PythonNetAdapter
{
    public static string Register()
    {
        string version = PackageOf.Version(typeof(PythonEngine));
        PythonHosts.InProcess = InProcessPythonHost.TryStart;
        return version;
    }
}
