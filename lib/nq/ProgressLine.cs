using NeuronQuant.Display;

namespace NeuronQuant.CommandLine;

/// <summary>Shows progress on the error stream: one line that is overwritten in a terminal, a line now and then in a log.</summary>
internal sealed class ProgressLine(TextWriter writer, bool isRedirected) : IDisposable
{
    private static readonly TimeSpan LogInterval = TimeSpan.FromSeconds(30);
    private readonly Lock _gate = new();
    private TimeSpan _lastLogged = TimeSpan.MinValue;
    private int _width;

    /// <summary>What is running, such as a notebook's name.</summary>
    public string Subject { get; set; } = "";

    /// <summary>Shows a report.</summary>
    public void Show(ProgressReport report)
    {
        var text = Subject.Length > 0 ? $"{Subject}  {report}" : report.ToString();
        lock (_gate)
        {
            if (isRedirected) Log(text, report.Elapsed);
            else
            {
                if (text.Length > 110) text = text[..110];
                writer.Write("\r" + text.PadRight(_width));
                _width = text.Length;
            }
        }
    }

    /// <summary>Takes the line away.</summary>
    public void Clear()
    {
        lock (_gate)
        {
            if (_width > 0) writer.Write("\r" + new string(' ', _width) + "\r");
            (_width, _lastLogged) = (0, TimeSpan.MinValue);
        }
    }

    /// <summary>Takes the line away.</summary>
    public void Dispose() => Clear();

    private void Log(string text, TimeSpan elapsed)
    {
        // A new calculation begins its time again.
        if (elapsed < _lastLogged) _lastLogged = TimeSpan.MinValue;
        if (_lastLogged != TimeSpan.MinValue ? elapsed - _lastLogged < LogInterval : elapsed < LogInterval) return;
        writer.WriteLine(text);
        _lastLogged = elapsed;
    }
}
