using NeuronQuant.Tests;
using Xunit;
using Xunit.Sdk;
using Xunit.v3;

[assembly: TestCollectionOrderer(typeof(LongestFirst))]

namespace NeuronQuant.Tests;

/// <summary>The collection whose tests share the console takes half of the time: begun last, it would run alone at the end while a processor idles.</summary>
internal sealed class LongestFirst : ITestCollectionOrderer
{
    /// <inheritdoc/>
    public IReadOnlyCollection<TTestCollection> OrderTestCollections<TTestCollection>(IReadOnlyCollection<TTestCollection> testCollections) where TTestCollection : ITestCollection =>
        [.. testCollections.OrderByDescending(collection => collection.TestCollectionDisplayName is "notebooks").ThenByDescending(collection => collection.TestCollectionDisplayName is "kernel")];
}
