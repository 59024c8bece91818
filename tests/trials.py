"""Seasons on which the treatment of thresholds is judged.

Three sources: the reference cases (../shared), seasons of Wageningen from the weather that `pcse` brings along (test
extra), and of Iowa from the weather that ships. The latter two take crops and soils that ship. They were chosen
before anything was measured on them, the crops of the reference cases again in dry and wet years; that maize fails on
loamy sand in 1989 was found then, and the same maize on sandy loam added. The seasons with limiting nutrients were
chosen likewise, with supplies that leave most crops short of something at some time.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import torchcrop as tc
from tests.conftest import SHARED
from tests.reference_cases import load_case
from torchcrop.inputs.cabo import read_cabo
from torchcrop.inputs.management import Management
from torchcrop.inputs.parameters import load_crop, load_soil
from torchcrop.inputs.weather import load_weather
from torchcrop.models.model import Model
from torchcrop.quantities import Record
from torchcrop.simulation.seasons import Season

_LONGEST = 300


@dataclass(frozen=True, eq=False)
class Trial:
    """A season, its soil included, that runs on well past maturity where the weather does."""

    model: Model
    crop: Record
    season: Season


def _prolonged(season: Season) -> Season:
    last = season.station.first + timedelta(days=season.station.days - 1)
    return replace(season, end=min(last, season.start + timedelta(days=_LONGEST - 1)))


def _reference(folder: str, level: str | None = None, **changes: float) -> Trial:
    """A reference case; `changes` of its crop by symbol."""
    assert SHARED is not None
    case = load_case(SHARED / "reference" / folder, level)
    return Trial(case.model, case.crop.with_values(**changes), _prolonged(case.season))


def _pcse_weather() -> Path | None:
    """The folder of the Wageningen years in the installed pcse, found without importing it."""
    found = importlib.util.find_spec("pcse")
    places = (found.submodule_search_locations or []) if found else []
    folders = [Path(p) / "tests" / "test_data" for p in places]
    return next((f for f in folders if (f / "NL1.976").is_file()), None)


@cache
def _year_at_wageningen(year: int) -> Any:
    folder = _pcse_weather()
    assert folder is not None
    return read_cabo(folder / f"NL1.{year % 1000}")


@cache
def _iowa() -> Any:
    return load_weather("central_iowa_1990_2020", defaults={"wind": 2.0})


def _shipped(
    weather: Callable[[], Any],
    model: Model,
    crop: str,
    soil: str | None = None,
    changes: dict[str, Any] | None = None,
    supply: dict[str, float] | None = None,
    applied: dict[str, list[tuple[int, float]]] | None = None,
    rule: dict[str, float] | None = None,
    **management: Any,
) -> Trial:
    """A season of what ships.

    `changes` of the crop and `supply` of nutrients by the soil, by symbol; `applied` fertiliser [g m-2] by days after
    sowing or emergence; the `rule` of irrigation.
    """
    ground = None if soil is None else load_soil(soil).with_values(**(supply or {}))
    season = _prolonged(Management(**management).season(weather(), ground))
    planted = season.sowing or season.emergence
    assert planted is not None
    season = replace(
        season,
        management={**season.management, **(rule or {})},
        events={k: [(planted + timedelta(days=n), g) for n, g in doses] for k, doses in (applied or {}).items()},
    )
    values = load_crop(crop).with_values(**(changes or {}))
    if model.name == "LINTUL1":
        values = tc.Lintul1Crop(**{name: getattr(values, name) for name in tc.Lintul1Crop.quantities()})
    return Trial(model, values, season)


def _at_wageningen(year: int, *args: Any, **kwargs: Any) -> Trial:
    for key in ("start", "sowing", "emergence"):
        if key in kwargs:
            kwargs[key] = date(year, *kwargs[key])
    return _shipped(partial(_year_at_wageningen, year), *args, **kwargs)


_potential, _water = tc.Lintul5(level="potential"), tc.Lintul5(level="water")
_nitrogen, _npk = tc.Lintul5(level="nitrogen"), tc.Lintul5(level="npk")

_REFERENCE: dict[str, tuple[str, str | None]] = {
    "lintul1-1971": ("lintul1_fst_wag1971", None),
    "lintul2-1971": ("lintul2_fst_wag1971_irrigated", None),
    "lintul2-1999": ("lintul2_fst_wag1999_rainfed", None),
    "lintul2-2018": ("lintul2_fst_wag2018_irrigated", None),
    "lintul3-1987": ("lintul3_fst_wag1987", None),
    "lintul3-1987-dry": ("lintul3_oracle_wag1987_rerun2", None),
    "lintul3-1995": ("lintul3_oracle_wag1995_lowN", None),
    "lintul3-pcse-1992": ("pcse_lintul3_lowN_drought_1992", None),
    "lintul3-pcse-1985": ("pcse_lintul3_highN_late_1985", None),
    "wheat-1969": ("lintul5_fortran_wagi1_1969", None),
    "wheat-1971": ("lintul5_fortran_wagi1_1971", None),
    "wheat-1969-water": ("lintul5_fortran_wagn3_1969", "water"),
    "maize-1995": ("lintul5_oracle_maize_1990s_1995", None),
    "maize-1983": ("lintul5_oracle_maize_irrtab_1983", None),
    "barley-1976": ("lintul5_oracle_barley_wl_sand_1976", None),
    "barley-1998-clay": ("lintul5_oracle_barley_wetclay_1998", None),
    "barley-1998-ducts": ("lintul5_oracle_barley_airducts_1998", None),
    "sugar-beet-1995": ("lintul5_oracle_sugarbeet_low_depnr_1995", None),
    "faba-bean-1998": ("lintul5_oracle_fababean_npk_1998", "water"),
    "potato-1992": ("lintul5_oracle_potato_n_1992", "water"),
    "sunflower-1983": ("lintul5_oracle_sunflower_npk_1983", "water"),
    "wheat-1969-nitrogen": ("lintul5_fortran_wagn3_1969", None),
    "potato-1992-nitrogen": ("lintul5_oracle_potato_n_1992", None),
    "faba-bean-1998-npk": ("lintul5_oracle_fababean_npk_1998", None),
    "sunflower-1983-npk": ("lintul5_oracle_sunflower_npk_1983", None),
}
# The weather of these cases ends on the day of maturity: they are to ripen sooner.
_CHANGES = {"lintul3-pcse-1992": {"TSUMMT": 900.0}, "lintul3-pcse-1985": {"TSUMMT": 770.0}}
_FROM_PCSE: dict[str, Callable[[], Trial]] = {
    "lintul1-1984": partial(_at_wageningen, 1984, tc.Lintul1(), "spring_wheat", emergence=(3, 1)),
    "lintul2-1976": partial(_at_wageningen, 1976, tc.Lintul2(), "spring_wheat", "lintul2_wageningen", emergence=(3, 1)),
    "lintul2-1994": partial(_at_wageningen, 1994, tc.Lintul2(), "spring_wheat", "lintul2_wageningen", emergence=(3, 1)),
    "lintul3-1976": partial(
        _at_wageningen,
        1976,
        tc.Lintul3(),
        "spring_wheat_lintul3",
        "lintul3_wageningen",
        applied={"nitrogen": [(10, 8.0), (40, 5.0)]},
        start=(1, 1),
        emergence=(3, 25),
    ),
    "lintul3-pcse-1988": partial(
        _at_wageningen,
        1988,
        tc.Lintul3(variant="pcse"),
        "spring_wheat_lintul3",
        "lintul3_wageningen",
        supply={"RTMIN": 0.04},
        applied={"nitrogen": [(15, 2.0)]},
        rule={"irrigation_factor": 1.0},
        start=(1, 1),
        emergence=(3, 28),
    ),
    "wheat-1997": partial(_at_wageningen, 1997, _water, "wheat", "silt_loam", start=(1, 1), emergence=(1, 15)),
    "maize-1989": partial(_at_wageningen, 1989, _water, "maize", "sandy_loam", sowing=(5, 1)),
    "maize-1989-failed": partial(_at_wageningen, 1989, _water, "maize", "loamy_sand", sowing=(5, 1)),
    "potato-1986": partial(_at_wageningen, 1986, _potential, "potato", "sandy_loam", sowing=(4, 20)),
    "sugar-beet-1996": partial(_at_wageningen, 1996, _water, "sugar_beet", "loam", sowing=(4, 10)),
    "sunflower-1982": partial(_at_wageningen, 1982, _potential, "sunflower", "loam", sowing=(4, 15)),
    "barley-1985-nitrogen": partial(
        _at_wageningen,
        1985,
        _nitrogen,
        "barley",
        "sandy_loam",
        supply={"NMINS": 4.0},
        applied={"nitrogen": [(10, 4.0), (50, 3.0)]},
        sowing=(3, 20),
    ),
    "maize-1982-npk": partial(
        _at_wageningen,
        1982,
        _npk,
        "maize",
        "sandy_loam",
        supply={"NMINS": 5.0, "PMINS": 1.0, "KMINS": 8.0},
        applied={"nitrogen": [(0, 6.0), (45, 6.0)], "phosphorus": [(0, 3.0)], "potassium": [(0, 8.0)]},
        rule={"irrigation_trigger": 0.45, "irrigation_refill": 0.8},
        sowing=(4, 28),
    ),
    "wheat-1994-npk": partial(
        _at_wageningen,
        1994,
        _npk,
        "wheat",
        "silt_loam",
        supply={"NMINS": 5.0, "PMINS": 0.8, "KMINS": 6.0},
        applied={"nitrogen": [(50, 5.0), (100, 6.0)], "phosphorus": [(50, 4.0)], "potassium": [(50, 6.0)]},
        start=(1, 1),
        emergence=(1, 15),
    ),
    "sugar-beet-1988-nitrogen": partial(
        _at_wageningen,
        1988,
        _nitrogen,
        "sugar_beet",
        "loam",
        supply={"NMINS": 6.0},
        applied={"nitrogen": [(5, 8.0)]},
        sowing=(4, 8),
    ),
}
_FROM_IOWA: dict[str, Callable[[], Trial]] = {
    "maize-iowa-2012": partial(_shipped, _iowa, _water, "maize", "silt_loam", sowing="2012-05-01"),
    # No crop that ships is sensitive to daylength; this curve makes one of it.
    "soybean-iowa-2008": partial(
        _shipped,
        _iowa,
        _water,
        "soybean",
        "silty_clay_loam",
        changes={"IDSL": 1.0, "PHOTTB": [0, 1, 12, 1, 16, 0.5, 24, 0.5]},
        sowing="2008-05-20",
    ),
    "maize-iowa-1996-nitrogen": partial(
        _shipped,
        _iowa,
        _nitrogen,
        "maize",
        "silt_loam",
        supply={"NMINS": 8.0},
        applied={"nitrogen": [(0, 5.0), (40, 8.0)]},
        sowing="1996-05-03",
    ),
    "soybean-iowa-2002-npk": partial(
        _shipped,
        _iowa,
        _npk,
        "soybean",
        "loam",
        supply={"NMINS": 5.0, "PMINS": 1.0, "KMINS": 8.0},
        applied={"phosphorus": [(0, 3.0)], "potassium": [(0, 6.0)]},
        rule={"irrigation_trigger": 0.4, "irrigation_dose": 20.0},
        sowing="2002-05-15",
    ),
}

REFERENCE, FROM_PCSE, FROM_IOWA = list(_REFERENCE), list(_FROM_PCSE), list(_FROM_IOWA)
ALL = REFERENCE + FROM_PCSE + FROM_IOWA
"""Names of all trials."""


@cache
def trial(name: str) -> Trial:
    """A trial by its name."""
    if name in _REFERENCE:
        return _reference(*_REFERENCE[name], **_CHANGES.get(name, {}))
    return (_FROM_PCSE | _FROM_IOWA)[name]()


def trials(names: Sequence[str], fast: Sequence[str] = (), *more: Sequence[str]) -> list:
    """Parameters for `pytest.mark.parametrize`: a trial's name, and what else a test distinguishes.

    A trial is skipped, visibly, where its weather is absent, and slow if it is not `fast`. The tests of one trial
    stay in one process, which computes it once.
    """
    no_pcse = pytest.mark.skipif(_pcse_weather() is None, reason="needs pcse (test extra)")
    parameters = []
    for name in names:
        marks: list[Any] = [pytest.mark.xdist_group(f"trial {name}")]
        if name in _REFERENCE:
            marks.append(pytest.mark.shared)
        if name in _FROM_PCSE:
            marks.append(no_pcse)
        if name not in fast:
            marks.append(pytest.mark.slow)
        parameters += [pytest.param(name, *rest, marks=marks, id="-".join((name, *rest))) for rest in product(*more)]
    return parameters
