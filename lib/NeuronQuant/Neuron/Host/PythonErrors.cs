using System.Text.Json.Nodes;

namespace NeuronQuant.Neuron;

/// <summary>
/// Turns what Python raised into a cause with a remedy. The texts are those of the Neuron runtime, of its compiler and of NxD's loader, as far
/// as their sources and their users' reports show them; what is not recognised keeps its own words and its traceback.
/// </summary>
internal static class PythonErrors
{
    private static readonly (NeuronFailure Failure, string[] Signs, string Remedy)[] Known =
    [
        (NeuronFailure.NxdiMissing, ["is not installed in"], ""), // The bridge's own message has the remedy.
        (NeuronFailure.AdapterFault, ["'tensor_capture_hook'"], "It is a fault of NxD Inference 2.28 (utils/hf_adapter.py:313; "
            + "models/model_base.py:3355 then refuses the key), mended in later releases. "
            + "Generate through the bridge, which mends it in memory, or copy the lines that NeuronScript writes."),
        // The bridge's own message has the remedy.
        (NeuronFailure.CompilerMissing, ["The compiler neuronx-cc is", "No such file or directory: 'neuronx-cc'"], ""),
        (NeuronFailure.NoTarget, ["which chip to compile for", "the chip to compile for"], ""),
        (NeuronFailure.NoTarget, ["Unable to determine the platform target"],
            "Without a device, NEURON_PLATFORM_TARGET_OVERRIDE=inf2 says for which chip to compile."),
        (NeuronFailure.DiskFull, ["No space left on device", "Disk quota exceeded"],
            "Free space on the disk of the compile cache and of /var/tmp, then run again."),
        (NeuronFailure.DeviceBusy, ["NRT_RESOURCE", "Core(s) not available"],
            "Another process holds the cores: find it with neuron-ls and end it, or choose cores with NEURON_RT_VISIBLE_CORES."),
        (NeuronFailure.OutOfMemory, ["RESOURCE_EXHAUSTED", "Allocation Failure", "Failed to allocate", "MemoryError", "Cannot allocate memory"],
            "Raise tp_degree, quantize, use an fp8 cache or ask for a smaller batch or sequence; nq plan counts them."),
        (NeuronFailure.NoDevice, ["No neuron device", "no neuron device", "nrt_init", "NRT_INIT"],
            "Run on an Inf2 instance with the driver aws-neuronx-dkms; nq doctor says what is there."),
        (NeuronFailure.CheckpointContradicts, ["in state_dict", "which the graph does not expect", "in the state_dict", "size mismatch"],
            "Run nq neuron check CONFIG --model MODEL and nq audit: the folder and modules_to_not_convert must agree."),
    ];

    /// <summary>The result of an answer of the bridge, or the error that it is.</summary>
    public static JsonNode ResultOf(string name, JsonObject answer)
    {
        if ((string?)answer["event"] == "result") return answer["result"] ?? new JsonObject();
        throw Of(name, (string?)answer["type"] ?? "", (string?)answer["message"] ?? "", (string?)answer["traceback"] ?? "",
            [.. (answer["codes"] as JsonArray ?? []).Select(code => (string)code!)]);
    }

    public static NeuronRunException Of(string step, string type, string message, string traceback, IReadOnlyList<string> codes)
    {
        if (codes.Count > 0) return new NeuronRunException(NeuronFailure.CompileFailed, step,
            $"the compiler failed with {string.Join(", ", codes)}. {FirstLine(message)}", OfCode(codes), codes, traceback);
        string text = $"{type}: {message}";
        foreach (var (failure, signs, remedy) in Known)
            if (signs.Any(sign => text.Contains(sign, StringComparison.Ordinal)))
                return new NeuronRunException(failure, step, FirstLine(message), remedy, codes, traceback);
        return new NeuronRunException(NeuronFailure.CallFailed, step, type == "BridgeError" ? message : $"{type}: {FirstLine(message)}",
            type == "BridgeError" ? "" : "The traceback is in the error.", codes, traceback);
    }

    /// <summary>A process that ended by itself. Exit codes above 128 are signals: 137 is how the kernel ends what takes too much memory.</summary>
    public static NeuronRunException Died(string step, int exitCode, string tail) =>
        exitCode == 3 && tail.Contains("needs Python", StringComparison.Ordinal)
        ? new NeuronRunException(NeuronFailure.WrongPython, step, LastLine(tail), "Choose another with NEURON_PYTHON or the host's option.",
        traceback: tail)
        : new NeuronRunException(NeuronFailure.PythonDied, step,
        $"the Python process ended with exit code {exitCode}{(exitCode == 137 ? " (killed)" : "")}; its last line was: {LastLine(tail)}",
            exitCode == 137 ? "If nobody killed it, the host's memory ran out: see dmesg, and nq plan for the need."
                : "Its last lines are in the error.", traceback: tail);

    private static string OfCode(IReadOnlyList<string> codes) =>
        codes.Contains("NCC_EVRF051")
            ? "It met an fp8 tensor without the flag: quantization_dtype must be exactly f8e4m3, and kv_quant_config needs kv_cache_quant."
        : codes.Contains("NCC_IXCG856") ? "Known on Inf2 with sampling on the device (aws-neuron-sdk issue 1303): sample greedily with top_k 1, or "
        + "leave on_device_sampling_config out."
        : "Look the code up in the Neuron documentation under compiler/error-codes; the traceback is in the error.";

    private static string FirstLine(string text) => text.Split('\n').Select(line => line.Trim()).FirstOrDefault(line => line.Length > 0) ?? "";

    private static string LastLine(string text) => text.Split('\n').Select(line => line.Trim()).LastOrDefault(line => line.Length > 0) ?? "none";
}
