using System.CommandLine;

namespace NeuronQuant.CommandLine;

/// <summary>The entry point of <c>nq</c>.</summary>
public static class Program
{
    /// <summary>Runs one command. Exit code 0 = done, 1 = found something or failed, 2 = usage.</summary>
    public static int Main(string[] args) => new RootCommand("Learn, reproduce and apply LLM weight quantization for AWS Inferentia.").Parse(args).Invoke();
}
