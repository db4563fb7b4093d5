using NeuronQuant.Checkpoints;
using NeuronQuant.Quantization;
using NeuronQuant.Tensors;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace NeuronQuant.Models;

/// <summary>A decoder of the Llama kind (Llama, Mistral, Qwen2, Qwen3) in memory: embedding, blocks, norm and head.</summary>
/// <remarks>
/// y = head(norm(block_n(... block_1(embedding[tokens])))). The head may be the embedding (tied), which then gets both gradients. Models that do
/// not fit are walked a block at a time by <see cref="ModelWalk"/>. A text alone and the same text in a batch differ in their last bits.
/// </remarks>
public sealed class LlamaModel : IDisposable
{
    /// <summary>A model whose parameters are zero; <see cref="Initialization"/> or <see cref="ModelFiles"/> fills them.</summary>
    /// <param name="config">sizes and options</param>
    /// <param name="place">null for float32 on the processor</param>
    /// <exception cref="ModelException">the config asks for something that this model does not compute</exception>
    public LlamaModel(ModelConfig config, Placement? place = null)
    {
        ArgumentNullException.ThrowIfNull(config);
        CheckSupported(config);
        (Config, Place) = (config, place ?? Placement.Standard);
        (Rotary, Blocks) = (new RotaryEmbedding(config, Place), [.. Enumerable.Range(0, config.LayerCount).Select(layer => new DecoderBlock(config, layer, Place))]);
        Parameter Zeros(string name, params long[] shape) => new(name, Torch.Run(() => Torch.Keep(zeros(shape, Place.Type, Place.Device))), 0, shape[0]);
        (Embedding, Norm) = (Zeros("model.embed_tokens.weight", config.VocabularySize, config.HiddenSize), Zeros("model.norm.weight", config.HiddenSize));
        Head = new Linear(new ModuleName(null, "lm_head"), config.TieWordEmbeddings ? Embedding : Zeros("lm_head.weight", config.VocabularySize, config.HiddenSize), null);
    }

    /// <summary>Sizes and options.</summary>
    public ModelConfig Config { get; }

    /// <summary>Type and device of the weights.</summary>
    public Placement Place { get; }

    /// <summary>The rotary embedding of all blocks.</summary>
    public RotaryEmbedding Rotary { get; }

    /// <summary>Vectors of the tokens: [vocabulary, hidden].</summary>
    public Parameter Embedding { get; }

    /// <summary>The decoder layers.</summary>
    public IReadOnlyList<DecoderBlock> Blocks { get; }

    /// <summary>Weight of the last norm: [hidden].</summary>
    public Parameter Norm { get; }

    /// <summary>lm_head; its weight is the embedding itself in a tied model.</summary>
    public Linear Head { get; }

    /// <summary>All parameters once, in the order of a forward pass.</summary>
    public IEnumerable<Parameter> Parameters =>
        [Embedding, .. Blocks.SelectMany(block => block.Parameters), Norm, .. Config.TieWordEmbeddings ? [] : new[] { Head.Weight }];

    /// <summary>Every linear module that can be quantized: those of the blocks, and an untied head.</summary>
    public IEnumerable<Linear> Linears => Blocks.SelectMany(block => block.Linears).Concat(Config.TieWordEmbeddings ? [] : new[] { Head });

    /// <summary>Number of weights, a tied head counted once.</summary>
    public long ParameterCount => Parameters.Sum(parameter => parameter.Tensor.numel());

    /// <summary>What is trained: whole tensors, and whether weight decay is for them.</summary>
    internal IEnumerable<(Tensor Leaf, bool Decays)> Leaves =>
        [(Embedding.Whole, false), .. Blocks.SelectMany(block => block.Leaves), (Norm.Whole, false), .. Config.TieWordEmbeddings ? [] : new[] { (Head.Weight.Whole, true) }];

    /// <summary>Loads a model: see <see cref="ModelFiles.Load(string, Placement?)"/>.</summary>
    public static LlamaModel Load(string path, Placement? place = null) => ModelFiles.Load(path, place);

    /// <summary>Saves the model as bf16: see <see cref="ModelFiles.Save"/>.</summary>
    public void Save(string folder, bool overwrite = false) => ModelFiles.Save(this, folder, overwrite);

    /// <summary>A model of its own with the same values.</summary>
    public LlamaModel Copy()
    {
        var copy = new LlamaModel(Config, Place);
        Torch.Run(() =>
        {
            foreach (var (target, source) in copy.Leaves.Zip(Leaves)) target.Leaf.copy_(source.Leaf);
        });
        return copy;
    }

    /// <summary>Replaces the weights of some modules by scale * code; the others stay as they are.</summary>
    /// <exception cref="ModelException">the model has no such module, or codes are of another shape</exception>
    public void Apply(IReadOnlyDictionary<ModuleName, QuantizedWeight> quantized)
    {
        ArgumentNullException.ThrowIfNull(quantized);
        var linears = Linears.ToDictionary(linear => linear.Module);
        if (quantized.Keys.FirstOrDefault(module => !linears.ContainsKey(module)) is { } unknown)
            throw new ModelException(unknown.Name, "is no linear module of this model. Are the codes of another one?");
        foreach (var (module, codes) in quantized) linears[module].Apply(codes);
    }

    /// <summary>Logits of every position.</summary>
    /// <param name="batch">tokens; targets are not looked at</param>
    /// <param name="see">told the name of each module and what it gives, in the order of the pass; null for nobody</param>
    /// <returns>[sequences, length, vocabulary] float32; the caller's</returns>
    /// <exception cref="ModelException">a token is outside of the vocabulary</exception>
    public Tensor Logits(TokenBatch batch, Action<string, Tensor>? see = null) => Torch.Run(() => LogitsOf(Hidden(batch, see), see));

    /// <summary>Mean loss over the positions that have a target, in nats per token.</summary>
    /// <param name="batch">tokens and targets</param>
    public double Loss(TokenBatch batch)
    {
        ArgumentNullException.ThrowIfNull(batch);
        return Torch.Run(() => LossOf(batch, batch.Counted).ToDouble());
    }

    /// <summary>Mean loss in nats per token; the gradient of every parameter is then in <see cref="Parameter.Gradient"/>, until <see cref="DropGradients"/>.</summary>
    /// <param name="batch">tokens and targets; gradients of several batches add up</param>
    /// <param name="term">told the name of each module and what it gives, a number that is added to the loss for the gradients alone, or null; null for none</param>
    public double LossAndGradients(TokenBatch batch, Func<string, Tensor, Tensor?>? term = null)
    {
        ArgumentNullException.ThrowIfNull(batch);
        foreach (var (leaf, _) in Leaves) leaf.requires_grad = true;
        // The two halves of a small model's batch need not wait for each other. There are two whatever the threads, and the sum of two gradients does not
        // depend on which comes first: the same bits on one thread and on many. A term of the loss is of the whole batch.
        TokenBatch[] parts = term is null && Config.HiddenSize < Torch.Small ? [.. batch.Halves().Where(half => half.Counted > 0)] : [batch];
        if (parts.Length == 0) parts = [batch];
        var losses = new double[parts.Length];
        Torch.ForEach(Config.HiddenSize < Torch.Small, [.. parts.Index()], part => losses[part.Index] = Torch.WithGradients(() =>
        {
            var terms = new List<Tensor>();
            var loss = LossOf(part.Item, batch.Counted, term is null ? null : (name, output) =>
            {
                if (term(name, output) is { } number) terms.Add(Torch.Keep(number)); // It outlives its block.
            });
            terms.Aggregate(loss, Torch.Plus).backward();
            foreach (var number in terms) number.Dispose();
            return loss.ToDouble();
        }), CancellationToken.None);
        return losses.Sum();
    }

    /// <summary>Frees the gradients.</summary>
    public void DropGradients() => Torch.Run(() =>
    {
        foreach (var (leaf, _) in Leaves) (leaf.grad, leaf.requires_grad) = (null, false);
    });

    // The sum of the cross-entropies of the positions that have a target, divided by a number of positions: a tensor that backward() can start from.
    private Tensor LossOf(TokenBatch batch, int positions, Action<string, Tensor>? see = null)
    {
        if (batch.Counted == 0) throw new ModelException("batch", "has no position with a target: nothing to learn. Check the loss mask.");
        long[] counted = [.. Enumerable.Range(0, batch.Rows).Where(i => batch.Targets[i] != TokenBatch.Ignored).Select(i => (long)i)];
        if (counted.FirstOrDefault(i => (uint)batch.Targets[i] >= (uint)Config.VocabularySize, -1) is >= 0 and var at)
            throw new ModelException("batch", $"target {batch.Targets[at]} at position {at} is outside of the vocabulary of {Config.VocabularySize}.");
        var rows = Hidden(batch, see).view(batch.Rows, Config.HiddenSize).index_select(0, tensor(counted).to(Place.Device));
        return F.cross_entropy(LogitsOf(rows), tensor([.. counted.Select(i => (long)batch.Targets[i])]).to(Place.Device), reduction: nn.Reduction.Sum)
            .div(Torch.Number(positions));
    }

    /// <summary>Hidden states behind the last norm, [sequences, length, hidden].</summary>
    internal Tensor Hidden(TokenBatch batch, Action<string, Tensor>? see = null, Simulation? simulated = null)
    {
        ArgumentNullException.ThrowIfNull(batch);
        return Through(Embed(batch.Tokens).view(batch.Sequences, batch.Length, -1), Positions.Of(Rotary, batch.Length, Place), null, 0, see, simulated);
    }

    /// <summary>The residual stream of tokens, [count, hidden].</summary>
    internal Tensor Embed(int[] tokens) => EmbedIn(Embedding.Whole, tokens, Place);

    internal static Tensor EmbedIn(Tensor table, int[] tokens, Placement place)
    {
        long size = table.shape[0];
        int wrong = Array.FindIndex(tokens, token => (uint)token >= size);
        if (wrong >= 0)
            throw new ModelException("embed_tokens", $"token {tokens[wrong]} at position {wrong} is outside of the vocabulary of {size}. Is the tokenizer of another model?");
        return table.index_select(0, tensor(Array.ConvertAll(tokens, token => (long)token)).to(place.Device)).to(place.StreamType);
    }

    /// <summary>From a layer's input to behind the last norm.</summary>
    internal Tensor Through(
        Tensor x, Positions positions, KeyValueCache? cache, int firstLayer = 0, Action<string, Tensor>? see = null, Simulation? simulated = null)
    {
        if (firstLayer == 0) see?.Invoke("embed_tokens", x);
        foreach (var block in Blocks.Skip(firstLayer))
            x = block.Forward(x, positions, cache, see is null ? null : (type, output) => see($"layers.{block.Layer}.{type}", output), simulated);
        x = DecoderBlock.RmsNorm(x, Norm.Whole, Config.RmsNormEpsilon);
        see?.Invoke("norm", x);
        return x;
    }

    /// <summary>[..., hidden] to float32 [..., vocabulary], by another head where one is given.</summary>
    internal Tensor LogitsOf(Tensor hidden, Action<string, Tensor>? see = null, Tensor? head = null)
    {
        var logits = F.linear(hidden, head ?? Head.Weight.Whole).to(Place.StreamType);
        see?.Invoke("lm_head", logits);
        return logits;
    }

    /// <summary>Frees the weights.</summary>
    public void Dispose()
    {
        foreach (var block in Blocks) block.Dispose();
        foreach (var one in new[] { Embedding, Norm, Head.Weight }) one.Dispose();
    }

    internal static void CheckSupported(ModelConfig config)
    {
        if (config.HiddenActivation is not ("silu" or "swish"))
            throw new ModelException(config.File,
                $"hidden_act is \"{config.HiddenActivation}\", expected \"silu\": no other activation is computed here.");
        if (config.NotComputed is { } obstacle)
            throw new ModelException(config.File, $"{obstacle}. Quantizing, auditing and planning need none; to run it, choose another model or an endpoint.");
        if (config.QuantizationMethod is { } method)
            throw new ModelException(config.File,
                $"the model is quantized already ({method}), expected bf16, f16 or f32 weights: load the original checkpoint.");
    }
}
