using Xunit;

namespace NeuronQuant.Tests;

public class RepositoryTests
{
    [Fact]
    public void TheTopLevelHoldsOnlyWhatTheDesignNames()
    {
        string[] allowed = ["notebooks", "lib", "data", "tests", "global.json", "README.md", "environment.yml", "NeuronQuant.slnx", "out"]; // out is what nq run leaves; git ignores it
        var found = Directory.EnumerateFileSystemEntries(Repository.Root).Select(Path.GetFileName)
            .Where(name => !name!.StartsWith('.') && !name.StartsWith("Directory.", StringComparison.Ordinal));
        Assert.Empty(found.Except(allowed));
    }
}
