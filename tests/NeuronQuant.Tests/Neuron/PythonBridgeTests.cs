using System.Text.RegularExpressions;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>Runs the bridge's own tests, tests/python, and reads what they say.</summary>
public class PythonBridgeTests
{
    [Fact]
    public async Task The_bridges_own_tests_pass()
    {
        var (code, output) = await PythonForTests.Run(PythonForTests.Interpreter(), "-B", "-m", "unittest", "discover", "-s", "tests/python");
        Assert.True(code == 0, output);
        Assert.True(int.Parse(Regex.Match(output, @"Ran (\d+) tests").Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture) >= 13, output);
    }
}
