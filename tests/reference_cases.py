"""Reference cases of ../shared/reference as models, crops and seasons in this package's units."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
import yaml
from torch import Tensor

import torchcrop as tc
from tests.seasons import build
from torchcrop.models.model import Model
from torchcrop.processes.crop_nutrients import NUTRIENTS
from torchcrop.quantities import Record
from torchcrop.simulation.seasons import Season, Station

# From the files' units (kg ha-1, cm) to ours.
CROP5 = {"TDWI": 0.1, "SLATB": 10.0, "RDI": 0.01, "RRI": 0.01, "RDMCR": 0.01}
SOIL5 = {"RDMSO": 0.01, "KSUB": 10.0}
LEVELS5 = {1: "potential", 2: "water", 3: "nitrogen", 4: "npk"}
# kg ha-1 and d-1.
SUPPLY5 = {"NMINS": 0.1, "PMINS": 0.1, "KMINS": 0.1, "RTNMINS": 1.0, "RTPMINS": 1.0, "RTKMINS": 1.0}


class ReferenceCase(NamedTuple):
    """What a case simulates, and the day number of its first row."""

    model: Model
    crop: Record
    season: Season
    first: int


def day_number(year: int, number: int) -> date:
    return date(year, 1, 1) + timedelta(days=int(number) - 1)


def record(kind: type[Record], values: dict[str, Any], factors: dict[str, float] | None = None) -> Any:
    """A record from values by symbol in the files' units; a flat list is a table."""
    scaled = dict(values)
    for symbol, factor in (factors or {}).items():
        value = scaled[symbol]
        if isinstance(value, list):
            scaled[symbol] = [v * factor if i % 2 else v for i, v in enumerate(value)]
        else:
            scaled[symbol] = value * factor
    return build(kind, scaled)


def station(folder: Path) -> Station:
    weather = pd.read_csv(folder / "weather.csv")
    if "date" in weather:
        return _pcse_station(folder, weather)
    place = yaml.safe_load((folder / "meta.yaml").read_text())["station"]
    return Station(
        name=place["name"],
        latitude=place["latitude"],
        longitude=place["longitude"],
        elevation=place["altitude_m"],
        first=day_number(int(weather.year[0]), int(weather.doy[0])),
        values={
            "tmin": weather.tmin_C.to_numpy(),
            "tmax": weather.tmax_C.to_numpy(),
            "srad": weather.irrad_kJ_m2_d.to_numpy() / 1000,
            "rain": weather.rain_mm_d.to_numpy(),
            "wind": weather.wind_m_s.to_numpy(),
            "vap": weather.vp_kPa.to_numpy(),
        },
    )


def _pcse_station(folder: Path, weather: pd.DataFrame) -> Station:
    return Station(
        name=folder.name,
        latitude=51.97,
        longitude=5.67,
        elevation=7.0,
        first=date.fromisoformat(weather.date[0]),
        values={
            "tmin": weather.tmin_C.to_numpy(),
            "tmax": weather.tmax_C.to_numpy(),
            "srad": weather.irrad_J_m2_d.to_numpy() / 1e6,
            "rain": 10.0 * weather.rain_cm_d.to_numpy(),
            "wind": weather.wind_m_s.to_numpy(),
            "vap": weather.vap_hPa.to_numpy() / 10.0,
        },
    )


def load_case(folder: Path, level: str | None = None, nutrients: bool = False) -> ReferenceCase:
    """A case of LINTUL1, LINTUL2, LINTUL3 (also PCSE's) or LINTUL5.

    `level` in place of the case's own production level; `nutrients`: with the balances of those that do not limit.
    """
    parameters = yaml.safe_load((folder / "params.yaml").read_text())
    if folder.name.startswith("lintul5"):
        return _lintul5(folder, parameters, station(folder), level, nutrients)
    if folder.name.startswith("lintul3"):
        return _lintul3(parameters, station(folder))
    if folder.name.startswith("pcse_lintul3"):
        return _pcse_lintul3(folder, parameters, station(folder))
    return _by_date(folder, parameters, station(folder))


def _tents(flat: list[float], year: int) -> list[tuple[date, float]]:
    """Applications of a table: a tent on three days is one application."""
    return [(day_number(year, int(d)), amount) for d, amount in zip(flat[::2], flat[1::2], strict=True) if amount > 0]


def _last(place: Station) -> date:
    return place.first + timedelta(days=place.days - 1)


def _lintul5(
    folder: Path, parameters: dict[str, Any], place: Station, level: str | None, nutrients: bool
) -> ReferenceCase:
    options, year = parameters["run"], place.first.year
    planted = options.get("IDPL", 0) > 0
    first = int(options["IDPL"] if planted else options["IDEM"])
    start = day_number(year, first)
    events: dict[str, list[tuple[date, float]]] = {}
    if options["IRRI"] == 2:
        events["irrigation_table"] = [(day, 10 * cm) for day, cm in _tents(parameters["management"]["IRRTAB"], year)]
    last = min(start + timedelta(days=int(options["IFINIT"]) - 1), _last(place))
    management: dict[str, Any] = {"automatic_irrigation": float(options["IRRI"] == 1)}
    level = level or LEVELS5[options["IOPT"]]
    model = tc.Lintul5(level=level, nutrients=nutrients)
    for symbol, kind in zip("NPK", NUTRIENTS, strict=True):
        if kind not in model.listens:
            continue
        applied = [(day, kg / 10) for day, kg in _tents(parameters["management"][f"FER{symbol}TAB"], year)]
        events[kind] = [(day, amount) for day, amount in applied if start <= day <= last]
        management[f"{symbol}RFTAB"] = parameters["management"][f"{symbol}RFTAB"]
    supply = {s: factor * parameters["management"][s] for s, factor in SUPPLY5.items()}
    season = Season(
        place,
        start,
        last,
        sowing=start if planted else None,
        emergence=None if planted else start,
        management=management,
        events=events,
        site={"co2": options["CO2"]},
        soil=record(tc.Lintul5Soil, parameters["soil"], SOIL5).with_values(**supply),
    )
    return ReferenceCase(model, record(tc.Lintul5Crop, parameters["crop"], CROP5), season, first)


def _by_date(folder: Path, parameters: dict[str, Any], place: Station) -> ReferenceCase:
    year, first = place.first.year, int(parameters["STTIME"])
    water = folder.name.startswith("lintul2")
    season = Season(
        place,
        day_number(year, first),
        min(day_number(year, parameters["FINTIM"]), _last(place)),
        emergence=day_number(year, parameters["DOYEM"]),
        management={"IRRIGF": parameters["IRRIGF"]} if water else {},
        soil=record(tc.Lintul2Soil, parameters) if water else None,
    )
    model: Model = tc.Lintul2() if water else tc.Lintul1()
    return ReferenceCase(model, record(tc.Lintul2Crop if water else tc.Lintul1Crop, parameters), season, first)


def _lintul3(parameters: dict[str, Any], place: Station) -> ReferenceCase:
    year = place.first.year
    season = Season(
        place,
        place.first,
        day_number(year, 280),
        emergence=day_number(year, parameters["DOYEM"]),
        management={name: parameters[name] for name in ("IRRIGF", "WMFAC", "NRFTAB")},
        events={"nitrogen": _tents(parameters["FERTAB"], year)},
        soil=record(tc.Lintul3Soil, parameters | {"RTMIN": parameters["RTMIN0"]}),
    )
    return ReferenceCase(tc.Lintul3(), record(tc.Lintul3Crop, parameters), season, 1)


def _pcse_lintul3(folder: Path, parameters: dict[str, Any], place: Station) -> ReferenceCase:
    """PCSE's LINTUL3, driven by the evaporation of its weather provider as the file gives it."""
    weather = pd.read_csv(folder / "weather.csv")
    soil_demand, canopy_demand = (torch.tensor(10.0 * weather[c].to_numpy()) for c in ("es0_cm_d", "et0_cm_d"))

    def replayed(_: Any, doy: Tensor, time: Tensor, site: Record) -> tuple[Tensor, Tensor]:
        today = time.long() - 1
        return soil_demand[today], canopy_demand[today]

    crop, site, soil = parameters["crop"], parameters["site"], parameters["soil"]
    (campaign,) = parameters["agromanagement"]
    (plan,) = campaign.values()
    emergence = date.fromisoformat(plan["CropCalendar"]["crop_start_date"])
    applied = [
        (date.fromisoformat(str(day)), event["amount"], event["recovery"])
        for application in plan["TimedEvents"][0]["events_table"]
        for day, event in application.items()
    ]
    (recovery,) = {share for _, _, share in applied}
    season = Season(
        place,
        place.first,
        _last(place),
        emergence=emergence,
        management={
            "IRRIGF": float(site["IRRIGF"]),
            "WMFAC": float(site["WMFAC"]),
            "NRFTAB": [0.0, recovery, 366.0, recovery],
        },
        events={"nitrogen": [(day, amount) for day, amount, _ in applied]},
        soil=record(tc.Lintul3Soil, soil | site | {"RTMIN": soil["RNMIN"]}),
    )
    # No sensitivity to daylength is a factor of 1 at any daylength.
    insensitive = crop["IDSL"] == 0
    values = crop | {
        "TSUMAN": crop["TSUM1"],
        "TSUMMT": crop["TSUM2"],
        "PHOTTB": [crop["DLC"], float(insensitive), crop["DLO"], 1.0],
    }
    model = tc.Lintul3(variant="pcse", processes={"reference_evaporation": replayed})
    return ReferenceCase(model, record(tc.Lintul3Crop, values), season, 1)
