namespace NeuronQuant.Formats;

/// <summary>The guard that every codec over spans begins with.</summary>
internal static class Lengths
{
    public static void MustEqual(int source, int destination)
    {
        if (source != destination)
            throw new ArgumentException($"The source has {source} elements and the destination {destination}; they must be equally long.");
    }
}
