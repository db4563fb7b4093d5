using System.Text.RegularExpressions;
using Xunit;

namespace NeuronQuant.Tests;

public partial class RepositoryTests
{
    [Fact]
    public void TheTopLevelHoldsOnlyWhatTheDesignNames()
    {
        string[] allowed = ["notebooks", "lib", "data", "tests", "global.json", "README.md", "environment.yml", "NeuronQuant.slnx", "out"]; // out is what nq run leaves; git ignores it
        var found = Directory.EnumerateFileSystemEntries(Repository.Root).Select(Path.GetFileName)
            .Where(name => !name!.StartsWith('.') && !name.StartsWith("Directory.", StringComparison.Ordinal));
        Assert.Empty(found.Except(allowed));
    }

    /// <summary>The README's order of the rooms is the order of their files' usings and of the names that need none: no room knows a later one, and Display knows none.</summary>
    [Fact]
    public void A_room_uses_only_those_before_it_and_Display()
    {
        string row = File.ReadLines(Repository.PathOf("README.md")).Single(line => line.StartsWith("| `lib/NeuronQuant` |", StringComparison.Ordinal));
        string[] rooms = [.. RoomList().Match(row).Groups[1].Value.Split(", ")];
        string library = Repository.PathOf("lib", "NeuronQuant");
        Assert.Equal(Directory.GetDirectories(library).Select(Path.GetFileName).Except(["bin", "obj"]).Order(), rooms.Append("Display").Order());
        var files = rooms.Append("Display").SelectMany(room => Directory.EnumerateFiles(Path.Combine(library, room), "*.cs", SearchOption.AllDirectories)
            .Select(file => (Room: room, Name: Path.GetFileNameWithoutExtension(file), Code: Code(file)))).ToArray();
        var types = files.Select(file => (file.Room, file.Name)).ToHashSet();
        var uses = files.SelectMany(file => RoomName().Matches(file.Code).Where(match => !match.Groups["type"].Success || types.Contains((match.Groups["room"].Value, match.Groups["type"].Value)))
            .Select(match => (file.Room, file.Name, Used: match.Groups["room"].Value))).Where(use => use.Used != use.Room && rooms.Contains(use.Used)).Distinct().ToArray();
        Assert.True(uses.Length > 100, "the usings were not found");
        Assert.DoesNotContain(uses, use => use.Room == "Display" || Array.IndexOf(rooms, use.Used) > Array.IndexOf(rooms, use.Room));
    }

    private static string Code(string file) => string.Join('\n', File.ReadLines(file).Where(line => !line.TrimStart().StartsWith("//", StringComparison.Ordinal)));

    [GeneratedRegex(@"Display: ([\w, ]+) \|")]
    private static partial Regex RoomList();

    // "using NeuronQuant.Room;", or Room.Type within the code.
    [GeneratedRegex(@"using (?:static )?NeuronQuant\.(?<room>\w+)|(?<room>\b[A-Z]\w+)\.(?<type>[A-Z]\w+)")]
    private static partial Regex RoomName();
}
