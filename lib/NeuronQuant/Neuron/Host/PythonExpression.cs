using Python.Runtime;

namespace NeuronQuant.Neuron;

/// <summary>Asks Python, in this process, what it makes of an expression: a second opinion for a lesson.</summary>
/// <remarks>
/// With "none" nothing is looked for, so that a lesson's outputs are the same on a machine without Python. The answer is Python's own text
/// of the value. The expression is the notebook's, never a stranger's: it can do whatever Python can.
/// </remarks>
public static class PythonExpression
{
    /// <summary>What stands where Python was not asked.</summary>
    public const string NotAsked = "not asked: give the parameter python=auto, or an interpreter";

    /// <summary>Evaluates an expression, such as <c>[round(x) for x in (0.5, 1.5)]</c>.</summary>
    /// <param name="python">"none", "auto" to look for one, or an interpreter or an environment</param>
    /// <param name="expression">one expression of Python</param>
    /// <param name="cancellation">ends the wait</param>
    /// <returns>str() of the value, or <see cref="NotAsked"/></returns>
    /// <exception cref="NeuronRunException">there is no such Python, or it cannot run in this process, or the expression fails</exception>
    public static Task<string> Evaluate(string python, string expression, CancellationToken cancellation = default) => Run(python, () =>
    {
        using var scope = Py.CreateScope();
        using var value = scope.Eval(expression);
        return $"{value}";
    }, cancellation);

    /// <summary>Runs a cell's own code of pythonnet on Python's thread, under its lock: <c>() =&gt; { dynamic numpy = Py.Import("numpy"); return numpy.pi; }</c>.</summary>
    /// <param name="python">"none", "auto" to look for one, or an interpreter or an environment</param>
    /// <param name="code">what to run; objects of Python do not leave it but as text</param>
    /// <param name="cancellation">ends the wait</param>
    /// <returns>the text of what the code gives, or <see cref="NotAsked"/></returns>
    /// <exception cref="NeuronRunException">there is no such Python, or it cannot run in this process, or Python raised an error</exception>
    public static async Task<string> Run(string python, Func<object?> code, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(code);
        if (python == DeviceOptions.None) return NotAsked;
        var (library, reason) = await PythonLibrary.Of(PythonInterpreter.Find(python == DeviceOptions.Auto ? null : python), cancellation)
            .ConfigureAwait(false);
        string? refusal = library is null ? reason : await PythonRuntime.Start(library).WaitAsync(cancellation).ConfigureAwait(false);
        if (refusal is not null) throw new NeuronRunException(NeuronFailure.WrongPython, "python", $"{refusal}.",
            "Name another interpreter, one that was built with a shared library.");
        try
        {
            return await PythonRuntime.Run(() => FormattableString.Invariant($"{code()}")).WaitAsync(cancellation).ConfigureAwait(false);
        }
        catch (PythonException error)
        {
            throw new NeuronRunException(NeuronFailure.WrongPython, "python", $"{error.Type.Name}: {error.Message}", "Mend what it was asked.");
        }
    }
}
