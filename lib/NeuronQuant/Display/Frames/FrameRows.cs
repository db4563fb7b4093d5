using Microsoft.Data.Analysis;

namespace NeuronQuant.Display;

/// <summary>Gathers rows for a data frame, where they are not simply one an item.</summary>
/// <param name="title">the caption; may be empty</param>
/// <param name="columns">a name, or a name with its format</param>
public sealed class FrameRows(string title, params Column[] columns)
{
    private readonly List<object?[]> _rows = [];
    private readonly HashSet<int> _marked = [];

    /// <summary>The frame of the rows so far.</summary>
    public static implicit operator DataFrame(FrameRows rows) => rows.ToDataFrame();

    /// <summary>Adds a row.</summary>
    public FrameRows Row(params object?[] values)
    {
        _rows.Add([.. values]);
        return this;
    }

    /// <summary>Makes the row that was added last stand out.</summary>
    public FrameRows Mark()
    {
        _marked.Add(_rows.Count - 1);
        return this;
    }

    /// <summary>The frame of the rows so far.</summary>
    /// <exception cref="ArgumentException">a row has another number of values than there are columns</exception>
    public DataFrame ToDataFrame() => Frames.FromRows(title, columns, _rows, _marked);
}
