using NeuronQuant.Benchmarks;

// Side by side in one run: dotnet run -c Release --project tests/NeuronQuant.Benchmarks -- passes
switch (args)
{
    case ["passes"]:
        PassesBenchmark.Run();
        return 0;
    case ["decode", ..]:
        DecodeBenchmark.Run(args);
        return 0;
    case ["autoround"]:
        AutoRoundBenchmark.Run();
        return 0;
    case ["tokenize", _, ..]:
        TokenizeBenchmark.Run(args);
        return 0;
    default:
        Console.Error.WriteLine("usage: NeuronQuant.Benchmarks passes | decode [--llama2c RUN --checkpoint FILE --tokenizer FILE] | "
            + "autoround | tokenize FILE... [--text FILE]");
        return 2;
}
