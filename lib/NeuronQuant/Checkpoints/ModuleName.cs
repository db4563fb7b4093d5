using System.Globalization;

namespace NeuronQuant.Checkpoints;

/// <summary>A module of a decoder model, by whichever of its names: the checkpoint's, the report's or the Neuron graph's.</summary>
/// <remarks>
/// The same weight is called
///   model.layers.3.self_attn.q_proj            in a Hugging Face checkpoint,
///   layers.3.self_attn.q_proj                  in this workbook's reports, and in a checkpoint for Neuron,
///   layers.3.self_attn.qkv_proj.q_proj         in the module tree that NxD Inference builds,
/// and modules_to_not_convert is matched against the first and the third. The third name differs only for attention: q, k and v sit in
/// a qkv_proj, and the output is o_proj.o_proj; see NxD Inference, modules/attention/gqa.py and quantization/quantize.py.
/// One leading "model." is accepted and dropped, never two: NxD strips one. Unknown names are kept as they are, with no layer.
/// </remarks>
/// <param name="Layer">Number of the decoder layer; null for a module outside of the layers.</param>
/// <param name="Type">Name within the layer, as Hugging Face says it: self_attn.q_proj, input_layernorm; empty for the layer itself. Outside
/// of the layers: embed_tokens, norm, lm_head.</param>
public sealed record ModuleName(int? Layer, string Type) : IComparable<ModuleName>
{
    private const string Prefix = "model.";

    // The order in which a forward pass visits the modules; it is the order of every table and figure.
    private static readonly string[] Visits =
    [
        "", "input_layernorm", "self_attn", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.q_norm", "self_attn.k_norm", "self_attn.o_proj",
        "post_attention_layernorm", "mlp", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
    ];

    /// <summary>The linear modules of a decoder layer, in the order of a forward pass.</summary>
    public static IReadOnlyList<string> LinearTypes { get; } = Visits.Where(IsLinearType).ToArray();

    /// <summary>True for the projections of attention and MLP and for lm_head: what can be quantized.</summary>
    public bool IsLinear => Layer is null ? Type == "lm_head" : IsLinearType(Type);

    /// <summary>True for a module of the decoder that this library knows: embedding, projections, norms, lm_head.</summary>
    public bool IsKnown => Layer is null ? Type is "embed_tokens" or "norm" or "lm_head" : Type.Length > 0 && Visits.Contains(Type);

    /// <summary>The name without "model.": layers.3.self_attn.q_proj.</summary>
    public string Name => Layer is null ? Type : Type.Length == 0 ? LayerName : $"{LayerName}.{Type}";

    /// <summary>The name in a Hugging Face checkpoint: "model." in front of all but lm_head and names we do not know.</summary>
    public string HuggingFaceName => Layer is not null || Type is "embed_tokens" or "norm" ? Prefix + Name : Name;

    /// <summary>The name in NxD Inference's module tree: layers.3.self_attn.qkv_proj.q_proj.</summary>
    public string NeuronName => Layer is null ? Name : Type switch
    {
        "self_attn.q_proj" or "self_attn.k_proj" or "self_attn.v_proj" => $"{LayerName}.self_attn.qkv_proj{Type["self_attn".Length..]}",
        "self_attn.o_proj" => $"{LayerName}.self_attn.o_proj.o_proj",
        _ => Name,
    };

    private string LayerName => string.Create(CultureInfo.InvariantCulture, $"layers.{Layer}");

    /// <summary>The module of any of the three names.</summary>
    public static ModuleName Parse(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (name.StartsWith(Prefix, StringComparison.Ordinal)) name = name[Prefix.Length..];
        string[] parts = name.Split('.', 3);
        if (parts is not ["layers", var number, ..] || !int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out int layer)
            || layer.ToString(CultureInfo.InvariantCulture) != number)
            return new ModuleName(null, name);
        return new ModuleName(layer, parts.Length == 3 ? Canonical(parts[2]) : "");
    }

    /// <summary>Splits a tensor's name into its module and what the tensor is to it: weight, bias, scale. Empty when there is no dot.</summary>
    public static ModuleName OfTensor(string tensor, out string parameter)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        int dot = tensor.LastIndexOf('.');
        parameter = dot < 0 ? "" : tensor[(dot + 1)..];
        return Parse(dot < 0 ? tensor : tensor[..dot]);
    }

    /// <summary>Orders as a forward pass visits: embedding, layers by number, norm, lm_head; names we do not know come last.</summary>
    public int CompareTo(ModuleName? other)
    {
        if (other is null) return 1;
        int order = Place.CompareTo(other.Place);
        if (order == 0) order = Nullable.Compare(Layer, other.Layer);
        if (order == 0) order = Visit.CompareTo(other.Visit);
        return order != 0 ? order : NaturalOrder.Instance.Compare(Type, other.Type);
    }

    /// <summary>Orders tensors by module, then by parameter; a total order over names.</summary>
    public static int CompareTensors(string x, string y)
    {
        int order = OfTensor(x, out string left).CompareTo(OfTensor(y, out string right));
        if (order == 0) order = NaturalOrder.Instance.Compare(left, right);
        return order != 0 ? order : string.CompareOrdinal(x, y);
    }

    /// <summary>The name without "model.".</summary>
    public override string ToString() => Name;

    private int Place => Layer is not null ? 1 : Type switch { "embed_tokens" => 0, "norm" => 2, "lm_head" => 3, _ => 4 };

    private int Visit => Layer is null ? 0 : (Array.IndexOf(Visits, Type) + Visits.Length + 1) % (Visits.Length + 1);

    private static string Canonical(string type) => type switch
    {
        "self_attn.qkv_proj.q_proj" => "self_attn.q_proj",
        "self_attn.qkv_proj.k_proj" => "self_attn.k_proj",
        "self_attn.qkv_proj.v_proj" => "self_attn.v_proj",
        "self_attn.o_proj.o_proj" => "self_attn.o_proj",
        _ => type,
    };

    private static bool IsLinearType(string type) => type.EndsWith("_proj", StringComparison.Ordinal) && Visits.Contains(type);
}
