using NeuronQuant;
using NeuronQuant.Interop.PlotlyNet;
using Plotly.NET;

[assembly: AdapterRegistration("Plotly.NET", typeof(PlotlyNetAdapter))]

namespace NeuronQuant.Interop.PlotlyNet;

/// <summary>Nothing has to be put into the library: <c>figure.ToPlotlyNet()</c> is there for whoever refers to NeuronQuant.Interop.dll.</summary>
internal static class PlotlyNetAdapter
{
    public static string Register() => PackageOf.Version(typeof(GenericChart));
}
