using System.Diagnostics;
using NeuronQuant.Tensors;
using static TorchSharp.torch;

namespace NeuronQuant.Models;

/// <summary>How a model is trained.</summary>
/// <param name="Steps">Updates in all.</param>
/// <param name="PeakRate">Learning rate after warm-up.</param>
/// <param name="WarmUpSteps">Steps in which the rate grows from 0 to its peak.</param>
/// <param name="FinalFraction">What part of the peak the rate ends with.</param>
/// <param name="WeightDecay">Of linear weights.</param>
/// <param name="MaximumGradientNorm">Longer gradients are shortened to this length.</param>
public sealed record TrainingPlan(int Steps, double PeakRate = 1e-3, int WarmUpSteps = 100, double FinalFraction = 0.1, float WeightDecay = 0.1f,
    double MaximumGradientNorm = 1)
{
    /// <summary>Rate of a step, counted from 0: linear warm-up, then half a cosine down to the final fraction.</summary>
    public double RateAt(int step)
    {
        if (step < WarmUpSteps) return PeakRate * (step + 1) / WarmUpSteps;
        double done = Math.Min(1, (double)(step - WarmUpSteps) / Math.Max(1, Steps - WarmUpSteps));
        return PeakRate * (FinalFraction + (1 - FinalFraction) * 0.5 * (1 + Math.Cos(Math.PI * done)));
    }
}

/// <summary>What one step did.</summary>
/// <param name="Step">Number of the step, from 0.</param>
/// <param name="Loss">Mean loss of the batch before the update, nats per counted token.</param>
/// <param name="GradientNorm">Length of the gradient before it was shortened.</param>
/// <param name="Rate">Learning rate.</param>
/// <param name="TokensPerSecond">Tokens of the batch, padding included, per second of the step.</param>
public sealed record TrainingStep(int Step, double Loss, double GradientNorm, double Rate, double TokensPerSecond);

/// <summary>Trains a model on batches: loss, gradients, clipping, AdamW, step by step.</summary>
/// <remarks>
/// Everything is deterministic: the same model, plan and batches give the same weights, bit for bit, on the same machine. A cancelled run leaves the
/// model as the last whole step left it. A loss that is not finite ends the run with an error before it reaches the weights.
/// AdamW: Loshchilov and Hutter, 2019, with betas 0.9 and 0.95. Decay is for linear weights: norms, biases and embeddings (so a tied head too) have none.
/// A bfloat16 model is stepped in float32 weights of its own, which it is given rounded after each step: an update is mostly smaller than half a
/// bfloat16 step of its weight, and would be lost (Micikevicius et al., "Mixed precision training", 2018).
/// </remarks>
public static class Trainer
{
    private const int TrimEvery = 200; // Steps after which freed memory goes back to the system.

    /// <summary>Runs the plan; ends early, without error, when the batches end.</summary>
    /// <param name="model">trained in place</param>
    /// <param name="batches">one batch for each step</param>
    /// <param name="plan">steps, rates and limits</param>
    /// <param name="report">called after each step; null for none</param>
    /// <param name="cancellation">checked before each step</param>
    /// <param name="term">see <see cref="LlamaModel.LossAndGradients"/>; null for none</param>
    /// <returns>loss of the last step</returns>
    /// <exception cref="ModelException">the loss is not finite, or a batch has no target</exception>
    public static double Run(LlamaModel model, IEnumerable<TokenBatch> batches, TrainingPlan plan, Action<TrainingStep>? report = null,
        CancellationToken cancellation = default, Func<string, Tensor, Tensor?>? term = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(batches);
        ArgumentNullException.ThrowIfNull(plan);
        var parameters = model.Leaves.Select(one => (one.Leaf, Parameter: new TorchSharp.Modules.Parameter(one.Leaf.detach().to(model.Place.StreamType)), one.Decays)).ToArray();
        using var optimizer = Torch.Run(() => optim.AdamW(parameters.GroupBy(one => one.Decays, one => one.Parameter).Select(group =>
            new TorchSharp.Modules.AdamW.ParamGroup(group, 1e-3, 0.9, 0.95, 1e-8, group.Key ? plan.WeightDecay : 0))));
        double loss = double.NaN;
        int step = 0;
        try
        {
            foreach (var batch in batches.Take(plan.Steps))
            {
                cancellation.ThrowIfCancellationRequested();
                long start = Stopwatch.GetTimestamp();
                loss = model.LossAndGradients(batch, term);
                double norm = Torch.Run(() =>
                {
                    foreach (var (leaf, parameter, _) in parameters) parameter.grad = leaf.grad!.to(parameter.dtype);
                    return nn.utils.clip_grad_norm_(parameters.Select(one => one.Parameter), plan.MaximumGradientNorm);
                });
                if (!double.IsFinite(loss) || !double.IsFinite(norm))
                    throw new ModelException("training", $"loss {loss} and gradient norm {norm} at step {step}: lower the learning rate or look at the batch.");
                foreach (var group in optimizer.ParamGroups) group.LearningRate = plan.RateAt(step);
                Torch.Run(() =>
                {
                    optimizer.step();
                    optimizer.zero_grad();
                });
                model.DropGradients();
                if (model.Place.Type != model.Place.StreamType) Torch.Run(() => Array.ForEach(parameters, one => one.Leaf.copy_(one.Parameter)));
                report?.Invoke(new TrainingStep(step, loss, norm, plan.RateAt(step), batch.Rows / Stopwatch.GetElapsedTime(start).TotalSeconds));
                if (++step % TrimEvery == 0) Torch.Trim();
            }
        }
        finally
        {
            model.DropGradients();
            foreach (var (_, parameter, _) in parameters) parameter.Dispose();
        }
        return loss;
    }
}
