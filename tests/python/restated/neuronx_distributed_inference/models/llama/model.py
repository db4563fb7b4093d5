"""The modules of the Neuron Llama for one rank, under their names: nxdi cd3abf3 (SDK 2.28). Formulas from Hugging Face's definition of Llama."""
import torch
from neuronx_distributed.parallel_layers.layers import ColumnParallelLinear, ParallelEmbedding, RowParallelLinear
from torch import nn


class Norm(nn.Module):
    """models/llama/modeling_llama.py:136-147: Hugging Face's RMSNorm when on a CPU."""

    def __init__(self, size, epsilon):
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(torch.ones(size), requires_grad=False), epsilon

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon)


class Rank(nn.Module):
    """The rank that attention asks for; filled by convert_hf_to_neuron_state_dict."""

    def __init__(self):
        super().__init__()
        self.rank = nn.Parameter(torch.zeros(1, dtype=torch.int32), requires_grad=False)


class Renaming(nn.Module):
    """modules/attention/gqa.py:362-373 (replace_prefixes), called by the hooks of :894 and :1306: Hugging Face's name to that of the inner module."""

    def preshard_hook(self, state, prefix):
        own, outer = prefix.removesuffix(".weight"), prefix.removesuffix(".weight").rpartition(".")[0]
        for inner, _ in self.named_children():
            old = f"{outer}.{inner}."
            for key in [key for key in state if key.startswith(old) and not key.startswith(f"{own}.{inner}.")]:
                state[f"{own}.{inner}.{key[len(old):]}"] = state[key]


class Query(Renaming):
    """gqa.py:375-560: qkv_proj with its three projections."""

    def __init__(self, hidden, heads, groups, width, bias):
        super().__init__()
        self.q_proj = ColumnParallelLinear(hidden, heads * width, bias)
        self.k_proj = ColumnParallelLinear(hidden, groups * width, bias)
        self.v_proj = ColumnParallelLinear(hidden, groups * width, bias)


class Output(Renaming):
    """gqa.py:1170-1300: o_proj within o_proj."""

    def __init__(self, hidden, heads, width):
        super().__init__()
        self.o_proj = RowParallelLinear(heads * width, hidden, False)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads, self.groups, self.base = config.num_attention_heads, config.num_key_value_heads, config.rope_theta
        self.width = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.qkv_proj = Query(config.hidden_size, self.heads, self.groups, self.width, False)
        self.o_proj = Output(config.hidden_size, self.heads, self.width)
        self.rank_util = Rank()

    def forward(self, x, positions):
        def split(projection, count):
            return projection(x).view(x.shape[0], x.shape[1], count, self.width).transpose(1, 2)

        query = self.rotated(split(self.qkv_proj.q_proj, self.heads), positions)
        key = self.rotated(split(self.qkv_proj.k_proj, self.groups), positions)
        value = split(self.qkv_proj.v_proj, self.groups)
        key, value = (tensor.repeat_interleave(self.heads // self.groups, dim=1) for tensor in (key, value))
        scores = query @ key.transpose(2, 3) / self.width ** 0.5
        later = torch.triu(torch.ones(x.shape[1], x.shape[1], dtype=torch.bool), 1)
        mixed = torch.softmax(scores.masked_fill(later, float("-inf")), -1) @ value
        return self.o_proj.o_proj(mixed.transpose(1, 2).reshape(x.shape[0], x.shape[1], -1))

    def rotated(self, x, positions):
        angles = positions[:, :, None].float() / self.base ** (torch.arange(0, self.width, 2).float() / self.width)
        cos, sin = (function(torch.cat((angles, angles), -1))[:, None] for function in (torch.cos, torch.sin))
        low, high = x.chunk(2, -1)
        return x * cos + torch.cat((-high, low), -1) * sin


class Mlp(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.gate_proj, self.up_proj = (ColumnParallelLinear(config.hidden_size, config.intermediate_size, False) for _ in range(2))
        self.down_proj = RowParallelLinear(config.intermediate_size, config.hidden_size, False)

    def forward(self, x):
        return self.down_proj(nn.functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    """models/llama/modeling_llama.py:1118-1301."""

    def __init__(self, config):
        super().__init__()
        self.self_attn, self.mlp = Attention(config), Mlp(config)
        self.input_layernorm, self.post_attention_layernorm = (Norm(config.hidden_size, config.rms_norm_eps) for _ in range(2))

    def forward(self, x, positions):
        x = x + self.self_attn(self.input_layernorm(x), positions)
        return x + self.mlp(self.post_attention_layernorm(x))


class NeuronLlamaModel(nn.Module):
    """models/llama/modeling_llama.py:1336-1405; the cache lies among the parameters (modules/kvcache/kv_cache_manager.py:153-165)."""

    def __init__(self, config):
        super().__init__()
        self.embed_tokens = ParallelEmbedding(config.vocab_size, config.hidden_size)
        self.lm_head = ColumnParallelLinear(config.hidden_size, config.vocab_size, False)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm, self.rank_util = Norm(config.hidden_size, config.rms_norm_eps), Rank()
        self.kv_mgr = nn.Module()
        self.kv_mgr.past_key_values = nn.ParameterList(nn.Parameter(torch.zeros(1), requires_grad=False) for _ in range(2 * config.num_hidden_layers))

    def forward(self, ids, positions):
        """The logits of the last position, and the cache, as on a CPU (models/model_base.py:3495)."""
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, positions)
        return [self.lm_head(self.norm(x[:, -1:])), *self.kv_mgr.past_key_values]
