using System.Security.Cryptography;
using NeuronQuant.Checkpoints;
using NeuronQuant.Models;
using NeuronQuant.Tensors;
using NeuronQuant.Tokenization;
using static TorchSharp.torch;

namespace NeuronQuant.Evaluation;

/// <summary>This library's engine as a model under test: a Llama-type model in memory with its tokenizer.</summary>
/// <remarks>
/// Prompts get the tokens that begin a text, as the tokenizer's template says. Decoding is greedy and batched; a text ends at the model's
/// end tokens, at a stop, or at the token limit. Stops are looked for in the decoded text after every token, so that none is run past.
/// </remarks>
public sealed class EngineModel : ILanguageModel, ILogitsModel
{
    private readonly LlamaModel _model;
    private readonly Tokenizer _tokenizer;
    private readonly CachePrecision? _cache;
    private readonly IReadOnlyDictionary<string, Draft> _drafts = new Dictionary<string, Draft>(); // By the hash of the prompt.

    /// <summary>A model and the tokenizer it was trained with.</summary>
    /// <param name="model">the weights, as they will be graded</param>
    /// <param name="tokenizer">its tokenizer</param>
    /// <param name="name">what records call it: the checkpoint, and what was done to its weights</param>
    /// <param name="cache">how keys and values are rounded when text is generated; null for not at all</param>
    /// <exception cref="ModelException">the tokenizer has tokens that the embedding lacks; an added one is named where a text has it</exception>
    public EngineModel(LlamaModel model, Tokenizer tokenizer, string name, CachePrecision? cache = null)
    {
        TokenRange.Check(model.Config, tokenizer);
        (_model, _tokenizer, Name, _cache) = (model, tokenizer, name, cache);
    }

    private EngineModel(LlamaModel model, Tokenizer tokenizer, string name, CachePrecision? cache, IReadOnlyDictionary<string, Draft> drafts) : this(model, tokenizer, name, cache) =>
        _drafts = drafts;

    /// <inheritdoc cref="ILanguageModel.Name"/>
    public string Name { get; }

    /// <inheritdoc cref="ILanguageModel.MaxContext"/>
    public int MaxContext => _model.Config.MaxPositionEmbeddings;

    /// <inheritdoc/>
    public int PreferredBatch => 1024;

    /// <inheritdoc/>
    public int VocabularySize => _model.Config.VocabularySize;

    /// <summary>The weights.</summary>
    public LlamaModel Model => _model;

    /// <summary>The tokenizer.</summary>
    public Tokenizer Tokenizer => _tokenizer;

    /// <summary>Loads a folder with weights, config.json and tokenizer.json; the name carries a digest of the weights, and how they are computed unless in
    /// float32 on the processor.</summary>
    /// <param name="folder">in Hugging Face's layout</param>
    /// <param name="place">null for float32 on the processor</param>
    public static EngineModel Load(string folder, Placement? place = null)
    {
        using var checkpoint = Checkpoint.Open(folder);
        string directory = Path.GetDirectoryName(checkpoint.ConfigPath)!;
        return new EngineModel(ModelFiles.Load(checkpoint, place), Tokenizer.Load(Path.Combine(directory, "tokenizer.json")),
            $"{Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(directory)))} {Digest(checkpoint)}{(place is null || $"{place}" == $"{Placement.Standard}" ? "" : $" {place}")}");
    }

    /// <summary>The same tokenizer with other weights, such as a quantized copy.</summary>
    public EngineModel With(LlamaModel model, string name) => new(model, _tokenizer, name, _cache, _drafts);

    /// <summary>The same weights, generating behind a cache that rounds.</summary>
    public EngineModel WithCache(CachePrecision cache, string name) => new(_model, _tokenizer, name, cache, _drafts);

    /// <summary>The same model, and those made of it by <see cref="With"/>, shown what another model answered: where it would write the same, it need not do so token by token.</summary>
    /// <remarks>A model and its quantized copy give mostly the same answers, and reading one takes a fraction of the time of writing it. No answer changes by it, but where two tokens are equally
    /// likely to the last bits.</remarks>
    /// <param name="answers">of any tasks; of a task that it does not answer, none is used</param>
    public EngineModel Drafted(params IEnumerable<EvaluationResult> answers)
    {
        ArgumentNullException.ThrowIfNull(answers);
        return Drafted(answers.SelectMany(result => result.Samples).Select(sample => (sample.PromptHash, new Draft(sample.Output, null))));
    }

    /// <summary>The same with any drafts, by the hash of their prompts.</summary>
    internal EngineModel Drafted(IEnumerable<(string PromptHash, Draft Draft)> drafts)
    {
        var all = new Dictionary<string, Draft>(_drafts);
        foreach (var (hash, draft) in drafts) all[hash] = draft;
        return new EngineModel(_model, _tokenizer, Name, _cache, all);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<Generation>> Generate(IReadOnlyList<string> prompts, GenerationSettings settings, CancellationToken cancellation = default)
    {
        int[][] tokens = [.. prompts.Select(Encode)];
        int longest = tokens.Length == 0 ? 0 : tokens.Max(ids => ids.Length);
        if (longest + settings.MaxNewTokens > MaxContext)
            throw new EvaluationException(EvaluationFailure.ContextTooShort, Name, $"a prompt of {longest} tokens and an answer of up to {settings.MaxNewTokens}",
                $"at most {MaxContext} together", "Ask for fewer examples or a shorter answer.");
        if (tokens.Length == 0) return Task.FromResult<IReadOnlyList<Generation>>([]);
        Draft?[] drafts = [.. prompts.Select(prompt => _drafts.Count == 0 ? null : _drafts.GetValueOrDefault(EvaluationTask.Hash(prompt)))];
        var options = new GenerationOptions(settings.MaxNewTokens, _model.Config.EndTokenIds, StopWhen: (_, soFar) =>
            settings.Stops.Count > 0 && EndsInStop(soFar, settings.Stops), Cache: _cache,
            Drafts: [.. prompts.Select((prompt, i) => TokensOf(drafts[i], prompt, tokens[i]))], Reads: (i, states, logits) => drafts[i]!.Read?.Invoke(states, logits));
        var made = Models.Generation.Run(_model, tokens, options, cancellation: cancellation);
        return Task.FromResult<IReadOnlyList<Generation>>([.. made.Select((ids, i) => new Generation(After(tokens[i], ids), ids.Length >= settings.MaxNewTokens))]);
    }

    // The tokens of a draft; none where prompt and draft together begin with others than the prompt's.
    private int[] TokensOf(Draft? draft, string prompt, int[] tokens)
    {
        int[] both = draft is null ? [] : Encode(prompt + draft.Answer);
        return both.AsSpan().StartsWith(tokens) ? both[tokens.Length..] : [];
    }

    // Decoders treat the first token of a text apart (its space is dropped), so new tokens are decoded behind their prompt.
    private string After(int[] prompt, int[] ids) => _tokenizer.Decode([.. prompt, .. ids])[_tokenizer.Decode(prompt).Length..];

    /// <inheritdoc/>
    public Task<IReadOnlyList<Likelihood>> Score(IReadOnlyList<Continuation> requests, CancellationToken cancellation = default)
    {
        (int[] Ids, int Given)[] texts = [.. requests.Select(request => ContinuationSplit.Encode(Encode, request))];
        return Task.FromResult<IReadOnlyList<Likelihood>>([.. Scoring.Of(_model, texts, cancellation).Select(score =>
            new Likelihood(score.LogProbabilities.Sum(value => (double)value), score.LogProbabilities.Length, score.IsGreedy))]);
    }

    /// <inheritdoc/>
    public int[] Encode(string text) => TokenRange.Encode(_model.Config, _tokenizer, text);

    /// <inheritdoc/>
    public void Logits(ReadOnlySpan<int> ids, int from, Span<float> logits)
    {
        if (ids.Length > MaxContext)
            throw new EvaluationException(EvaluationFailure.ContextTooShort, Name, $"a sequence of {ids.Length} tokens", $"at most {MaxContext}", "Choose a smaller window.");
        var batch = new TokenBatch(ids.ToArray(), [], 1);
        Torch.Run(() => _model.LogitsOf(_model.Hidden(batch).narrow(1, from, batch.Length - from)).ToFloats()).CopyTo(logits);
    }

    // A stop can only have ended with the newest token, and each token before it holds a byte at least: a tail is enough, and cheap.
    private bool EndsInStop(IReadOnlyList<int> tokens, IReadOnlyList<string> stops)
    {
        int length = 1 + stops.Max(System.Text.Encoding.UTF8.GetByteCount);
        string tail = _tokenizer.Decode(tokens.Skip(Math.Max(0, tokens.Count - length)), skipSpecial: false);
        return stops.Any(stop => tail.Contains(stop, StringComparison.Ordinal));
    }

    private static string Digest(Checkpoint checkpoint)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string file in checkpoint.Files.Order(StringComparer.Ordinal))
        {
            using var stream = File.OpenRead(file);
            hash.AppendData(SHA256.HashData(stream));
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset())[..12];
    }
}

/// <summary>How a prompt may be answered.</summary>
/// <param name="Answer">behind the prompt, with its leading space</param>
/// <param name="Read">told the states from which its tokens would be written, [tokens, hidden], and their logits, by any thread; null for nobody</param>
internal sealed record Draft(string Answer, Action<Tensor, Tensor>? Read);
