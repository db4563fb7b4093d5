using Xunit;

namespace NeuronQuant.Tests;

/// <summary>Tests that look at the clock or at the memory of the process: they run after all others, one at a time.</summary>
[CollectionDefinition("alone", DisableParallelization = true)]
public sealed class Alone;
