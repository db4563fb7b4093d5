using System.Diagnostics;
using System.Globalization;

namespace NeuronQuant.Benchmarks;

/// <summary>
/// Contestants run in turns, so that a change of the machine's load touches all of them: one warm-up round, then the rounds that count.
/// Median, best and worst of each are printed.
/// </summary>
internal sealed class Measurement(string title, string unit, double workPerRun)
{
    private readonly List<(string Name, Func<double> Run, List<double> Rates)> _contestants = [];

    public Measurement Add(string name, Action run) => AddRate(name, () =>
    {
        long start = Stopwatch.GetTimestamp();
        run();
        return workPerRun / Stopwatch.GetElapsedTime(start).TotalSeconds;
    });

    /// <summary>A contestant that times itself, such as another program.</summary>
    public Measurement AddRate(string name, Func<double> rate)
    {
        _contestants.Add((name, rate, []));
        return this;
    }

    public void Run(int rounds)
    {
        for (int round = -1; round < rounds; round++)
            foreach (var (_, run, rates) in _contestants)
            {
                double rate = run();
                if (round >= 0) rates.Add(rate);
            }
        Console.WriteLine($"\n{title} ({unit}, {rounds} rounds in turns)\n");
        Console.WriteLine("| contestant | median | best | worst |\n| --- | ---: | ---: | ---: |");
        foreach (var (name, _, rates) in _contestants)
        {
            rates.Sort();
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {name} | {rates[rates.Count / 2]:0.0} | {rates[^1]:0.0} | {rates[0]:0.0} |"));
        }
    }
}
