"""Random daily models: kernel, eager loop, tangents, cotangents and differences agree on whatever a model may say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import forward_ad

import torchcrop as tc
from tests.kernel_cases import DERIVATIVES, SWITCHES, assert_same
from tests.small_models import Grass, GrassCrop, GrassState, grass_crop, grass_season
from torchcrop.functions import fst
from torchcrop.functions.switches import Switches
from torchcrop.functions.tables import Table, afgen
from torchcrop.models.model import Day
from torchcrop.simulation.run import Run

SIZE, DAYS = 3, 25

Tree = Any

# Each is harmless on any finite number, and smooth or bent as in models.
UNARY: dict[str, Callable[[Switches, Tensor], Tensor]] = {
    "negative": lambda switches, x: -x,
    "sine": lambda switches, x: torch.sin(x),
    "exponential": lambda switches, x: torch.exp(-torch.abs(x)),
    "root": lambda switches, x: torch.sqrt(torch.abs(x) + 0.1),
    "logarithm": lambda switches, x: torch.log1p(torch.abs(x)),
    "square": lambda switches, x: torch.tanh(x) ** 2,
    "clamped": lambda switches, x: x.clamp(-1.0, 2.0),
    "positive": lambda switches, x: switches.positive(x),
    "limited": lambda switches, x: switches.limit(0.0, 1.5, x),
    "step": lambda switches, x: switches.step(x, 0.7),
    "detached": lambda switches, x: x.detach(),
    "sigmoid": lambda switches, x: torch.sigmoid(x),
}
BINARY: dict[str, Callable[[Switches, Tensor, Tensor], Tensor]] = {
    "sum": lambda switches, a, b: a + b,
    "difference": lambda switches, a, b: a - b,
    "product": lambda switches, a, b: a * torch.tanh(b),
    "quotient": lambda switches, a, b: a / (1 + torch.abs(b)),
    "smaller": lambda switches, a, b: switches.min(torch.abs(a), torch.abs(b)),
    "larger": lambda switches, a, b: switches.max(torch.abs(a), torch.abs(b)),
    "select": lambda switches, a, b: switches.select(a - 1, b, -b, 0.5),
    "insw": lambda switches, a, b: fst.insw(switches, a - b, a, b, 0.5),
    "where": lambda switches, a, b: torch.where(a < b, a, 2 * b),
    "crossed": lambda switches, a, b: switches.crossed(a, b, 1.0, 0.5, 0.4),
}
LEAVES: dict[str, Callable[[GrassState, Day, GrassCrop, Switches], Tensor]] = {
    "grass": lambda s, day, crop, switches: s.grass / 10,
    "tsum": lambda s, day, crop, switches: s.tsum / 100,
    "efficiency": lambda s, day, crop, switches: crop.efficiency,
    "decay": lambda s, day, crop, switches: crop.decay * 50,
    "radiation": lambda s, day, crop, switches: day.weather.srad / 10,
    "warmth": lambda s, day, crop, switches: day.drivers.warmth / 10,
    "irrigation": lambda s, day, crop, switches: day.irrigation,
    "table": lambda s, day, crop, switches: afgen(crop.share, s.tsum),
    "mean": lambda s, day, crop, switches: switches.table_mean(
        crop.share, s.tsum, day.drivers.warmth, day.drivers.warmth, 15.0
    ),
}


@st.composite
def trees(draw: st.DrawFn, depth: int = 4) -> Tree:
    """A rate, as nested tuples."""
    kind = draw(st.integers(0, 7 if depth else 2))
    if kind <= 1:
        return draw(st.sampled_from(sorted(LEAVES)))
    if kind == 2:
        return draw(st.sampled_from([0.3, 1.0, -0.7, 2.5]))
    if kind <= 4:
        return (draw(st.sampled_from(sorted(UNARY))), draw(trees(depth - 1)))
    return (draw(st.sampled_from(sorted(BINARY))), draw(trees(depth - 1)), draw(trees(depth - 1)))


def grown(tree: Tree, s: GrassState, day: Day, crop: GrassCrop, switches: Switches) -> Tensor:
    if isinstance(tree, str):
        return LEAVES[tree](s, day, crop, switches)
    if isinstance(tree, float):
        return torch.full_like(s.grass, tree)
    name, *parts = tree
    values = [grown(part, s, day, crop, switches) for part in parts]
    return UNARY[name](switches, *values) if len(values) == 1 else BINARY[name](switches, *values)


def model_of(tree: Tree) -> Grass:
    """A model whose dry matter changes as a tree says, by less than 3 g m-2 d-1."""

    def growth(s: GrassState, day: Day, crop: GrassCrop, switches: Switches, ripeness: Tensor) -> Tensor:
        rate = 3 * torch.tanh(grown(tree, s, day, crop, switches))
        return (1 - ripeness) * (rate + 0.1 * crop.efficiency - crop.decay * s.grass)

    return Grass(growth=growth)


def point(seed: int) -> dict[str, Tensor]:
    """Values of everything that is differentiated, off the kinks."""
    generator = torch.Generator().manual_seed(seed)

    def near(values: list[float], *shape: int) -> Tensor:
        centre = torch.tensor(values, dtype=torch.float64)
        return centre * (1 + 0.1 * torch.randn((*shape, len(values)), generator=generator, dtype=torch.float64))

    return {
        "efficiency": near([1.3], SIZE).squeeze(-1),
        "decay": near([0.013]).squeeze(-1),
        "ripe": near([250.0], SIZE).squeeze(-1),
        "x": torch.tensor([3.0, 90.0, 150.0, 260.0], dtype=torch.float64),
        "y": near([0.5, 0.8, 0.6, 0.1], SIZE),
        "grass": near([10.0], SIZE).squeeze(-1),
        "irrigation": near([1.0] * DAYS, SIZE),
    }


def run(model: Grass, values: dict[str, Tensor], switches: Switches, how: str) -> Run:
    crop = grass_crop(
        efficiency=values["efficiency"],
        decay=values["decay"],
        ripe=values["ripe"],
        share=Table(values["x"], values["y"]),
    )
    return tc.simulate(
        model,
        crop,
        grass_season(DAYS),
        switches=switches,
        outputs=["tsum", "grass", "growth", "ripeness", "max(grass)", "sum(growth)"],
        events={"irrigation": values["irrigation"]},
        initial={"grass": values["grass"]},
        backend=how,
    )


def gradient(model: Grass, values: dict[str, Tensor], switches: Switches, how: str) -> tuple[Run, dict[str, Tensor]]:
    leaves = {n: v.clone().requires_grad_() for n, v in values.items()}
    found = run(model, leaves, switches, how)
    weighted = _weighted(found)
    grads = torch.autograd.grad(weighted, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return found, dict(zip(leaves, grads, strict=True))


def _weighted(found: Run) -> Tensor:
    """One number of everything, with weights that do not depend on the values."""
    generator = torch.Generator().manual_seed(7)
    total = torch.zeros((), dtype=torch.float64)
    for value in (*(found[n] for n in (*found.daily, *found.reduced)), *found.final.values()):
        total = total + (value * torch.rand(value.shape, generator=generator, dtype=torch.float64)).sum()
    return total


def tangent(model: Grass, values: dict[str, Tensor], along: dict[str, Tensor], switches: Switches, how: str) -> float:
    with forward_ad.dual_level():
        dual = {n: forward_ad.make_dual(v.clone().requires_grad_(), along[n]) for n, v in values.items()}
        found = forward_ad.unpack_dual(_weighted(run(model, dual, switches, how))).tangent
    return 0.0 if found is None else float(found.detach())


def check(tree: Tree, seed: int, kind: str) -> None:
    """Kernel and eager loop: values, gradient, tangent; the tangent is the gradient along the direction."""
    model, values, switches = model_of(tree), point(seed), SWITCHES[kind]
    eager, by_eager = gradient(model, values, switches, "eager")
    kernel, by_kernel = gradient(model, values, switches, "kernel")
    assert_same(eager, kernel)
    size = max(float((g * values[n]).abs().max()) for n, g in by_eager.items())
    for name, expected in by_eager.items():
        scale = size / float(values[name].abs().max())
        assert float((expected - by_kernel[name]).abs().max()) <= DERIVATIVES * max(
            float(expected.abs().max()), 1e-3 * scale
        ), name
    generator = torch.Generator().manual_seed(seed)
    along = {n: v * torch.randn(v.shape, generator=generator, dtype=torch.float64) for n, v in values.items()}
    by_gradient = sum(float((g * along[n]).sum()) for n, g in by_kernel.items())
    for how in ("eager", "kernel"):
        assert abs(tangent(model, values, along, switches, how) - by_gradient) <= DERIVATIVES * (
            size + abs(by_gradient)
        )


kinds = st.sampled_from(["hard", "smooth", "straight"])


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(trees(), st.integers(0, 1000), kinds)
def test_a_random_model_is_the_same_by_kernel(tree: Tree, seed: int, kind: str) -> None:
    check(tree, seed, kind)


@pytest.mark.slow
@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(trees(), st.integers(0, 1000), kinds)
def test_many_random_models_are_the_same_by_kernel(tree: Tree, seed: int, kind: str) -> None:
    check(tree, seed, kind)


def of_one(name: str) -> Tree:
    return (name, ("difference", "grass", 1.0))


def of_two(name: str) -> Tree:
    return (name, ("sum", "mean", "irrigation"), ("product", "grass", "efficiency"))


@pytest.mark.parametrize("kind", ["hard", "smooth", "straight"])
def test_a_model_that_uses_every_function(kind: str) -> None:
    tree: Tree = "table"
    for name in sorted(UNARY):
        tree = ("sum", of_one(name), tree)
    for name in sorted(BINARY):
        tree = ("difference", of_two(name), tree)
    check(("product", 0.1, tree), 1, kind)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(UNARY))
def test_each_function_of_one_number(name: str) -> None:
    check(("sum", of_one(name), "table"), 1, "smooth")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BINARY))
def test_each_function_of_two_numbers(name: str) -> None:
    check(of_two(name), 1, "smooth")


# Smooth everywhere, so that a difference sees what the derivative says.
SMOOTH_UNARY = ("negative", "sine", "square", "sigmoid", "step")
SMOOTH_BINARY = ("sum", "difference", "product", "select", "crossed")


@st.composite
def smooth_trees(draw: st.DrawFn, depth: int = 3) -> Tree:
    kind = draw(st.integers(0, 6 if depth else 1))
    if kind <= 1:
        return draw(st.sampled_from(["grass", "tsum", "efficiency", "decay", "irrigation", "mean"]))
    if kind <= 3:
        return (draw(st.sampled_from(SMOOTH_UNARY)), draw(smooth_trees(depth - 1)))
    return (draw(st.sampled_from(SMOOTH_BINARY)), draw(smooth_trees(depth - 1)), draw(smooth_trees(depth - 1)))


@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])
@given(smooth_trees(), st.integers(0, 1000))
def test_the_derivative_of_a_smooth_model_is_its_difference(tree: Tree, seed: int) -> None:
    model, values, switches = model_of(tree), point(seed), tc.Smooth()
    generator = torch.Generator().manual_seed(seed)
    along = {n: v * torch.randn(v.shape, generator=generator, dtype=torch.float64) for n, v in values.items()}
    _, by_kernel = gradient(model, values, switches, "kernel")
    exact = sum(float((g * along[n]).sum()) for n, g in by_kernel.items())

    def at(step: float) -> float:
        return float(_weighted(run(model, {n: v + step * along[n] for n, v in values.items()}, switches, "kernel")))

    h = 1e-4
    # Of the fourth order.
    difference = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    size = sum(float((g * along[n]).abs().sum()) for n, g in by_kernel.items())
    assert abs(difference - exact) <= 1e-5 * size + 1e-8
