"""A small world for tests: two stations with five years of made-up weather, crops, soils, and seasons on them.

The weather is a sine with seeded noise. Crops and soils hold published values (spring wheat: Spitters &
Schapendonk 1990; maize and barley: crop files of LINTUL5, Wolf 2012), in this package's units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache
from typing import Any

import numpy as np
import torch

import torchcrop as tc
from torchcrop.functions.tables import Table
from torchcrop.models.model import Model
from torchcrop.quantities import Record
from torchcrop.simulation.seasons import Season, Station

FIRST, DAYS = date(2019, 1, 1), 365 * 5 + 1  # 2020 is a leap year

SWITCHES = {"hard": tc.Hard(), "smooth": tc.Smooth(), "straight": tc.StraightThrough()}
"""One of each treatment of thresholds."""


@cache
def station(name: str = "north") -> Station:
    """Weather of five years: ``north`` is cool (52 N), ``south`` is warm, with its summer in January (34 S)."""
    latitude, elevation, mean, amplitude, wet, seed = {
        "north": (52.0, 10.0, 10.5, 8.0, 0.45, 1),
        "south": (-34.0, 120.0, 17.5, 6.0, 0.35, 2),
    }[name]
    generator = np.random.default_rng(seed)
    day = np.arange(DAYS)
    year = np.cos(2 * np.pi * (day - 200) / 365.25) * np.sign(latitude)
    raining = generator.random(DAYS) < wet
    rain = np.where(raining, np.round(generator.exponential(7.0, DAYS), 1), 0.0)
    tmean = mean + amplitude * year + generator.normal(0.0, 2.0, DAYS)
    half_range = np.where(raining, 3.0, 5.5) + generator.normal(0.0, 0.5, DAYS)
    tmin, tmax = tmean - half_range, tmean + half_range
    srad = (12.0 + 8.0 * year) * np.where(raining, 0.6, 1.15) * generator.uniform(0.85, 1.1, DAYS)
    return Station(
        name=name,
        latitude=latitude,
        longitude=float("nan"),
        elevation=elevation,
        first=FIRST,
        values={
            "tmin": tmin,
            "tmax": tmax,
            "srad": srad,
            "rain": rain,
            "wind": generator.uniform(1.0, 4.5, DAYS),
            "vap": 0.611 * np.exp(17.27 * tmin / (tmin + 237.3)) * generator.uniform(0.85, 1.0, DAYS),
        },
        attributes={"source": "made up"},
    )


# --- crops and soils ------------------------------------------------------------------------------------

_WHEAT: dict[str, Any] = {
    "LAII": 0.012,
    "SLA": 0.022,
    "TBASE": 0.0,
    "RGRL": 0.009,
    "TSUMAN": 1110.0,
    "TSUMEND": 2080.0,
    "LAICR": 4.0,
    "RDRSHM": 0.03,
    "LUE": 3.0,
    "K": 0.6,
    "RDRT": [-10, 0.03, 10, 0.03, 15, 0.04, 30, 0.09, 50, 0.09],
    "FRTTB": [0, 0.5, 110, 0.5, 275, 0.34, 555, 0.12, 780, 0.07, 1055, 0.03, 1160, 0.02, 1305, 0, 2500, 0],
    "FLVTB": [0, 0.33, 110, 0.33, 275, 0.46, 555, 0.44, 780, 0.14, 1055, 0, 2500, 0],
    "FSTTB": [0, 0.17, 110, 0.17, 275, 0.2, 555, 0.44, 780, 0.79, 1055, 0.97, 1160, 0, 2500, 0],
    "FSOTB": [0, 0, 1055, 0, 1160, 0.98, 1305, 1, 2500, 1],
}
_WHEAT_WATER = {"TRANCO": 8.0, "ROOTDI": 0.1, "ROOTDM": 1.2, "RRDMAX": 0.012}
_WAGENINGEN = {
    "WCI": 0.36,
    "WCAD": 0.08,
    "WCWP": 0.23,
    "WCFC": 0.36,
    "WCWET": 0.48,
    "WCST": 0.55,
    "DRATE": 50.0,
}
_MAIZE: dict[str, Any] = {
    "TBASEM": 4.0,
    "TEFFMX": 30.0,
    "TSUMEM": 110.0,
    "IDSL": 0.0,
    "PHOTTB": [0, 0, 8, 1, 10, 1, 12, 1, 18, 1],
    "TSUM1": 695.0,
    "TSUM2": 860.0,
    "DTSMTB": [0, 0, 6, 0, 30, 24, 35, 24],
    "DVSI": 0.0,
    "DVSEND": 2.0,
    "TDWI": 5.0,
    "RGRLAI": 0.0294,
    "TBASE": 10.0,
    "SLATB": [0, 0.026, 0.78, 0.012, 2, 0.012],
    "LAICR": 4.0,
    "RDRSHM": 0.03,
    "DVSDLT": 1.0,
    "RDRLTB": [-10, 0, 10, 0.02, 15, 0.03, 30, 0.05, 50, 0.09],
    "RDRL": 0.05,
    "KDIFTB": [0, 0.6, 2, 0.6],
    "RUETB": [0, 4.5, 1.25, 4.5, 1.5, 4.1, 1.75, 3.2, 2, 1.4],
    "TMPFTB": [-1, 0, 0, 0, 9, 0.05, 16, 0.8, 18, 0.94, 20, 1, 30, 1, 36, 0.95, 42, 0.56],
    "TMNFTB": [0, 0, 5, 0, 8, 1, 30, 1],
    "COTB": [40, 0, 360, 1, 720, 1.07, 1000, 1.1, 2000, 1.1],
    "FRTB": [0, 0.4, 0.1, 0.37, 0.2, 0.34, 0.3, 0.31, 0.4, 0.27, 0.5, 0.23, 0.6, 0.19, 0.7, 0.15]
    + [0.8, 0.1, 0.9, 0.06, 1, 0, 2, 0],
    "FLTB": [0, 0.62, 0.33, 0.62, 0.88, 0.15, 0.95, 0.15, 1.1, 0.1, 1.2, 0, 2, 0],
    "FSTB": [0, 0.38, 0.33, 0.38, 0.88, 0.85, 0.95, 0.85, 1.1, 0.4, 1.2, 0, 2, 0],
    "FOTB": [0, 0, 0.95, 0, 1.1, 0.5, 1.2, 1, 2, 1],
    "DVSDR": 1.0,
    "RDRRTB": [0, 0, 1.5, 0, 1.5001, 0.02, 2, 0.02],
    "RDRSTB": [0, 0, 1.5, 0, 1.5001, 0.02, 2, 0.02],
    "CFET": 1.0,
    "DEPNR": 4.5,
    "IAIRDU": 0.0,
    "RDI": 0.1,
    "RRI": 0.012,
    "RDMCR": 1.0,
    # nutrients
    "NLUE": 1.1,
    "NLAI": 1.0,
    "NSLA": 0.5,
    "NPART": 1.0,
    "RDRNS": 0.05,
    "DVSNLT": 1.3,
    "DVSNT": 0.8,
    "FNTRT": 0.15,
    "NFIXF": 0.0,
    "FRNX": 1.0,
    "LRNR": 0.5,
    "LSNR": 0.5,
    "NMXLV": [[0.0, 0.06], [0.4, 0.04], [0.7, 0.03], [1.0, 0.02], [2.0, 0.0167], [2.1, 0.0167]],
    "NMAXSO": 0.0152,
    "RNFLV": 0.0053,
    "RNFST": 0.0027,
    "RNFRT": 0.0027,
    "TCNT": 10.0,
    "FRPX": 1.0,
    "LRPR": 0.5,
    "LSPR": 0.5,
    "PMXLV": [[0.0, 0.0144], [0.4, 0.0096], [0.7, 0.0072], [1.0, 0.0048], [2.0, 0.004], [2.1, 0.004]],
    "PMAXSO": 0.0027,
    "RPFLV": 0.00053,
    "RPFST": 0.00027,
    "RPFRT": 0.00027,
    "TCPT": 10.0,
    "FRKX": 1.0,
    "LRKR": 0.5,
    "LSKR": 0.5,
    "KMXLV": [[0.0, 0.096], [0.4, 0.064], [0.7, 0.048], [1.0, 0.032], [2.0, 0.027], [2.1, 0.027]],
    "KMAXSO": 0.0032,
    "RKFLV": 0.0067,
    "RKFST": 0.0033,
    "RKFRT": 0.0033,
    "TCKT": 10.0,
}
# What of barley differs from maize: among others tables with other numbers of points.
_BARLEY: dict[str, Any] = _MAIZE | {
    "TBASEM": 0.0,
    "TSUM1": 800.0,
    "TSUM2": 750.0,
    "DTSMTB": [-5, 0, 0, 0, 35, 35, 45, 35],
    "TDWI": 6.0,
    "RGRLAI": 0.0075,
    "TBASE": 0.0,
    "SLATB": [0, 0.02, 0.3, 0.035, 0.9, 0.025, 1.45, 0.022, 2, 0.022],
    "KDIFTB": [0, 0.44, 2, 0.44],
    "RUETB": [0, 3, 1, 3, 1.3, 3, 2, 0.4],
    "TMPFTB": [-1, 0, 0, 0, 10, 1, 30, 1, 35, 0, 40, 0],
    "TMNFTB": [-5, 0, 0, 0, 3, 1, 30, 1],
    "COTB": [40, 0, 360, 1, 720, 1.35, 1000, 1.5, 2000, 1.5],
    "FRTB": [0, 0.6, 0.4, 0.55, 1, 0, 2, 0],
    "FLTB": [0, 1, 0.33, 1, 0.8, 0.4, 1, 0.1, 1.01, 0, 2, 0],
    "FSTB": [0, 0, 0.33, 0, 0.8, 0.6, 1, 0.9, 1.01, 0.15, 2, 0],
    "FOTB": [0, 0, 0.8, 0, 1, 0, 1.01, 0.85, 2, 1],
    "RDMCR": 1.25,
}
_P1 = {
    "SMDRY": 0.15,
    "SMW": 0.2,
    "SMFC": 0.35,
    "SM0": 0.45,
    "CRAIRC": 0.07,
    "SMI": 0.3,
    "SMLOWI": 0.3,
    "RDMSO": 1.5,
    "RUNFR": 0.0,
    "CFEV": 2.0,
    "KSUB": 100.0,
}


def build(kind: type[Record], values: dict[str, Any]) -> Any:
    """A record from values by symbol; a flat list is a table. Declared defaults stand for what is not given."""
    given = {}
    for name, quantity in kind.quantities().items():
        if quantity.symbol in values:
            value = values[quantity.symbol]
            table = quantity.kind == "table"
            given[name] = Table.from_pairs(value) if table else torch.tensor(float(value), dtype=torch.float64)
    return kind(**given)


def wheat1(**values: Any) -> tc.Lintul1Crop:
    """Spring wheat for LINTUL1, with values changed by symbol."""
    return build(tc.Lintul1Crop, _WHEAT).with_values(**values)


def wheat2(**values: Any) -> tc.Lintul2Crop:
    """Spring wheat for LINTUL2, with values changed by symbol."""
    return build(tc.Lintul2Crop, _WHEAT | _WHEAT_WATER).with_values(**values)


def bare(record: Record) -> Any:
    """A record without its file's remarks, which a batch of different crops cannot share."""
    return type(record)._rebuild([value for _, value in record.items()], None)


def wheat3(**values: Any) -> tc.Lintul3Crop:
    """Spring wheat for LINTUL3, with values changed by symbol."""
    return bare(tc.load_crop("spring_wheat_lintul3")).with_values(**values)


def soil3(**values: Any) -> tc.Lintul3Soil:
    """The soil of the LINTUL3 listing, with values changed by symbol."""
    return bare(tc.load_soil("lintul3_wageningen")).with_values(**values)


def maize(**values: Any) -> tc.Lintul5Crop:
    """Grain maize for LINTUL5, with values changed by symbol."""
    return build(tc.Lintul5Crop, _MAIZE).with_values(**values)


def barley(**values: Any) -> tc.Lintul5Crop:
    """Barley for LINTUL5: tables with other numbers of points than maize's."""
    return build(tc.Lintul5Crop, _BARLEY).with_values(**values)


def soil2(**values: Any) -> tc.Lintul2Soil:
    """The soil of the LINTUL2 listing, with values changed by symbol."""
    return build(tc.Lintul2Soil, _WAGENINGEN).with_values(**values)


def soil5(**values: Any) -> tc.Lintul5Soil:
    """The example soil of LINTUL5, with values changed by symbol."""
    return build(tc.Lintul5Soil, _P1).with_values(**values)


# --- seasons --------------------------------------------------------------------------------------------


def season(start: date, days: int, *, where: str = "north", soil: Record | None = None, **more: Any) -> Season:
    """A season of so many rows."""
    return Season(station(where), start, start + timedelta(days=days - 1), soil=soil, **more)


@dataclass(frozen=True)
class Case:
    """A model with a crop and seasons that have little in common.

    The first season stands for tests that need but one: the crop matures in it.
    """

    model: Model
    crop: Record
    seasons: list[Season]

    @property
    def season(self) -> Season:
        """The first season."""
        return self.seasons[0]

    @property
    def short(self) -> Season:
        """A warm season across New Year in which the crop matures within 120 days."""
        return next(s for s in self.seasons if s.station.name == "south" and s.end.month < 5)


def _by_date(soil: Record | None, dry: Record | None, irrigated: dict[str, float]) -> list[Season]:
    """Seasons of wheat that emerges by date: spring, leap year, across New Year, in the south, cut short."""
    plan = [
        ("north", date(2019, 3, 5), 165, 4, {}, soil),
        ("north", date(2020, 2, 20), 170, 20, irrigated, dry),
        ("north", date(2021, 11, 10), 250, 15, {}, soil),
        ("south", date(2020, 9, 1), 150, 3, irrigated, soil),
        ("south", date(2019, 12, 20), 110, 5, {}, dry),
        ("north", date(2022, 3, 1), 60, 10, {}, soil),
    ]
    return [
        season(
            start,
            days,
            where=where,
            soil=ground,
            emergence=start + timedelta(days=after),
            management=management,
            labels={"experiment": f"e{i}"},
        )
        for i, (where, start, days, after, management, ground) in enumerate(plan)
    ]


def _by_sowing(soil: Record, dry: Record) -> list[Season]:
    """Seasons of maize: sown before, on or after the start, or standing; irrigated; across New Year; cut short."""
    stands = None  # the crop stands from the start, it is not sown
    plan: list[tuple[str, date, int, int | None, dict[str, float], dict[str, list[float]], Record]] = [
        ("north", date(2019, 4, 25), 180, 0, {}, {}, soil),
        ("north", date(2020, 5, 1), 170, stands, {"automatic_irrigation": 1.0}, {}, dry),
        ("south", date(2020, 11, 20), 130, 6, {}, {"irrigation": [25.0, 30.0]}, dry),
        ("south", date(2021, 12, 5), 120, stands, {}, {"irrigation_table": [20.0, 45.0]}, soil),
        ("south", date(2019, 10, 10), 150, -3, {"automatic_irrigation": 1.0}, {}, dry),
        ("north", date(2022, 5, 10), 50, 2, {}, {}, soil),
    ]
    return [
        season(
            start,
            days,
            where=where,
            soil=ground,
            sowing=None if sown is None else start + timedelta(days=sown),
            emergence=start if sown is None else None,
            management=management,
            events={
                kind: [(start + timedelta(days=40 + 12 * j), amount) for j, amount in enumerate(amounts)]
                for kind, amounts in events.items()
            },
            labels={"experiment": f"e{i}"},
        )
        for i, (where, start, days, sown, management, events, ground) in enumerate(plan)
    ]


RICH = {"nitrogen": 12.0, "phosphorus": 4.0, "potassium": 15.0}


def fertilised(seasons: list[Season], amounts: Mapping[str, float]) -> list[Season]:
    """The same seasons with fertiliser [g m-2], not all of them alike."""
    return [
        replace(
            s,
            events={
                **s.events,
                **{kind: [(s.start + timedelta(days=20 + i), much + i)] for kind, much in amounts.items()},
            },
            by_stage={"nitrogen": [(0.6, 1.5)]} if i % 2 else {},
        )
        for i, s in enumerate(seasons)
    ]


_DRY2 = {"WCI": 0.25, "WCFC": 0.33, "DRATE": 20.0}
_DRY5 = {"SMI": 0.22, "SMLOWI": 0.21, "SMFC": 0.3, "RUNFR": 0.1, "KSUB": 20.0}


def _hastened(crop: Any, share: float, **values: Any) -> Any:
    """Wheat whose tables and stages come at a share of their temperature sums."""
    tables = {n: getattr(crop, n) for n in crop.quantities() if n.startswith("fraction")}
    return crop.replace(**{n: t.replace(x=t.x * share) for n, t in tables.items()}).with_values(**values)


@cache
def quick_cases() -> dict[str, Case]:
    """Every model and level with a crop that matures within 45 days, for tests that differentiate twice."""
    start = date(2019, 12, 20)
    wheat = {"TSUMAN": 450.0, "TSUMEND": 850.0, "TSUMJ": 200.0, "RGRL": 0.018}
    hasty_maize = maize(TSUMEM=60.0, TSUM1=260.0, TSUM2=300.0, RGRLAI=0.04)
    by_date = {"where": "south", "emergence": start + timedelta(days=3)}
    by_sowing: dict[str, Any] = {"where": "south", "sowing": start, "soil": soil5(SMI=0.34, SMLOWI=0.3)}
    by_sowing["events"] = {"irrigation": [(start + timedelta(days=n), 15.0) for n in (7, 14, 21)]}
    moist: dict[str, Any] = {"soil": soil2(), "management": {"IRRIGF": 0.15}}
    hasty_wheat = wheat3(TSUMAN=400.0, TSUMMT=400.0, TSUMAG=400.0, RGRL=0.018)
    fertile: dict[str, Any] = {"soil": soil3(), "management": {"IRRIGF": 0.5}} | by_date
    return {
        "lintul1": Case(tc.Lintul1(), _hastened(wheat1(), 0.42, **wheat), [season(start, 48, **by_date)]),
        "lintul2": Case(tc.Lintul2(), _hastened(wheat2(), 0.42, **wheat), [season(start, 48, **moist, **by_date)]),
        "lintul5-potential": Case(tc.Lintul5(level="potential"), hasty_maize, [season(start, 48, **by_sowing)]),
        "lintul3": Case(tc.Lintul3(), hasty_wheat, fertilised([season(start, 48, **fertile)], {"nitrogen": 2.0})),
        "lintul3-pcse": Case(
            tc.Lintul3(variant="pcse"), hasty_wheat, fertilised([season(start, 48, **fertile)], {"nitrogen": 2.0})
        ),
        "lintul5-water": Case(tc.Lintul5(level="water"), hasty_maize, [season(start, 48, **by_sowing)]),
        "lintul5-npk": Case(tc.Lintul5(level="npk"), hasty_maize, fertilised([season(start, 48, **by_sowing)], RICH)),
    }


@cache
def cases() -> dict[str, Case]:
    """Every model and level."""
    wheat_seasons = fertilised(_by_date(soil3(), soil3(WCI=0.25, WCSUBS=0.22), {"IRRIGF": 0.5}), {"nitrogen": 2.0})
    maize_seasons = _by_sowing(soil5(), soil5(**_DRY5))
    return {
        "lintul1": Case(tc.Lintul1(), wheat1(), _by_date(None, None, {})),
        "lintul2": Case(tc.Lintul2(), wheat2(), _by_date(soil2(), soil2(**_DRY2), {"IRRIGF": 0.5})),
        "lintul5-potential": Case(tc.Lintul5(level="potential"), maize(), maize_seasons),
        "lintul3": Case(tc.Lintul3(), wheat3(), wheat_seasons),
        "lintul3-pcse": Case(tc.Lintul3(variant="pcse"), wheat3(), wheat_seasons),
        "lintul5-water": Case(tc.Lintul5(level="water"), maize(), maize_seasons),
        "lintul5-npk": Case(tc.Lintul5(level="npk"), maize(), fertilised(maize_seasons, RICH)),
    }


CASES = list(cases())
"""Names of all cases, for `pytest.mark.parametrize`."""
