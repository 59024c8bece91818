"""Runs by the season kernel beside runs by the eager loop: what both are given, and how they are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

import torchcrop as tc
from tests.seasons import Case
from torchcrop.functions.switches import Switches
from torchcrop.functions.tables import Table
from torchcrop.models.model import Model
from torchcrop.quantities import Record
from torchcrop.simulation.batch import assemble_parameters
from torchcrop.simulation.run import Run

SWITCHES: dict[str, Switches] = {
    "hard": tc.Hard(),
    "smooth": tc.Smooth(),
    "rounded": tc.Smooth(kinks=0.02),
    "rain": tc.Smooth(rain_gates=True),
    "straight": tc.StraightThrough(),
}
"""One of each treatment of thresholds that makes a list of operations of its own."""

VALUES = 1e-12
"""Of a value and of its variable's scale: ARCHITECTURE section 6."""
ROUNDED = 1e-11
"""The same where kinks are rounded: ``(a + b - root) / 2`` takes large numbers off each other, and what is left of the
exponential's last digit is up to 3e-12 of the scale (runoff)."""
LAST_PLACE = 1e-15
"""In the variable's own unit: of a rate that is what is left of a difference of numbers near 1, such as the growth of
roots [m d-1] that have nearly reached their depth."""
DERIVATIVES = 1e-9
"""Of the largest derivative by the same tensor."""
FLOOR = 1e-12
"""Of the largest elasticity, or of a tangent's own value: a derivative that is zero but for round-off. One ulp in the
inputs moves the eager ones by as much."""


def everything(model: Model) -> list[str]:
    """All states and outputs, those that a run does not show unasked among them."""
    return [*model.State.quantities(), *model.Outputs.quantities()]


def deviations(eager: Run, kernel: Run, tolerance: float = VALUES) -> dict[str, float]:
    """Of every variable, the largest deviation over its tolerance; infinite where one has NaN and the other has not."""
    found = {}
    kept = ~subnormal(eager)
    for name in eager.daily:
        found[name] = _share(eager[name] * kept, kernel[name] * kept, tolerance)
    for name in eager.reduced:
        found[name] = _share(eager[name], kernel[name], tolerance)
    for name, value in eager.final.items():
        # A single number has the scale of its season.
        scale = float(eager[name].detach().abs().max()) if name in eager.daily else 0.0
        found[f"final {name}"] = _share(value, kernel.final[name], tolerance, scale)
    for name, value in eager.dates.items():
        found[f"date {name}"] = _share(value, kernel.dates[name], tolerance, float(eager.rows.max()))
    return found


def subnormal(eager: Run) -> Tensor:
    """Days on which the share of the crop that has emerged is not 0, but below the smallest normal number, ``[B, T]``.

    A kernel takes it for 0, and a model that asks whether the crop stands shows other indices of the crop that does
    not. At most some days, weeks before emergence.
    """
    smallest = torch.finfo(eager.rows.dtype).tiny
    found = torch.zeros((), dtype=torch.bool)
    for name in ("emergence", "emerged"):
        if name in eager.daily:
            found = found | ((eager[name] > 0) & (eager[name] < smallest))
    return found


def _share(a: Tensor, b: Tensor, tolerance: float, scale: float = 0.0) -> float:
    a, b = a.detach().double(), b.detach().double()
    assert a.shape == b.shape
    if not torch.equal(a.isnan(), b.isnan()):
        return float("inf")
    a, b = a.nan_to_num(), b.nan_to_num()
    size = max(scale, float(a.abs().max()) if a.numel() else 0.0)
    allowed = tolerance * a.abs() + tolerance * size + LAST_PLACE * (size > 0)
    return float(((a - b).abs() / allowed.clamp(min=1e-300)).max()) if a.numel() else 0.0


def assert_same(eager: Run, kernel: Run, tolerance: float = VALUES) -> None:
    """Assert that two runs agree in every variable, date and number of rows."""
    assert eager.backend == "eager"
    assert kernel.backend == "kernel"
    assert torch.equal(eager.rows, kernel.rows)
    beyond = {name: share for name, share in deviations(eager, kernel, tolerance).items() if not share <= 1}
    assert beyond == {}, beyond


def bits(run: Run) -> list[Tensor]:
    """All numbers of a run, for comparison bit by bit."""
    return [run[n] for n in (*run.daily, *run.reduced)] + [*dict(run.final.items()).values(), *run.dates.values()]


def equal_bits(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    """Whether all numbers are the same, NaN included."""
    return all(torch.equal(x.nan_to_num(nan=-9e99), y.nan_to_num(nan=-9e99)) for x, y in zip(a, b, strict=True))


# --- everything that has a derivative --------------------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """What `simulate` is given, and the tensors in it that are differentiated."""

    case: Case
    arguments: dict[str, Any]
    leaves: dict[str, Tensor] = field(default_factory=dict)

    def run(self, switches: Switches, backend: str, **more: Any) -> Run:
        """Simulate."""
        asked = {"outputs": everything(self.case.model), **self.arguments, **more}
        return tc.simulate(self.case.model, switches=switches, backend=backend, **asked)


class _Leaves:
    """Makes tensors that are differentiated, near given values."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.generator = torch.Generator().manual_seed(seed)
        self.found: dict[str, Tensor] = {}

    def __call__(self, name: str, value: Tensor, spread: float = 0.01, batched: bool = True) -> Tensor:
        shape = (self.size, *value.shape) if batched else value.shape
        factors = 1 + spread * (2 * torch.rand(shape, generator=self.generator, dtype=torch.float64) - 1)
        self.found[name] = (value.detach() * factors).requires_grad_()
        return self.found[name]

    def record(self, prefix: str, record: Record) -> Any:
        """A record whose every number is differentiated; every third of them is shared by all simulations."""
        changed = {}
        for i, (name, quantity) in enumerate(record.quantities().items()):
            value, batched = getattr(record, name), bool(i % 3)
            if quantity.kind == "switch":
                continue
            if isinstance(value, Table):
                changed[name] = self.table(f"{prefix}.{name}", value, batched)
            else:
                changed[name] = self(f"{prefix}.{name}", value, batched=batched)
        return record.replace(**changed)

    def table(self, name: str, table: Table, batched: bool = True) -> Table:
        """A table whose breakpoints and ordinates are differentiated; breakpoints keep their order."""
        gap = (table.x[..., 1:] - table.x[..., :-1]).min()
        shift = 0.1 * float(gap) * (2 * torch.rand(table.x.shape, generator=self.generator, dtype=torch.float64) - 1)
        self.found[f"{name}.x"] = x = (table.x.detach() + shift).requires_grad_()
        return Table(x, self(f"{name}.y", table.y, batched=batched), table.ends)


def given(case: Case, size: int = 3, seed: int = 0) -> Given:
    """The first season of a case with everything differentiated: parameters, events, scenario, initial states."""
    leaf = _Leaves(size, seed)
    season = case.season
    arguments: dict[str, Any] = {"crop": leaf.record("crop", case.crop)}
    if season.soil is not None:
        arguments["soil"] = leaf.record("soil", season.soil)
    arguments["site"] = {"latitude": leaf("site.latitude", torch.tensor(season.station.latitude), batched=False)}
    arguments["experiment"] = replace(season, management={**season.management, **_management(case, leaf)})
    arguments["scenario"] = {
        "temperature": leaf("scenario.temperature", torch.tensor(0.5)),
        "rain": leaf("scenario.rain", torch.tensor(0.9)),
        "radiation": leaf("scenario.radiation", torch.tensor(1.01), batched=False),
    }
    arguments["events"] = _events(case, leaf)
    state = next(n for n in ("water", "total_rain") if n in case.model.State.quantities())
    arguments["initial"] = {state: leaf(f"initial.{state}", torch.tensor(90.0))}
    return Given(case, arguments, leaf.found)


def _management(case: Case, leaf: _Leaves) -> dict[str, Tensor | Table]:
    """Every number of the management that has an effect, shared by all simulations."""
    record = assemble_parameters(case.model, case.crop, [case.season], case.season.soil, None, {}).management
    used = {n: q for n, q in record.quantities().items() if n not in case.model.unused_management}
    return {
        name: leaf.table(f"management.{name}", getattr(record, name), False)
        if quantity.kind == "table"
        else leaf(f"management.{name}", getattr(record, name), 0.001, batched=False)
        for name, quantity in used.items()
        if quantity.kind != "switch"
    }


def _events(case: Case, leaf: _Leaves) -> dict[str, Tensor | Table]:
    listens, season = case.model.listens, case.season
    days = (season.end - season.start).days + 1
    events: dict[str, Tensor | Table] = {}
    if "irrigation" in listens:
        events["irrigation"] = leaf("events.irrigation", torch.full((days,), 2.0, dtype=torch.float64), 0.9)
    if "nitrogen" in case.model.listens_by_stage:
        by_stage = Table(*torch.tensor([[0.3, 0.9, 1.4], [0.5, 1.5, 0.7]], dtype=torch.float64))
        events["nitrogen"] = leaf.table("events.nitrogen", by_stage)
    if "phosphorus" in listens:
        events["phosphorus"] = leaf("events.phosphorus", torch.full((days,), 0.05, dtype=torch.float64), 0.9, False)
    return events


def losses(run: Run, seed: int = 1) -> dict[str, Tensor]:
    """Three numbers that together depend on everything a run holds, each variable on its own scale."""
    generator = torch.Generator().manual_seed(seed)

    def weighed(values: Mapping[str, Tensor]) -> Iterator[Tensor]:
        for value in values.values():
            scale = value.detach().nan_to_num(posinf=0.0, neginf=0.0).abs().max().clamp(min=1e-6)
            weights = torch.rand(value.shape, generator=generator, dtype=torch.float64).to(value.dtype)
            yield (torch.where(value.isnan(), 0.0, value) * weights / scale).sum()

    daily = {name: run[name] for name in (*run.daily, *run.reduced)}
    return {
        "daily": torch.stack(list(weighed(daily))).sum(),
        "final": torch.stack(list(weighed(dict(run.final.items())))).sum(),
        "dates": torch.stack(list(weighed(run.dates))).sum(),
    }


def gradients(given: Given, run: Run) -> dict[str, dict[str, Tensor]]:
    """Of each loss, the gradient by each leaf; zero where there is none."""
    found = {}
    leaves = list(given.leaves.values())
    for name, loss in losses(run).items():
        one = torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True)
        found[name] = {
            leaf: torch.zeros_like(value) if g is None else g
            for (leaf, value), g in zip(given.leaves.items(), one, strict=True)
        }
    return found


def gradient_deviations(given: Given, eager: Mapping[str, Any], kernel: Mapping[str, Any]) -> dict[str, float]:
    """Of every loss and leaf, the largest deviation over its tolerance.

    The tolerance is a share of the largest derivative by that leaf, and a much smaller one of the loss's largest
    elasticity.
    """
    found = {}
    for loss, by_leaf in eager.items():
        elastic = max(float((g * given.leaves[n].detach()).abs().max()) for n, g in by_leaf.items())
        for name, a in by_leaf.items():
            b = kernel[loss][name]
            value = given.leaves[name].detach().abs().max().clamp(min=1e-6)
            allowed = DERIVATIVES * a.abs().max() + FLOOR * elastic / value
            found[f"{loss} by {name}"] = float(((a - b).abs() / allowed.clamp(min=1e-300)).max())
            if not bool(torch.isfinite(a).all() & torch.isfinite(b).all()):
                found[f"{loss} by {name}"] = float("inf")
    return found


def directions(given: Given, seed: int = 2) -> dict[str, Tensor]:
    """A random tangent of every leaf, of the leaf's size."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: value.detach() * torch.randn(value.shape, generator=generator, dtype=torch.float64)
        for name, value in given.leaves.items()
    }


def pushed(
    given: Given, switches: Switches, backend: str, tangents: Mapping[str, Tensor]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Values and tangents of all that a run holds, in forward mode."""
    with forward_ad.dual_level():
        dual = {id(value): forward_ad.make_dual(value, tangents[name]) for name, value in given.leaves.items()}
        run = Given(given.case, _replaced(given.arguments, dual)).run(switches, backend)
        values = {n: run[n] for n in (*run.daily, *run.reduced)} | {f"final {n}": v for n, v in run.final.items()}
        found = {}
        for name, value in values.items():
            primal, tangent = forward_ad.unpack_dual(value)
            found[name] = primal.detach(), torch.zeros_like(primal) if tangent is None else tangent.detach()
    return found


def _replaced(value: Any, new: Mapping[int, Tensor]) -> Any:
    """The same arguments with other tensors in the place of leaves."""
    if isinstance(value, Tensor):
        return new.get(id(value), value)
    if isinstance(value, Table):
        return Table(_replaced(value.x, new), _replaced(value.y, new), value.ends)
    if isinstance(value, Record):
        return value.replace(**{n: _replaced(v, new) for n, v in value.items()})
    if isinstance(value, Mapping):
        return {n: _replaced(v, new) for n, v in value.items()}
    if isinstance(value, tc.Season):
        return replace(value, management=_replaced(value.management, new))
    return value
