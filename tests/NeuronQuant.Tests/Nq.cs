using NeuronQuant.CommandLine;
using Xunit;

namespace NeuronQuant.Tests;

/// <summary>nq from its entry point, in this process. It takes over the console: tests that use it are in the collection "notebooks".</summary>
internal static class Nq
{
    public static async Task<(int Code, string Output, string Error)> Run(string[] arguments)
    {
        Assert.True(TestContext.Current.TestCollection?.TestCollectionDisplayName == "notebooks", "a test that runs nq here takes over the console: put its class in [Collection(\"notebooks\")]");
        var (output, error, writer, errors) = (Console.Out, Console.Error, new StringWriter(), new StringWriter());
        Console.SetOut(writer);
        Console.SetError(errors);
        try
        {
            return (await Program.Main(arguments), writer.ToString(), errors.ToString());
        }
        finally
        {
            Console.SetOut(output);
            Console.SetError(error);
        }
    }
}
