"""Weights from PyTorch: its dtypes, its files, and what is said when they are loaded by the wrong function."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minigrad import checkpoint, nn

WEIGHT = np.array([[1.5, -2.0, 0.25], [3.0, 0.0, -0.5]], np.float32)  # PyTorch's (out, in); exact in bfloat16
BIAS = np.array([1.0, -1.0], np.float32)


class TorchBFloat16:
    """What a torch tensor of bfloat16 does: numpy() fails."""

    dtype = "torch.bfloat16"

    def __init__(self, value):
        self.value = value

    def detach(self): return self

    def numpy(self): raise TypeError("Got unsupported ScalarType BFloat16")

    def float(self):
        return self.value


def test_bfloat16_tensors():
    layer = nn.Dense(3, 2)
    nn.load_torch_state_dict(layer, {"weight": TorchBFloat16(WEIGHT), "bias": BIAS})
    assert_array_equal(layer.weight.data, WEIGHT.T)
    assert layer.weight.dtype == np.float32


def test_a_file_with_bfloat16(tmp_path):
    high = (WEIGHT.view(np.uint32) >> 16).astype("<u2")
    path = tmp_path / "m.safetensors"
    path.write_bytes(_file(weight=("BF16", high), bias=("F32", BIAS)))
    layer = nn.Dense(3, 2)
    nn.load_torch_state_dict(layer, path)
    assert_array_equal(layer.weight.data, WEIGHT.T)
    assert_array_equal(layer.bias.data, BIAS)
    assert_array_equal(checkpoint.load(path).state["weight"], WEIGHT)
    path.write_bytes(b"no such thing")
    with pytest.raises(checkpoint.ModelFileError, match="not a safetensors file"):
        nn.load_torch_state_dict(layer, path)


def _file(**entries):
    import json
    header, data = {}, b""
    for name, (dtype, array) in entries.items():
        start, data = len(data), data + array.tobytes()
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [start, len(data)]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_the_other_function_is_named_when_the_transpose_would_fit():
    layer = nn.Dense(3, 2)
    theirs = {"weight": WEIGHT, "bias": BIAS}
    with pytest.raises(ValueError, match=r"the transpose would fit: nn\.load_torch_state_dict is for PyTorch's"):
        layer.load_state_dict(theirs)
    nn.load_torch_state_dict(layer, theirs)
    with pytest.raises(ValueError, match=r"load_state_dict for minigrad's"):
        nn.load_torch_state_dict(layer, layer.state_dict())
    with pytest.raises(ValueError, match=r"weight: \(2, 4\) for \(3, 2\)$"):
        layer.load_state_dict({"weight": np.zeros((2, 4)), "bias": BIAS})
