using System.Collections.Concurrent;
using System.Text;
using System.Text.Json.Nodes;
using NeuronQuant.CommandLine.Kernel;

namespace NeuronQuant.Tests.Notebooks;

/// <summary>The kernel's engine in this process, driven as the wrapper drives it: lines in, lines out, with no Jupyter and no Python.</summary>
internal sealed class KernelEngine : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private readonly Input _input = new();
    private readonly Output _output = new();
    private int _number;

    public KernelEngine(string folder) => Ended = new KernelServer(folder, _output).Run(_input);

    /// <summary>Completes when the server has ended.</summary>
    public Task Ended { get; }

    /// <summary>Sends a request and returns its number.</summary>
    public int Ask(string op, string? code = null, int cursor = 0)
    {
        Write(new JsonObject { ["id"] = ++_number, ["op"] = op, ["code"] = code, ["cursor"] = cursor }.ToJsonString());
        return _number;
    }

    /// <summary>Sends any line.</summary>
    public void Write(string line) => _input.Lines.Add(line);

    /// <summary>Ends the input.</summary>
    public void Close() => _input.Lines.CompleteAdding();

    /// <summary>The next line out; fails when none comes.</summary>
    public JsonObject Next(TimeSpan? patience = null)
    {
        if (!_output.Lines.TryTake(out string? line, patience ?? Patience)) throw new TimeoutException($"The engine said nothing for {patience ?? Patience}.");
        return line[0] == KernelServer.Mark ? JsonNode.Parse(line[1..])!.AsObject() : throw new InvalidDataException($"A line without the mark: {line}");
    }

    /// <summary>The outputs of a request, in order, and its answer.</summary>
    public (JsonObject[] Outputs, JsonObject Done) Follow(int number, TimeSpan? patience = null)
    {
        var outputs = new List<JsonObject>();
        while (true)
        {
            var line = Next(patience);
            if ((int?)line["id"] != number) throw new InvalidDataException($"Asked {number}, answered {line["id"]}: {line.ToJsonString()}");
            if (line["done"] is JsonObject done) return ([.. outputs], done);
            outputs.Add(line["output"]!.AsObject());
        }
    }

    public (JsonObject[] Outputs, JsonObject Done) Execute(string code) => Follow(Ask("execute", code));

    public void Dispose()
    {
        if (!_input.Lines.IsAddingCompleted) Close();
    }

    private sealed class Input : TextReader
    {
        public BlockingCollection<string> Lines { get; } = [];

        public override string? ReadLine() => Lines.TryTake(out string? line, Timeout.Infinite) ? line : null;
    }

    private sealed class Output : TextWriter
    {
        public BlockingCollection<string> Lines { get; } = [];

        public override Encoding Encoding => Encoding.UTF8;

        public override void WriteLine(string? value) => Lines.Add(value!);
    }
}
