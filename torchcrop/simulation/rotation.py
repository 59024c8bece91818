"""Rotations: crops in sequence on one soil, which each finds as the one before left it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pandas as pd
import torch

from torchcrop.functions.switches import Switches
from torchcrop.functions.tables import Table
from torchcrop.models.model import Model
from torchcrop.quantities import Record
from torchcrop.simulation.run import Run
from torchcrop.simulation.seasons import Season
from torchcrop.simulation.simulate import Trials, as_seasons, simulate

__all__ = ["Rotation", "rotate"]


@dataclass(frozen=True, eq=False)
class Rotation:
    """Result of `torchcrop.rotate`.

    Attributes
    ----------
    runs : tuple of Run
        One per crop, in sequence, each with all simulations.
    crops : tuple of str
        Names of the crops.
    """

    runs: tuple[Run, ...]
    crops: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, step: int) -> Run:
        return self.runs[step]

    def summary(self) -> pd.DataFrame:
        """One row per crop and simulation, indexed by ``step``, ``crop`` and ``sim``; columns as of `Run.summary`."""
        return self._joined([run.summary() for run in self.runs])

    def to_pandas(self) -> pd.DataFrame:
        """Daily values, one row per crop, simulation and day that it lived."""
        return self._joined([run.to_pandas() for run in self.runs])

    def _joined(self, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
        keys = list(enumerate(self.crops))
        return pd.concat(dict(zip(keys, tables, strict=True)), names=["step", "crop"])

    def __repr__(self) -> str:
        return f"<Rotation of {' - '.join(self.crops)}: {len(self.runs[0])} simulations>"


def rotate(
    model: Model,
    steps: Sequence[tuple[Record, Trials]],
    *,
    soil: Record | None = None,
    site: Mapping[str, Any] | None = None,
    switches: Switches | None = None,
    outputs: Sequence[str] | None = None,
    scenario: Mapping[str, Any] | None = None,
    initial: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> Rotation:
    """Simulate crops in sequence, the soil's water and nutrients carried over.

    Parameters
    ----------
    model : Model
        One with a soil, for all crops.
    steps : sequence of (crop, seasons)
        In order. Seasons as of `simulate`: one, or a list with one for each simulation of the batch, such as
        ``tc.seasons(weather, sowing="10-10", years=range(1991, 2001))``. A season begins on the day that the crop
        before is taken, so that the fallow between is simulated too.
    soil : Record, optional
        Soil of all crops; in place of the first seasons' own.
    initial : mapping, optional
        States at the start of the first season, as of `simulate`.
    site, switches, outputs, scenario, dtype, device
        As of `simulate`.

    Returns
    -------
    Rotation

    Raises
    ------
    ValueError
        If steps have different numbers of seasons, or a crop still stands when the next is to be sown.
    TypeError
        If the model has no soil.

    Notes
    -----
    A crop is taken at maturity or on the last day of its season, whichever comes first (a season that ends with a
    harvest date ends there). Derivatives go through the soil from crop to crop; the days on which crops are taken are
    whole days and carry none.

    Examples
    --------
    >>> maize = tc.seasons(weather, sowing="05-01", years=years, length=170)
    >>> wheat = tc.seasons(weather, sowing="10-25", years=years, length=290)
    >>> rotation = tc.rotate(model, [(tc.load_crop("maize"), maize), (tc.load_crop("wheat"), wheat)], soil=soil)
    """
    if not steps:
        raise ValueError("a rotation needs at least one crop with its seasons")
    planned = [(crop, as_seasons(trials)) for crop, trials in steps]
    sizes = {len(seasons) for _, seasons in planned}
    if len(sizes) > 1:
        counts = ", ".join(str(len(seasons)) for _, seasons in planned)
        raise ValueError(f"the steps have {counts} seasons; each must have one season for every simulation")
    runs: list[Run] = []
    names: list[str] = []
    changed = dict(initial or {})
    for step, (crop, seasons) in enumerate(planned):
        if runs:
            before = runs[-1]
            _no_other_soil(seasons, planned[0][1], names[-1], _name(crop, step))
            states, soil = model.carry_over(before.final.record, before.params, crop)
            changed = dict(states)
            seasons = [
                _following(season, ended, names[-1], _name(crop, step))
                for season, ended in zip(seasons, _ends(before, len(seasons)), strict=True)
            ]
        runs.append(
            simulate(
                model,
                crop,
                seasons,
                soil=soil,
                site=site,
                switches=switches,
                outputs=outputs,
                scenario=scenario,
                initial=changed,
                dtype=dtype,
                device=device,
            )
        )
        names.append(_name(crop, step))
    return Rotation(tuple(runs), tuple(names))


def _name(crop: Record, step: int) -> str:
    origin = getattr(crop, "provenance", None)
    return origin.name if origin else f"crop {step + 1}"


def _ends(run: Run, size: int) -> list[date]:
    """Day on which each crop is taken: the states that a run ends with are those of this day's start."""
    last = run.rows.detach() - 1
    event = run.model.events.get("maturity")
    if event is not None:
        # A smooth run goes on past maturity with a soil that stands still; it has lived these days.
        lived = run.final[event.counter].detach()
        reached = ~torch.isnan(run.dates["maturity"].detach())
        last = torch.where(reached, torch.minimum(last, lived.round()), last)
    starts = run.calendar.starts if len(run.calendar.starts) == len(run) else run.calendar.starts * len(run)
    days = [int(d) for d in last.tolist()]
    if size == 1 and len(set(days)) > 1:
        raise ValueError(
            f"the crops of the {len(run)} simulations are taken on different days, and the next step has one season: "
            "give it one season for every simulation"
        )
    return [start + timedelta(days=d) for start, d in zip(starts, days, strict=True)][:size]


def _no_other_soil(seasons: Sequence[Season], first: Sequence[Season], before: str, crop: str) -> None:
    """Refuse seasons that bring a soil of their own to a field that has one."""
    for season, start in zip(seasons, first, strict=True):
        if season.soil is not None and season.soil is not start.soil:
            raise ValueError(
                f"the season of {crop} at {season.station.name} from {season.start} has a soil of its own, but {crop} "
                f"grows on the soil that {before} leaves: give the soil to the first crop's seasons, or as `soil=`"
            )


def _following(season: Season, ended: date, before: str, crop: str) -> Season:
    """A season that begins when the crop before is taken."""
    begins = season.sowing or season.emergence or season.start
    if ended > begins:
        raise ValueError(
            f"{before} stands until {ended}, but {crop} is to start on {begins}: give {before} an earlier harvest, or "
            f"{crop} a later date"
        )
    # Tables by day number count from the year of the run's first day, which has moved.
    shift = (date(season.start.year, 1, 1) - date(ended.year, 1, 1)).days
    management = {name: _shifted(value, shift) for name, value in season.management.items()}
    return dataclasses.replace(season, start=ended, management=management)


def _shifted(value: Any, days: int) -> Any:
    """Points of a table by day number, counted from an earlier year; a number stays."""
    if isinstance(value, int | float) or not days:
        return value
    table = value if isinstance(value, Table) else Table.from_pairs(value)
    return Table(table.x + days, table.y, table.ends)
