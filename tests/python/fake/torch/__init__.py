"""The few names of torch 2.9 that the bridge touches, by its public documentation. A tensor is nested lists, or raw bytes."""


class dtype:  # noqa: N801 - torch's own spelling
    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"torch.{self.name}"


bfloat16, float16, float32 = dtype("bfloat16"), dtype("float16"), dtype("float32")
int8, uint8, float8_e4m3fn, float8_e5m2 = dtype("int8"), dtype("uint8"), dtype("float8_e4m3fn"), dtype("float8_e5m2")


class Tensor:
    def __init__(self, values):
        self.values = values

    @property
    def shape(self):
        return (len(self.values), len(self.values[0]))

    def tolist(self):
        return self.values


def tensor(values):
    return Tensor(values)


def ones_like(other):
    return Tensor([[1] * len(row) for row in other.tolist()])


class ByteTensor:
    """A tensor of which only the bytes matter: contiguous().reshape(-1).view(uint8).numpy().tobytes()."""

    def __init__(self, data):
        self.data = data

    def detach(self):
        return self

    def contiguous(self):
        return self

    def reshape(self, size):
        return self

    def view(self, kind):
        assert kind is uint8, "bytes are read as uint8"
        return self

    def numpy(self):
        return self

    def tobytes(self):
        return self.data
