using System.Diagnostics;

namespace NeuronQuant.Tests;

/// <summary>Where the tests find the repository and the optional test data beside it.</summary>
public static class Repository
{
    /// <summary>The folder that holds NeuronQuant.slnx.</summary>
    public static string Root { get; } = Find();

    /// <summary>The path of a file or folder of the repository.</summary>
    public static string PathOf(params string[] parts) => Path.Combine([Root, .. parts]);

    /// <summary>
    /// How a test starts a program: in the repository's folder. A session of a notebook beside it makes a temporary folder the current one of this process
    /// and then deletes it, and a program that finds itself in a folder that is gone fails.
    /// </summary>
    public static ProcessStartInfo Start(string program, params string[] arguments) => new(program, arguments)
    {
        RedirectStandardOutput = true,
        RedirectStandardError = true,
        WorkingDirectory = Root,
    };

    private static string Find()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "NeuronQuant.slnx"))) return folder.FullName;
        throw new DirectoryNotFoundException($"No NeuronQuant.slnx above {AppContext.BaseDirectory}: run the tests from a clone.");
    }
}
