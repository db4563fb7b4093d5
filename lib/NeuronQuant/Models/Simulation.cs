using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Models;

/// <summary>What a pass does besides computing the model: what a device would round on the way.</summary>
/// <param name="Cache">how earlier keys and values are read; null for as they are</param>
/// <param name="Inputs">which linear modules read a rounded input; null for none</param>
/// <param name="Fresh">[texts, length, 1] true where a query reads keys and values as they were computed, as those of a prompt do; null for nowhere</param>
internal sealed record Simulation(CachePrecision? Cache = null, InputRounding? Inputs = null, Tensor? Fresh = null);

/// <summary>Which linear modules read a rounded input.</summary>
internal sealed record InputRounding(InputFormat Format, Func<Linear, bool> Reaches);
