using NeuronQuant.Models;
using Xunit;

namespace NeuronQuant.Tests.Models;

/// <summary>What a process holds after much work. Memory is the whole process's, so no other test runs meanwhile.</summary>
[Collection("alone")]
public class ResidentMemoryTests
{
    [Fact]
    public void A_thousand_steps_do_not_grow_resident_memory()
    {
        var model = TestModels.Random(TestModels.Config() with { HiddenSize = 64, IntermediateSize = 256 });
        var batch = TokenBatch.Of([.. Enumerable.Range(0, 8).Select(i => TestModels.Tokens(40, i))]);
        Train(100);
        long before = Environment.WorkingSet;
        Train(1000);
        Assert.InRange(Environment.WorkingSet - before, long.MinValue, 64L << 20); // Without scopes it is 2 GB.

        void Train(int steps) => Trainer.Run(model, Enumerable.Repeat(batch, steps), new TrainingPlan(steps, 1e-3));
    }
}
