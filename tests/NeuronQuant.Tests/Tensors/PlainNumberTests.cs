using System.Reflection;
using System.Reflection.Emit;
using NeuronQuant.Tensors;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace NeuronQuant.Tests.Tensors;

/// <summary>
/// No call of the library hands torch a number that a garbage collection may free under the operation (<see cref="Torch"/> says how). Nobody sees that in the
/// source: x.square() is one, and x + y. So the compiled code is read: which methods of TorchSharp make such an object on their way, and who calls them.
/// </summary>
public class PlainNumberTests
{
    private const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;

    private static readonly OpCode[] Codes = [.. typeof(OpCodes).GetFields(BindingFlags.Public | BindingFlags.Static).Select(field => (OpCode)field.GetValue(null)!)];
    private static readonly Dictionary<int, OpCode> Short = Codes.Where(code => code.Size == 1).ToDictionary(code => code.Value & 0xFF);
    private static readonly Dictionary<int, OpCode> Long = Codes.Where(code => code.Size == 2).ToDictionary(code => code.Value & 0xFF);

    [Fact]
    public void Numbers_reach_torch_by_the_table_that_keeps_them()
    {
        var making = Making();
        MethodBase Of(string name, params Type[] types) => typeof(Tensor).GetMethod(name, types)!;
        Assert.Contains(Of("op_Multiply", typeof(Tensor), typeof(double)), making);
        Assert.Contains(Of("op_Addition", typeof(Tensor), typeof(Tensor)), making);
        Assert.Contains(Of("square"), making);
        Assert.DoesNotContain(Of("op_Multiply", typeof(Tensor), typeof(Tensor)), making);

        string[] calls = [.. new[] { typeof(Torch).Assembly, typeof(CommandLine.Program).Assembly }.SelectMany(Methods)
            .SelectMany(method => Calls(method).Where(making.Contains).Select(call => $"{method.DeclaringType} {method.Name}: {call.DeclaringType!.Name}.{call.Name}"))];
        Assert.Equal(["ToScalar", "ToScalar"], calls.Select(call => call[(call.LastIndexOf('.') + 1)..])); // The table's own, of numbers and of whole numbers.
        Assert.All(calls, call => Assert.StartsWith($"{typeof(Torch).FullName}+", call, StringComparison.Ordinal));
    }

    // Every method of TorchSharp that makes a Scalar, or calls one that does.
    private static HashSet<MethodBase> Making()
    {
        var callers = Methods(typeof(Scalar).Assembly).SelectMany(method => Calls(method).Select(call => (call, method))).ToLookup(pair => pair.call, pair => pair.method);
        HashSet<MethodBase> making = [.. typeof(Scalar).GetConstructors(All)];
        var waiting = new Queue<MethodBase>(making);
        while (waiting.TryDequeue(out var called))
            foreach (var caller in callers[called].Where(making.Add)) waiting.Enqueue(caller);
        return making;
    }

    private static IEnumerable<MethodBase> Methods(Assembly assembly) =>
        assembly.GetTypes().SelectMany(type => type.GetMethods(All).Cast<MethodBase>().Concat(type.GetConstructors(All)));

    private static IEnumerable<MethodBase> Calls(MethodBase method)
    {
        if (method.GetMethodBody()?.GetILAsByteArray() is not { } code) yield break;
        Type[]? ofType = method.DeclaringType!.IsGenericType ? method.DeclaringType.GetGenericArguments() : null;
        Type[]? ofMethod = method.IsGenericMethod ? method.GetGenericArguments() : null;
        for (int at = 0; at < code.Length;)
        {
            var operation = code[at] == 0xFE ? Long[code[++at]] : Short[code[at]];
            at++;
            if (operation.OperandType == OperandType.InlineMethod && Whole(method.Module.ResolveMethod(BitConverter.ToInt32(code, at), ofType, ofMethod)) is { } call) yield return call;
            at += operation.OperandType switch
            {
                OperandType.InlineNone => 0,
                OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
                OperandType.InlineVar => 2,
                OperandType.InlineI8 or OperandType.InlineR => 8,
                OperandType.InlineSwitch => 4 + 4 * BitConverter.ToInt32(code, at),
                _ => 4,
            };
        }
    }

    // A generic method and its instances are one.
    private static MethodBase? Whole(MethodBase? method) => method is { IsGenericMethod: true } ? ((MethodInfo)method).GetGenericMethodDefinition() : method;
}
