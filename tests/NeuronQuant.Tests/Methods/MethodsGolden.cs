using System.Runtime.InteropServices;
using System.Text.Json;
using NeuronQuant.Quantization;

namespace NeuronQuant.Tests.Methods;

/// <summary>What numpy's float64 says of clipping and HQQ (tests/python/make_methods_golden.py).</summary>
internal sealed record MethodsGolden(string Numpy, MethodsGolden.Case[] Cases)
{
    public static readonly MethodsGolden File = JsonSerializer.Deserialize<MethodsGolden>(
        System.IO.File.ReadAllText(Repository.PathOf("tests", "NeuronQuant.Tests", "Golden", "methods.json")),
        new JsonSerializerOptions { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower })!;

    public sealed record Clipped(double[] Factors, double Error, double RoundedError);

    public sealed record HalfQuadratic(double[] Zeros, int Iterations, double Error, double FirstError);

    public sealed record Case(
        string Name, int Rows, int Columns, int Bits, int? Group, byte[] Weights, Clipped Clipping, Clipped AsymmetricClipping, HalfQuadratic Hqq)
    {
        public WeightMatrix Matrix => WeightMatrix.Of(Name, MemoryMarshal.Cast<byte, float>(Weights).ToArray(), Rows, Columns);

        public Grid On(Grid grid) => Group is { } size ? grid.InGroups(size) : grid;
    }
}
