"""Curves in blocks, value and slope in one pass: the same numbers as the whole composite."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.autograd.forward_ad as fwAD
from torch import Tensor

import torchcrop.soft as soft
from torchcrop.soft import curves

PAIRS: dict[str, Callable[..., Tensor]] = {
    "maximum": soft.maximum,
    "minimum": soft.minimum,
    "eq": soft.eq,
    "isclose": soft.isclose,
    "clamp": lambda x, y, **more: soft.clamp(x, -1.0, 1.0, **more),
}
#: Operators whose second operand is taken for a constant here.
ALONE = ("isclose", "clamp")


def derivatives(name: str, mode: str, x: Tensor, y: Tensor, weight: Tensor) -> list[Tensor]:
    """Value, gradients, a second derivative and a tangent."""
    other = y.detach() if name in ALONE else y
    wanted = [x] if name in ALONE else [x, y]
    value = PAIRS[name](x, other, softness=0.1, mode=mode)
    first = torch.autograd.grad(value, wanted, weight, retain_graph=True)
    (slope,) = torch.autograd.grad(value, x, weight, create_graph=True)
    (second,) = torch.autograd.grad(slope.sum(), x)
    with fwAD.dual_level():
        dual = fwAD.make_dual(x.detach().requires_grad_(), weight)
        tangent = fwAD.unpack_dual(PAIRS[name](dual, y.detach(), softness=0.1, mode=mode)).tangent
    return [value.detach(), *first, second, tangent.detach()]


@pytest.mark.parametrize("mode", ["smooth", "c0", "c1", "c2"])
@pytest.mark.parametrize("name", PAIRS)
def test_blocks_with_their_slopes_are_the_whole(name: str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    x, y, weight = torch.randn(3, 700, dtype=torch.float64, generator=generator).unbind(0)
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    whole = derivatives(name, mode, x, y, weight)
    monkeypatch.setattr(curves, "BLOCK", 256)
    for in_blocks, expected in zip(derivatives(name, mode, x, y, weight), whole, strict=True):
        torch.testing.assert_close(in_blocks, expected, rtol=1e-9, atol=1e-9)
