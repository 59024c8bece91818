"""Derivatives against differences: every continuous parameter of a model, for the outputs that people fit.

A point is the values of all parameters by (record, name); a table stands for its ordinates. The perturbed runs of a
matrix are lanes of one batch, so that it costs a few simulations.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tests.trials import Trial
from torchcrop.functions.switches import Smooth, Switches
from torchcrop.functions.tables import Table
from torchcrop.quantities import Quantity, Record
from torchcrop.simulation.batch import assemble_parameters
from torchcrop.simulation.run import Run
from torchcrop.simulation.seasons import Season
from torchcrop.simulation.simulate import simulate

STEPS = (1e-5, 3e-5, 1e-6)
"""Relative steps of central differences: the one that resolves an event, and its neighbours."""
TOLERANCE = 1e-4
_ROUND_OFF = 64 * torch.finfo(torch.float64).eps
"""Of a difference of two runs, as a share of their value: a season adds up some thousand numbers."""

Key = tuple[str, str]
Point = dict[Key, Tensor]


@dataclass(frozen=True)
class Entry:
    """One number that can be perturbed: a scalar parameter or an ordinate of a table."""

    key: Key
    symbol: str
    ordinate: int | None
    scale: float

    @property
    def label(self) -> str:
        return self.symbol if self.ordinate is None else f"{self.symbol}[{self.ordinate}]"


# --- a trial as a function of its parameters ------------------------------------------------------------


def parameters(trial: Trial) -> Record:
    """All parameters of a trial, as its model sees them."""
    return assemble_parameters(trial.model, trial.crop, [trial.season], trial.season.soil, None, {})


def continuous(trial: Trial) -> dict[Key, Quantity]:
    """Declarations of all parameters that are not switches."""
    records = parameters(trial).items()
    return {(r, n): q for r, record in records for n, q in record.quantities().items() if q.kind != "switch"}


def presets(trial: Trial) -> Point:
    """The values of a trial's parameters."""
    values = parameters(trial)
    found = {}
    for record, name in continuous(trial):
        value = getattr(getattr(values, record), name)
        found[record, name] = (value.y if isinstance(value, Table) else value).detach()
    return found


def has_nutrients(trial: Trial) -> bool:
    """Whether a trial's crop takes up nitrogen."""
    return "nitrogen" in trial.model.listens


def outputs_of(trial: Trial) -> tuple[str, ...]:
    """What is differentiated: yield, max LAI, dates of anthesis and maturity; transpiration and uptake of nitrogen if
    the model has them.
    """
    names: tuple[str, ...] = ("yield", "max LAI", "anthesis", "maturity")
    if trial.model.name != "LINTUL1":
        names += ("transpiration",)
    return (*names, "nitrogen uptake") if has_nutrients(trial) else names


def run_at(trial: Trial, point: Point, switches: Switches, backend: str = "auto") -> Run:
    """Simulate a trial with other values, ``[]`` or ``[B]`` each (of the management ``[B]`` without gradients)."""

    def part(record: str) -> Point:
        return {name: value for (r, name), value in point.items() if r == record}

    def changed(old: Record | None) -> Record | None:
        if old is None:
            return None
        values = part("crop" if old is trial.crop else "soil")
        tables = {n: getattr(old, n) for n, q in old.quantities().items() if q.kind == "table"}
        return old.replace(**{n: tables[n].replace(y=v) if n in tables else v for n, v in values.items()})

    crop, soil = changed(trial.crop), changed(trial.season.soil)
    assert crop is not None
    return simulate(
        trial.model,
        crop,
        _seasons(trial, part("management")),
        soil=soil,
        site=part("site"),
        switches=switches,
        outputs=["max(lai)"],
        backend=backend,
    )


def _seasons(trial: Trial, management: Point) -> list:
    """One season, or one per lane if a value of the management differs among lanes."""
    season, given = trial.season, dict(trial.season.management)
    kind = trial.model.Parameters.quantities()["management"].record
    assert kind is not None
    quantities, old = kind.quantities(), parameters(trial).management
    own = {name: int(quantities[name].kind == "table") for name in management}
    size = max((len(v) for name, v in management.items() if v.dim() > own[name]), default=0)
    # What the level does not use is refused: its derivative is 0, and so is its difference.
    management = {name: v for name, v in management.items() if name not in trial.model.unused_management}

    def valued(values: Point) -> Season:
        """The season with values by readable names, in place of those under any spelling."""
        spelled = {s for name in values for s in quantities[name].spellings()}
        kept = {name: value for name, value in given.items() if name.lower() not in spelled}
        new = {n: getattr(old, n).replace(y=v) if own[n] else v for n, v in values.items()}
        return replace(season, management=kept | new)

    if not size:
        return [valued(management)]
    columns = {n: v if v.dim() > own[n] else v.expand(size, *v.shape) for n, v in management.items()}
    lanes = torch.cat([c.reshape(size, -1) for c in columns.values()], dim=1).tolist()
    made: dict[tuple[float, ...], Season] = {}
    for i, values in enumerate(map(tuple, lanes)):
        if values not in made:
            made[values] = valued({n: c[i] for n, c in columns.items()})
    return [made[tuple(values)] for values in lanes]


def evaluate(trial: Trial, point: Point, switches: Switches) -> Tensor:
    """The outputs at a point, ``[n, B]``."""
    run = run_at(trial, point, switches)
    values = [run.final["wso"], run["max(lai)"], run.dates["anthesis"], run.dates["maturity"]]
    if "transpiration" in outputs_of(trial):
        values.append(run.final["total_transpiration"])
    if has_nutrients(trial):
        values.append(run.final["total_nitrogen_uptake"])
    return torch.stack(values)


# --- points and entries ---------------------------------------------------------------------------------


def _scale(value: float, quantity: Quantity) -> float:
    """Scale of a parameter: its size, or a tenth of its bounds where that is zero."""
    lo, hi = quantity.bounds
    return abs(value) if value else 0.1 * (hi - lo)


def entries(trial: Trial, point: Point) -> list[Entry]:
    """All continuous parameters, ordinates of tables one by one."""
    found = []
    for key, quantity in continuous(trial).items():
        value, symbol = point[key], quantity.symbol or key[1]
        if quantity.kind == "table":
            top = float(value.abs().max()) or 1.0
            found += [Entry(key, symbol, i, abs(y) or top) for i, y in enumerate(value.tolist())]
        else:
            found.append(Entry(key, symbol, None, _scale(float(value), quantity)))
    return found


def drawn(trial: Trial, seed: int, share: float = 0.02) -> Point:
    """A random point within a share of the presets; what is 0 moves by that share of its scale."""
    generator = torch.Generator().manual_seed(seed)
    point = presets(trial)
    for key, quantity in continuous(trial).items():
        value = point[key]
        shift = share * (2 * torch.rand(value.shape, generator=generator, dtype=torch.float64) - 1)
        if quantity.kind == "table":
            # An ordinate of 0 can only grow.
            point[key] = torch.where(value == 0, shift.abs() * value.abs().max(), value * (1 + shift))
        else:
            lo, hi = quantity.bounds
            moved = value + shift * _scale(float(value), quantity)
            # At a bound there is only one side.
            point[key] = 2 * value - moved if lo == value > moved or hi == value < moved else moved
    return point


# --- derivatives and differences ------------------------------------------------------------------------


def _picked(gradients: Sequence[Tensor | None], wanted: Sequence[Entry], keys: Sequence[Key]) -> Tensor:
    place = {key: i for i, key in enumerate(keys)}
    zero = torch.zeros((), dtype=torch.float64)
    row = []
    for e in wanted:
        g = gradients[place[e.key]]
        row.append(zero if g is None else g if e.ordinate is None else g[e.ordinate])
    return torch.stack(row)


def derivatives(trial: Trial, point: Point, wanted: Sequence[Entry], switches: Switches) -> tuple[Tensor, Tensor]:
    """Values ``[n]`` and derivatives by autograd ``[n, P]``."""
    leaves = {key: value.clone().requires_grad_() for key, value in point.items()}
    values = evaluate(trial, leaves, switches)[:, 0]
    rows = []
    for value in values:
        gradients = torch.autograd.grad(value, list(leaves.values()), retain_graph=True, allow_unused=True)
        rows.append(_picked(gradients, wanted, list(leaves)))
    return values.detach(), torch.stack(rows)


def differences(trial: Trial, point: Point, wanted: Sequence[Entry], step: float, switches: Switches) -> Tensor:
    """Central differences ``[n, P]`` with a step relative to each entry's scale."""
    size = 2 * len(wanted)
    lanes: Point = {}
    for p, e in enumerate(wanted):
        if e.key not in lanes:
            lanes[e.key] = point[e.key].expand(size, *point[e.key].shape).clone()
        target = lanes[e.key] if e.ordinate is None else lanes[e.key][:, e.ordinate]
        target[2 * p] += step * e.scale
        target[2 * p + 1] -= step * e.scale
    with torch.no_grad():
        values = evaluate(trial, point | lanes, switches)
    scales = torch.tensor([e.scale for e in wanted], dtype=torch.float64)
    return (values[:, 0::2] - values[:, 1::2]) / (2 * step * scales)


@dataclass(frozen=True, eq=False)
class Matrix:
    """Derivatives at a point, beside central differences.

    Rows are the outputs that exist (a date that is not reached is NaN, and no output), columns the entries.
    """

    outputs: list[str]
    entries: list[Entry]
    values: Tensor
    exact: Tensor
    numeric: dict[float, Tensor]

    @property
    def scales(self) -> Tensor:
        """Sizes of the parameters, ``[P]``."""
        return torch.tensor([e.scale for e in self.entries], dtype=torch.float64)

    @property
    def floor(self) -> Tensor:
        """What is too small to matter: a derivative whose elasticity is 1e-6."""
        return 1e-6 * self.values.abs()[:, None] / self.scales

    def agrees(self, step: float) -> Tensor:
        """Whether ``|AD - FD| <= 1e-4 max(|AD|, |FD|, 1e-6 |y| / |x|)``, but for the round-off of the difference."""
        numeric = self.numeric[step]
        size = torch.maximum(torch.maximum(self.exact.abs(), numeric.abs()), self.floor)
        round_off = _ROUND_OFF * self.values.abs()[:, None] / (2 * step * self.scales)
        return (self.exact - numeric).abs() <= TOLERANCE * size + round_off

    def mismatches(self) -> list[tuple[str, str, float, float]]:
        """Output, parameter, derivative and difference of what agrees at no step."""
        failed = ~torch.stack([self.agrees(step) for step in STEPS]).any(0)
        last = self.numeric[STEPS[0]]
        return [
            (self.outputs[i], self.entries[p].label, float(self.exact[i, p]), float(last[i, p]))
            for i, p in torch.nonzero(failed).tolist()
        ]

    def without_effect(self, derivative: Tensor) -> set[str]:
        """Symbols whose derivatives are all nothing, for every output and ordinate."""
        nothing = (derivative.abs() <= 1e-6 * self.floor).all(0).tolist()
        return {e.symbol for e in self.entries} - {
            e.symbol for e, n in zip(self.entries, nothing, strict=True) if not n
        }

    def hidden(self, step: float) -> list[str]:
        """Entries without derivative that a difference with this step shows to have an effect."""
        zero = (self.exact.abs() <= 1e-6 * self.floor).all(0)
        moved = (self.numeric[step].abs() > self.floor).any(0)
        return [self.entries[p].label for p in torch.nonzero(zero & moved).flatten().tolist()]


def matrix(
    trial: Trial,
    point: Point,
    switches: Switches | None = None,
    steps: Sequence[float] = STEPS,
    only: Collection[str] | None = None,
) -> Matrix:
    """Derivatives and differences of a trial at a point, of all parameters or those of some symbols."""
    switches = switches or Smooth()
    wanted = [e for e in entries(trial, point) if only is None or e.symbol in only]
    values, exact = derivatives(trial, point, wanted, switches)
    there = ~values.isnan()
    names = [name for name, exists in zip(outputs_of(trial), there.tolist(), strict=True) if exists]
    numeric = {step: differences(trial, point, wanted, step, switches)[there] for step in steps}
    return Matrix(names, wanted, values[there], exact[there], numeric)


# --- second derivatives ---------------------------------------------------------------------------------


def gradients_along(trial: Trial, key: Key, values: Tensor, switches: Switches, twice: bool) -> tuple[Tensor, Tensor]:
    """Gradients of yield, ``[N, P]``, at several values ``[N]`` of one parameter, and what it adds to them.

    With `twice` the second result is the parameter's row of the Hessian, by double backward, ``[N, P]``; otherwise it
    is empty. The management is left out: it has no lanes with gradients.
    """
    size = len(values)
    point = {k: v for k, v in presets(trial).items() if k[0] != "management"}
    leaves = {k: v.expand(size, *v.shape).clone().requires_grad_() for k, v in point.items()}
    leaves[key] = values.clone().requires_grad_()
    yields = run_at(trial, leaves, switches, backend="eager" if twice else "auto").final["wso"]
    inputs = list(leaves.values())
    first = torch.autograd.grad(yields.sum(), inputs, create_graph=twice, allow_unused=True)

    def flat(found: Sequence[Tensor | None]) -> Tensor:
        columns = [torch.zeros_like(x) if g is None else g.detach() for g, x in zip(found, inputs, strict=True)]
        return torch.cat([c.reshape(size, -1) for c in columns], dim=1)

    if not twice:
        return flat(first), torch.empty(0)
    own = first[list(leaves).index(key)]
    assert own is not None
    return flat(first), flat(torch.autograd.grad(own.sum(), inputs, allow_unused=True))


def hessian_agreement(trial: Trial, key: Key, values: Tensor, switches: Switches, step: float = 1e-5) -> Tensor:
    """Largest relative deviation of a parameter's Hessian row from a difference of gradients, per point ``[N]``.

    Entries are scaled by the size of their parameter; those below 1e-3 of the largest of their row do not count.
    """
    _, exact = gradients_along(trial, key, values, switches, twice=True)
    h = step * values.abs()
    above, _ = gradients_along(trial, key, values + h, switches, twice=False)
    below, _ = gradients_along(trial, key, values - h, switches, twice=False)
    numeric = (above - below) / (2 * h)[:, None]
    point = {k: v for k, v in presets(trial).items() if k[0] != "management"}
    scales = torch.tensor([e.scale for e in entries(trial, presets(trial)) if e.key in point], dtype=torch.float64)
    exact, numeric = exact * scales, numeric * scales
    counted = exact.abs() > 1e-3 * exact.abs().amax(1, keepdim=True)
    deviation = (exact - numeric).abs() / torch.maximum(exact.abs(), numeric.abs()).clamp(min=1e-300)
    return torch.where(counted, deviation, 0.0).amax(1)
