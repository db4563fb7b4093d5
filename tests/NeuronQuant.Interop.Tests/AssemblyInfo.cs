using Xunit;

// One Python and one libtorch serve the whole process: the tests take turns.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
