"""What a run needs to know of a place and a season: plain data between the border and the engine.

`torchcrop.inputs` reads, checks and converts; what it hands to the engine is a `Station` (weather of one place,
complete, in our units) and one `Season` per simulation (when it runs, what is done to the crop).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from torchcrop.quantities import Record

__all__ = ["Season", "Station"]


@dataclass(frozen=True, eq=False, repr=False)
class Station:
    """Daily weather of one place, without gaps.

    Attributes
    ----------
    name : str
        Name for messages and provenance.
    latitude, longitude : float
        [degree], north and east positive; the longitude may be NaN.
    elevation : float
        [m]
    first : datetime.date
        Day of the first value.
    values : mapping of str to ndarray
        By the names of `torchcrop.models.model.Weather`: tmin, tmax [degC], srad [MJ m-2 d-1], rain
        [mm d-1], wind [m s-1 at 2 m], vap [kPa]; float64, all of one length.
    attributes : mapping
        Provenance: source, defaults used, days filled.
    """

    name: str
    latitude: float
    longitude: float
    elevation: float
    first: date
    values: Mapping[str, np.ndarray]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Station({self.name!r}, {self.latitude:g} degree, {self.days} days from {self.first})"

    @property
    def days(self) -> int:
        """Number of days."""
        return len(next(iter(self.values.values())))


@dataclass(frozen=True, eq=False, repr=False)
class Season:
    """One simulation's place in time, and what is done to the crop.

    Attributes
    ----------
    station : Station
        Weather.
    start : datetime.date
        First day of the run: row 0 is the state at the start of this day.
    end : datetime.date
        Last day that may be simulated (row of this day included).
    sowing, emergence : datetime.date, optional
        Dates of the crop. With a sowing date a model that knows emergence simulates it; with a date of emergence alone
        the crop emerges on it.
    management : mapping
        Further values of the model's management record, numbers (or points of a table) by name:
        ``{"automatic_irrigation": 1.0}``. A name that the model does not know is an error there.
    events : mapping
        Dated applications by kind, ``{"irrigation": [(date, amount [mm]), ...], "nitrogen": [(date, amount [g m-2]),
        ...]}``.
    by_stage : mapping
        Applications at a development stage, by kind, ``{"nitrogen": [(stage, amount), ...]}``.
    site : mapping
        Values of the site record other than the station's own: ``{"co2": 420.0}``.
    soil : Record, optional
        Soil of this season; None where `simulate` is given one.
    labels : mapping of str to str
        ``experiment``, ``treatment`` and others: coordinates on dimension ``sim`` of the result.
    """

    station: Station
    start: date
    end: date
    sowing: date | None = None
    emergence: date | None = None
    management: Mapping[str, Any] = field(default_factory=dict)
    events: Mapping[str, Sequence[tuple[date, float]]] = field(default_factory=dict)
    by_stage: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    site: Mapping[str, float] = field(default_factory=dict)
    soil: Record | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        named = "".join(f", {key} {value}" for key, value in self.labels.items())
        return f"Season({self.station.name!r}, {self.start} to {self.end}{named})"
