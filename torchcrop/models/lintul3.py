"""LINTUL3: water- and nitrogen-limited production with one rooted layer of soil.

Shibu, Leffelaar, van Keulen & Aggarwal 2010, European Journal of Agronomy 32: 255-271; FST listing of Wageningen for
spring wheat. The variant ``fst`` is that listing; ``pcse`` is the LINTUL3 of PCSE 6, which differs from it in
phenology, evaporative demand, the limit of evaporation, the branch between the stresses and mineralisation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from torchcrop.functions.smoothing import exceeds
from torchcrop.functions.switches import Switches
from torchcrop.models.lintul1 import LISTENERS, SpringWheat, potential_growth
from torchcrop.models.lintul2 import crop_finds
from torchcrop.models.lintul3_records import (
    Lintul3Crop,
    Lintul3Drivers,
    Lintul3Outputs,
    Lintul3Parameters,
    Lintul3Soil,
    Lintul3State,
)
from torchcrop.models.management import irrigation_drivers, triggered
from torchcrop.models.model import Day, Observable, Weather
from torchcrop.processes import (
    applications,
    astro,
    canopy,
    crop_nutrients,
    partitioning,
    penman,
    phenology,
    soil_nutrients,
    soil_water,
)
from torchcrop.processes.crop_nutrients import Organs
from torchcrop.quantities import Record, nearest

__all__ = ["Lintul3", "Lintul3Crop", "Lintul3Soil"]


VARIANTS = ("fst", "pcse")

# Scale of the gates at wilting point, as a share of the available water: a day's change there. They stop the crop's
# clock too, so that wide ones would slow development in a dry soil.
_DRY_SHARE = 0.2
# Scale of the branch between drought and nitrogen stress [-].
_BRANCH_SCALE = 0.1


class _Development(NamedTuple):
    """Development of a day."""

    dtsum: Tensor
    anthesis: Tensor
    maturity: Tensor
    vegetative_sum: Tensor
    """Memory of the stage at the end of the day [degC d]."""
    stage: Tensor
    rate: Tensor
    """Stage per temperature sum [(degC d)-1]."""


class _Evapotranspiration(NamedTuple):
    """Flows of a day [mm d-1] and what limits them [-]."""

    potential_evaporation: Tensor
    potential_transpiration: Tensor
    evaporation: Tensor
    transpiration: Tensor
    ratio: Tensor
    dry: Tensor
    oxygen: Tensor
    dry_days: Tensor


class _Stress(NamedTuple):
    """What drought and shortage of nitrogen do to growth and partitioning [-]."""

    growth: Tensor
    drier: Tensor
    """1 where drought decides the partitioning, 0 where nitrogen does."""


@dataclass(frozen=True, eq=False, repr=False)
class Lintul3(SpringWheat):
    """LINTUL3, water- and nitrogen-limited production.

    Parameters
    ----------
    variant : {"fst", "pcse"}
        The FST listing, which is authoritative, or PCSE's implementation.
    processes : mapping of str to callable, optional
        ``potential_growth(light_use_efficiency [g MJ-1], intercepted_par [MJ m-2 d-1]) -> growth [g m-2 d-1]``;
        ``reference_evaporation(weather, doy, time, site) -> (soil, canopy)``: evaporation of a bare wet soil and
        transpiration of a closed canopy [mm d-1], in place of Penman's (PCSE takes them from its weather provider).
    relief : mapping of str to float or Tensor, optional
        Share of a stress that is taken away: ``drought``, ``oxygen``, ``nitrogen``.

    Notes
    -----
    Properties of the listing that stand under Hard: nothing grows on a day without transpiration demand (TRANRF is 0
    there); while the soil is below wilting point leaves go on dying, but the dead matter is not taken from the green,
    so that matter is gained. Smooth keeps the first, as a gate, and closes the second.

    Examples
    --------
    >>> run = tc.simulate(tc.Lintul3(), tc.load_crop("spring_wheat_lintul3"), experiment)
    """

    variant: str = "fst"

    name: ClassVar[str] = "LINTUL3"
    Parameters: ClassVar[type[Record]] = Lintul3Parameters
    State: ClassVar[type[Record]] = Lintul3State
    Outputs: ClassVar[type[Record]] = Lintul3Outputs
    Drivers: ClassVar[type[Record]] = Lintul3Drivers
    stresses: ClassVar[dict[str, str]] = {
        "drought": "drought_factor",
        "oxygen": "oxygen_factor",
        "nitrogen": "nitrogen_index",
    }
    observables: ClassVar[dict[str, Observable]] = {"canopy_cover": SpringWheat.observables["canopy_cover"]}
    replaceable: ClassVar[dict[str, str]] = {
        **SpringWheat.replaceable,
        "reference_evaporation": "(weather, doy, time, site) -> (bare wet soil, closed canopy) [mm d-1]",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variant not in VARIANTS:
            raise ValueError(
                f"LINTUL3 has no variant {self.variant!r}{nearest(self.variant, VARIANTS)}; it has "
                f"{', '.join(VARIANTS)}"
            )

    @property
    def of_pcse(self) -> bool:
        """Whether the variant is PCSE's."""
        return self.variant == "pcse"

    @property
    def listens(self) -> frozenset[str]:
        return frozenset({"irrigation", "nitrogen"})

    @property
    def listens_by_stage(self) -> frozenset[str]:
        return self.listens

    @property
    def production_level(self) -> str:
        if self.removed >= set(self.stresses):
            return "potential"
        return "water" if "nitrogen" in self.removed else "nitrogen"

    def less_limited(self) -> Lintul3 | None:
        if self.production_level == "potential":
            return None
        away = ("nitrogen",) if self.production_level == "nitrogen" else tuple(self.stresses)
        return replace(self, relief={**self.relief, **dict.fromkeys(away, 1.0)})

    def listeners(self, kind: str) -> tuple[str, ...]:
        return LISTENERS.get(kind, ())

    def carry_over(self, final: Any, params: Lintul3Parameters, crop: Record) -> tuple[dict[str, Tensor], Record]:
        """Soil that a crop leaves: the water content of the soil that it rooted, and its mineral nitrogen."""
        carried = ("mineral_nitrogen", "dry_days")
        return {"water": crop_finds(final, crop)} | {name: getattr(final, name) for name in carried}, params.soil

    # --- what does not depend on states -----------------------------------------------------------------

    def drivers(
        self, weather: Weather, doy: Tensor, time: Tensor, params: Lintul3Parameters, switches: Switches
    ) -> Lintul3Drivers:
        crop, soil, management = params.crop, params.soil, params.management
        tmean = phenology.mean_temperature(weather.tmin, weather.tmax)
        effective = phenology.effective_temperature(switches, tmean, crop.base_temperature)
        daylength, photoperiodic, extraterrestrial = astro.sun(switches, doy, params.site.latitude)
        if self.of_pcse:
            development = switches.table(crop.development_temperature, tmean)
            photoperiod = switches.table(crop.photoperiod_factor, photoperiodic)
        else:
            development = effective
            photoperiod = switches.table(crop.photoperiod_factor, daylength)
        soil_demand, canopy_demand = self._demand(weather, doy, time, params, extraterrestrial, switches)
        return Lintul3Drivers(
            tmean=tmean,
            due=phenology.one_day(switches, time, management.emergence_day),
            development=development,
            photoperiod=photoperiod,
            effective=effective,
            juvenile_growth=canopy.juvenile_growth(crop.relative_lai_growth, effective),
            ageing=switches.table(crop.ageing_death_rate, tmean),
            par=canopy.photosynthetic(weather.srad),
            soil_demand=soil_demand,
            canopy_demand=canopy_demand,
            recovery=switches.table(management.nitrogen_recovery, time),
            **irrigation_drivers(
                switches,
                management,
                torch.zeros_like(weather.rain),
                weather.rain,
                soil.field_capacity,
                soil.wilting_point,
                soil.field_capacity,
            ),
        )

    def _demand(
        self,
        weather: Weather,
        doy: Tensor,
        time: Tensor,
        params: Lintul3Parameters,
        extraterrestrial: Tensor,
        switches: Switches,
    ) -> tuple[Tensor, Tensor]:
        """Evaporation of a bare wet soil and transpiration of a closed canopy [mm d-1]."""
        if "reference_evaporation" in self.processes:
            soil, closed = self.processes["reference_evaporation"](weather, doy, time, params.site)
            return soil, closed
        if self.of_pcse:
            return penman.wofost_evaporation(
                switches,
                weather.tmin,
                weather.tmax,
                weather.srad,
                weather.vap,
                weather.wind,
                params.site.elevation,
                extraterrestrial,
            )
        tmean = phenology.mean_temperature(weather.tmin, weather.tmax)
        return penman.demand_lintul2(switches, tmean, weather.srad * 1e6, weather.vap, weather.wind)

    def initial(self, params: Lintul3Parameters, switches: Switches) -> Lintul3State:
        crop, soil = params.crop, params.soil
        stage = crop.initial_tsum / crop.tsum_anthesis
        zero = crop.initial_leaves * 0.0
        empty = dict.fromkeys(Lintul3State.quantities(), zero)
        return Lintul3State(
            **empty
            | {
                "temperature_sum": crop.initial_tsum,
                "vegetative_sum": crop.initial_tsum,
                # Leaf area stands from the start, and is 0 afterwards only if WLVGI is: the listing's rule that it
                # starts anew from LAII then has no place here.
                "lai": crop.initial_leaves
                * crop.specific_leaf_area
                * switches.table(crop.specific_leaf_area_factor, stage),
                "leaves": crop.initial_leaves,
                "stems": crop.initial_stems,
                "roots": crop.initial_roots,
                "storage_organs": crop.initial_storage,
                "leaf_nitrogen": crop.initial_nitrogen_leaves * crop.initial_leaves,
                "stem_nitrogen": crop.initial_nitrogen_stems * crop.initial_stems,
                "root_nitrogen": crop.initial_nitrogen_roots * crop.initial_roots,
                "root_depth": crop.initial_root_depth,
                "water": 1000.0 * crop.initial_root_depth * soil.initial,
            }
        )

    # --- what the variants do differently ---------------------------------------------------------------

    def _active(self, due: Tensor, moist: Tensor) -> Tensor:
        """Share of the day on which the crop grows: from the date of emergence on; fst: in moist soil only.

        The listing asks for leaf area too, which is there from the start.
        """
        return due if self.of_pcse else due * moist

    def _dying(self, active: Tensor, switches: Switches) -> Tensor:
        """Share of the day on which matter dies; fst: every day, though it is taken from the green on active days."""
        return active if self.of_pcse else switches.alive(1 - active)

    def _development(
        self,
        state: Lintul3State,
        drivers: Lintul3Drivers,
        crop: Lintul3Crop,
        active: Tensor,
        switches: Switches,
    ) -> _Development:
        """Temperature sum and stage of development.

        fst: ``DVS = v1 + v2``, ``v1 = TSUM/TSUMAN`` until anthesis, then frozen at its last value; ``v2`` counts from
        TSUMAN. pcse: v1 is set to 1 on the first day after anthesis, v2 counts from that day's TSUM and
        is set to 1 at maturity.
        """
        warm, tsum, before = phenology.ONE_WARM_DAY, state.temperature_sum, state.temperature_sum_before
        dtsum = active * drivers.development
        flowered = switches.crossed(tsum, crop.tsum_anthesis, warm, dtsum, before)
        dtsum = dtsum * (flowered + (1 - flowered) * drivers.photoperiod)
        # The listing tests TSUM > TSUMAN, PCSE DVS >= 1.
        anthesis = switches.crossed(tsum, crop.tsum_anthesis, warm, dtsum, before, strict=not self.of_pcse)
        frozen = state.vegetative_sum
        if self.of_pcse:
            # Both parts rest at 1 and reach it exactly: written so that a rounded kink has no place there.
            since = tsum - frozen
            vegetative = 1 - switches.positive(1 - frozen / crop.tsum_anthesis)
            stage = vegetative + 1 - switches.positive(1 - since / crop.tsum_maturity)
            maturity = switches.crossed(since, crop.tsum_maturity, warm, dtsum, before)
            frozen = frozen + (1 - anthesis) * dtsum
        else:
            frozen = (1 - anthesis) * tsum + anthesis * frozen
            since = switches.positive(tsum - crop.tsum_anthesis)
            stage = frozen / crop.tsum_anthesis + since / crop.tsum_maturity
            # The listing's other rule, DVS > 2.01, is met later, as its v1 is at most 1.
            maturity = switches.crossed(tsum, crop.tsum_anthesis + crop.tsum_maturity, warm, dtsum, before, strict=True)
        rate = phenology.stage_rate(anthesis, crop.tsum_anthesis, crop.tsum_maturity)
        return _Development(dtsum, anthesis, maturity, frozen, stage, rate)

    def _evapotranspiration(
        self,
        state: Lintul3State,
        day: Day,
        params: Lintul3Parameters,
        content: Tensor,
        switches: Switches,
    ) -> _Evapotranspiration:
        """Evaporation and transpiration.

        fst: what the soil holds above air-dry limits both; without demand TRANRF is 0. pcse: it limits evaporation
        alone; without demand TRANRF is 1; there is no canopy before emergence.
        """
        crop, soil, drivers = params.crop, params.soil, day.drivers
        cover = canopy.interception(soil_water.ENERGY_EXTINCTION, state.lai)
        if self.of_pcse:
            cover = drivers.due * cover
        potential_evaporation = switches.positive((1 - cover) * drivers.soil_demand)
        potential_transpiration = switches.positive(cover * drivers.canopy_demand)
        evaporation, dry_days = soil_water.evaporation_since_rain(
            switches, potential_evaporation, state.dry_days, day.weather.rain
        )
        limits = soil_water.uptake_limits(
            switches,
            content,
            potential_transpiration,
            crop.transpiration_constant,
            soil.wilting_point,
            soil.field_capacity,
            soil.wet,
            soil.saturation,
        )
        flooded = params.management.flooded
        dry = self.relieved("drought", limits.dry)
        oxygen = self.relieved("oxygen", flooded + (1 - flooded) * limits.oxygen)
        uptake = dry * oxygen
        transpiration = potential_transpiration * uptake
        supply = state.water - 1000.0 * soil.air_dry * state.root_depth
        if self.of_pcse:
            evaporation = evaporation * switches.supplied(supply, evaporation)
            ratio = switches.branch(-drivers.canopy_demand, uptake, 1.0)
        else:
            met = switches.supplied(supply, evaporation + transpiration)
            found = self.relieved("drought", met)
            evaporation, transpiration = met * evaporation, found * transpiration
            ratio = uptake * found * soil_water.transpiring(switches, drivers.canopy_demand, cover)
        return _Evapotranspiration(
            potential_evaporation, potential_transpiration, evaporation, transpiration, ratio, dry, oxygen, dry_days
        )

    def _stress(self, ratio: Tensor, index: Tensor, effect: Tensor, switches: Switches) -> _Stress:
        """Growth by the scarcer of water and nitrogen; fst compares TRANRF with NNI, pcse with its effect on growth."""
        starved = torch.exp(-effect * (1 - index))
        if self.of_pcse:
            # The smaller of two factors that rest at 1, written so that a rounded kink is exact at rest.
            growth = 1 - switches.max(1 - ratio, 1 - starved)
            return _Stress(growth, switches.step(starved - ratio, _BRANCH_SCALE, strict=True))
        growth = switches.select(index - ratio, starved, ratio, _BRANCH_SCALE)
        return _Stress(growth, switches.step(index - ratio, _BRANCH_SCALE, strict=True))

    # --- a day ------------------------------------------------------------------------------------------

    def rates(
        self, state: Lintul3State, day: Day, params: Lintul3Parameters, switches: Switches
    ) -> tuple[Lintul3State, Lintul3Outputs]:
        crop, soil, management = params.crop, params.soil, params.management
        weather, drivers = day.weather, day.drivers
        warm = phenology.ONE_WARM_DAY
        tsum, tsum_before = state.temperature_sum, state.temperature_sum_before

        # Emergence, and a soil moist enough to grow in
        content = state.water / (1000.0 * state.root_depth)
        available = soil.field_capacity - soil.wilting_point
        moist = switches.step(content - soil.wilting_point, _DRY_SHARE * available)
        wetter = switches.step(content - soil.wilting_point, _DRY_SHARE * available, strict=True)
        active = self._active(drivers.due, wetter)
        dying = self._dying(active, switches)

        # Development
        development = self._development(state, drivers, crop, active, switches)
        dtsum, anthesis, maturity = development.dtsum, development.anthesis, development.maturity
        alive = switches.alive(maturity)
        stage, stage_before = development.stage, state.stage_before
        warm_stage = phenology.warm_day_of_stage(development.rate)
        dstage = dtsum * development.rate
        ageing, large = switches.crossed_each(
            (tsum, phenology.lai_clock(state.lai, crop.relative_lai_growth)),
            (crop.ageing_tsum, phenology.lai_clock(crop.juvenile_lai, crop.relative_lai_growth)),
            warm,
            (dtsum, drivers.effective),
            tsum_before,
        )
        old, roots_dying, satisfied = switches.crossed_each(
            stage,
            (crop.juvenile_stage, crop.root_death_stage, crop.uptake_end_stage),
            warm_stage,
            dstage,
            stage_before,
        )
        # The listing tests DVS >= DVSNT, PCSE DVS > DVSNT.
        filling = switches.crossed(
            stage, crop.translocation_stage, warm_stage, dstage, stage_before, strict=self.of_pcse
        )
        table_roots, table_leaves, table_stems, table_storage, specific, most = switches.table_means(
            (
                crop.fraction_roots,
                crop.fraction_leaves,
                crop.fraction_stems,
                crop.fraction_storage,
                crop.specific_leaf_area_factor,
                crop.nitrogen_maximum_leaves,
            ),
            stage,
            dstage,
            stage_before,
            warm_stage,
        )

        # Evapotranspiration
        water = self._evapotranspiration(state, day, params, content, switches)
        ratio = water.ratio

        # Nitrogen: what the crop holds against what it needs
        nitrogen = crop_nutrients.status(
            switches,
            Organs(state.leaf_nitrogen, state.stem_nitrogen, state.root_nitrogen),
            Organs(state.leaves, state.stems, state.roots),
            Organs(crop.nitrogen_residual_leaves, crop.nitrogen_residual_stems, crop.nitrogen_residual_roots),
            most,
            crop.nitrogen_stems_to_leaves,
            crop.nitrogen_roots_to_leaves,
            crop.nitrogen_optimal_share,
        )
        # 0 before emergence. Not multiplied by its share of the day, of which a little falls on the day before: the
        # index would be low there, and not recover.
        index = exceeds(active) * nitrogen.nutrition
        index = self.relieved("nitrogen", index)
        short = 1 - index

        # Growth
        stress = self._stress(ratio, index, crop.nitrogen_effect, switches)
        par = active * drivers.par * canopy.interception(crop.extinction, state.lai)
        potential = self.process("potential_growth", potential_growth)(crop.light_use_efficiency, par)
        growth = alive * potential * stress.growth

        # Partitioning: drought shifts growth to the roots, shortage of nitrogen from leaves to all others
        dry_roots, dry_factor = partitioning.drought_shift(switches, table_roots, ratio)
        poor_leaves, poor_factor = partitioning.nitrogen_shift(table_leaves, crop.nitrogen_effect_partitioning, index)
        drier, poorer = stress.drier, 1 - stress.drier
        others = drier * dry_factor + poorer * poor_factor
        roots = drier * dry_roots + poorer * poor_factor * table_roots
        leaves = drier * dry_factor * table_leaves + poorer * poor_leaves
        stems, storage = others * table_stems, others * table_storage

        # Leaf area
        specific = crop.specific_leaf_area * specific * torch.exp(-crop.nitrogen_effect_leaves * short)
        young = (1 - old) * (1 - large)
        exponential = drivers.juvenile_growth * state.lai * ratio
        exponential = exponential * torch.exp(-crop.nitrogen_effect_juvenile * short)
        lai_growth = active * (young * alive * exponential + (1 - young) * specific * leaves * growth)

        # Death: of age or shade, and of shortage of nitrogen from emergence on
        shading = canopy.shading_death(switches, state.lai, crop.critical_lai, crop.shading_death_rate)
        death = alive * canopy.leaf_death(switches, ageing, drivers.ageing, shading)
        starved = alive * drivers.due * crop.nitrogen_death_rate * short * state.leaves
        leaf_death = death * state.leaves + starved
        lai_death = dying * (death * state.lai + specific * starved)
        root_death = alive * roots_dying * crop.root_death_rate * state.roots

        # Roots
        moist_roots = wetter if self.of_pcse else moist
        root_growth = alive * switches.min(
            crop.root_growth * active * moist_roots, crop.maximum_root_depth - state.root_depth
        )
        explored = 1000.0 * root_growth * soil.subsoil

        # Nitrogen flows
        open_ = alive * (1 - satisfied) * moist
        lacking = crop_nutrients.demand(switches, nitrogen.largest, nitrogen.held)
        uptake = soil_nutrients.uptake(switches, lacking.total, state.mineral_nitrogen, drivers.due * open_)
        gained_by = crop_nutrients.shared(uptake, lacking, lacking.total)
        moved_from = crop_nutrients.to_storage(
            switches,
            alive * switches.positive(crop.nitrogen_maximum_storage * state.storage_organs - state.storage_nitrogen),
            crop_nutrients.translocatable(switches, nitrogen.held, nitrogen.residual, crop.root_translocation),
            crop.nitrogen_translocation_time,
            alive * filling,
        )
        lost_leaves = crop.nitrogen_residual_leaves * dying * leaf_death
        lost_roots = crop.nitrogen_residual_roots * dying * root_death
        # PCSE's soil mineralises from emergence on, the listing's while the crop takes nitrogen up.
        mineralised = soil.mineralisation * active * (alive if self.of_pcse else open_)
        warm_stages = phenology.warm_stages(crop.tsum_anthesis, crop.tsum_maturity)
        staged = (stage, dstage, stage_before, warm_stages)
        applied = alive * (day.nitrogen + applications.at_stage(switches, day.by_stage, "nitrogen", *staged))
        recovered = applied * drivers.recovery

        # Water balance
        capacity = 1000.0 * soil.field_capacity * state.root_depth
        saturation = 1000.0 * soil.saturation * state.root_depth
        decided = triggered(switches, drivers, content, available, capacity - state.water)
        given = day.irrigation + applications.at_stage(switches, day.by_stage, "irrigation", *staged) + decided
        surplus = weather.rain + given - water.evaporation - water.transpiration
        losses = soil_water.overflow(
            switches, surplus, state.water - capacity, state.water - saturation, soil.maximum_drainage
        )
        full = capacity + management.flooded * (saturation - capacity)
        refill = management.irrigation_factor * switches.positive(
            full - state.water - (surplus - losses.drainage - losses.runoff)
        )
        rain, irrigation = alive * weather.rain, alive * (given + refill)
        evaporation, transpiration = alive * water.evaporation, alive * water.transpiration
        drainage, runoff = alive * losses.drainage, alive * losses.runoff

        leaf_change = leaves * growth - active * leaf_death
        root_change = roots * growth - active * root_death
        rates = Lintul3State(
            temperature_sum=dtsum,
            temperature_sum_before=dtsum - tsum_before,
            vegetative_sum=development.vegetative_sum - state.vegetative_sum,
            stage_before=dstage - stage_before,
            lai=lai_growth - lai_death,
            leaves=leaf_change,
            dead_leaves=dying * leaf_death,
            stems=stems * growth,
            storage_organs=storage * growth,
            roots=root_change,
            dead_roots=dying * root_death,
            total_growth=growth,
            total_par=drivers.due * drivers.par if self.of_pcse else drivers.par,
            root_depth=root_growth,
            leaf_nitrogen=gained_by.leaves - moved_from.leaves - lost_leaves,
            stem_nitrogen=gained_by.stems - moved_from.stems,
            root_nitrogen=gained_by.roots - moved_from.roots - lost_roots,
            storage_nitrogen=moved_from.total,
            lost_leaf_nitrogen=lost_leaves,
            lost_root_nitrogen=lost_roots,
            total_nitrogen_uptake=uptake,
            total_nitrogen_supply=recovered + mineralised,
            mineral_nitrogen=recovered - uptake + mineralised,
            water=rain + explored + irrigation - runoff - transpiration - evaporation - drainage,
            dry_days=water.dry_days - state.dry_days,
            total_rain=rain,
            total_transpiration=transpiration,
            total_evaporation=evaporation,
            total_drainage=drainage,
            total_runoff=runoff,
            total_irrigation=irrigation,
            total_explored=explored,
            days_to_emergence=1 - drivers.due,
            days_to_anthesis=1 - anthesis,
            days_to_maturity=1 - maturity,
        )
        outputs = Lintul3Outputs(
            tmean=drivers.tmean,
            presence=active,
            stage=stage,
            intercepted_par=par,
            growth=growth,
            aboveground=state.leaves + state.dead_leaves + state.stems + state.storage_organs,
            unstressed_share_roots=table_roots,
            unstressed_share_leaves=table_leaves,
            unstressed_share_stems=table_stems,
            unstressed_share_storage=table_storage,
            share_roots=roots,
            share_leaves=leaves,
            share_stems=stems,
            share_storage=storage,
            leaf_change=leaf_change,
            stem_change=stems * growth,
            root_change=root_change,
            storage_change=storage * growth,
            specific_leaf_area=specific,
            lai_growth=lai_growth,
            lai_death=lai_death,
            root_growth=root_growth,
            nitrogen_index=index,
            nitrogen_demand=lacking.total,
            nitrogen_uptake=uptake,
            nitrogen_applied=applied,
            nitrogen_recovered=recovered,
            mineral_nitrogen_change=recovered - uptake + mineralised,
            water_content=content,
            potential_evaporation=water.potential_evaporation,
            potential_transpiration=water.potential_transpiration,
            evaporation=evaporation,
            transpiration=transpiration,
            transpiration_ratio=ratio,
            drought_factor=water.dry,
            oxygen_factor=water.oxygen,
            drainage=drainage,
            runoff=runoff,
            irrigation=irrigation,
            explored=explored,
            emergence=drivers.due,
            anthesis=anthesis,
            maturity=maturity,
        )
        return rates, outputs

    def finished(self, state: Lintul3State, params: Lintul3Parameters, switches: Switches) -> Tensor:
        crop, warm = params.crop, phenology.ONE_WARM_DAY
        if self.of_pcse:
            return switches.finished(state.temperature_sum - state.vegetative_sum, crop.tsum_maturity, warm)
        return switches.finished(state.temperature_sum, crop.tsum_anthesis + crop.tsum_maturity, warm, strict=True)
