using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace NeuronQuant.Neuron;

/// <summary>The shared library of an interpreter, which is what runs inside another process.</summary>
/// <remarks>
/// The interpreter itself is asked: only it knows whether it was built with a shared library, under which name, and where its virtual
/// environment begins. pythonnet would guess from the PATH, and a wrong guess cannot be taken back for the life of the process.
/// </remarks>
/// <param name="Program">sys.executable: a virtual environment is found from it</param>
/// <param name="File">the library, as a full path</param>
/// <param name="Version">3.11.2</param>
internal sealed record PythonLibrary(string Program, string File, string Version)
{
    private const string Question = """
        import json, os, sys, sysconfig
        folders = [sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LIBPL"), os.path.join(sys.base_prefix, "lib"), sys.base_prefix]
        names = [sysconfig.get_config_var("INSTSONAME"), sysconfig.get_config_var("LDLIBRARY"), "python%d%d.dll" % sys.version_info[:2], "libpython%d.%d.dylib" % sys.version_info[:2]]
        files = [os.path.join(folder, name) for folder in folders for name in names if folder and name and not name.endswith(".a")]
        print(json.dumps([sys.executable, next((os.path.realpath(file) for file in files if os.path.isfile(file)), ""), "%d.%d.%d" % sys.version_info[:3]]))
        """;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    /// <summary>The library, or null and the reason why this interpreter has none that can be used here.</summary>
    public static async Task<(PythonLibrary? Library, string Reason)> Of(PythonInterpreter interpreter, CancellationToken cancellation)
    {
        if (await Ask(interpreter.Path, cancellation).ConfigureAwait(false) is not [var program, var file, var version]) return (null, "the interpreter does not say where its library is");
        if (file.Length == 0) return (null, $"Python {version} was built without a shared library");
        if (System.Version.Parse(version) is var number && (number < new Version(3, 10) || number >= new Version(3, 15)))
            return (null, $"pythonnet runs Python 3.10 to 3.14, and this is {version}");
        // pythonnet remembers a library that it could not load for ever, so it is tried first.
        return NativeLibrary.TryLoad(file, out _) ? (new PythonLibrary(program, file, version), "") : (null, $"{Path.GetFileName(file)} cannot be loaded");
    }

    private static async Task<string[]?> Ask(string program, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(Patience);
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, ["-I", "-c", Question]) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true })!;
            process.StandardInput.Close();
            try
            {
                var errors = process.StandardError.ReadToEndAsync(limit.Token);
                string answer = await process.StandardOutput.ReadToEndAsync(limit.Token).ConfigureAwait(false);
                await errors.ConfigureAwait(false);
                return JsonSerializer.Deserialize<string[]>(answer);
            }
            finally
            {
                if (!process.HasExited) process.Kill(entireProcessTree: true);
            }
        }
        catch (Exception error) when (error is JsonException or System.ComponentModel.Win32Exception || (error is OperationCanceledException && !cancellation.IsCancellationRequested))
        {
            return null; // No Python at all: the child process finds the same, and says it better.
        }
    }
}
