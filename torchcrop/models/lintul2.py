"""LINTUL2: LINTUL1 with a water balance of one rooted layer.

Growth is reduced by the ratio of actual to potential transpiration, and drought shifts growth to the roots.
Spitters & Schapendonk 1990, Plant and Soil 123: 193-203; FST listing of Wageningen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from torchcrop.functions.switches import Switches
from torchcrop.models.lintul1 import (
    LISTENERS,
    Lintul1Crop,
    Lintul1Drivers,
    Lintul1Management,
    Lintul1Outputs,
    Lintul1State,
    SpringWheat,
    daily_drivers,
    potential_growth,
)
from torchcrop.models.management import IrrigationDrivers, TriggeredIrrigation, irrigation_drivers, triggered
from torchcrop.models.model import Day, Site, Weather
from torchcrop.processes import canopy, partitioning, penman, phenology, soil_water
from torchcrop.quantities import Record, driver, output, parameter, record, state

__all__ = ["Lintul2", "Lintul2Crop", "Lintul2Soil"]


class Lintul2Crop(Lintul1Crop):
    """Crop parameters of LINTUL2: those of LINTUL1, and its water relations."""

    transpiration_constant: Tensor = parameter(
        unit="mm d-1",
        symbol="TRANCO",
        bounds=(1, 15),
        doc="transpiration rate at which half of the available water can be extracted without stress",
    )
    initial_root_depth: Tensor = parameter(
        unit="m", symbol="ROOTDI", bounds=(0.02, 0.5), doc="rooting depth at the start"
    )
    maximum_root_depth: Tensor = parameter(
        unit="m", symbol="ROOTDM", bounds=(0.2, 3), doc="rooting depth at which root growth stops"
    )
    root_growth: Tensor = parameter(unit="m d-1", symbol="RRDMAX", bounds=(0.002, 0.06), doc="growth of rooting depth")


class Lintul2Soil(Record):
    """Soil of LINTUL2. Water contents must increase from air-dry to saturation."""

    initial: Tensor = parameter(unit="m3 m-3", symbol="WCI", bounds=(0.01, 0.9), doc="water content at the start")
    air_dry: Tensor = parameter(unit="m3 m-3", symbol="WCAD", bounds=(0, 0.5), doc="water content, air-dry")
    wilting_point: Tensor = parameter(
        unit="m3 m-3", symbol="WCWP", bounds=(0.01, 0.6), doc="water content at wilting point"
    )
    field_capacity: Tensor = parameter(
        unit="m3 m-3", symbol="WCFC", bounds=(0.03, 0.8), doc="water content at field capacity"
    )
    wet: Tensor = parameter(
        unit="m3 m-3", symbol="WCWET", bounds=(0.05, 0.9), doc="water content above which roots lack oxygen"
    )
    saturation: Tensor = parameter(unit="m3 m-3", symbol="WCST", bounds=(0.1, 0.95), doc="water content at saturation")
    maximum_drainage: Tensor = parameter(unit="mm d-1", symbol="DRATE", bounds=(0, 200), doc="largest drainage rate")


class Lintul2Management(Lintul1Management, TriggeredIrrigation):
    """Management of LINTUL2."""

    irrigation_factor: Tensor = parameter(
        0.0,
        unit="-",
        symbol="IRRIGF",
        bounds=(0, 1),
        doc="share of the deficit to field capacity that irrigation refills every day",
    )


class Lintul2Parameters(Record):
    """All parameters of a LINTUL2 run."""

    crop: Lintul2Crop = record(Lintul2Crop, "crop")
    soil: Lintul2Soil = record(Lintul2Soil, "soil")
    site: Site = record(Site, "site")
    management: Lintul2Management = record(Lintul2Management, "management")


class Lintul2State(Lintul1State):
    """States of LINTUL2; in the record of rates, their changes per day."""

    root_depth: Tensor = state(unit="m", symbol="ROOTD", doc="rooting depth")
    water: Tensor = state(unit="mm", symbol="WA", doc="water in the rooted soil")
    total_transpiration: Tensor = state(unit="mm", symbol="TTRAN", doc="transpiration so far")
    total_evaporation: Tensor = state(unit="mm", symbol="TEVAP", doc="soil evaporation so far")
    total_drainage: Tensor = state(unit="mm", symbol="TDRAIN", doc="drainage so far")
    total_runoff: Tensor = state(unit="mm", symbol="TRUNOF", doc="runoff so far")
    total_irrigation: Tensor = state(unit="mm", symbol="TIRRIG", doc="irrigation so far")
    total_explored: Tensor = state(unit="mm", symbol="TEXPLO", doc="water of newly rooted soil so far")
    total_interception: Tensor = state(unit="mm", symbol="TINTC", doc="rain intercepted by the canopy so far")


class Lintul2Outputs(Lintul1Outputs):
    """Outputs of a day of LINTUL2."""

    water_content: Tensor = output(unit="m3 m-3", symbol="WC", held=True, doc="water content of the rooted soil")
    potential_evaporation: Tensor = output(unit="mm d-1", symbol="PEVAP", doc="potential soil evaporation")
    potential_transpiration: Tensor = output(unit="mm d-1", symbol="PTRAN", doc="potential transpiration")
    evaporation: Tensor = output(unit="mm d-1", symbol="EVAP", doc="soil evaporation")
    transpiration: Tensor = output(unit="mm d-1", symbol="TRAN", doc="transpiration")
    transpiration_ratio: Tensor = output(unit="-", symbol="TRANRF", doc="actual over potential transpiration")
    drought_factor: Tensor = output(unit="-", doc="factor of transpiration for dry soil")
    oxygen_factor: Tensor = output(unit="-", doc="factor of transpiration for lack of oxygen")
    interception: Tensor = output(unit="mm d-1", symbol="RNINTC", doc="rain intercepted by the canopy")
    drainage: Tensor = output(unit="mm d-1", symbol="DRAIN", doc="drainage")
    runoff: Tensor = output(unit="mm d-1", symbol="RUNOFF", doc="runoff")
    irrigation: Tensor = output(unit="mm d-1", symbol="IRRIG", doc="irrigation, automatic and dated")
    explored: Tensor = output(unit="mm d-1", symbol="EXPLOR", doc="water of newly rooted soil")


class Lintul2Drivers(Lintul1Drivers, IrrigationDrivers):
    """What follows from weather and parameters alone."""

    soil_demand: Tensor = driver(unit="mm d-1", doc="evaporation of a bare wet soil")
    canopy_demand: Tensor = driver(unit="mm d-1", doc="transpiration of a closed canopy")


def crop_finds(final: Any, crop: Any) -> Tensor:
    """Water in a crop's first root depth, at the content that the crop before left [mm]."""
    return crop.initial_root_depth.to(final.water) * final.water / final.root_depth


@dataclass(frozen=True, eq=False, repr=False)
class Lintul2(SpringWheat):
    """LINTUL2, water-limited production.

    Parameters
    ----------
    processes : mapping of str to callable, optional
        ``potential_growth(light_use_efficiency [g MJ-1], intercepted_par [MJ m-2 d-1]) -> growth [g m-2 d-1]``
    relief : mapping of str to float or Tensor, optional
        Share of a stress that is taken away: ``drought``, ``oxygen``.

    Notes
    -----
    Two properties of the original stand under Hard: there is no growth on a day whose rain interception covers the
    transpiration demand (TRANRF is 0 there), and on a day with more condensation than demand the limit on
    evaporation turns negative (51.5 mm in one day of 1971). Smooth keeps the first, as a gate, and not the second.
    """

    name: ClassVar[str] = "LINTUL2"
    Parameters: ClassVar[type[Record]] = Lintul2Parameters
    State: ClassVar[type[Record]] = Lintul2State
    Outputs: ClassVar[type[Record]] = Lintul2Outputs
    stresses: ClassVar[dict[str, str]] = {"drought": "drought_factor", "oxygen": "oxygen_factor"}
    Drivers: ClassVar[type[Record]] = Lintul2Drivers

    @property
    def listens(self) -> frozenset[str]:
        return frozenset({"irrigation"})

    @property
    def production_level(self) -> str:
        return "potential" if self.removed >= set(self.stresses) else "water"

    def less_limited(self) -> Lintul2 | None:
        return None if self.production_level == "potential" else replace(self, relief=dict.fromkeys(self.stresses, 1.0))

    def listeners(self, kind: str) -> tuple[str, ...]:
        return LISTENERS.get(kind, ())

    def carry_over(self, final: Any, params: Lintul2Parameters, crop: Record) -> tuple[dict[str, Tensor], Record]:
        """Soil that a crop leaves: the water content of the soil that it rooted. The model has no soil below."""
        return {"water": crop_finds(final, crop)}, params.soil

    def drivers(
        self, weather: Weather, doy: Tensor, time: Tensor, params: Lintul2Parameters, switches: Switches
    ) -> Lintul2Drivers:
        ground, management = params.soil, params.management
        common = daily_drivers(weather, params.crop, switches)
        soil, closed = penman.demand_lintul2(switches, common["tmean"], weather.srad * 1e6, weather.vap, weather.wind)
        return Lintul2Drivers(
            **common,
            soil_demand=soil,
            canopy_demand=closed,
            **irrigation_drivers(
                switches,
                management,
                torch.zeros_like(weather.rain),
                weather.rain,
                ground.field_capacity,
                ground.wilting_point,
                ground.field_capacity,
            ),
        )

    def initial(self, params: Lintul2Parameters, switches: Switches) -> Lintul2State:
        crop, soil = params.crop, params.soil
        zero = crop.initial_lai * 0.0
        empty = dict.fromkeys(Lintul2State.quantities(), zero)
        return Lintul2State(
            **empty
            | {
                "leaves": crop.initial_lai / crop.specific_leaf_area,
                "root_depth": crop.initial_root_depth,
                "water": 1000.0 * crop.initial_root_depth * soil.initial,
            }
        )

    def rates(
        self, state: Lintul2State, day: Day, params: Lintul2Parameters, switches: Switches
    ) -> tuple[Lintul2State, Lintul2Outputs]:
        crop, soil, weather, drivers = params.crop, params.soil, day.weather, day.drivers
        warm = phenology.ONE_WARM_DAY
        tsum, tsum_before = state.temperature_sum, state.temperature_sum_before

        # Soil water and emergence, which waits for it
        content = state.water / (1000.0 * state.root_depth)
        available = soil.field_capacity - soil.wilting_point
        due = phenology.one_day(switches, day.time, params.management.emergence_day)
        due = due * switches.step(content - soil.wilting_point, available, strict=True)
        present, pulse = phenology.emergence(due, state.emerged)

        # Development
        dtsum = drivers.effective * present
        anthesis = switches.crossed(tsum, crop.tsum_anthesis, warm, dtsum, tsum_before)
        maturity = switches.crossed(tsum, crop.tsum_maturity, warm, dtsum, tsum_before, strict=True)
        alive = switches.alive(maturity)

        # Evapotranspiration
        intercepted_rain = switches.min(weather.rain, 0.25 * state.lai)
        cover = canopy.interception(soil_water.ENERGY_EXTINCTION, state.lai)
        evaporation0 = (1 - cover) * drivers.soil_demand
        per_cover = soil_water.demand_per_cover(drivers.canopy_demand, intercepted_rain, cover)
        transpiration0 = cover * switches.positive(per_cover)
        evaporation1 = evaporation0 * switches.limit(
            0.0, 1.0, (content - soil.air_dry) / (soil.field_capacity - soil.air_dry)
        )
        limits = soil_water.uptake_limits(
            switches,
            content,
            transpiration0,
            crop.transpiration_constant,
            soil.wilting_point,
            soil.field_capacity,
            soil.wet,
            soil.saturation,
        )
        dry, oxygen = self.relieved("drought", limits.dry), self.relieved("oxygen", limits.oxygen)
        uptake = dry * oxygen
        transpiration1 = transpiration0 * uptake
        supply = state.water - 1000.0 * soil.air_dry * state.root_depth
        met = switches.supplied(supply, evaporation1 + transpiration1)
        found = self.relieved("drought", met)
        evaporation, transpiration = evaporation1 * met, transpiration1 * found
        transpiring = soil_water.transpiring(switches, per_cover, cover)
        ratio = uptake * found * transpiring

        # Growth
        par = drivers.par * canopy.interception(crop.extinction, state.lai)
        potential = self.process("potential_growth", potential_growth)(crop.light_use_efficiency, par)
        growth = alive * potential * ratio

        # Partitioning
        roots, leaves, stems, storage = switches.table_means(
            (crop.fraction_roots, crop.fraction_leaves, crop.fraction_stems, crop.fraction_storage),
            tsum,
            dtsum,
            tsum_before,
            warm,
        )
        roots, factor = partitioning.drought_shift(switches, roots, ratio)
        leaves, stems, storage = factor * leaves, factor * stems, factor * storage

        # Leaf area
        old, large = switches.crossed_each(
            (tsum, phenology.lai_clock(state.lai, crop.relative_lai_growth)),
            (crop.juvenile_tsum, phenology.lai_clock(crop.juvenile_lai, crop.relative_lai_growth)),
            warm,
            (dtsum, drivers.effective),
            tsum_before,
        )
        young = (1 - old) * (1 - large)
        exponential = drivers.juvenile_growth * state.lai * ratio
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

        # Roots; newly rooted soil is at field capacity
        deep = switches.crossed(
            state.root_depth, crop.maximum_root_depth, crop.root_growth, crop.root_growth, crop.root_growth
        )
        moist = switches.step(content - soil.wilting_point, available)
        root_growth = alive * crop.root_growth * moist * (1 - deep) * (1 - anthesis) * present
        explored = 1000.0 * root_growth * soil.field_capacity

        # Water balance
        deficit = 1000.0 * soil.field_capacity * state.root_depth - state.water
        given = day.irrigation + triggered(switches, drivers, content, available, deficit)
        surplus = weather.rain + given - intercepted_rain - evaporation - transpiration
        balance = soil_water.overflow(
            switches,
            surplus,
            state.water - 1000.0 * soil.field_capacity * state.root_depth,
            state.water - 1000.0 * soil.saturation * state.root_depth,
            soil.maximum_drainage,
        )
        refill = params.management.irrigation_factor * switches.positive(
            deficit - (surplus - balance.drainage - balance.runoff)
        )
        irrigation = alive * (refill + given)
        drainage, runoff = alive * balance.drainage, alive * balance.runoff
        evaporation, transpiration = alive * evaporation, alive * transpiration
        intercepted_rain = alive * intercepted_rain
        rain = alive * weather.rain

        rates = Lintul2State(
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
            total_rain=rain,
            days_to_emergence=1 - present,
            days_to_anthesis=1 - anthesis,
            days_to_maturity=1 - maturity,
            root_depth=root_growth,
            water=rain + explored + irrigation - intercepted_rain - runoff - transpiration - evaporation - drainage,
            total_transpiration=transpiration,
            total_evaporation=evaporation,
            total_drainage=drainage,
            total_runoff=runoff,
            total_irrigation=irrigation,
            total_explored=explored,
            total_interception=intercepted_rain,
        )
        outputs = Lintul2Outputs(
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
            emergence=present,
            anthesis=anthesis,
            maturity=maturity,
            water_content=content,
            potential_evaporation=evaporation0,
            potential_transpiration=transpiration0,
            evaporation=evaporation,
            transpiration=transpiration,
            transpiration_ratio=ratio,
            drought_factor=dry,
            oxygen_factor=oxygen,
            interception=intercepted_rain,
            drainage=drainage,
            runoff=runoff,
            irrigation=irrigation,
            explored=explored,
        )
        return rates, outputs

    def finished(self, state: Lintul2State, params: Lintul2Parameters, switches: Switches) -> Tensor:
        return switches.finished(state.temperature_sum, params.crop.tsum_maturity, phenology.ONE_WARM_DAY, strict=True)
