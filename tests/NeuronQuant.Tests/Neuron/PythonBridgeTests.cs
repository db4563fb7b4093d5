using System.Text.RegularExpressions;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>Runs the bridge's own tests, tests/python, and reads what they say.</summary>
public class PythonBridgeTests
{
    [Theory]
    [InlineData("2.28")] // with the adapter's fault, which the bridge mends
    [InlineData("head")] // with upstream's repair, which the bridge leaves alone
    public async Task The_bridges_own_tests_pass_with_the_adapter_of_each_release(string release)
    {
        const string run = "import os, runpy, sys; os.environ['FAKE_NXDI_RELEASE'] = sys.argv.pop(1); runpy.run_module('unittest', "
            + "run_name='__main__')";
        var (code, output) = await PythonForTests.Run(PythonForTests.Interpreter(), "-B", "-c", run, release, "discover", "-s", "tests/python");
        Assert.True(code == 0, output);
        Assert.True(int.Parse(Regex.Match(output, @"Ran (\d+) tests").Groups[1].Value,
            System.Globalization.CultureInfo.InvariantCulture) >= 20, output);
    }
}
