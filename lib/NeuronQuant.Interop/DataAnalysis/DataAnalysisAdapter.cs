using Microsoft.Data.Analysis;
using NeuronQuant;
using NeuronQuant.Interop.DataAnalysis;

[assembly: AdapterRegistration("Microsoft.Data.Analysis", typeof(DataAnalysisAdapter))]

namespace NeuronQuant.Interop.DataAnalysis;

/// <summary>Nothing has to be put into the library: <c>table.ToDataFrame()</c> is there for whoever refers to NeuronQuant.Interop.dll.</summary>
internal static class DataAnalysisAdapter
{
    public static string Register() => PackageOf.Version(typeof(DataFrame));
}
