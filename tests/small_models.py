"""Models of a few states for tests: the smallest one that a user could write, and any that a list of equations says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, ClassVar

from torch import Tensor

import torchcrop as tc
from tests.seasons import station
from torchcrop.functions.switches import Switches
from torchcrop.functions.tables import Table
from torchcrop.models.model import Day, Event, Model, Site, Weather
from torchcrop.quantities import Record, driver, output, parameter, record, state, table

START = date(2019, 5, 1)


class GrassCrop(Record):
    """Parameters of grass."""

    efficiency: Tensor = parameter(1.2, unit="g MJ-1", bounds=(0.1, 5), doc="growth per radiation")
    decay: Tensor = parameter(0.01, unit="d-1", bounds=(0, 1), doc="relative death rate")
    ripe: Tensor = parameter(600.0, unit="degC d", bounds=(1, 5000), doc="temperature sum of ripeness")
    share: Table = table(unit="-", x="temperature sum", x_unit="degC d", bounds=(0, 5), doc="share above ground")


class Nothing(Record):
    """No soil, no management."""


class GrassParameters(Record):
    """All parameters."""

    crop: GrassCrop = record(GrassCrop, "crop")
    soil: Nothing = record(Nothing, "soil: none")
    site: Site = record(Site, "site")
    management: Nothing = record(Nothing, "management: none")


class GrassState(Record):
    """States."""

    tsum: Tensor = state(unit="degC d", doc="temperature sum")
    grass: Tensor = state(unit="g m-2", doc="dry matter")
    days: Tensor = state(unit="d", doc="days before ripeness")


class GrassOutputs(Record):
    """Outputs of a day."""

    growth: Tensor = output(unit="g m-2 d-1", doc="growth")
    ripeness: Tensor = output(unit="-", doc="share of the day after ripeness")


class GrassDrivers(Record):
    """What follows from weather alone."""

    warmth: Tensor = driver(unit="degC", doc="mean temperature above zero")


Equations = Callable[[GrassState, Day, GrassCrop, Switches, Tensor], Tensor]


def growth_of_grass(s: GrassState, day: Day, crop: GrassCrop, switches: Switches, ripeness: Tensor) -> Tensor:
    """Growth of the grass [g m-2 d-1]."""
    share = switches.table_mean(crop.share, s.tsum, day.drivers.warmth, day.drivers.warmth, 15.0)
    return (1 - ripeness) * share * crop.efficiency * day.weather.srad - crop.decay * s.grass


@dataclass(frozen=True, eq=False, repr=False)
class Grass(Model):
    """Grass, two states and a table; `growth` in place of its equation."""

    growth: Equations = growth_of_grass
    label: str = ""

    name: ClassVar[str] = "GRASS"
    Parameters: ClassVar[type[Record]] = GrassParameters
    State: ClassVar[type[Record]] = GrassState
    Outputs: ClassVar[type[Record]] = GrassOutputs
    Drivers: ClassVar[type[Record]] = GrassDrivers
    events: ClassVar[dict[str, Event]] = {"ripeness": Event("days", "ripeness")}

    @property
    def listens(self) -> frozenset[str]:
        return frozenset({"irrigation"})

    def management(self, emergence: float | None, sowing: float | None, start: float) -> dict[str, float]:
        return {}

    def drivers(self, weather: Weather, doy: Tensor, time: Tensor, params: Any, switches: Switches) -> GrassDrivers:
        return GrassDrivers(warmth=switches.positive((weather.tmin + weather.tmax) / 2))

    def initial(self, params: Any, switches: Switches) -> GrassState:
        zero = params.crop.efficiency * 0.0
        return GrassState(tsum=zero, grass=zero + 10.0, days=zero)

    def rates(self, state: Any, day: Day, params: Any, switches: Switches) -> tuple[GrassState, GrassOutputs]:
        warmth = day.drivers.warmth
        ripeness = switches.crossed(state.tsum, params.crop.ripe, 15.0, warmth)
        growth = self.growth(state, day, params.crop, switches, ripeness)
        return GrassState(tsum=warmth, grass=growth, days=1 - ripeness), GrassOutputs(growth=growth, ripeness=ripeness)

    def finished(self, state: Any, params: Any, switches: Switches) -> Tensor:
        return switches.finished(state.tsum, params.crop.ripe, 15.0)


def grass_crop(**values: Tensor | Table) -> GrassCrop:
    """Parameters of grass, with some changed."""
    return GrassCrop(share=Table.from_pairs([0.0, 0.5, 200.0, 0.8, 500.0, 0.6, 700.0, 0.1])).replace(**values)


def grass_season(days: int = 60) -> tc.Season:
    """A season in spring."""
    return tc.Season(station(), START, START + timedelta(days=days - 1), emergence=START)
