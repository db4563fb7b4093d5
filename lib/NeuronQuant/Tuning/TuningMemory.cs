using Microsoft.Data.Analysis;
using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Models;
using NeuronQuant.Tensors;

namespace NeuronQuant.Tuning;

/// <summary>What AutoRound will need of memory, before it is started: bytes where the block is computed, and bytes on the host.</summary>
/// <remarks>
/// State of a block: of each weight, V in float32, the codes kept in int8, and W^ with its gradient in the compute type; besides, the block as it was read, and
/// in bfloat16 its weights once more in float32. Of a minibatch, what the backward pass needs: counted from the formula of <see cref="DecoderBlock"/>, in numbers a token. On the host: two streams of hidden
/// states in float32, and the embedding. With a GPU the state and the minibatch are there, and the host holds the streams.
/// </remarks>
/// <param name="State">bytes of what is learned: V, originals, codes, W^ and gradient</param>
/// <param name="Block">bytes of the block as it was read, in the compute type</param>
/// <param name="Minibatch">bytes of activations of one minibatch, about</param>
/// <param name="Streams">bytes of both streams of hidden states, on the host</param>
/// <param name="Embedding">bytes of the table of tokens in float32, on the host, while the streams are begun</param>
public sealed record TuningMemory(long State, long Block, long Minibatch, long Streams, long Embedding)
{
    private const long Gibi = 1L << 30;

    /// <summary>Where blocks are computed, at its peak.</summary>
    public long Device => State + Block + Minibatch;

    /// <summary>On the host, when blocks are computed there too.</summary>
    public long Host => Device + Math.Max(Streams, Embedding);

    /// <summary>Predicts it from sizes alone; weights are not needed.</summary>
    /// <param name="config">sizes of the model</param>
    /// <param name="place">the compute type</param>
    /// <param name="recipe">samples, sequence length and batch</param>
    public static TuningMemory Of(ModelConfig config, Placement place, TuningRecipe recipe)
    {
        ArgumentNullException.ThrowIfNull(config);
        ArgumentNullException.ThrowIfNull(place);
        ArgumentNullException.ThrowIfNull(recipe);
        long hidden = config.HiddenSize, middle = config.IntermediateSize, length = Math.Min(recipe.SequenceLength, config.MaxPositionEmbeddings);
        long width = config.QuerySize + 2 * config.KeyValueSize;
        long weights = hidden * width + hidden * config.QuerySize + 3 * hidden * middle;
        long typed = 4 * hidden + 2 * width + 2 * config.QuerySize + 5 * middle; // Norms, q k v before and after turning, what is mixed; gate, up, silu, product.
        long stream = 9 * hidden; // The residual three times, squares and products of two norms, target and difference.
        long tokens = Math.Min(recipe.BatchSize, recipe.Samples) * length;
        return new TuningMemory(weights * ((place.Type == TorchSharp.torch.ScalarType.Float32 ? 0 : 4) + 4 + 1 + 2 * place.Bytes), weights * place.Bytes, tokens * (typed * place.Bytes + stream * 4),
            2L * recipe.Samples * length * hidden * 4, (long)config.VocabularySize * hidden * 4);
    }

    /// <summary>One row for each.</summary>
    public DataFrame ToDataFrame() => new FrameRows("Memory of tuning, a block at a time", "what", new Column("GiB", "0.00"), "where")
        .Row("state of a block", Gib(State), "device").Row("the block itself", Gib(Block), "device").Row("a minibatch, about", Gib(Minibatch), "device")
        .Row("together", Gib(Device), "device").Row("two streams of hidden states", Gib(Streams), "host").Row("embedding, at the start", Gib(Embedding), "host")
        .Row("all on the processor", Gib(Host), "host").ToDataFrame();

    private static double Gib(long bytes) => (double)bytes / Gibi;
}
