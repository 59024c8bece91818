"""LINTUL5: potential and water-limited production of annual crops with a two-zone soil.

J. Wolf 2012, User guide for LINTUL5, Wageningen UR. Levels: ``potential`` (transpiration never limited; the water
balance still runs, so that irrigation and drainage are known) and ``water``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from torchcrop.functions.smoothing import exceeds, hard_max, hard_min
from torchcrop.functions.switches import Switches
from torchcrop.functions.tables import Table, afgen
from torchcrop.models.model import Day, Event, Model, Observable, Site, Weather
from torchcrop.processes import astro, canopy, partitioning, penman, phenology, soil_water
from torchcrop.quantities import Record, driver, nearest, output, parameter, record, state, table

__all__ = ["Lintul5", "Lintul5Crop", "Lintul5Soil"]


class Lintul5Crop(Record):
    """Crop parameters of LINTUL5 at the levels potential and water."""

    # Emergence and development
    emergence_base_temperature: Tensor = parameter(
        unit="degC", symbol="TBASEM", bounds=(-5, 15), doc="base temperature of emergence"
    )
    emergence_maximum_temperature: Tensor = parameter(
        unit="degC",
        symbol="TEFFMX",
        bounds=(15, 45),
        doc="mean temperature above which emergence is not faster",
    )
    tsum_emergence: Tensor = parameter(
        unit="degC d", symbol="TSUMEM", bounds=(0, 400), doc="temperature sum from sowing to emergence"
    )
    photoperiod_sensitive: Tensor = parameter(
        0.0,
        unit="-",
        symbol="IDSL",
        switch=True,
        doc="1: development before anthesis depends on daylength too",
    )
    photoperiod_factor: Table = table(
        unit="-",
        x="photoperiodic daylength",
        x_unit="h",
        symbol="PHOTTB",
        bounds=(0, 1),
        doc="factor of development before anthesis, for a sensitive crop",
    )
    tsum_anthesis: Tensor = parameter(
        unit="degC d", symbol="TSUM1", bounds=(25, 7200), doc="temperature sum from emergence to anthesis"
    )
    tsum_maturity: Tensor = parameter(
        unit="degC d", symbol="TSUM2", bounds=(100, 3000), doc="temperature sum from anthesis to maturity"
    )
    development_temperature: Table = table(
        unit="degC d d-1",
        x="mean temperature",
        x_unit="degC",
        symbol="DTSMTB",
        bounds=(0, 60),
        doc="daily increase of the temperature sum",
    )
    initial_stage: Tensor = parameter(0.0, unit="-", symbol="DVSI", bounds=(0, 1), doc="development stage at the start")
    final_stage: Tensor = parameter(
        2.0,
        unit="-",
        symbol="DVSEND",
        bounds=(1, 2.5),
        doc="development stage at maturity, the end of the run",
    )

    # Leaf area
    initial_weight: Tensor = parameter(
        unit="g m-2", symbol="TDWI", bounds=(0.01, 200), doc="dry matter of the crop at the start"
    )
    relative_lai_growth: Tensor = parameter(
        unit="(degC d)-1",
        symbol="RGRLAI",
        bounds=(0.002, 0.07),
        doc="relative growth rate of leaf area in the juvenile stage",
    )
    juvenile_stage: Tensor = parameter(
        0.2,
        unit="-",
        symbol="DVSJ",
        bounds=(0.02, 0.8),
        doc="development stage at which the juvenile stage of leaf growth ends at the latest",
    )
    juvenile_lai: Tensor = parameter(
        0.75,
        unit="m2 m-2",
        symbol="LAIJ",
        bounds=(0.1, 2),
        doc="leaf area index at which the juvenile stage of leaf growth ends at the latest",
    )
    base_temperature: Tensor = parameter(
        unit="degC", symbol="TBASE", bounds=(-2, 15), doc="base temperature of juvenile leaf growth"
    )
    specific_leaf_area: Table = table(
        unit="m2 g-1",
        x="development stage",
        x_unit="-",
        symbol="SLATB",
        bounds=(0.002, 0.08),
        doc="specific leaf area",
    )
    critical_lai: Tensor = parameter(
        unit="m2 m-2", symbol="LAICR", bounds=(1, 30), doc="leaf area index above which leaves die of shading"
    )
    shading_death_rate: Tensor = parameter(
        unit="d-1",
        symbol="RDRSHM",
        bounds=(0, 0.2),
        doc="slope of the relative death rate of leaves due to shading",
    )
    ageing_stage: Tensor = parameter(
        1.0, unit="-", symbol="DVSDLT", bounds=(0.2, 2), doc="development stage from which leaves die of age"
    )
    ageing_death_rate: Table = table(
        unit="d-1",
        x="mean temperature",
        x_unit="degC",
        symbol="RDRLTB",
        bounds=(0, 1),
        doc="relative death rate of leaves due to ageing",
    )
    drought_death_rate: Tensor = parameter(
        unit="d-1", symbol="RDRL", bounds=(0, 0.5), doc="largest relative death rate of leaves due to drought"
    )

    # Growth
    extinction: Table = table(
        unit="-",
        x="development stage",
        x_unit="-",
        symbol="KDIFTB",
        bounds=(0.2, 1.2),
        doc="extinction coefficient for PAR",
    )
    radiation_use_efficiency: Table = table(
        unit="g MJ-1",
        x="development stage",
        x_unit="-",
        symbol="RUETB",
        bounds=(0, 8),
        doc="dry matter formed per intercepted PAR",
    )
    daytime_temperature_factor: Table = table(
        unit="-",
        x="daytime temperature",
        x_unit="degC",
        symbol="TMPFTB",
        bounds=(0, 1),
        doc="factor of the radiation use efficiency",
    )
    minimum_temperature_factor: Table = table(
        unit="-",
        x="minimum temperature",
        x_unit="degC",
        symbol="TMNFTB",
        bounds=(0, 1),
        doc="factor of the radiation use efficiency",
    )
    co2_factor: Table = table(
        unit="-",
        x="CO2 concentration",
        x_unit="ppm",
        symbol="COTB",
        bounds=(0, 3),
        doc="factor of the radiation use efficiency",
    )
    nutrient_effect: Tensor = parameter(
        1.1,
        unit="-",
        symbol="NLUE",
        bounds=(0, 3),
        doc="effect of nutrient stress on growth; without stress the factor is 1 - NLUE 1e-8",
    )

    # Partitioning
    fraction_roots: Table = table(
        unit="-",
        x="development stage",
        x_unit="-",
        symbol="FRTB",
        bounds=(0, 1),
        doc="fraction of growth to roots",
    )
    fraction_leaves: Table = table(
        unit="-",
        x="development stage",
        x_unit="-",
        symbol="FLTB",
        bounds=(0, 1),
        doc="fraction of growth above ground to leaves",
    )
    fraction_stems: Table = table(
        unit="-",
        x="development stage",
        x_unit="-",
        symbol="FSTB",
        bounds=(0, 1),
        doc="fraction of growth above ground to stems",
    )
    fraction_storage: Table = table(
        unit="-",
        x="development stage",
        x_unit="-",
        symbol="FOTB",
        bounds=(0, 1),
        doc="fraction of growth above ground to storage organs",
    )

    # Death of roots and stems
    root_stem_death_stage: Tensor = parameter(
        1.0,
        unit="-",
        symbol="DVSDR",
        bounds=(0.2, 2.5),
        doc="development stage from which roots and stems die",
    )
    root_death_rate: Table = table(
        unit="d-1",
        x="development stage",
        x_unit="-",
        symbol="RDRRTB",
        bounds=(0, 1),
        doc="relative death rate of roots",
    )
    stem_death_rate: Table = table(
        unit="d-1",
        x="development stage",
        x_unit="-",
        symbol="RDRSTB",
        bounds=(0, 1),
        doc="relative death rate of stems",
    )

    # Water and roots
    transpiration_factor: Tensor = parameter(
        1.0, unit="-", symbol="CFET", bounds=(0.5, 1.5), doc="factor of the potential transpiration"
    )
    depletion_group: Tensor = parameter(
        unit="-",
        symbol="DEPNR",
        bounds=(1, 5),
        doc="crop group for soil water depletion, 1 sensitive to 5 tolerant",
    )
    air_ducts: Tensor = parameter(
        0.0, unit="-", symbol="IAIRDU", switch=True, doc="1: roots have air ducts and do not lack oxygen"
    )
    initial_root_depth: Tensor = parameter(unit="m", symbol="RDI", bounds=(0.02, 0.5), doc="rooting depth at the start")
    root_growth: Tensor = parameter(
        unit="m d-1", symbol="RRI", bounds=(0.002, 0.06), doc="largest growth of rooting depth"
    )
    maximum_root_depth: Tensor = parameter(
        unit="m", symbol="RDMCR", bounds=(0.2, 3), doc="largest rooting depth of the crop"
    )


class Lintul5Soil(Record):
    """Soil of LINTUL5. Water contents must increase from air-dry to saturation."""

    air_dry: Tensor = parameter(unit="m3 m-3", symbol="SMDRY", bounds=(0, 0.5), doc="water content, air-dry")
    wilting_point: Tensor = parameter(
        unit="m3 m-3", symbol="SMW", bounds=(0.01, 0.6), doc="water content at wilting point"
    )
    field_capacity: Tensor = parameter(
        unit="m3 m-3", symbol="SMFC", bounds=(0.03, 0.8), doc="water content at field capacity"
    )
    saturation: Tensor = parameter(unit="m3 m-3", symbol="SM0", bounds=(0.1, 0.95), doc="water content at saturation")
    critical_air: Tensor = parameter(
        unit="m3 m-3", symbol="CRAIRC", bounds=(0.01, 0.3), doc="air content below which roots lack oxygen"
    )
    initial: Tensor = parameter(
        unit="m3 m-3", symbol="SMI", bounds=(0.01, 0.9), doc="water content of the rooted zone at the start"
    )
    initial_lower: Tensor = parameter(
        unit="m3 m-3", symbol="SMLOWI", bounds=(0.01, 0.9), doc="water content of the zone below at the start"
    )
    maximum_root_depth: Tensor = parameter(
        unit="m", symbol="RDMSO", bounds=(0.2, 5), doc="largest rooting depth that the soil permits"
    )
    runoff_fraction: Tensor = parameter(
        0.0, unit="-", symbol="RUNFR", bounds=(0, 0.9), doc="share of rain that runs off"
    )
    evaporation_decline: Tensor = parameter(
        2.0,
        unit="-",
        symbol="CFEV",
        bounds=(0.5, 5),
        doc="coefficient of the decline of soil evaporation after rain",
    )
    percolation: Tensor = parameter(
        unit="mm d-1", symbol="KSUB", bounds=(0.1, 1000), doc="largest percolation to the subsoil"
    )


class Lintul5Management(Record):
    """Management of LINTUL5."""

    emergence_by_date: Tensor = parameter(
        0.0,
        unit="-",
        switch=True,
        doc="1: the crop emerges on a date, 0: by temperature sum from sowing",
    )
    emergence_day: Tensor = parameter(
        0.0,
        unit="d",
        symbol="IDEM",
        bounds=(-365, 730),
        doc="day of emergence by date; 1 = 1 January of the year of the run's first day",
    )
    automatic_irrigation: Tensor = parameter(
        0.0,
        unit="-",
        symbol="IRRI",
        switch=True,
        doc="1: irrigation of at most 30 mm on the day after the soil falls below its critical content",
    )


class Lintul5Parameters(Record):
    """All parameters of a LINTUL5 run."""

    crop: Lintul5Crop = record(Lintul5Crop, "crop")
    soil: Lintul5Soil = record(Lintul5Soil, "soil")
    site: Site = record(Site, "site")
    management: Lintul5Management = record(Lintul5Management, "management")


class Lintul5State(Record):
    """States of LINTUL5; in the record of rates, their changes per day.

    The names that end in ``_before`` hold yesterday's value: the lags of the original, whose water balance is computed
    before the crop of the same day, and the increments that centre the windows of events.
    """

    # Clocks
    emergence_sum: Tensor = state(unit="degC d", symbol="TSULP", doc="temperature sum since sowing")
    emergence_sum_before: Tensor = state(unit="degC d", doc="yesterday's increment of the temperature sum since sowing")
    temperature_sum: Tensor = state(unit="degC d", symbol="TSUML", doc="temperature sum since emergence")
    temperature_sum_before: Tensor = state(unit="degC d", doc="yesterday's increment of the temperature sum")
    stage: Tensor = state(unit="-", symbol="DVS", doc="development stage: 0 emergence, 1 anthesis, 2 maturity")
    stage_before: Tensor = state(unit="d-1", doc="yesterday's increment of the development stage")
    effective_before: Tensor = state(unit="degC", doc="yesterday's effective temperature of juvenile leaf growth")
    running: Tensor = state(unit="-", doc="0 on the run's first day, then 1")

    # Crop
    lai: Tensor = state(unit="m2 m-2", symbol="LAI", doc="leaf area index")
    leaves: Tensor = state(unit="g m-2", symbol="WLVG", doc="dry matter of green leaves")
    dead_leaves: Tensor = state(unit="g m-2", symbol="WLVD", doc="dry matter of dead leaves")
    stems: Tensor = state(unit="g m-2", symbol="WST", doc="dry matter of living stems")
    dead_stems: Tensor = state(unit="g m-2", symbol="WST_D", doc="dry matter of dead stems")
    storage_organs: Tensor = state(unit="g m-2", symbol="WSO", doc="dry matter of storage organs")
    roots: Tensor = state(unit="g m-2", symbol="WRT", doc="dry matter of living roots")
    dead_roots: Tensor = state(unit="g m-2", symbol="WRTD", doc="dry matter of dead roots")
    total_growth: Tensor = state(unit="g m-2", symbol="GTSUM", doc="dry matter formed so far")
    total_par: Tensor = state(unit="MJ m-2", symbol="PAR", doc="PAR so far")
    total_intercepted_par: Tensor = state(unit="MJ m-2", symbol="PARAB", doc="PAR intercepted so far")
    root_depth: Tensor = state(unit="m", symbol="RD", doc="rooting depth")

    # Soil
    rooted_depth: Tensor = state(unit="m", doc="depth of the soil's rooted zone: yesterday's rooting depth")
    root_growth_before: Tensor = state(unit="m d-1", symbol="RR", doc="yesterday's growth of rooting depth")
    interception_before: Tensor = state(unit="-", symbol="FINTT", doc="share of total radiation intercepted yesterday")
    water: Tensor = state(unit="mm", symbol="WTOT", doc="water of the rooted zone")
    water_lower: Tensor = state(unit="mm", symbol="WTOTL", doc="water of the zone below")
    available: Tensor = state(unit="mm", symbol="WAVT", doc="available water of the rooted zone")
    available_lower: Tensor = state(unit="mm", symbol="WAVTL", doc="available water of the zone below")
    dry_days: Tensor = state(unit="d", symbol="DSLR", doc="days since rain")
    wet_days: Tensor = state(unit="d", symbol="DSOS", doc="days of oxygen shortage")
    irrigation_decided: Tensor = state(unit="mm", symbol="RIRR", doc="irrigation decided yesterday, for today")
    irrigation_carried: Tensor = state(unit="mm", doc="tabled irrigation beyond its cap, carried over")
    total_rain: Tensor = state(unit="mm", symbol="TRAIN", doc="rain so far")
    total_irrigation: Tensor = state(unit="mm", symbol="TIRR", doc="irrigation so far")
    total_transpiration: Tensor = state(unit="mm", symbol="TTRANS", doc="transpiration so far")
    total_evaporation: Tensor = state(unit="mm", symbol="TESOIL", doc="soil evaporation so far")
    total_drainage: Tensor = state(unit="mm", symbol="TDRAIN", doc="drainage out of the profile so far")
    total_runoff: Tensor = state(unit="mm", symbol="TRUNOF", doc="runoff so far")

    # Dates
    days_to_emergence: Tensor = state(unit="d", doc="days before emergence")
    days_to_anthesis: Tensor = state(unit="d", doc="days before anthesis")
    days_to_maturity: Tensor = state(unit="d", doc="days before maturity")


class Lintul5Outputs(Record):
    """Outputs of a day of LINTUL5."""

    tmean: Tensor = output(unit="degC", doc="mean temperature")
    growth: Tensor = output(unit="g m-2 d-1", symbol="GRT", doc="growth of the crop")
    intercepted_par: Tensor = output(unit="MJ m-2 d-1", symbol="PARINT", doc="intercepted PAR")
    efficiency: Tensor = output(unit="g MJ-1", symbol="RUE", doc="radiation use efficiency without reductions")
    efficiency_factor: Tensor = output(unit="-", symbol="RTMCO", doc="factor of the efficiency for temperature and CO2")
    share_roots: Tensor = output(unit="-", symbol="FRT", doc="fraction of growth to roots")
    share_leaves: Tensor = output(unit="-", symbol="FLV", doc="fraction of growth above ground to leaves")
    share_stems: Tensor = output(unit="-", symbol="FST", doc="fraction of growth above ground to stems")
    share_storage: Tensor = output(unit="-", symbol="FSO", doc="fraction of growth above ground to storage organs")
    lai_growth: Tensor = output(unit="d-1", symbol="GLAI", doc="growth of leaf area")
    lai_death: Tensor = output(unit="d-1", symbol="DLAI", doc="death of leaf area")
    aboveground: Tensor = output(
        unit="g m-2", symbol="TAGB", held=True, doc="dry matter above ground, dead leaves and stems included"
    )
    transpiration_ratio: Tensor = output(unit="-", symbol="TRANRF", doc="actual over potential transpiration")
    water_content: Tensor = output(unit="m3 m-3", symbol="SMACT", held=True, doc="water content of the rooted zone")
    critical_content: Tensor = output(
        unit="m3 m-3", symbol="SMCR", doc="water content below which transpiration is reduced"
    )
    canopy_demand: Tensor = output(unit="mm d-1", symbol="ETC", doc="potential transpiration of a closed canopy")
    soil_demand: Tensor = output(unit="mm d-1", symbol="ES0", doc="potential evaporation of bare wet soil")
    potential_transpiration: Tensor = output(unit="mm d-1", symbol="TRMAX", doc="potential transpiration")
    transpiration: Tensor = output(unit="mm d-1", symbol="TRA", doc="transpiration")
    evaporation: Tensor = output(unit="mm d-1", symbol="EVA", doc="soil evaporation")
    drainage: Tensor = output(unit="mm d-1", symbol="DRAIN", doc="drainage out of the profile")
    runoff: Tensor = output(unit="mm d-1", symbol="RUNOF", doc="runoff")
    irrigation: Tensor = output(unit="mm d-1", symbol="IRRIG", doc="irrigation of the day")
    emergence: Tensor = output(unit="-", doc="share of the day after emergence")
    anthesis: Tensor = output(unit="-", doc="share of the day after anthesis")
    maturity: Tensor = output(unit="-", doc="share of the day after maturity")


class Lintul5Drivers(Record):
    """What follows from weather and parameters alone."""

    tmean: Tensor = driver(unit="degC", doc="mean temperature")
    emergence: Tensor = driver(unit="degC", doc="mean temperature that counts towards emergence")
    dated_emergence: Tensor = driver(unit="-", doc="share of the day after the date of emergence")
    development: Tensor = driver(unit="degC d d-1", symbol="DTSU", doc="daily increase of the temperature sum")
    photoperiod: Tensor = driver(unit="-", doc="factor of development before anthesis for a sensitive crop")
    effective: Tensor = driver(unit="degC", doc="mean temperature above the base temperature of juvenile leaf growth")
    juvenile_growth: Tensor = driver(unit="d-1", doc="relative growth of juvenile leaf area")
    ageing: Tensor = driver(unit="d-1", doc="relative death rate of ageing leaves")
    par: Tensor = driver(unit="MJ m-2 d-1", symbol="PAR", doc="photosynthetically active radiation")
    efficiency_factor: Tensor = driver(
        unit="-", symbol="RTMCO", doc="factor of the radiation use efficiency for temperature and CO2"
    )
    nutrient_factor: Tensor = driver(unit="-", symbol="NPKREF", doc="factor of growth for nutrients, here not limiting")
    rainless: Tensor = driver(unit="-", doc="1 on a day with so little rain that automatic irrigation may be decided")
    soil_demand: Tensor = driver(unit="mm d-1", symbol="ES0", doc="potential evaporation of bare wet soil")
    canopy_demand: Tensor = driver(
        unit="mm d-1", symbol="ETC", doc="potential transpiration of a closed canopy at the site's CO2"
    )
    critical_content: Tensor = driver(
        unit="m3 m-3", symbol="SMCR", doc="water content below which transpiration is reduced"
    )


LEVELS = ("potential", "water")

# Reduction of transpiration by CO2 (Wolf 2012, table FPENMTB).
_CO2_TRANSPIRATION = Table.from_pairs([(40.0, 1.05), (360.0, 1.0), (720.0, 0.95), (1000.0, 0.92), (2000.0, 0.92)])
_LONG_BEFORE = 30.0
# Scale of the gate that stops root growth in a dry soil, and its threshold [-].
_DRY_RATIO = 0.01
_LARGEST_DROUGHT_ROOTS = 0.6
# Without nutrient stress the original's factor is 1 - NLUE (1.0001 - 1)^2.
_NO_NUTRIENT_STRESS = 1.0001 - 1.0
# End of a run whose canopy has died: intercepted share and dry matter above ground [g m-2].
_DEAD_INTERCEPTION, _DEAD_MATTER = 0.05, 20.0


# soil_water_0_105cm [mm], soil_moisture_15_45cm [m3 m-3]
_SOIL_LAYER = re.compile(r"^soil_(?P<kind>water|moisture)_(?P<top>\d+)_(?P<bottom>\d+)cm$")


def soil_layer(kind: str, top: float, bottom: float) -> Observable:
    """Water between two depths of the soil, from the contents of the two zones.

    Parameters
    ----------
    kind : {"water", "moisture"}
        Amount [mm] or mean content [m3 m-3].
    top, bottom : float
        Depths [m].
    """
    if not top < bottom:
        raise ValueError(f"the layer {100 * top:g}-{100 * bottom:g} cm is empty: its top must lie above its bottom")

    def deepest(params: Lintul5Parameters) -> Tensor:
        return hard_min(params.soil.maximum_root_depth, params.crop.maximum_root_depth)

    def check(params: Lintul5Parameters) -> None:
        reach = float(deepest(params).detach().min())
        if bottom > reach + 1e-9:
            raise ValueError(
                f"soil water to {100 * bottom:g} cm is asked for, but LINTUL5 models water to the largest rooting "
                f"depth, {100 * reach:g} cm here: raise maximum_root_depth of crop (RDMCR) and soil (RDMSO), or "
                "observe less deep"
            )

    def stored(values: Mapping[str, Tensor], params: Lintul5Parameters, depth: float) -> Tensor:
        rooted = values["rooted_depth"]
        below = hard_max(deepest(params) - rooted, 1e-6)
        share_below = hard_max(depth - rooted, 0.0) / below
        return values["water"] * hard_min(depth / rooted, 1.0) + values["water_lower"] * share_below

    def compute(values: Mapping[str, Tensor], params: Lintul5Parameters) -> Tensor:
        amount = stored(values, params, bottom) - (stored(values, params, top) if top > 0 else 0.0)
        return amount if kind == "water" else amount / (1000.0 * (bottom - top))

    unit = "mm" if kind == "water" else "m3 m-3"
    doc = (
        f"{'water' if kind == 'water' else 'mean water content'} of the soil from {100 * top:g} to {100 * bottom:g} cm"
    )
    return Observable(unit, doc, ("water", "water_lower", "rooted_depth"), compute, check)


def potential_growth(efficiency: Tensor, efficiency_factor: Tensor, intercepted_par: Tensor) -> Tensor:
    """Growth without stress of water and nutrients, ``RUE * RTMCO * PAR`` [g m-2 d-1]."""
    return efficiency * efficiency_factor * intercepted_par


@dataclass(frozen=True, eq=False)
class Lintul5(Model):
    """LINTUL5.

    Parameters
    ----------
    level : {"potential", "water"}
        Production level: transpiration never limits growth, or the soil's water does.
    processes : mapping of str to callable, optional
        ``potential_growth(efficiency [g MJ-1], efficiency_factor [-], intercepted_par [MJ m-2 d-1])``
        gives growth [g m-2 d-1].

    Examples
    --------
    >>> run = tc.simulate(tc.Lintul5(level="water"), tc.load_crop("maize"), trial)
    """

    level: str = "water"

    name: ClassVar[str] = "LINTUL5"
    Parameters: ClassVar[type[Record]] = Lintul5Parameters
    State: ClassVar[type[Record]] = Lintul5State
    Outputs: ClassVar[type[Record]] = Lintul5Outputs
    Drivers: ClassVar[type[Record]] = Lintul5Drivers
    events: ClassVar[dict[str, Event]] = {
        "emergence": Event("days_to_emergence", "emergence"),
        "anthesis": Event("days_to_anthesis", "anthesis"),
        "maturity": Event("days_to_maturity", "maturity"),
    }
    observables: ClassVar[dict[str, Observable]] = {
        "canopy_cover": Observable(
            "-",
            "share of light intercepted",
            ("lai", "stage"),
            lambda v, p: canopy.interception(afgen(p.crop.extinction, v["stage"]), v["lai"]),
        ),
    }
    replaceable: ClassVar[dict[str, str]] = {
        "potential_growth": "(efficiency [g MJ-1], efficiency_factor [-], intercepted_par [MJ m-2 d-1]) "
        "-> growth [g m-2 d-1]"
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level not in LEVELS:
            raise ValueError(
                f"LINTUL5 has no level {self.level!r}{nearest(self.level, LEVELS)}; it has {', '.join(LEVELS)}"
            )

    @property
    def listens(self) -> frozenset[str]:
        return frozenset({"irrigation", "irrigation_table"})

    def management(self, emergence: float | None, sowing: float | None, start: float) -> dict[str, float]:
        if emergence is None and sowing is None:
            raise ValueError(
                "LINTUL5 starts from a sowing date (emergence is simulated) or from a date of emergence, and the "
                "season has neither. Give `sowing` or `emergence` in the management or the treatment"
            )
        if sowing is not None:
            return {}
        assert emergence is not None
        # A crop that stands on the first day has emerged long before: no share of that day is lost to smoothing.
        return {"emergence_by_date": 1.0, "emergence_day": emergence if emergence > start else start - _LONG_BEFORE}

    def observable(self, name: str) -> Observable | None:
        layer = _SOIL_LAYER.match(name)
        if layer is None:
            return super().observable(name)
        top, bottom = int(layer["top"]) / 100, int(layer["bottom"]) / 100
        return soil_layer(layer["kind"], top, bottom)

    def drivers(
        self, weather: Weather, doy: Tensor, time: Tensor, params: Lintul5Parameters, switches: Switches
    ) -> Lintul5Drivers:
        crop, soil, site = params.crop, params.soil, params.site
        tmean = phenology.mean_temperature(weather.tmin, weather.tmax)
        _, photoperiod, extraterrestrial = astro.sun(switches, doy, site.latitude)
        radiation = switches.min(0.80 * extraterrestrial, weather.srad * 1e6)
        sunshine = switches.limit(0.0, 1.0, (radiation / extraterrestrial - 0.20) / 0.56)
        es0, et0 = penman.reference_evaporation(
            switches,
            weather.tmin,
            weather.tmax,
            radiation,
            sunshine,
            10.0 * weather.vap,
            weather.wind,
            site.elevation,
        )
        co2_table = Table(_CO2_TRANSPIRATION.x.to(es0), _CO2_TRANSPIRATION.y.to(es0))
        etc = et0 * switches.table(co2_table, site.co2)
        easily_available = soil_water.depletion_fraction(switches, etc, crop.depletion_group)
        daytime = weather.tmax - 0.25 * (weather.tmax - weather.tmin)
        effective = phenology.effective_temperature(switches, tmean, crop.base_temperature)
        return Lintul5Drivers(
            tmean=tmean,
            emergence=switches.limit(
                0.0,
                crop.emergence_maximum_temperature - crop.emergence_base_temperature,
                tmean - crop.emergence_base_temperature,
            ),
            dated_emergence=phenology.one_day(switches, time, params.management.emergence_day),
            development=switches.positive(switches.table(crop.development_temperature, tmean)),
            photoperiod=switches.table(crop.photoperiod_factor, photoperiod),
            effective=effective,
            juvenile_growth=canopy.juvenile_growth(crop.relative_lai_growth, effective),
            ageing=switches.table(crop.ageing_death_rate, tmean),
            par=canopy.photosynthetic(radiation / 1e6),
            efficiency_factor=switches.table(crop.daytime_temperature_factor, daytime)
            * switches.table(crop.minimum_temperature_factor, weather.tmin)
            * switches.table(crop.co2_factor, site.co2),
            # Of the parameter alone, but a driver has a value for every day.
            nutrient_factor=torch.zeros_like(tmean)
            + switches.limit(0.0, 1.0, 1 - crop.nutrient_effect * _NO_NUTRIENT_STRESS**2),
            rainless=soil_water.rainless(switches, weather.rain),
            soil_demand=es0,
            canopy_demand=etc,
            critical_content=soil_water.critical_content(easily_available, soil.wilting_point, soil.field_capacity),
        )

    def initial(self, params: Lintul5Parameters, switches: Switches) -> Lintul5State:
        crop, soil = params.crop, params.soil
        stage = crop.initial_stage
        roots = crop.initial_weight * switches.table(crop.fraction_roots, stage)
        above = crop.initial_weight - roots
        leaves = above * switches.table(crop.fraction_leaves, stage)
        depth = crop.initial_root_depth
        below = switches.min(soil.maximum_root_depth, crop.maximum_root_depth) - depth
        content = switches.max(soil.wilting_point, switches.min(soil.initial, soil.field_capacity))
        lower = switches.max(soil.wilting_point, switches.min(soil.initial_lower, soil.field_capacity))
        zero = crop.initial_weight * 0.0
        empty = dict.fromkeys(Lintul5State.quantities(), zero)
        return Lintul5State(
            **empty
            | {
                "stage": stage,
                "lai": leaves * switches.table(crop.specific_leaf_area, stage),
                "leaves": leaves,
                "stems": above * switches.table(crop.fraction_stems, stage),
                "storage_organs": above * switches.table(crop.fraction_storage, stage),
                "roots": roots,
                "root_depth": depth,
                "rooted_depth": depth,
                "water": 1000.0 * depth * content,
                "water_lower": 1000.0 * below * lower,
                "available": 1000.0 * depth * (content - soil.wilting_point),
                "available_lower": 1000.0 * below * (lower - soil.wilting_point),
                "dry_days": zero + 3.0,
            }
        )

    def rates(
        self, state: Lintul5State, day: Day, params: Lintul5Parameters, switches: Switches
    ) -> tuple[Lintul5State, Lintul5Outputs]:
        crop, soil, management = params.crop, params.soil, params.management
        weather, drivers = day.weather, day.drivers
        warm = phenology.ONE_WARM_DAY
        tsum, tsum_before = state.temperature_sum, state.temperature_sum_before

        # Emergence, flowering, and the leaf area at which juvenile growth ends
        demergence = day.sown * drivers.emergence
        emerging, flowered, large = switches.crossed_each(
            (state.emergence_sum, tsum, phenology.lai_clock(state.lai, crop.relative_lai_growth)),
            (
                crop.tsum_emergence,
                crop.tsum_anthesis,
                phenology.lai_clock(crop.juvenile_lai, crop.relative_lai_growth),
            ),
            warm,
            (demergence, drivers.development, drivers.effective),
            (state.emergence_sum_before, tsum_before, state.effective_before),
        )
        by_date = management.emergence_by_date
        emerged = by_date * drivers.dated_emergence + (1 - by_date) * emerging

        # Development: the stage advances by 1/TSUM1 before anthesis and by 1/TSUM2 after it
        dtsum = emerged * drivers.development
        dtsum = dtsum * phenology.photoperiod_factor(crop.photoperiod_sensitive, flowered, drivers.photoperiod)
        anthesis = switches.crossed(tsum, (1 - crop.initial_stage) * crop.tsum_anthesis, warm, dtsum, tsum_before)
        stage_rate = phenology.stage_rate(anthesis, crop.tsum_anthesis, crop.tsum_maturity)
        warm_stage = phenology.warm_day_of_stage(stage_rate)
        stage, stage_before, dstage = state.stage, state.stage_before, dtsum * stage_rate
        old, ageing, dying, maturity = switches.crossed_each(
            stage,
            (crop.juvenile_stage, crop.ageing_stage, crop.root_stem_death_stage, crop.final_stage),
            warm_stage,
            dstage,
            stage_before,
        )
        alive = switches.alive(maturity)
        living = alive * emerged

        # What the stage of development decides
        extinction, efficiency, roots, leaves, stems, storage, specific, root_death, stem_death = switches.table_means(
            (
                crop.extinction,
                crop.radiation_use_efficiency,
                crop.fraction_roots,
                crop.fraction_leaves,
                crop.fraction_stems,
                crop.fraction_storage,
                crop.specific_leaf_area,
                crop.root_death_rate,
                crop.stem_death_rate,
            ),
            stage,
            dstage,
            stage_before,
            warm_stage,
        )

        # Water balance, with yesterday's canopy and roots
        depth = state.rooted_depth
        below = switches.min(soil.maximum_root_depth, crop.maximum_root_depth) - depth
        content = state.water / (1000.0 * depth)
        demand = switches.max(
            crop.transpiration_factor * drivers.canopy_demand * state.interception_before,
            soil_water.SMALLEST_TRANSPIRATION,
        )
        critical = drivers.critical_content
        wet_days = soil_water.wet_days(switches, state.wet_days, content, soil.saturation, soil.critical_air)
        if self.level == "potential":
            transpiration, ratio = demand, emerged.new_ones(())
        else:
            dry = switches.limit(0.0, 1.0, (content - soil.wilting_point) / (critical - soil.wilting_point))
            wet = soil_water.oxygen_factor(
                switches, wet_days, content, soil.saturation, soil.critical_air, crop.air_ducts
            )
            transpiration = switches.positive(switches.min(state.available, dry * wet * demand))
            # On the first day the crop is initialised without stress.
            ratio = 1 - state.running * (1 - transpiration / demand)
        irrigation = state.irrigation_decided + day.irrigation
        entering = (1 - soil.runoff_fraction) * weather.rain + irrigation
        evaporation, dry_days = soil_water.soil_evaporation(
            switches,
            drivers.soil_demand * (1 - state.interception_before),
            state.dry_days,
            entering,
            content,
            soil.air_dry,
            soil.evaporation_decline,
        )
        flows = soil_water.two_zone_flows(
            switches,
            entering - evaporation - transpiration,
            state.water,
            state.water_lower,
            depth,
            below,
            soil.field_capacity,
            soil.saturation,
            soil.percolation,
        )
        rooted = soil_water.newly_rooted(switches, state.root_growth_before, below)
        gained = rooted * state.water_lower
        gained_available = rooted * (state.water_lower - 1000.0 * soil.wilting_point * below)
        automatic = (
            management.automatic_irrigation
            * drivers.rainless
            * soil_water.automatic_irrigation(
                switches,
                content,
                critical,
                soil.wilting_point,
                soil.field_capacity,
                depth,
                state.available,
            )
        )
        tabled, carried = soil_water.capped_irrigation(switches, day.irrigation_table + state.irrigation_carried)

        # Growth
        intercepted = emerged * drivers.par * canopy.interception(extinction, state.lai)
        potential = self.process("potential_growth", potential_growth)(
            efficiency, drivers.efficiency_factor, intercepted
        )
        # The smaller of two factors that rest at 1, written so that a rounded kink is exact at rest.
        growth = alive * potential * (1 - switches.max(1 - ratio, 1 - drivers.nutrient_factor))

        # Partitioning: drought shifts growth to the roots
        shifted = switches.min(roots * partitioning.root_multiplier(switches, ratio), _LARGEST_DROUGHT_ROOTS)
        roots = switches.branch(ratio - 1.0, shifted, roots)
        above = (1 - roots) * growth

        # Leaf area
        young = (1 - old) * (1 - large)
        exponential = drivers.juvenile_growth * state.lai * ratio
        lai_growth = emerged * (young * alive * exponential + (1 - young) * specific * leaves * above)

        # Death
        ageing = ageing * drivers.ageing
        shading = canopy.shading_death(switches, state.lai, crop.critical_lai, crop.shading_death_rate)
        drought = (1 - ratio) * crop.drought_death_rate
        death = living * switches.max(switches.max(ageing, shading), drought)
        root_death = living * dying * root_death * state.roots
        stem_death = living * dying * stem_death * state.stems

        # Roots
        moist = switches.step(ratio - _DRY_RATIO, _DRY_RATIO)
        deepest = switches.min(soil.maximum_root_depth, crop.maximum_root_depth)
        root_growth = living * switches.min(crop.root_growth * moist, deepest - state.root_depth)

        transpiration, evaporation = alive * transpiration, alive * evaporation
        drainage, irrigation = alive * flows.drainage, alive * irrigation
        runoff = alive * (soil.runoff_fraction * weather.rain + flows.runoff)
        infiltration, into_lower = alive * flows.infiltration, alive * flows.into_lower

        rates = Lintul5State(
            emergence_sum=demergence,
            emergence_sum_before=demergence - state.emergence_sum_before,
            temperature_sum=dtsum,
            temperature_sum_before=dtsum - tsum_before,
            stage=dstage,
            stage_before=dstage - stage_before,
            effective_before=drivers.effective - state.effective_before,
            running=1 - state.running,
            lai=lai_growth - death * state.lai,
            leaves=leaves * above - death * state.leaves,
            dead_leaves=death * state.leaves,
            stems=stems * above - stem_death,
            dead_stems=stem_death,
            storage_organs=storage * above,
            roots=roots * growth - root_death,
            dead_roots=root_death,
            total_growth=growth,
            total_par=drivers.par,
            total_intercepted_par=intercepted,
            root_depth=root_growth,
            rooted_depth=state.root_growth_before,
            root_growth_before=root_growth - state.root_growth_before,
            interception_before=soil_water.energy_interception(extinction, state.lai) - state.interception_before,
            water=infiltration - into_lower + alive * gained,
            water_lower=into_lower - drainage - alive * gained,
            available=infiltration - into_lower + alive * gained_available,
            available_lower=into_lower - drainage - alive * gained_available,
            dry_days=dry_days - state.dry_days,
            wet_days=wet_days - state.wet_days,
            irrigation_decided=automatic + tabled - state.irrigation_decided,
            irrigation_carried=carried - state.irrigation_carried,
            total_rain=alive * weather.rain,
            total_irrigation=irrigation,
            total_transpiration=transpiration,
            total_evaporation=evaporation,
            total_drainage=drainage,
            total_runoff=runoff,
            days_to_emergence=1 - emerged,
            days_to_anthesis=1 - anthesis,
            days_to_maturity=1 - maturity,
        )
        outputs = Lintul5Outputs(
            tmean=drivers.tmean,
            growth=growth,
            intercepted_par=intercepted,
            efficiency=efficiency,
            efficiency_factor=drivers.efficiency_factor,
            share_roots=roots,
            share_leaves=leaves,
            share_stems=stems,
            share_storage=storage,
            lai_growth=lai_growth,
            lai_death=death * state.lai,
            aboveground=state.leaves + state.dead_leaves + state.stems + state.dead_stems + state.storage_organs,
            transpiration_ratio=ratio,
            water_content=content,
            critical_content=critical,
            canopy_demand=drivers.canopy_demand,
            soil_demand=drivers.soil_demand,
            potential_transpiration=demand,
            transpiration=transpiration,
            evaporation=evaporation,
            drainage=drainage,
            runoff=runoff,
            irrigation=irrigation,
            emergence=emerged,
            anthesis=anthesis,
            maturity=maturity,
        )
        return rates, outputs

    def finished(self, state: Lintul5State, params: Lintul5Parameters, switches: Switches) -> Tensor:
        crop = params.crop
        mature = switches.finished(state.stage, crop.final_stage, phenology.ONE_WARM_DAY / crop.tsum_maturity)

        def dead() -> Tensor:
            intercepted = canopy.interception(switches.table(crop.extinction, state.stage), state.lai)
            above = state.leaves + state.dead_leaves + state.stems + state.dead_stems + state.storage_organs
            return exceeds(_DEAD_INTERCEPTION - intercepted) * exceeds(above - _DEAD_MATTER)

        return switches.abandoned(mature, dead)
