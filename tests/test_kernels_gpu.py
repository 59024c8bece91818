"""The season kernel on an NVIDIA device: the numbers of the processor's kernel and of the eager loop."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor

import torchcrop as tc
from tests.kernel_cases import SWITCHES
from tests.kernel_jobs import assert_forward, assert_reverse, assert_tangents, kernel_of
from tests.seasons import cases, quick_cases
from torchcrop.kernels.cuda import GpuKernel
from torchcrop.kernels.kernel import Inputs, SeasonKernel

pytestmark = pytest.mark.gpu

ALL = [(name, switches) for name in quick_cases() for switches in SWITCHES]


class OnDevice:
    """A kernel's jobs on the device, for inputs and results on the processor."""

    def __init__(self, kernel: SeasonKernel) -> None:
        self.kernel = GpuKernel(kernel.season, kernel.binding, kernel.dtype, torch.device("cuda", 0))

    def _do(self, job: str, inputs: Inputs, *more: Tensor) -> tuple[Tensor, ...]:
        values = {f.name: getattr(inputs, f.name) for f in fields(inputs)}
        there = Inputs(**{n: v.cuda() if isinstance(v, Tensor) else v for n, v in values.items()})
        return tuple(x.cpu() for x in getattr(self.kernel, job)(there, *(x.cuda() for x in more)))

    def forward(self, inputs: Inputs) -> tuple[Tensor, ...]:
        return self._do("forward", inputs)

    def reverse(self, inputs: Inputs, by_daily: Tensor, by_carried: Tensor) -> tuple[Tensor, ...]:
        return self._do("reverse", inputs, by_daily, by_carried)

    def tangents(self, inputs: Inputs, own: Tensor, events: Tensor) -> tuple[Tensor, ...]:
        return self._do("tangents", inputs, own, events)


@pytest.mark.parametrize(("name", "switches"), ALL)
def test_jobs_give_the_numbers_of_the_processors(name: str, switches: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, inputs = kernel_of(quick_cases()[name], switches, monkeypatch)
    device = OnDevice(kernel)
    assert_forward(kernel, device, inputs)
    assert_reverse(kernel, device, inputs)
    assert_tangents(kernel, device, inputs)


def _simulated(name: str, switches: str, device: str, dtype: torch.dtype) -> tuple[tc.Run, list[Tensor], Any]:
    case = cases()[name]
    # Of the leaves' growth and the light that they take: parameters that every season feels.
    value = case.crop.extinction
    points = (value.y if hasattr(value, "y") else value).detach().clone().requires_grad_()
    crop = case.crop.replace(extinction=value.replace(y=points) if hasattr(value, "y") else points)
    run = tc.simulate(
        case.model,
        crop,
        case.seasons,
        switches=SWITCHES[switches],
        outputs=["lai", "max(lai)"],
        dtype=dtype,
        device=device,
        backend="kernel" if device == "cuda" else "eager",
    )
    values = [run["lai"].cpu(), run["max(lai)"].cpu(), *(v.cpu() for _, v in run.final.items())]
    return run, values, torch.autograd.grad(run["max(lai)"].sum(), points)[0]


@pytest.mark.parametrize("switches", ["hard", "smooth"])
@pytest.mark.parametrize("name", ["lintul1", "lintul2", "lintul5-water", "lintul5-npk"])
def test_a_run_of_many_seasons_is_the_eager_loops(name: str, switches: str) -> None:
    _, expected, gradient = _simulated(name, switches, "cpu", torch.float64)
    run, found, on_device = _simulated(name, switches, "cuda", torch.float64)
    assert run.backend == "kernel"
    assert run["lai"].device.type == "cuda"
    assert isinstance(run.kernel, GpuKernel)
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-12 * float(b.detach().abs().max()))
    assert torch.allclose(on_device, gradient, rtol=1e-9, atol=1e-9 * float(gradient.abs().max()))


@pytest.mark.parametrize("name", ["lintul5-water", "lintul5-npk"])
def test_single_precision_is_near_double(name: str) -> None:
    _, expected, _ = _simulated(name, "smooth", "cpu", torch.float64)
    _, found, _ = _simulated(name, "smooth", "cuda", torch.float32)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == torch.float32
        assert torch.allclose(a.double(), b, rtol=1e-4, atol=1e-4 * float(b.detach().abs().max()))


def test_it_runs_on_torchs_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is enqueued before it on another stream is seen, and what is enqueued after it sees its results."""
    kernel, inputs = kernel_of(quick_cases()["lintul2"], "smooth", monkeypatch)
    expected = kernel.forward(inputs)
    device = OnDevice(kernel)
    device.forward(inputs)
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(100_000_000)
        for a, b in zip(device.forward(inputs), expected, strict=True):
            assert torch.allclose(a, b, rtol=1e-12, atol=1e-12)


def test_the_machine_code_is_kept_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("TORCHCROP_CACHE", str(tmp_path))
    kernel, inputs = kernel_of(quick_cases()["lintul1"], "hard", monkeypatch)
    before = set(tmp_path.iterdir())
    first = OnDevice(kernel).forward(inputs)
    kept = set(tmp_path.iterdir()) - before
    assert len(kept) == 1
    written = kept.pop().stat().st_mtime_ns
    again = OnDevice(kernel).forward(inputs)
    assert {p.stat().st_mtime_ns for p in set(tmp_path.iterdir()) - before} == {written}
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
