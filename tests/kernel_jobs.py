"""Jobs of one season kernel beside those of another of the same season: forward, reverse, tangents."""

from __future__ import annotations

from typing import Any, Protocol

import pytest
import torch
from torch import Tensor

from tests.kernel_cases import DERIVATIVES, SWITCHES, VALUES, Given, given
from tests.seasons import Case
from torchcrop.kernels import backend
from torchcrop.kernels.kernel import Inputs, SeasonKernel

# Runoff is the small rest of a soil's water of some hundred mm, and has its last places: 1e-13, of VALUES a tenth.
LAST_PLACES = 0.1


class Jobs(Protocol):
    """What is compared with a season kernel."""

    def forward(self, inputs: Inputs) -> tuple[Tensor, ...]: ...

    def reverse(self, inputs: Inputs, by_daily: Tensor, by_carried: Tensor) -> tuple[Tensor, ...]: ...

    def tangents(self, inputs: Inputs, own: Tensor, events: Tensor) -> tuple[Tensor, ...]: ...


def kernel_of(case: Case, switches: str, monkeypatch: pytest.MonkeyPatch, **more: Any) -> tuple[SeasonKernel, Inputs]:
    """Kernel and inputs of a run in which everything has a derivative."""
    return captured(given(case), switches, monkeypatch, **more)


def captured(what: Given, switches: str, monkeypatch: pytest.MonkeyPatch, **more: Any) -> tuple[SeasonKernel, Inputs]:
    """Kernel and inputs of a run."""
    found: list[tuple[SeasonKernel, Inputs]] = []
    run = backend.run

    def seen(kernel: SeasonKernel, inputs: Inputs) -> Any:
        found.append((kernel, inputs))
        return run(kernel, inputs)

    with monkeypatch.context() as patch:
        patch.setattr(backend, "run", seen)
        what.run(SWITCHES[switches], "kernel", **more)
    return found[-1]


def assert_near(found: Tensor, expected: Tensor, tolerance: float, beside: float | Tensor = 0.0) -> None:
    """Within a tolerance of each value, of its variable's largest (the last dimension but one), and of `beside`."""
    assert found.shape == expected.shape
    assert torch.equal(found.isnan(), expected.isnan())
    found, expected = found.nan_to_num(), expected.nan_to_num()
    if expected.numel():
        rest = [d for d in range(expected.dim()) if d != expected.dim() - 2]
        scale = expected.abs() + expected.abs().amax(rest, keepdim=True) + beside
        assert bool(((found - expected).abs() <= tolerance * scale).all())


def assert_forward(kernel: SeasonKernel, other: Jobs, inputs: Inputs) -> None:
    for found, expected in zip(other.forward(inputs), kernel.forward(inputs), strict=True):
        assert_near(found, expected, VALUES, LAST_PLACES)


def assert_reverse(kernel: SeasonKernel, other: Jobs, inputs: Inputs) -> None:
    generator = torch.Generator().manual_seed(1)
    given = [torch.rand(x.shape, generator=generator, dtype=x.dtype) for x in kernel.forward(inputs)]
    by_own, by_events = other.reverse(inputs, *given)
    expected_own, expected_events = kernel.reverse(inputs, *given)
    assert float(expected_own.abs().max()) > 0
    # Below an elasticity of 1e-6 of the largest, what is left of a cancellation of larger ones is compared.
    value = inputs.own.detach()[[kernel.binding.own.index(name) for name in kernel.binding.active]]
    elastic = (expected_own * value).abs().max()
    allowed = DERIVATIVES * (expected_own.abs() + 1e-6 * elastic / value.abs().clamp(min=1e-6))
    assert bool(((by_own - expected_own).abs() <= allowed).all())
    assert_near(by_events.flatten(0, 1), expected_events.flatten(0, 1), DERIVATIVES)


def assert_tangents(kernel: SeasonKernel, other: Jobs, inputs: Inputs) -> None:
    generator = torch.Generator().manual_seed(2)
    binding, size = kernel.binding, inputs.size
    scale = inputs.own.detach()[[binding.own.index(name) for name in binding.active]]
    own = scale * torch.rand(3, *scale.shape, generator=generator, dtype=kernel.dtype)
    events = torch.rand(3, len(binding.active_events), inputs.days, size, generator=generator, dtype=kernel.dtype)
    found, expected = other.tangents(inputs, own, events), kernel.tangents(inputs, own, events)
    for k in (0, 1):
        assert_near(found[k], expected[k], VALUES, LAST_PLACES)
        # A tangent that is this small beside its value, or beside 1, is what is left of a cancellation.
        rest = [d for d in range(expected[k].dim()) if d != expected[k].dim() - 2]
        value = expected[k].nan_to_num().abs().amax(rest, keepdim=True)
        assert_near(found[k + 2], expected[k + 2], DERIVATIVES, 1e-5 * (1 + value))
