using System.Text;

namespace NeuronQuant.CommandLine.Notebooks;

/// <summary>What a running cell finds around it: the notebook's folder as current directory, and a console that is recorded.</summary>
/// <remarks>
/// Both belong to the whole process, so one cell runs at a time, and both are put back when it ends. The recording console passes on
/// what does not come from the cell.
/// </remarks>
internal sealed class CellHost : IDisposable
{
    private static readonly SemaphoreSlim OneAtATime = new(1, 1);
    private readonly string _directory = Directory.GetCurrentDirectory();
    private readonly TextWriter _out = Console.Out;
    private readonly TextWriter _error = Console.Error;

    private CellHost(string folder)
    {
        Directory.SetCurrentDirectory(folder);
        Console.SetOut(new Recorder("stdout", _out));
        Console.SetError(new Recorder("stderr", _error));
    }

    /// <summary>Waits until no cell runs, then sets the stage for one.</summary>
    public static async Task<CellHost> EnterAsync(string folder, CancellationToken cancellation)
    {
        await OneAtATime.WaitAsync(cancellation);
        try
        {
            return new CellHost(folder);
        }
        catch
        {
            OneAtATime.Release();
            throw;
        }
    }

    public void Dispose()
    {
        Console.SetOut(_out);
        Console.SetError(_error);
        Directory.SetCurrentDirectory(_directory);
        OneAtATime.Release();
    }

    private sealed class Recorder : TextWriter
    {
        private readonly string _stream;
        private readonly TextWriter _otherwise;

        public Recorder(string stream, TextWriter otherwise)
        {
            (_stream, _otherwise) = (stream, otherwise);
            CoreNewLine = ['\n'];
        }

        public override Encoding Encoding => Encoding.UTF8;

        public override void Write(char value) => Write(value.ToString());

        public override void Write(char[] buffer, int index, int count) => Write(new string(buffer, index, count));

        public override void WriteLine(string? value) => Write(value + "\n");

        public override void Write(string? value)
        {
            if (CellOutputs.Current is { } outputs) outputs.AddStream(_stream, value ?? "");
            else _otherwise.Write(value);
        }
    }
}
