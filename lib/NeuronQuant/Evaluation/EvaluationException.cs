namespace NeuronQuant.Evaluation;

/// <summary>Every way in which an evaluation can fail; one member for one cause.</summary>
public enum EvaluationFailure
{
    /// <summary>A data file is not there or cannot be read.</summary>
    DataNotFound,

    /// <summary>A line of a data file is not what the task expects.</summary>
    DataInvalid,

    /// <summary>A samples file is of another task, model or settings.</summary>
    SamplesStale,

    /// <summary>A samples file is damaged.</summary>
    SamplesInvalid,

    /// <summary>Two samples files do not hold the same questions.</summary>
    SamplesDiffer,

    /// <summary>A prompt and its answer do not fit into the model's context.</summary>
    ContextTooShort,

    /// <summary>The model does not offer what the task needs.</summary>
    NotOffered,

    /// <summary>The endpoint could not be reached, or kept failing.</summary>
    EndpointFailed,

    /// <summary>The endpoint refused the request: it would refuse it again.</summary>
    EndpointRefused,

    /// <summary>The endpoint's answer is not of the protocol.</summary>
    EndpointAnswer,
}

/// <summary>An evaluation that cannot go on: which file or endpoint, what was found and expected, what to do.</summary>
/// <remarks>One exception for the whole room; <see cref="Failure"/> tells the causes apart.</remarks>
public sealed class EvaluationException : IOException
{
    internal EvaluationException(EvaluationFailure failure, string where, string found, string expected, string remedy, Exception? inner = null)
        : this(failure, where, $"found {found}, expected {expected}. {remedy}", inner)
    {
    }

    internal EvaluationException(EvaluationFailure failure, string where, string sentences, Exception? inner = null)
        : base($"{where}: {sentences}", inner)
    {
        (Failure, Where) = (failure, where);
    }

    /// <summary>The cause.</summary>
    public EvaluationFailure Failure { get; }

    /// <summary>The file, line, endpoint or model at fault.</summary>
    public string Where { get; }
}
