using NeuronQuant.Evaluation;

namespace NeuronQuant.Tests.Evaluation;

/// <summary>A model that answers as it is told and counts what it is asked.</summary>
internal sealed class FakeModel(Func<string, string>? answer = null, Func<Continuation, double>? score = null, string name = "fake") : ILanguageModel
{
    public string Name => name;

    public int MaxContext => 4096;

    public int PreferredBatch => 3;

    public List<string> Asked { get; } = [];

    public Task<IReadOnlyList<Generation>> Generate(IReadOnlyList<string> prompts, GenerationSettings settings, CancellationToken cancellation = default)
    {
        Asked.AddRange(prompts);
        return Task.FromResult<IReadOnlyList<Generation>>([.. prompts.Select(prompt => new Generation(answer!(prompt), false))]);
    }

    public Task<IReadOnlyList<Likelihood>> Score(IReadOnlyList<Continuation> requests, CancellationToken cancellation = default)
    {
        Asked.AddRange(requests.Select(request => request.Context + request.Text));
        return Task.FromResult<IReadOnlyList<Likelihood>>([.. requests.Select(request => new Likelihood(score!(request), 1, false))]);
    }
}
