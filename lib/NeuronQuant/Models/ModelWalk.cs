using NeuronQuant.Checkpoints;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Models;

/// <summary>A model one block at a time: from memory, or from a checkpoint that is larger than memory.</summary>
/// <remarks>
/// Hidden states of all texts go through the first block, then through the second, and so on: [texts, length, hidden] on the processor, a batch of them
/// at a time where the block is. This is what calibration needs, and only one block's weights are held.
/// </remarks>
public sealed class ModelWalk
{
    private readonly Func<IEnumerable<DecoderBlock>> _blocks;
    private readonly Func<Parameter> _embedding;

    private ModelWalk(ModelConfig config, Placement place, RotaryEmbedding rotary, Func<IEnumerable<DecoderBlock>> blocks, Func<Parameter> embedding) =>
        (Config, Place, Rotary, _blocks, _embedding) = (config, place, rotary, blocks, embedding);

    /// <summary>Sizes and options.</summary>
    public ModelConfig Config { get; }

    /// <summary>Type and device of the weights.</summary>
    public Placement Place { get; }

    /// <summary>The rotary embedding of all blocks.</summary>
    public RotaryEmbedding Rotary { get; }

    /// <summary>The blocks in turn; one from a checkpoint is freed when the next is asked for.</summary>
    public IEnumerable<DecoderBlock> Blocks => _blocks();

    /// <summary>What the blocks compute with, the embedding first; for digests.</summary>
    internal IEnumerable<Parameter> Parameters => Blocks.SelectMany(block => block.Parameters).Prepend(_embedding());

    /// <summary>Through a model in memory.</summary>
    public static ModelWalk Of(LlamaModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        return new ModelWalk(model.Config, model.Place, model.Rotary, () => model.Blocks, () => model.Embedding);
    }

    /// <summary>Through a checkpoint, which must stay open.</summary>
    /// <param name="checkpoint">bf16, f16 or f32 weights</param>
    /// <param name="place">null for float32 on the processor</param>
    /// <exception cref="ModelException">the config asks for something that is not computed here</exception>
    public static ModelWalk Of(Checkpoint checkpoint, Placement? place = null)
    {
        ArgumentNullException.ThrowIfNull(checkpoint);
        var config = checkpoint.Config;
        ExpectedTensors.Check(checkpoint, config);
        LlamaModel.CheckSupported(config);
        var where = place ?? Placement.Standard;
        return new ModelWalk(config, where, new RotaryEmbedding(config, where), () => Read(checkpoint, config, where), () => Table(checkpoint, config));
    }

    /// <summary>The residual stream of texts of one length before the first block: [texts, length, hidden].</summary>
    /// <param name="tokens">[texts][length]</param>
    /// <exception cref="ModelException">a token is outside of the vocabulary</exception>
    public Tensor Embed(IReadOnlyList<int[]> tokens)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        var place = new Placement(Place.StreamType, CPU);
        return Torch.Run(() => LlamaModel.EmbedIn(_embedding().Tensor.cpu(), [.. tokens.SelectMany(text => text)], place).view(tokens.Count, tokens[0].Length, Config.HiddenSize));
    }

    /// <summary>Sends hidden states through a block, in place.</summary>
    /// <param name="block">the block</param>
    /// <param name="streams">[texts, length, hidden]; replaced by the outputs</param>
    /// <param name="batch">texts at a time</param>
    /// <param name="see">told the batch's first text, the name of a module within the layer and what it gives; null for nobody</param>
    /// <param name="cancellation">checked before each batch</param>
    public void Forward(DecoderBlock block, Tensor streams, int batch, Action<int, string, Tensor>? see = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(block);
        ArgumentNullException.ThrowIfNull(streams);
        void Batch(int first) => Torch.Run(() =>
        {
            var part = streams.narrow(0, first, Math.Min(batch, streams.shape[0] - first));
            Action<string, Tensor>? told = see is null ? null : (type, output) => see(first, type, output);
            part.copy_(block.Forward(part.to(Place.Device), Positions.Of(Rotary, streams.shape[1], Place), told));
        });
        int[] starts = [.. Enumerable.Range(0, (int)((streams.shape[0] + batch - 1) / batch)).Select(i => i * batch)];
        Torch.ForEach(see is null && Config.HiddenSize < Torch.Small, starts, Batch, cancellation); // Who sees is told one batch after another.
    }

    private static IEnumerable<DecoderBlock> Read(Checkpoint checkpoint, ModelConfig config, Placement place)
    {
        for (int layer = 0; layer < config.LayerCount; layer++)
        {
            using var block = new DecoderBlock(config, layer, place);
            foreach (var parameter in block.Parameters) ModelFiles.Read(checkpoint, parameter);
            yield return block;
        }
    }

    private static Parameter Table(Checkpoint checkpoint, ModelConfig config)
    {
        var table = new Parameter("model.embed_tokens.weight", Torch.Run(() => zeros(config.VocabularySize, config.HiddenSize)), 0, config.VocabularySize);
        ModelFiles.Read(checkpoint, table);
        return table;
    }
}
