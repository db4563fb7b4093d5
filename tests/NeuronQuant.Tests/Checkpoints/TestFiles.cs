using System.Buffers.Binary;
using System.Text;

namespace NeuronQuant.Tests.Checkpoints;

/// <summary>A temporary folder, and safetensors files written by hand rather than by the writer under test.</summary>
internal sealed class TestFiles : IDisposable
{
    public string Folder { get; } = Directory.CreateTempSubdirectory("neuronquant-").FullName;

    public string PathOf(string name) => Path.Combine(Folder, name);

    /// <summary>Writes length, header and data as the format describes them.</summary>
    public string Safetensors(string name, string header, params byte[] data) => Bytes(name, Compose(Encoding.UTF8.GetBytes(header), data));

    public string Bytes(string name, params byte[] bytes)
    {
        File.WriteAllBytes(PathOf(name), bytes);
        return PathOf(name);
    }

    public string Text(string name, string text)
    {
        File.WriteAllText(PathOf(name), text);
        return PathOf(name);
    }

    public static byte[] Compose(byte[] header, byte[] data)
    {
        byte[] length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
        return [.. length, .. header, .. data];
    }

    /// <summary>One header entry.</summary>
    public static string Entry(string name, string type, string shape, string offsets) =>
        $"\"{name}\":{{\"dtype\":\"{type}\",\"shape\":[{shape}],\"data_offsets\":[{offsets}]}}";

    public void Dispose() => Directory.Delete(Folder, recursive: true);
}
