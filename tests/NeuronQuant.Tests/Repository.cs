namespace NeuronQuant.Tests;

/// <summary>Where the tests find the repository and the optional test data beside it.</summary>
public static class Repository
{
    /// <summary>The folder that holds NeuronQuant.slnx.</summary>
    public static string Root { get; } = Find();

    /// <summary>The path of a file or folder of the repository.</summary>
    public static string PathOf(params string[] parts) => Path.Combine([Root, .. parts]);

    private static string Find()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "NeuronQuant.slnx"))) return folder.FullName;
        throw new DirectoryNotFoundException($"No NeuronQuant.slnx above {AppContext.BaseDirectory}: run the tests from a clone.");
    }
}
