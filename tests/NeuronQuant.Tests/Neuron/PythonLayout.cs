using System.Globalization;
using System.Text.Json;

namespace NeuronQuant.Tests.Neuron;

/// <summary>
/// Environments as the tools lay them out, made from a Python that is here: the same program and the same standard library in other places,
/// with what each tool says of them. A package with a version lies in each, so that the environment, and not its base, is seen to be used.
/// </summary>
internal sealed class PythonLayout : IDisposable
{
    /// <summary>The version of NxD Inference that only the environment has.</summary>
    public const string Nxdi = "0.8.16251";

    private readonly string _root = Directory.CreateTempSubdirectory("neuronquant-python-").FullName;
    private readonly Base _base;

    public PythonLayout(string interpreter)
    {
        const string question = """
            import json, os, sys, sysconfig
            library = os.path.join(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("INSTSONAME") or "")
            print(json.dumps({"Program": os.path.realpath(sys.executable), "Version": "%d.%d" % sys.version_info[:2],
                "Modules": os.path.dirname(os.__file__),
                "Variables": sysconfig._get_sysconfigdata_name() + ".py", "Library": os.path.realpath(library) if os.path.isfile(library) else ""}))
            """;
        _base = JsonSerializer.Deserialize<Base>(PythonForTests.Run(interpreter, "-I", "-c", question).GetAwaiter().GetResult().Output)!;
    }

    /// <summary>Whether the Python at hand has a shared library to give to an environment.</summary>
    public bool HasLibrary => _base.Library.Length > 0;

    public string Version => _base.Version;

    public string PathOf(params string[] parts) => Path.Combine([_root, .. parts]);

    public void Dispose() => Directory.Delete(_root, recursive: true);

    /// <summary>What <c>python -m venv</c> makes: links to the base's program, or copies of it.</summary>
    public async Task<string> Venv(string name, bool copies)
    {
        var (code, output) = await PythonForTests.Run(_base.Program, "-m", "venv", "--without-pip", copies ? "--copies" : "--symlinks", PathOf(name));
        if (code != 0) throw new InvalidOperationException(output);
        return await WithPackage(PathOf(name, "bin", "python"));
    }

    /// <summary>
    /// A whole installation in a folder of its own, as conda and pyenv make them: bin, lib, and the library under lib where it has one. A static
    /// build names only its archive, which is what conda's interpreter says of itself although the library lies beside it.
    /// </summary>
    public async Task<string> Installation(string folder, bool isStatic, bool withLibrary)
    {
        string prefix = PathOf(folder), library = Path.Combine(prefix, "lib"), modules = Path.Combine(library, $"python{Version}");
        Directory.CreateDirectory(modules);
        Directory.CreateDirectory(Path.Combine(prefix, "bin"));
        foreach (string entry in Directory.EnumerateFileSystemEntries(_base.Modules))
            if (Path.GetFileName(entry) is var name && name != _base.Variables && name is not ("site-packages" or "dist-packages" or "__pycache__"))
                File.CreateSymbolicLink(Path.Combine(modules, name), entry);
        string so = $"libpython{Version}.so.1.0", archive = $"libpython{Version}.a";
        string said = $"'LIBDIR': {Quoted(library)}, 'LIBPL': {Quoted(modules)}, 'Py_ENABLE_SHARED': {(isStatic ? 0 : 1)}, "
            + $"'INSTSONAME': {Quoted(isStatic ? archive : so)}, 'LDLIBRARY': {Quoted(isStatic ? archive : so)}";
        string variables = await File.ReadAllTextAsync(Path.Combine(_base.Modules, _base.Variables));
        await File.WriteAllTextAsync(Path.Combine(modules, _base.Variables), $"{variables}\nbuild_time_vars.update({{{said}}})\n");
        if (withLibrary) File.Copy(_base.Library, Path.Combine(library, so));
        string program = Path.Combine(prefix, "bin", $"python{Version}");
        File.Copy(_base.Program, program);
        File.CreateSymbolicLink(Path.Combine(prefix, "bin", "python3"), program);
        return await WithPackage(program);
    }

    /// <summary>pyenv's shims: scripts on the PATH that run the chosen version's program.</summary>
    public string Shims(string program)
    {
        string script = PathOf("shims", "python3");
        Directory.CreateDirectory(PathOf("shims"));
        File.WriteAllText(script, $"#!/bin/sh\nexec {program} \"$@\"\n");
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(script, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        return PathOf("shims");
    }

    /// <summary>A copy of a program or library whose header names the ARM processor instead.</summary>
    public static void MakeForeign(string file)
    {
        byte[] bytes = File.ReadAllBytes(file);
        (bytes[18], bytes[19]) = (0xB7, 0); // e_machine: AArch64
        File.WriteAllBytes(file, bytes);
    }

    // Where an environment looks for packages it says itself: Debian's differs from others.
    private async Task<string> WithPackage(string program)
    {
        var (code, output) = await PythonForTests.Run(program, "-I", "-c", "import site; print(site.getsitepackages()[0])");
        if (code != 0 || !output.Trim().StartsWith(_root, StringComparison.Ordinal))
            throw new InvalidOperationException($"{program} has its packages elsewhere: {output}");
        string folder = Path.Combine(output.Trim(), string.Create(CultureInfo.InvariantCulture, $"neuronx_distributed_inference-{Nxdi}.dist-info"));
        Directory.CreateDirectory(folder);
        await File.WriteAllTextAsync(Path.Combine(folder, "METADATA"),
            $"Metadata-Version: 2.1\nName: neuronx-distributed-inference\nVersion: {Nxdi}\n");
        return program;
    }

    private static string Quoted(string text) => JsonSerializer.Serialize(text);

    private sealed record Base(string Program, string Version, string Modules, string Variables, string Library);
}
