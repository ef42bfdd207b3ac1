"""Functions in numpy against the standard library and torch."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional as F

from tunesmith.core.arrays import erf, gelu, linear, sigmoid, softmax


def test_erf_is_exact_to_1e_7() -> None:
    x = np.linspace(-8, 8, 20001)
    assert np.abs(erf(x) - [math.erf(value) for value in x]).max() < 1e-7
    single = x.astype(np.float32)
    assert np.abs(erf(single) - [math.erf(value) for value in single]).max() < 1e-7


def test_functions_are_torchs() -> None:
    x = 4 * torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    layer = torch.nn.Linear(5, 3)
    weight, bias = (p.detach().numpy() for p in (layer.weight, layer.bias))
    for found, expected in (
        (gelu(x.numpy()), F.gelu(x)),
        (softmax(x.numpy()), x.softmax(-1)),
        (sigmoid(x.numpy()), x.sigmoid()),
        (linear(x.numpy(), weight, bias), layer(x).detach()),
    ):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)
