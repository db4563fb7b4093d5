using NeuronQuant.Models;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using NeuronQuant.Tests.Models;
using NeuronQuant.Tuning;
using Xunit;
using static TorchSharp.torch;

namespace NeuronQuant.Tests.Tensors;

/// <summary>What torch does wrong must not reach a caller: errors have names, a thread is not blamed for its predecessor, memory comes back.</summary>
public class TorchTests
{
    [Fact]
    public void A_thousand_random_shapes_end_in_exceptions()
    {
        var model = TestModels.Random(TestModels.Config());
        var random = new Random(7);
        long[] Shape() => [.. Enumerable.Range(0, random.Next(1, 5)).Select(_ => (long)random.Next(1, 24))];
        for (int i = 0; i < 1000; i++)
        {
            var (a, b) = (Shape(), Shape());
            if (a[^1] == 20 && a.Length == 3) a[^1] = 21; // What fits is no error.
            Action wrong = (i % 6) switch
            {
                0 => () => Torch.Run(() => model.Blocks[0].Forward(zeros(a), Positions.Of(model.Rotary, a[^1], model.Place))).Dispose(),
                1 => () => model.Loss(new TokenBatch(new int[a[0]], [.. Enumerable.Repeat(37 + i, (int)a[0])], 1)),
                2 => () => Torch.WithGradients(() => zeros(a[0], 3, 4).bmm(zeros(b[0], 5, 6))).Dispose(), // torch.matmul aborts the process, and is not used here.
                3 => () => Torch.Run(() => LearnedRounding.Round(zeros(a[0], 5), zeros(a[0], 6), ones(a[0], 1), ones(a[0], 1), Grid.Nxd())),
                4 => () => model.Norm.Set(new float[20 + a[0]]),
                _ => () => Generation.Run(model, [[(int)(37 + a[0])]]),
            };
            Assert.True(Assert.ThrowsAny<Exception>(wrong) is ModelException or TorchException);
        }
    }

    [Fact]
    public void An_error_of_an_earlier_caller_on_the_thread_is_not_blamed_on_the_next()
    {
        TorchLibrary.Load();
        Parallel.For(0, 64, i =>
        {
            var model = TestModels.Random(TestModels.Config(), i);
            for (int round = 0; round < 5; round++)
            {
                Assert.Throws<TorchException>(() => Torch.Run(() => zeros(2, 3).mm(zeros(2, 3))));
                Assert.True(double.IsFinite(model.LossAndGradients(TokenBatch.Of([TestModels.Tokens(9, i)]))));
                Assert.True(Torch.Run(() => !is_grad_enabled()));
            }
            model.Dispose();
        });
    }

    [Fact]
    public void After_items_side_by_side_an_operation_has_all_threads_again() => Torch.Run(() =>
    {
        Torch.ForEach(true, [.. Enumerable.Range(0, 64)], _ => Torch.Run(() => { zeros(64, 64).mm(zeros(64, 64)).Dispose(); }), CancellationToken.None);
        Assert.Equal(Torch.Threads, get_num_threads());
    });
}
