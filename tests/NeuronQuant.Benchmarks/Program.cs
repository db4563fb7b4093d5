using NeuronQuant.Benchmarks;

// Side by side in one run: dotnet run -c Release --project tests/NeuronQuant.Benchmarks -- passes
switch (args)
{
    case ["passes"]:
        PassesBenchmark.Run();
        return 0;
    default:
        Console.Error.WriteLine("usage: NeuronQuant.Benchmarks passes");
        return 2;
}
