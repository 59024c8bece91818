"""LINTUL1: potential production of spring wheat.

Growth is intercepted light times a constant light-use efficiency; temperature drives development and juvenile
leaf area. Spitters & Schapendonk 1990, Plant and Soil 123: 193-203; FST listing of Wageningen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from torchcrop.functions.switches import Switches
from torchcrop.functions.tables import Table
from torchcrop.models.model import Day, Event, Model, Observable, Site, Weather
from torchcrop.processes import canopy, phenology
from torchcrop.quantities import Record, driver, output, parameter, record, state, table

__all__ = ["Lintul1", "Lintul1Crop"]


class Lintul1Crop(Record):
    """Crop parameters of LINTUL1."""

    initial_lai: Tensor = parameter(
        unit="m2 m-2", symbol="LAII", bounds=(0.001, 0.5), doc="leaf area index at emergence"
    )
    specific_leaf_area: Tensor = parameter(unit="m2 g-1", symbol="SLA", bounds=(0.005, 0.06), doc="specific leaf area")
    base_temperature: Tensor = parameter(
        unit="degC", symbol="TBASE", bounds=(-2, 15), doc="base temperature of development and leaf growth"
    )
    relative_lai_growth: Tensor = parameter(
        unit="(degC d)-1",
        symbol="RGRL",
        bounds=(0.002, 0.07),
        doc="relative growth rate of leaf area in the juvenile stage",
    )
    tsum_anthesis: Tensor = parameter(
        unit="degC d", symbol="TSUMAN", bounds=(200, 2500), doc="temperature sum from emergence to anthesis"
    )
    tsum_maturity: Tensor = parameter(
        unit="degC d", symbol="TSUMEND", bounds=(500, 5000), doc="temperature sum from emergence to maturity"
    )
    juvenile_tsum: Tensor = parameter(
        330.0,
        unit="degC d",
        symbol="TSUMJ",
        bounds=(50, 1000),
        doc="temperature sum at which the juvenile stage of leaf growth ends at the latest",
    )
    juvenile_lai: Tensor = parameter(
        0.75,
        unit="m2 m-2",
        symbol="LAIJ",
        bounds=(0.1, 2),
        doc="leaf area index at which the juvenile stage of leaf growth ends at the latest",
    )
    critical_lai: Tensor = parameter(
        unit="m2 m-2", symbol="LAICR", bounds=(1, 30), doc="leaf area index above which leaves die of shading"
    )
    shading_death_rate: Tensor = parameter(
        unit="d-1",
        symbol="RDRSHM",
        bounds=(0, 0.2),
        doc="largest relative death rate of leaves due to shading",
    )
    light_use_efficiency: Tensor = parameter(
        unit="g MJ-1", symbol="LUE", bounds=(0.5, 6), doc="dry matter formed per intercepted PAR"
    )
    extinction: Tensor = parameter(unit="-", symbol="K", bounds=(0.2, 1.2), doc="extinction coefficient for PAR")
    ageing_death_rate: Table = table(
        unit="d-1",
        x="mean temperature",
        x_unit="degC",
        symbol="RDRT",
        bounds=(0, 1),
        doc="relative death rate of leaves due to ageing",
    )
    fraction_roots: Table = table(
        unit="-",
        x="temperature sum",
        x_unit="degC d",
        symbol="FRTTB",
        bounds=(0, 1),
        doc="fraction of growth to roots",
    )
    fraction_leaves: Table = table(
        unit="-",
        x="temperature sum",
        x_unit="degC d",
        symbol="FLVTB",
        bounds=(0, 1),
        doc="fraction of growth to leaves",
    )
    fraction_stems: Table = table(
        unit="-",
        x="temperature sum",
        x_unit="degC d",
        symbol="FSTTB",
        bounds=(0, 1),
        doc="fraction of growth to stems",
    )
    fraction_storage: Table = table(
        unit="-",
        x="temperature sum",
        x_unit="degC d",
        symbol="FSOTB",
        bounds=(0, 1),
        doc="fraction of growth to storage organs",
    )


class Lintul1Management(Record):
    """Management of LINTUL1."""

    emergence_day: Tensor = parameter(
        unit="d",
        symbol="DOYEM",
        bounds=(1, 730),
        doc="day of emergence; 1 = 1 January of the year of the run's first day",
    )


class NoSoil(Record):
    """The model has no soil."""


class Lintul1Parameters(Record):
    """All parameters of a LINTUL1 run."""

    crop: Lintul1Crop = record(Lintul1Crop, "crop")
    soil: NoSoil = record(NoSoil, "soil: none")
    site: Site = record(Site, "site")
    management: Lintul1Management = record(Lintul1Management, "management")


class Lintul1State(Record):
    """States of LINTUL1; in the record of rates, their changes per day."""

    temperature_sum: Tensor = state(unit="degC d", symbol="TSUM", doc="temperature sum since emergence")
    temperature_sum_before: Tensor = state(unit="degC d", doc="yesterday's increment of the temperature sum")
    emerged: Tensor = state(unit="-", doc="share of the crop that has emerged")
    lai: Tensor = state(unit="m2 m-2", symbol="LAI", doc="leaf area index")
    leaves: Tensor = state(unit="g m-2", symbol="WLVG", doc="dry matter of green leaves")
    dead_leaves: Tensor = state(unit="g m-2", symbol="WLVD", doc="dry matter of dead leaves")
    stems: Tensor = state(unit="g m-2", symbol="WST", doc="dry matter of stems")
    storage_organs: Tensor = state(unit="g m-2", symbol="WSO", doc="dry matter of storage organs")
    roots: Tensor = state(unit="g m-2", symbol="WRT", doc="dry matter of roots")
    total_growth: Tensor = state(unit="g m-2", symbol="GTSUM", doc="dry matter formed so far")
    total_radiation: Tensor = state(unit="MJ m-2", symbol="TRDD", doc="global radiation so far")
    total_rain: Tensor = state(unit="mm", symbol="TRAIN", doc="rain so far")
    days_to_emergence: Tensor = state(unit="d", doc="days before emergence")
    days_to_anthesis: Tensor = state(unit="d", doc="days before anthesis")
    days_to_maturity: Tensor = state(unit="d", doc="days before maturity")


class Lintul1Outputs(Record):
    """Outputs of a day of LINTUL1."""

    tmean: Tensor = output(unit="degC", symbol="DAVTMP", doc="mean temperature")
    presence: Tensor = output(unit="-", symbol="EMERG", doc="share of the crop that is present")
    intercepted_par: Tensor = output(unit="MJ m-2 d-1", symbol="PARINT", doc="intercepted PAR")
    growth: Tensor = output(unit="g m-2 d-1", symbol="GTOTAL", doc="growth of the crop")
    lai_growth: Tensor = output(unit="d-1", symbol="GLAI", doc="growth of leaf area")
    lai_death: Tensor = output(unit="d-1", symbol="DLAI", doc="death of leaf area")
    share_roots: Tensor = output(unit="-", symbol="FRT", doc="fraction of growth to roots")
    share_leaves: Tensor = output(unit="-", symbol="FLV", doc="fraction of growth to leaves")
    share_stems: Tensor = output(unit="-", symbol="FST", doc="fraction of growth to stems")
    share_storage: Tensor = output(unit="-", symbol="FSO", doc="fraction of growth to storage organs")
    emergence: Tensor = output(unit="-", doc="share of the day after the date of emergence")
    anthesis: Tensor = output(unit="-", doc="share of the day after anthesis")
    maturity: Tensor = output(unit="-", doc="share of the day after maturity")


class Lintul1Drivers(Record):
    """What follows from weather and parameters alone."""

    tmean: Tensor = driver(unit="degC", symbol="DAVTMP", doc="mean temperature")
    effective: Tensor = driver(unit="degC", symbol="DTEFF", doc="mean temperature above the base temperature")
    juvenile_growth: Tensor = driver(unit="d-1", doc="relative growth of juvenile leaf area")
    ageing: Tensor = driver(unit="d-1", symbol="RDRT", doc="relative death rate of ageing leaves")
    par: Tensor = driver(unit="MJ m-2 d-1", symbol="PAR", doc="photosynthetically active radiation")


def daily_drivers(weather: Weather, crop: Lintul1Crop, switches: Switches) -> dict[str, Tensor]:
    """Drivers of LINTUL1, by name."""
    tmean = phenology.mean_temperature(weather.tmin, weather.tmax)
    effective = phenology.effective_temperature(switches, tmean, crop.base_temperature)
    return {
        "tmean": tmean,
        "effective": effective,
        "juvenile_growth": canopy.juvenile_growth(crop.relative_lai_growth, effective),
        "ageing": switches.table(crop.ageing_death_rate, tmean),
        "par": canopy.photosynthetic(weather.srad),
    }


LISTENERS = {
    "irrigation_table": ("Lintul5()",),
    "nitrogen": ("Lintul3()",),
    "phosphorus": ("Lintul5(level='npk')",),
    "potassium": ("Lintul5(level='npk')",),
}
"""Models that act on what LINTUL1 and LINTUL2 do not, by kind of event."""


def potential_growth(light_use_efficiency: Tensor, intercepted_par: Tensor) -> Tensor:
    """Growth without stress, ``LUE * PAR`` [g m-2 d-1]."""
    return light_use_efficiency * intercepted_par


@dataclass(frozen=True, eq=False, repr=False)
class SpringWheat(Model):
    """What LINTUL1 and LINTUL2 share: emergence by date, events, observables."""

    events: ClassVar[dict[str, Event]] = {
        "emergence": Event("days_to_emergence", "emergence", centred=False),
        "anthesis": Event("days_to_anthesis", "anthesis"),
        "maturity": Event("days_to_maturity", "maturity"),
    }
    observables: ClassVar[dict[str, Observable]] = {
        "canopy_cover": Observable(
            "-",
            "share of light intercepted",
            ("lai",),
            lambda v, p: canopy.interception(p.crop.extinction, v["lai"]),
        ),
        "aboveground": Observable(
            "g m-2",
            "dry matter above ground, dead leaves included",
            ("leaves", "dead_leaves", "stems", "storage_organs"),
            lambda v, p: v["leaves"] + v["dead_leaves"] + v["stems"] + v["storage_organs"],
        ),
    }
    replaceable: ClassVar[dict[str, str]] = {
        "potential_growth": "(light_use_efficiency [g MJ-1], intercepted_par [MJ m-2 d-1]) -> growth [g m-2 d-1]"
    }

    def management(self, emergence: float | None, sowing: float | None, start: float) -> dict[str, float]:
        if emergence is None:
            instead = "; a sowing date alone does not say when the crop emerges" if sowing is not None else ""
            raise ValueError(
                f"{self.name} starts from a date of emergence and the season has none{instead}. "
                "Give `emergence` in the management or the treatment"
            )
        return {"emergence_day": emergence}


@dataclass(frozen=True, eq=False, repr=False)
class Lintul1(SpringWheat):
    """LINTUL1, potential production.

    Parameters
    ----------
    processes : mapping of str to callable, optional
        ``potential_growth(light_use_efficiency [g MJ-1], intercepted_par [MJ m-2 d-1]) -> growth [g m-2 d-1]``

    Examples
    --------
    >>> run = tc.simulate(tc.Lintul1(), tc.load_crop("spring_wheat"), experiment)
    """

    name: ClassVar[str] = "LINTUL1"
    Parameters: ClassVar[type[Record]] = Lintul1Parameters
    State: ClassVar[type[Record]] = Lintul1State
    Outputs: ClassVar[type[Record]] = Lintul1Outputs
    Drivers: ClassVar[type[Record]] = Lintul1Drivers

    @property
    def listens(self) -> frozenset[str]:
        return frozenset()

    def listeners(self, kind: str) -> tuple[str, ...]:
        return ("Lintul2()",) if kind == "irrigation" else LISTENERS.get(kind, ())

    def drivers(
        self, weather: Weather, doy: Tensor, time: Tensor, params: Lintul1Parameters, switches: Switches
    ) -> Lintul1Drivers:
        return Lintul1Drivers(**daily_drivers(weather, params.crop, switches))

    def initial(self, params: Lintul1Parameters, switches: Switches) -> Lintul1State:
        crop = params.crop
        zero = crop.initial_lai * 0.0
        return Lintul1State(
            temperature_sum=zero,
            temperature_sum_before=zero,
            emerged=zero,
            lai=zero,
            leaves=crop.initial_lai / crop.specific_leaf_area,
            dead_leaves=zero,
            stems=zero,
            storage_organs=zero,
            roots=zero,
            total_growth=zero,
            total_radiation=zero,
            total_rain=zero,
            days_to_emergence=zero,
            days_to_anthesis=zero,
            days_to_maturity=zero,
        )

    def rates(
        self, state: Lintul1State, day: Day, params: Lintul1Parameters, switches: Switches
    ) -> tuple[Lintul1State, Lintul1Outputs]:
        crop, weather, drivers = params.crop, day.weather, day.drivers
        warm = phenology.ONE_WARM_DAY
        tsum, tsum_before = state.temperature_sum, state.temperature_sum_before

        # Development
        due = phenology.one_day(switches, day.time, params.management.emergence_day)
        present, pulse = phenology.emergence(due, state.emerged)
        dtsum = drivers.effective * present
        anthesis = switches.crossed(tsum, crop.tsum_anthesis, warm, dtsum, tsum_before)
        maturity = switches.crossed(tsum, crop.tsum_maturity, warm, dtsum, tsum_before, strict=True)
        alive = switches.alive(maturity)

        # Growth
        par = drivers.par * canopy.interception(crop.extinction, state.lai)
        growth = alive * self.process("potential_growth", potential_growth)(crop.light_use_efficiency, par)

        # Partitioning
        roots, leaves, stems, storage = switches.table_means(
            (crop.fraction_roots, crop.fraction_leaves, crop.fraction_stems, crop.fraction_storage),
            tsum,
            dtsum,
            tsum_before,
            warm,
        )

        # Leaf area
        old, large = switches.crossed_each(
            (tsum, phenology.lai_clock(state.lai, crop.relative_lai_growth)),
            (crop.juvenile_tsum, phenology.lai_clock(crop.juvenile_lai, crop.relative_lai_growth)),
            warm,
            (dtsum, drivers.effective),
            tsum_before,
        )
        young = (1 - old) * (1 - large)
        exponential = drivers.juvenile_growth * state.lai
        by_mass = crop.specific_leaf_area * leaves * growth
        emerging = crop.initial_lai * due * switches.outstanding(state.emerged, state.lai)
        lai_growth = emerging + present * (young * alive * exponential + (1 - young) * by_mass)

        # Leaf death
        shading = switches.limit(
            0.0,
            crop.shading_death_rate,
            crop.shading_death_rate * (state.lai - crop.critical_lai) / crop.critical_lai,
        )
        death = alive * canopy.leaf_death(switches, anthesis, drivers.ageing, shading)

        rates = Lintul1State(
            temperature_sum=dtsum,
            temperature_sum_before=dtsum - tsum_before,
            emerged=pulse,
            lai=lai_growth - death * state.lai,
            leaves=leaves * growth - death * state.leaves,
            dead_leaves=death * state.leaves,
            stems=stems * growth,
            storage_organs=storage * growth,
            roots=roots * growth,
            total_growth=growth,
            total_radiation=weather.srad,
            total_rain=weather.rain,
            days_to_emergence=1 - due,
            days_to_anthesis=1 - anthesis,
            days_to_maturity=1 - maturity,
        )
        outputs = Lintul1Outputs(
            tmean=drivers.tmean,
            presence=present,
            intercepted_par=par,
            growth=growth,
            lai_growth=lai_growth,
            lai_death=death * state.lai,
            share_roots=roots,
            share_leaves=leaves,
            share_stems=stems,
            share_storage=storage,
            emergence=due,
            anthesis=anthesis,
            maturity=maturity,
        )
        return rates, outputs

    def finished(self, state: Lintul1State, params: Lintul1Parameters, switches: Switches) -> Tensor:
        return switches.finished(state.temperature_sum, params.crop.tsum_maturity, phenology.ONE_WARM_DAY, strict=True)
