namespace NeuronQuant.Checkpoints;

/// <summary>How lm_head stands to the embedding.</summary>
public enum HeadTie
{
    /// <summary>config.json does not tie them, or there is no config.</summary>
    Untied,

    /// <summary>Tied, and the file holds no other head.</summary>
    Tied,

    /// <summary>config.json ties them, and the file holds another lm_head.weight.</summary>
    Contradicted,
}

/// <summary>Holds tie_word_embeddings against the weights: a head that the config ties and the file trained is overwritten on the device.</summary>
/// <remarks>
/// transformers and NxD Inference both set lm_head.weight to the embedding after loading when the config ties them (nxd-inference,
/// models/application_base.py, get_state_dict), whatever the file holds. Values are compared, not bytes: a copy in another type is still a copy.
/// The comparison ends at the first difference, and most tied files hold no head at all.
/// </remarks>
public static class TiedHead
{
    private const int Step = 1 << 20; // elements

    /// <summary>What is wrong and what to do, for a contradicted tie.</summary>
    public const string Contradiction =
        "config.json ties lm_head to the embedding, but the file holds another lm_head.weight: NxD Inference and transformers overwrite this trained head with the embedding when they load. Set tie_word_embeddings to false to use it, or remove the tensor";

    internal static HeadTie Compare(Checkpoint checkpoint)
    {
        if (CheckpointNotes.ConfigOf(checkpoint) is not { TieWordEmbeddings: true }) return HeadTie.Untied;
        var head = checkpoint.Find(new ModuleName(null, "lm_head"), "weight");
        var embedding = checkpoint.Find(new ModuleName(null, "embed_tokens"), "weight");
        return head is null || embedding is null || AreEqual(checkpoint, head, embedding) ? HeadTie.Tied : HeadTie.Contradicted;
    }

    private static bool AreEqual(Checkpoint checkpoint, TensorInfo head, TensorInfo embedding)
    {
        if (!head.Shape.AsSpan().SequenceEqual(embedding.Shape.AsSpan())) return false;
        int size = (int)Math.Min(Step, head.ElementCount);
        var (left, right) = (new float[size], new float[size]);
        for (long first = 0; first < head.ElementCount; first += Step)
        {
            int count = (int)Math.Min(Step, head.ElementCount - first);
            checkpoint.ReadFloats(head, first, left.AsSpan(0, count));
            checkpoint.ReadFloats(embedding, first, right.AsSpan(0, count));
            if (!left.AsSpan(0, count).SequenceEqual(right.AsSpan(0, count))) return false;
        }
        return true;
    }
}
