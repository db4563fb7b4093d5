using NeuronQuant.Checkpoints;
using NeuronQuant.Display;
using NeuronQuant.Formats;
using NeuronQuant.Neuron;
using Xunit;

namespace NeuronQuant.Tests.Neuron;

/// <summary>The plan reproduces the arithmetic of the published figures for Mistral-Nemo-12B on Inf2.</summary>
public class InferencePlanTests
{
    private static readonly ModelConfig Nemo = ModelConfig.Read(Repository.PathOf("data", "mistral-nemo-12b", "config.json"));
    private static readonly PlanInstance OneChip = PlanInstance.Named("inf2.8xlarge");

    [Fact]
    public void Parameters_are_counted()
    {
        var plan = InferencePlan.Create(Nemo, new PlanRequest(OneChip, Format: Format.Bf16));
        Assert.Equal(12_247_782_400, plan.Parameters);
        Assert.Equal(2 * plan.Parameters, plan.Weights.Total);
    }

    [Theory] // tolerances: half of the last digit that the figures state
    [InlineData(Format.Bf16, false, 24.50, 22.8, 26.3, 38)]
    [InlineData(Format.Int8, false, 12.93, 12.0, 13.2, 76)]
    [InlineData(Format.F8E4M3, false, 12.93, 12.0, 13.2, 76)]
    [InlineData(Format.Int8, true, 13.60, 12.7, 13.9, 72)]
    public void Weights_and_roofline_are_those_of_the_facts(Format format, bool keepHead, double gigabytes, double gib, double milliseconds,
        double perSecond)
    {
        var plan = InferencePlan.Create(Nemo, new PlanRequest(OneChip, Format: format, Keep: keepHead ? ["lm_head"] : []));
        Assert.Equal(gigabytes, plan.Weights.Gigabytes, 0.005 + 1e-9);
        Assert.Equal(gib, plan.Weights.Total / InferencePlan.Gib, 0.05);
        Assert.Equal(milliseconds, plan.MillisecondsPerStep, 0.05);
        Assert.Equal(perSecond, plan.TokensPerSecond, 0.5);
    }

    [Fact]
    public void The_cache_is_160_KiB_a_token_and_half_of_it_in_fp8()
    {
        var bf16 = InferencePlan.Create(Nemo, new PlanRequest(OneChip, BatchSize: 8, SequenceLength: 4096));
        var fp8 = InferencePlan.Create(Nemo, new PlanRequest(OneChip, BatchSize: 8, SequenceLength: 4096, Fp8Cache: true));
        Assert.Equal((160 * 1024, 80 * 1024), (bf16.Heads.CacheBytesPerToken(Nemo, false), fp8.Heads.CacheBytesPerToken(Nemo, true)));
        Assert.Equal((5.0, 2.5), (bf16.CacheBytes / InferencePlan.Gib, fp8.CacheBytes / InferencePlan.Gib));
    }

    [Fact]
    public void A_core_has_4_6_GiB_left_in_bf16_and_10_in_int8()
    {
        var bf16 = InferencePlan.Create(Nemo, new PlanRequest(OneChip, SequenceLength: 1, Format: Format.Bf16));
        Assert.Equal(11.4, bf16.CoreWeightsGib, 0.05);
        Assert.Equal(4.6, bf16.CoreFreeGib, 0.05);
        Assert.Equal(10.0, InferencePlan.Create(Nemo, new PlanRequest(OneChip, SequenceLength: 1)).CoreFreeGib, 0.05);
        Assert.Empty(bf16.Findings);
    }

    [Theory] // gqa.py's rule: query heads padded to a multiple, key and value heads kept, repeated to tp, or one for each query head
    [InlineData(1, 32, 8, false, false)]
    [InlineData(2, 32, 8, false, false)]
    [InlineData(8, 32, 8, false, false)]
    [InlineData(16, 32, 16, false, false)]
    [InlineData(12, 36, 36, true, true)]
    [InlineData(24, 48, 24, true, false)]
    public void Heads_are_spread_as_NxDI_does(int tp, int query, int keyValue, bool padded, bool full) =>
        Assert.Equal(new HeadSharding(tp, query, keyValue, padded, full), HeadSharding.Of(Nemo, tp));

    [Fact]
    public void Twelve_cores_cost_four_and_a_half_times_the_cache()
    {
        var plan = InferencePlan.Create(Nemo, new PlanRequest(PlanInstance.Named("inf2.24xlarge"), TpDegree: 12));
        Assert.Equal(4.5, (double)plan.Heads.CacheBytesPerToken(Nemo, false) / (160 * 1024));
        Assert.Contains("4.5 times", Assert.Single(plan.Findings).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_host_needs_49_GB_for_the_model_in_float32_and_the_small_instance_is_refused()
    {
        var plan = InferencePlan.Create(Nemo, new PlanRequest(OneChip));
        Assert.Equal(49.0 + plan.Weights.Gigabytes, plan.HostGibByNxdi * InferencePlan.Gib / 1e9, 0.05);
        Assert.InRange(plan.HostGibFromFolder, 2 * plan.Weights.Total / InferencePlan.Gib, OneChip.HostGib);
        Assert.Contains(InferencePlan.Create(Nemo, new PlanRequest(PlanInstance.Named("inf2.xlarge"))).Findings,
            finding => finding is { Severity: ConfigSeverity.Error, Option: "instance" });
    }

    [Theory] // By hand, P = 12 247 782 400: (4 P + weights) / tp / 2^30, with 2 P in bf16.
    [InlineData(2, 34.22)]
    [InlineData(4, 17.11)]
    public void Compiling_holds_a_share_in_float32_and_one_in_bf16(int tp, double gib) => Assert.Equal(gib,
        InferencePlan.Create(Nemo, new PlanRequest(PlanInstance.Named("inf2.24xlarge"), TpDegree: tp, Format: Format.Bf16)).HostGibCompiling, 0.01);

    [Fact]
    public void A_host_of_32_GB_is_warned_for_an_8B_model_and_one_of_128_GiB_is_not()
    {
        var llama = Nemo with { LayerCount = 32, HiddenSize = 4096, VocabularySize = 128256 }; // Llama 3 8B: 8.03e9 numbers
        PlanInstance Host(double gib) => OneChip with { HostGib = gib };
        var small = InferencePlan.Create(llama, new PlanRequest(Host(32e9 / InferencePlan.Gib), Format: Format.Bf16));
        Assert.Equal(8_030_261_248, small.Parameters); // as Meta's checkpoint has
        Assert.Equal(7.4, small.Request.Instance.HostGib - small.HostGibCompiling, 0.05);
        Assert.Contains(small.Findings, finding => finding is { Severity: ConfigSeverity.Warning, Option: "instance" }
            && finding.Remedy.Contains("NEURON_PLATFORM_TARGET_OVERRIDE", StringComparison.Ordinal));
        Assert.DoesNotContain(InferencePlan.Create(llama, new PlanRequest(Host(128), Format: Format.Bf16)).Findings, finding =>
            finding.Option == "instance");
    }

    [Fact]
    public void What_does_not_fit_is_an_error_and_what_is_tight_a_warning()
    {
        Assert.Contains(InferencePlan.Create(Nemo, new PlanRequest(OneChip, TpDegree: 1, Format: Format.Bf16)).Findings, finding =>
            finding.Severity == ConfigSeverity.Error);
        var tight = InferencePlan.Create(Nemo, new PlanRequest(OneChip, BatchSize: 16, SequenceLength: 2560, Format: Format.Bf16));
        Assert.InRange(tight.CoreFreeGib, 0, InferencePlan.ComfortableGib);
        Assert.Equal(ConfigSeverity.Warning, Assert.Single(tight.Findings).Severity);
        Assert.Throws<NeuronException>(() => InferencePlan.Create(Nemo, new PlanRequest(OneChip, TpDegree: 4)));
        Assert.Throws<NeuronException>(() => PlanInstance.Named("inf2.2xlarge"));
    }

    [Fact]
    public void Recorded_sizes_stand_beside_the_computed_ones()
    {
        var sizes = PlanRecorded.Compare(Nemo, RecordedFigures.Blog());
        Assert.True(PlanRecorded.IsBlogsModel(Nemo));
        Assert.Equal(["unquantized", "all int8", "selective"], sizes.Select(size => size.Method));
        Assert.Equal(-1.6, sizes[0].DifferencePercent, 0.05); // 24.1 against 24.50
        Assert.Equal(2.1, sizes[1].DifferencePercent, 0.1); // 13.2 against 12.93
        Assert.All(sizes, size => Assert.InRange(Math.Abs(size.DifferencePercent), 0, 5));
        Assert.Contains("28.7", PlanRecorded.ToDataFrame(Nemo, RecordedFigures.Blog()).ToText(), StringComparison.Ordinal);
    }

    [Fact]
    public void The_table_holds_every_instance_of_the_family() =>
        Assert.All(PlanInstance.All, instance => Assert.Equal((2 * instance.Chips, 16.0, 820.0),
            (instance.Cores, instance.GibPerCore, instance.GibPerSecond / instance.Chips)));
}
