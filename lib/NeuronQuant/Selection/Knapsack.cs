namespace NeuronQuant.Selection;

/// <summary>Something that may be kept: what it saves and what it costs.</summary>
internal readonly record struct KnapsackItem(double Value, long Cost);

/// <summary>Chooses the items of the greatest total value whose costs fit a budget, exactly.</summary>
/// <remarks>
/// Dynamic programming over the frontier: the pairs (cost, value) of all choices so far that no other choice beats on both. Items of one
/// cost are taken together, since among them the most valuable ones always go first: for a transformer, whose layers repeat a few sizes,
/// this leaves a handful of steps and thousands of pairs instead of a table of bytes. Values are real numbers and stay so. With hundreds of
/// items that all differ in cost the frontier can grow without a useful bound; decoder models have four or five sizes.
/// </remarks>
internal static class Knapsack
{
    /// <summary>Indices of the chosen items, ascending. Items of value 0 are left out.</summary>
    /// <param name="items">values not negative, costs positive</param>
    /// <param name="budget">largest sum of costs</param>
    public static IReadOnlyList<int> Choose(IReadOnlyList<KnapsackItem> items, long budget)
    {
        var classes = Enumerable.Range(0, items.Count).Where(i => items[i].Value > 0).GroupBy(i => items[i].Cost)
            .Select(group => group.OrderByDescending(i => items[i].Value).ToArray()).ToArray();
        var levels = new List<State[]> { new[] { new State(0, 0, -1, 0) } };
        foreach (int[] members in classes) levels.Add(Extend(levels[^1], members, items, budget));
        var chosen = new List<int>();
        int at = levels[^1].Length - 1; // The frontier ascends in value.
        for (int level = levels.Count - 1; level > 0; level--)
        {
            var state = levels[level][at];
            chosen.AddRange(classes[level - 1].Take(state.Taken));
            at = state.Parent;
        }
        chosen.Sort();
        return chosen;
    }

    private static State[] Extend(State[] frontier, int[] members, IReadOnlyList<KnapsackItem> items, long budget)
    {
        var candidates = new List<State>();
        for (int parent = 0; parent < frontier.Length; parent++)
        {
            var (cost, value, _, _) = frontier[parent];
            for (int taken = 0; ; taken++)
            {
                candidates.Add(new State(cost, value, parent, taken));
                if (taken == members.Length || cost + items[members[taken]].Cost > budget) break;
                (cost, value) = (cost + items[members[taken]].Cost, value + items[members[taken]].Value);
            }
        }
        candidates.Sort((a, b) => a.Cost != b.Cost ? a.Cost.CompareTo(b.Cost) : b.Value.CompareTo(a.Value));
        var kept = new List<State>();
        foreach (var state in candidates)
            if (kept.Count == 0 || state.Value > kept[^1].Value) kept.Add(state);
        return [.. kept];
    }

    private readonly record struct State(long Cost, double Value, int Parent, int Taken);
}
