using System.Text.Json;
using Microsoft.Data.Analysis;
using NeuronQuant.Display;

namespace NeuronQuant.Neuron;

/// <summary>An instance type, with the figures that a plan needs; from data/neuron/instances.json, which says where they come from.</summary>
/// <param name="Name">inf2.8xlarge</param>
/// <param name="Chips">Inferentia2 chips</param>
/// <param name="Cores">NeuronCores-v2, two a chip</param>
/// <param name="Vcpu">virtual processors of the host</param>
/// <param name="HostGib">memory of the host, GiB</param>
/// <param name="DeviceGib">memory of all chips, GiB</param>
/// <param name="GibPerSecond">bandwidth of that memory, GiB/s</param>
/// <param name="Bf16Tflops">peak arithmetic in bf16, 1e12/s</param>
public sealed record PlanInstance(string Name, int Chips, int Cores, int Vcpu, double HostGib, double DeviceGib, double GibPerSecond,
    double Bf16Tflops)
{
    private static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        RespectRequiredConstructorParameters = true,
    };

    private static readonly Lazy<IReadOnlyList<PlanInstance>> Known = new(Load);

    /// <summary>Every instance of the table.</summary>
    public static IReadOnlyList<PlanInstance> All => Known.Value;

    /// <summary>Memory that one core has to itself, GiB.</summary>
    public double GibPerCore => DeviceGib / Cores;

    /// <summary>An instance by its name.</summary>
    /// <exception cref="NeuronException">the table has none of that name</exception>
    public static PlanInstance Named(string name) => All.FirstOrDefault(instance => instance.Name == name)
        ?? throw new NeuronException("instance",
        $"'{name}' is not in the table. There are {string.Join(", ", All.Select(instance => instance.Name))}.");

    /// <summary>The table.</summary>
    public static DataFrame ToDataFrame() => Frames.From("Instances", All, ("instance", instance => instance.Name),
        ("chips", instance => instance.Chips),
        ("cores", instance => instance.Cores), ("vCPU", instance => instance.Vcpu), ("host GiB", instance => instance.HostGib),
        ("device GiB", instance => instance.DeviceGib), ("GiB/s", instance => instance.GibPerSecond),
            ("bf16 TFLOPS", instance => instance.Bf16Tflops));

    private static IReadOnlyList<PlanInstance> Load()
    {
        using var stream = typeof(PlanInstance).Assembly.GetManifestResourceStream("instances.json")!;
        using var document = JsonDocument.Parse(stream);
        return document.RootElement.GetProperty("instances").Deserialize<PlanInstance[]>(Options)!;
    }
}
