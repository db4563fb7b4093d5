"""The layers that convert puts in place of the parallel ones: nxd v2.28.0, quantization/quantization_layers.py, for one rank."""
import torch


class QuantizedColumnParallel(torch.nn.Module):
    """Lines 465-741. Per channel the scale is [out, 1] (:244-254); per tensor [1] (:232-233)."""

    def __init__(self, output_size, input_size, bias, quantized_dtype, per_channel):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(output_size, input_size, dtype=quantized_dtype), requires_grad=False)  # :141-151
        self.scale = torch.nn.Parameter(torch.ones((output_size, 1) if per_channel else (1,)), requires_grad=False)
        self.register_parameter("bias", torch.nn.Parameter(torch.zeros(output_size), requires_grad=False) if bias else None)

    def forward(self, inputs):
        """Lines 626-699: the codes are cast and multiplied, and the product is scaled (dequantize.py:11-40)."""
        output = torch.nn.functional.linear(inputs, self.weight.to(inputs.dtype))
        output = (output.to(torch.float32) * self.scale.T).to(output.dtype)
        return output if self.bias is None else output + self.bias

    @classmethod
    def from_float(cls, mod, q_config):
        """Lines 701-729: sizes and types only; weights come from the checkpoint."""
        return cls(*mod.weight.shape, mod.bias is not None, q_config["quantized_dtype"], q_config["per_channel"])


class QuantizedRowParallel(QuantizedColumnParallel):
    """Lines 744-1000: the same for one rank."""
