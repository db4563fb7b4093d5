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
    // conda's interpreter is linked statically and its variables name only the archive, while the library lies beside it: the usual names are
    // looked for too. Whether the build meant to have one tells a library that is not installed from one that was never made.
    private const string Question = """
        import json, os, sys, sysconfig
        get, version = sysconfig.get_config_var, sys.version_info[:2]
        folders = [get("LIBDIR"), get("LIBPL"), os.path.join(sys.base_prefix, "lib"), sys.base_prefix]
        named = [name for name in (get("INSTSONAME"), get("LDLIBRARY")) if name and not name.endswith(".a")]
        usual = [pattern % version for pattern in ("libpython%d.%d.so.1.0", "libpython%d.%d.so", "python%d%d.dll", "libpython%d.%d.dylib")]
        files = [os.path.join(folder, name) for name in named + usual for folder in folders if folder]
        found = next((os.path.realpath(file) for file in files if os.path.isfile(file)), "")
        print(json.dumps([sys.executable, found, "%d.%d.%d" % sys.version_info[:3], named[0] if named and get("Py_ENABLE_SHARED") else ""]))
        """;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    /// <summary>The library, or null and the reason why this interpreter has none that can be used here.</summary>
    public static async Task<(PythonLibrary? Library, string Reason)> Of(PythonInterpreter interpreter, CancellationToken cancellation)
    {
        if (await Ask(interpreter.Path, cancellation).ConfigureAwait(false) is not [var program, var file, var version, var promised])
            return (null, "the interpreter does not say where its library is");
        if (System.Version.Parse(version) is var number && (number < new Version(3, 10) || number >= new Version(3, 15)))
            return (null, $"pythonnet runs Python 3.10 to 3.14, and this is {version}");
        if (file.Length == 0)
            return (null, promised.Length == 0 ? $"Python {version} was built without a shared library"
                : $"the library of Python {version}, {promised}, is not installed (Debian and Ubuntu: the package "
                + $"libpython{number.Major}.{number.Minor})");
        // pythonnet remembers a library that it could not load for ever, so it is tried first.
        if (NativeLibrary.TryLoad(file, out _)) return (new PythonLibrary(program, file, version), "");
        string foreign = ElfHeader.ForeignMachine(file) is { } machine ? $": it is for {machine}, and this process is {ElfHeader.ThisMachine}" : "";
        return (null, $"{Path.GetFileName(file)} cannot be loaded{foreign}");
    }

    private static async Task<string[]?> Ask(string program, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(Patience);
        try
        {
            var start = new ProcessStartInfo(program, ["-I", "-c", Question])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
                RedirectStandardInput = true,
            };
            using var process = Process.Start(start)!;
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
        catch (Exception error) when (error is JsonException or System.ComponentModel.Win32Exception
            || (error is OperationCanceledException && !cancellation.IsCancellationRequested))
        {
            return null; // No Python at all: the child process finds the same, and says it better.
        }
    }
}
