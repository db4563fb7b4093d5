"""The parallel layers for one rank, where splitting over ranks is nothing: nxd v2.28.0, parallel_layers/layers.py."""
import torch


class ColumnParallelLinear(torch.nn.Module):
    """Lines 562-813, with gather_output or without it: y = x W^T + b."""

    def __init__(self, input_size, output_size, bias=True):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(output_size, input_size), requires_grad=False)
        self.register_parameter("bias", torch.nn.Parameter(torch.zeros(output_size), requires_grad=False) if bias else None)

    def forward(self, inputs):
        return torch.nn.functional.linear(inputs, self.weight, self.bias)


class RowParallelLinear(ColumnParallelLinear):
    """Lines 816-1060: the same after the reduction over ranks."""


class ParallelEmbedding(torch.nn.Embedding):
    """Lines 187-436."""
