"""What every contender shares: the season simulated, the settings compared, and the clock.

Standard library only, and nothing of ours is imported: a peer's program loads this file inside the peer's own
environment, so that both sides are timed by the same lines.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

DTYPES = ("float32", "float64")

#: ``smooth`` is each program's differentiable setting, ``hard`` its plain one.
SWITCHES = ("smooth", "hard")

#: Crop parameters, one value per lane, of which the gradient is asked (LINTUL5 symbols). All six have a
#: derivative other than zero in every program compared, so that no program is timed on a part of the graph
#: that is missing.
GRADIENT_SYMBOLS = ("TSUM1", "TSUM2", "TDWI", "RGRLAI", "RRI", "RDMCR")

WEATHER_COLUMNS = ("tmin", "tmax", "srad", "rain", "wind", "vap")


@dataclasses.dataclass(frozen=True)
class Season:
    """The season that every contender simulates.

    Attributes
    ----------
    weather : str
        Path of a CSV file: date, tmin [°C], tmax [°C], srad [MJ m-2 d-1], rain [mm], wind [m s-1], vap [kPa].
    start : str
        First day and day of sowing, ISO date.
    days : int
        Number of days simulated, T.
    crop : str
        Crop preset of Wolf's LINTUL5 files.
    wind : float or None
        Wind speed for a file without the column. [m s-1]
    latitude : float
        North is positive. [°]
    altitude : float
        Above sea level. [m]
    co2 : float
        Carbon dioxide in the air. [ppm]
    """

    weather: str
    start: str = "2001-05-05"
    days: int = 200
    crop: str = "maize"
    wind: float | None = None
    latitude: float = 42.035
    altitude: float = 300.0
    co2: float = 370.0


@dataclasses.dataclass(frozen=True)
class Setting:
    """One thing that is timed.

    Attributes
    ----------
    batch : int
        Number of simulations side by side, B.
    backward : bool
        Also take the gradient of the final storage-organ dry matter, summed over the batch, with respect to
        `GRADIENT_SYMBOLS`.
    dtype : str
        One of `DTYPES`.
    switches : str
        One of `SWITCHES`.
    """

    batch: int
    backward: bool
    dtype: str
    switches: str

    @property
    def label(self) -> str:
        """One line for a person."""
        work = "forward+backward" if self.backward else "forward"
        return f"B={self.batch} {self.dtype} {self.switches} {work}"


@dataclasses.dataclass(frozen=True)
class Sample:
    """One measurement: seconds of one season of the whole batch.

    Attributes
    ----------
    wall_s, cpu_s : float
        Elapsed and processor time of one call. [s]
    number : int
        Calls averaged in this measurement.
    check : dict
        What came out, so that a reader sees that the programs simulated the same kind of season.
    """

    wall_s: float
    cpu_s: float
    number: int
    check: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a timed call returns.

    Attributes
    ----------
    storage : sequence of float
        Final dry matter of storage organs, one per lane. [g m-2]
    gradient : mapping of str to sequence of float
        Its derivative with respect to each of `GRADIENT_SYMBOLS`, one per lane; empty for a forward run.
    """

    storage: Sequence[float]
    gradient: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)

    def check(self) -> dict[str, Any]:
        """Return the means over the lanes."""
        return {
            "storage_g_m2": statistics.fmean(self.storage),
            "gradient": {symbol: statistics.fmean(lanes) for symbol, lanes in self.gradient.items()},
        }


Call = Callable[[], Outcome]


def lane_factors(batch: int) -> list[float]:
    """Return each lane's factor on the `GRADIENT_SYMBOLS`: 0.95 to 1.05, or 1 for a single lane.

    Lanes that differ keep a program from gaining by computing one lane and repeating it.
    """
    if batch == 1:
        return [1.0]
    return [0.95 + 0.10 * lane / (batch - 1) for lane in range(batch)]


def measure(call: Call, number: int = 1) -> Sample:
    """Time `number` calls and return the mean of one.

    The clock runs from prepared inputs to plain numbers, and so includes what every user pays: building the
    graph, reading the result out, and freeing the graph.
    """
    # Outside the clock, so that nobody pays for the previous contender's waste. Inside, the collector stays
    # on: a program that makes many small objects makes its user wait for it.
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(number):
        outcome = call()
    cpu = time.process_time() - cpu
    wall = time.perf_counter() - wall
    return Sample(wall / number, cpu / number, number, outcome.check())


def calls_for(sample: Sample, seconds: float, most: int = 10_000) -> int:
    """Return how many calls fill `seconds`: a call of microseconds is no measurement by itself."""
    return max(1, min(most, math.ceil(seconds / max(sample.wall_s, 1e-9))))


def summary(samples: Sequence[Sample], days: int, batch: int) -> dict[str, Any]:
    """Return the medians of repeated measurements in the units that are reported.

    Parameters
    ----------
    samples : sequence of Sample
        Measurements, warm-up excluded.
    days : int
        Days of the season, T.
    batch : int
        Simulations side by side, B.
    """
    median = statistics.median(sample.wall_s for sample in samples)
    return {
        "median_s": median,
        "ms_per_day": 1e3 * median / days,
        "us_per_simulated_day": 1e6 * median / days / batch,
        "median_cpu_s": statistics.median(sample.cpu_s for sample in samples),
        "wall_s": [sample.wall_s for sample in samples],
        "number": samples[0].number,
        "check": samples[-1].check,
    }


def read_weather(season: Season) -> dict[str, list[float]]:
    """Read the season's days from its CSV file.

    Returns
    -------
    dict of str to list of float
        ``doy`` and `WEATHER_COLUMNS`, each with `season.days` values.

    Raises
    ------
    ValueError
        If a column is absent, the wind is given twice or not at all, or the file does not cover the season.
    """
    first = dt.date.fromisoformat(season.start)
    wanted = {(first + dt.timedelta(days=day)).isoformat(): day for day in range(season.days)}
    path = Path(season.weather)
    with path.open(newline="") as file:
        reader = csv.DictReader(line for line in file if not line.startswith("#"))
        present = set(reader.fieldnames or ())
        rows = {row["date"]: row for row in reader if row["date"] in wanted}
    absent = {"date", *WEATHER_COLUMNS} - present - {"wind"}
    if absent:
        raise ValueError(f"{path} lacks the column(s) {', '.join(sorted(absent))}")
    if ("wind" in present) == (season.wind is not None):
        remedy = "drop wind=" if season.wind is not None else "give wind= [m s-1]"
        raise ValueError(f"{path}: the wind must come from the file or from the season, not both or neither: {remedy}")
    missing = [date for date in wanted if date not in rows]
    if missing:
        raise ValueError(f"{path} lacks {len(missing)} of the {season.days} days, the first being {missing[0]}")
    days = [rows[date] for date in wanted]
    weather = {"doy": [float((first + dt.timedelta(days=day)).timetuple().tm_yday) for day in range(season.days)]}
    for column in WEATHER_COLUMNS:
        if column == "wind" and season.wind is not None:
            weather[column] = [season.wind] * season.days
        else:
            weather[column] = [float(day[column]) for day in days]
    return weather
