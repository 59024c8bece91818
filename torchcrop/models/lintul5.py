"""LINTUL5: potential, water-, nitrogen- and NPK-limited production of annual crops with a two-zone soil.

J. Wolf 2012, User guide for LINTUL5, Wageningen UR. Levels (the original's IOPT 1 to 4): ``potential`` (transpiration
never limited; the water balance still runs, so that irrigation and drainage are known), ``water``, ``nitrogen`` (water
and nitrogen) and ``npk`` (water and the three nutrients).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from torchcrop.functions.smoothing import exceeds, hard_max, hard_min
from torchcrop.functions.switches import Switches
from torchcrop.functions.tables import Table, afgen
from torchcrop.models.lintul5_records import (
    Lintul5Crop,
    Lintul5Drivers,
    Lintul5NutrientDrivers,
    Lintul5NutrientOutputs,
    Lintul5NutrientState,
    Lintul5Outputs,
    Lintul5Parameters,
    Lintul5Soil,
    Lintul5State,
)
from torchcrop.models.management import irrigation_drivers, triggered
from torchcrop.models.model import Day, Event, Model, Observable, Weather
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
from torchcrop.processes.crop_nutrients import NUTRIENTS, Organs, Status
from torchcrop.quantities import Record, nearest

__all__ = ["Lintul5", "Lintul5Crop", "Lintul5Soil"]


LEVELS = ("potential", "water", "nitrogen", "npk")

# Reduction of transpiration by CO2 (Wolf 2012, table FPENMTB).
_CO2_TRANSPIRATION = Table.from_pairs([(40.0, 1.05), (360.0, 1.0), (720.0, 0.95), (1000.0, 0.92), (2000.0, 0.92)])
_LONG_BEFORE = 30.0
# Scale of the gate that stops root growth in a dry soil, and its threshold [-].
_DRY_RATIO = 0.01
_LARGEST_DROUGHT_ROOTS = 0.6
# Without nutrient stress the original's factor is 1 - NLUE (1.0001 - 1)^2.
_NUTRIENT_OPTIMUM = 1.0001
# Scale of the branch between drought and nitrogen stress [-].
_BRANCH_SCALE = 0.1
# End of a run whose canopy has died: intercepted share and dry matter above ground [g m-2].
_DEAD_INTERCEPTION, _DEAD_MATTER = 0.05, 20.0


# A layer thinner than this does not exist [m].
_NO_LAYER = 1e-9
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


def nutrient_factor(switches: Switches, effect: Tensor, index: Tensor | float) -> Tensor:
    """Factor of growth for nutrient stress, NPKREF: ``1 - NLUE (1.0001 - NPKI)^2``, 0 to 1 [-]."""
    return switches.limit(0.0, 1.0, 1 - effect * (_NUTRIENT_OPTIMUM - index) ** 2)


class _Nutrients(NamedTuple):
    """Parameters of crop and soil of the three nutrients side by side, ``[3, B]`` each."""

    optimal_share: Tensor
    roots_to_leaves: Tensor
    stems_to_leaves: Tensor
    maximum_storage: Tensor
    residual_leaves: Tensor
    residual_stems: Tensor
    residual_roots: Tensor
    translocation_time: Tensor
    organic: Tensor
    mineralisation: Tensor
    fixation: Tensor


class _Life(NamedTuple):
    """Shares of a day [-]."""

    alive: Tensor
    living: Tensor
    """Emerged and alive."""
    satisfied: Tensor
    """Beyond the end of uptake."""
    filling: Tensor
    """Beyond the start of translocation."""
    moist: Tensor
    """In soil wet enough for uptake."""


class _Stage(NamedTuple):
    """Development stage at the start of a day, its increments today and yesterday, its progress on warm days."""

    stage: Tensor
    now: Tensor
    before: Tensor
    warm: tuple[Tensor, Tensor]


def _side_by_side(crop: Lintul5Crop, soil: Lintul5Soil, like: Tensor) -> Tensor:
    """The values of `_Nutrients` as one tensor, ``[11, 3, B]``; with a leading 1 if `like` is of a block of days."""
    values = [getattr(crop, f"{nutrient}_{name}") for name in _Nutrients._fields[:8] for nutrient in NUTRIENTS]
    values += [getattr(soil, f"organic_{nutrient}") for nutrient in NUTRIENTS]
    values += [getattr(soil, f"mineralisation_{nutrient}") for nutrient in NUTRIENTS]
    values += [crop.fixation, torch.zeros_like(crop.fixation), torch.zeros_like(crop.fixation)]
    abreast = torch.stack(torch.broadcast_tensors(*(value.reshape(-1) for value in values)))
    abreast = abreast.unflatten(0, (-1, len(NUTRIENTS)))
    return abreast.reshape((1,) * (like.dim() - 1) + abreast.shape)


def _abreast(state: Any, what: str) -> Tensor:
    """A state of the three nutrients, ``[3, B]``."""
    return torch.stack([getattr(state, f"{what}_{nutrient}") for nutrient in NUTRIENTS])


def _by_nutrient(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Values ``[3, B]`` under the names of the single nutrients."""
    return {
        pattern.format(nutrient): one
        for pattern, value in values.items()
        for nutrient, one in zip(NUTRIENTS, value.unbind(0), strict=True)
    }


def _full(value: Tensor, like: Tensor) -> Tensor:
    """A value of the day for every simulation."""
    return torch.broadcast_to(value, torch.broadcast_shapes(value.shape, like.shape))


@dataclass(frozen=True, eq=False, repr=False)
class Lintul5(Model):
    """LINTUL5.

    Parameters
    ----------
    level : {"potential", "water", "nitrogen", "npk"}
        Production level: nothing limits growth beside weather and crop; the soil's water does; water and nitrogen do;
        water, nitrogen, phosphorus and potassium do.
    nutrients : bool
        Keep the balances, and accept fertiliser, of nutrients that do not limit at the level too. A crop takes up what
        it demands of them, and the soil's amounts become negative by what fertiliser would have to supply.
    processes : mapping of str to callable, optional
        ``potential_growth(efficiency [g MJ-1], efficiency_factor [-], intercepted_par [MJ m-2 d-1])``
        gives growth [g m-2 d-1].
    relief : mapping of str to float or Tensor, optional
        Share of a stress that is taken away: ``drought``, ``oxygen``, ``nitrogen``, ``phosphorus``, ``potassium``,
        ``temperature``.

    Examples
    --------
    >>> run = tc.simulate(tc.Lintul5(level="water"), tc.load_crop("maize"), trial)
    """

    level: str = "water"
    nutrients: bool = False

    name: ClassVar[str] = "LINTUL5"
    Parameters: ClassVar[type[Record]] = Lintul5Parameters
    State: ClassVar[type[Record]] = Lintul5NutrientState
    Outputs: ClassVar[type[Record]] = Lintul5NutrientOutputs
    Drivers: ClassVar[type[Record]] = Lintul5NutrientDrivers
    stresses: ClassVar[dict[str, str]] = {
        "drought": "drought_factor",
        "oxygen": "oxygen_factor",
        "nitrogen": "nitrogen_index",
        "phosphorus": "phosphorus_index",
        "potassium": "potassium_index",
        "temperature": "temperature_factor",
    }
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
        if not self.with_nutrients:
            # A model without nutrients has no states of them.
            for kind, record in {"State": Lintul5State, "Outputs": Lintul5Outputs, "Drivers": Lintul5Drivers}.items():
                object.__setattr__(self, kind, record)

    @property
    def with_nutrients(self) -> bool:
        """Whether the balances of nutrients are kept."""
        return self.nutrients or self.level in ("nitrogen", "npk")

    @property
    def limiting(self) -> int:
        """How many of nitrogen, phosphorus and potassium may run short."""
        return {"nitrogen": 1, "npk": 3}.get(self.level, 0)

    @property
    def listens(self) -> frozenset[str]:
        nutrients = NUTRIENTS if self.nutrients else NUTRIENTS[: self.limiting]
        return frozenset({"irrigation", "irrigation_table", *nutrients})

    @property
    def listens_by_stage(self) -> frozenset[str]:
        return self.listens - {"irrigation_table"}

    @property
    def unused_management(self) -> frozenset[str]:
        return frozenset(f"{nutrient}_recovery" for nutrient in NUTRIENTS if nutrient not in self.listens)

    @property
    def production_level(self) -> str:
        return self.level

    def listeners(self, kind: str) -> tuple[str, ...]:
        levels = {"nitrogen": ("nitrogen", "npk"), "phosphorus": ("npk",), "potassium": ("npk",)}.get(kind, ())
        return tuple(f"Lintul5(level={level!r})" for level in levels)

    def less_limited(self) -> Lintul5 | None:
        place = LEVELS.index(self.level)
        # With the balances of all nutrients kept, so that fertiliser of the level below is accepted.
        return replace(self, level=LEVELS[place - 1], nutrients=self.with_nutrients) if place else None

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

    def carry_over(self, final: Any, params: Lintul5Parameters, crop: Record) -> tuple[dict[str, Tensor], Record]:
        """Soil that a crop leaves: water by depth, mineral nutrients, days since rain.

        Below the largest rooting depth of the crop before, to that of the soil (RDMSO), the water content is the
        soil's initial one of the lower zone, or that which an earlier crop left there. The nutrients that can be
        mineralised in a season are the soil's own every season.
        """
        assert isinstance(crop, Lintul5Crop)
        soil = params.soil
        bottom = soil.maximum_root_depth
        modelled = hard_min(bottom, params.crop.maximum_root_depth)
        unmodelled = soil.initial_lower

        def stored(depth: Tensor) -> Tensor:
            """Water from the surface to a depth [mm]."""
            rooted = hard_min(depth / final.rooted_depth, 1.0) * final.water
            lower = hard_min(hard_max(depth - final.rooted_depth, 0.0), modelled - final.rooted_depth)
            lower = lower / hard_max(modelled - final.rooted_depth, _NO_LAYER) * final.water_lower
            return rooted + lower + 1000.0 * unmodelled * hard_max(depth - modelled, 0.0)

        top = crop.initial_root_depth.to(bottom)
        reach = hard_min(bottom, crop.maximum_root_depth.to(bottom))
        water, to_reach = stored(top), stored(reach)
        below = (stored(bottom) - to_reach) / (1000.0 * hard_max(bottom - reach, _NO_LAYER))
        remains = exceeds(bottom - reach - _NO_LAYER)
        states = {
            "water": water,
            "water_lower": to_reach - water,
            "available": water - 1000.0 * soil.wilting_point * top,
            "available_lower": to_reach - water - 1000.0 * soil.wilting_point * (reach - top),
            "dry_days": final.dry_days,
            "wet_days": final.wet_days,
        }
        if self.with_nutrients:
            states |= {f"mineral_{nutrient}": getattr(final, f"mineral_{nutrient}") for nutrient in NUTRIENTS}
        return states, soil.replace(initial_lower=remains * below + (1 - remains) * unmodelled)

    def observable(self, name: str) -> Observable | None:
        layer = _SOIL_LAYER.match(name)
        if layer is None:
            return super().observable(name)
        top, bottom = int(layer["top"]) / 100, int(layer["bottom"]) / 100
        return soil_layer(layer["kind"], top, bottom)

    def drivers(
        self, weather: Weather, doy: Tensor, time: Tensor, params: Lintul5Parameters, switches: Switches
    ) -> Lintul5Drivers:
        crop, soil, site, management = params.crop, params.soil, params.site, params.management
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
        temperature_factor = self.relieved(
            "temperature",
            switches.table(crop.daytime_temperature_factor, daytime)
            * switches.table(crop.minimum_temperature_factor, weather.tmin),
        )
        critical = soil_water.critical_content(easily_available, soil.wilting_point, soil.field_capacity)
        common = Lintul5Drivers(
            tmean=tmean,
            emergence=switches.limit(
                0.0,
                crop.emergence_maximum_temperature - crop.emergence_base_temperature,
                tmean - crop.emergence_base_temperature,
            ),
            dated_emergence=phenology.one_day(switches, time, management.emergence_day),
            development=switches.positive(switches.table(crop.development_temperature, tmean)),
            photoperiod=switches.table(crop.photoperiod_factor, photoperiod),
            effective=effective,
            juvenile_growth=canopy.juvenile_growth(crop.relative_lai_growth, effective),
            ageing=switches.table(crop.ageing_death_rate, tmean),
            par=canopy.photosynthetic(radiation / 1e6),
            efficiency_factor=temperature_factor * switches.table(crop.co2_factor, site.co2),
            temperature_factor=temperature_factor,
            # Of parameters alone, but a driver has a value for every day.
            unstressed=torch.zeros_like(tmean) + nutrient_factor(switches, crop.nutrient_effect, 1.0),
            **irrigation_drivers(
                switches,
                management,
                management.automatic_irrigation,
                weather.rain,
                critical,
                soil.wilting_point,
                soil.field_capacity,
            ),
            soil_demand=es0,
            canopy_demand=etc,
            critical_content=critical,
        )
        if not self.with_nutrients:
            return common
        recoveries = (management.nitrogen_recovery, management.phosphorus_recovery, management.potassium_recovery)
        return Lintul5NutrientDrivers(
            **dict(common.items()),
            recovery=torch.stack(
                torch.broadcast_tensors(*(switches.table(recovery, time) for recovery in recoveries)), -2
            ),
            nutrients=_side_by_side(crop, soil, like=tmean),
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
        stems = above * switches.table(crop.fraction_stems, stage)
        zero = crop.initial_weight * 0.0
        states = Lintul5NutrientState if self.with_nutrients else Lintul5State
        empty = dict.fromkeys(states.quantities(), zero)
        state = states(
            **empty
            | {
                "stage": stage,
                "lai": leaves * switches.table(crop.specific_leaf_area, stage),
                "leaves": leaves,
                "stems": stems,
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
        if not self.with_nutrients:
            return state
        # The crop starts at its maximum concentrations.
        contents: dict[str, Tensor] = {}
        for nutrient in NUTRIENTS:
            most = switches.table(getattr(crop, f"{nutrient}_maximum_leaves"), stage)
            contents |= {
                f"leaf_{nutrient}": most * leaves,
                f"stem_{nutrient}": most * getattr(crop, f"{nutrient}_stems_to_leaves") * stems,
                f"root_{nutrient}": most * getattr(crop, f"{nutrient}_roots_to_leaves") * roots,
                f"organic_{nutrient}": getattr(soil, f"organic_{nutrient}"),
            }
        return state.replace(**contents)

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
        nutrient_stages = (crop.uptake_end_stage, crop.translocation_stage) if self.with_nutrients else ()
        old, ageing, dying, maturity, *nutrient_shares = switches.crossed_each(
            stage,
            (
                crop.juvenile_stage,
                crop.ageing_stage,
                crop.root_stem_death_stage,
                crop.final_stage,
                *nutrient_stages,
            ),
            warm_stage,
            dstage,
            stage_before,
        )
        alive = switches.alive(maturity)
        living = alive * emerged

        warm_stages = phenology.warm_stages(crop.tsum_anthesis, crop.tsum_maturity)
        staged = _Stage(stage, dstage, stage_before, warm_stages)

        # What the stage of development decides
        nutrient_tables = (crop.nitrogen_maximum_leaves, crop.phosphorus_maximum_leaves, crop.potassium_maximum_leaves)
        extinction, efficiency, roots, leaves, stems, storage, specific, root_death, stem_death, *most = (
            switches.table_means(
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
                    *(nutrient_tables if self.with_nutrients else ()),
                ),
                stage,
                dstage,
                stage_before,
                warm_stage,
            )
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
        dry = wet = emerged.new_ones(())
        if self.level == "potential":
            transpiration, ratio = demand, emerged.new_ones(())
        else:
            dry = switches.limit(0.0, 1.0, (content - soil.wilting_point) / (critical - soil.wilting_point))
            wet = soil_water.oxygen_factor(
                switches, wet_days, content, soil.saturation, soil.critical_air, crop.air_ducts
            )
            wet = self.relieved("oxygen", wet)
            transpiration = self.relieved(
                "drought", switches.positive(switches.min(state.available, dry * wet * demand)), wet * demand
            )
            # On the first day the crop is initialised without stress.
            ratio = 1 - state.running * (1 - transpiration / demand)
        irrigation = (
            state.irrigation_decided
            + day.irrigation
            + applications.at_stage(switches, day.by_stage, "irrigation", *staged)
        )
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
        capacity = soil.field_capacity - soil.wilting_point
        # Wolf's rule looks at the soil alone, before the water that it decided yesterday is given; a trigger counts
        # what is given today, so that it does not answer one drought with two irrigations.
        given_today = (1 - management.automatic_irrigation) * irrigation
        decided = triggered(
            switches,
            drivers,
            content + given_today / (1000.0 * depth),
            capacity,
            1000.0 * depth * capacity - state.available - given_today,
        )
        tabled, carried = soil_water.capped_irrigation(switches, day.irrigation_table + state.irrigation_carried)

        # Nutrients: what the crop holds against what it needs
        nutrition = drivers.unstressed
        nitrogen_index = nutrition_index = torch.ones_like(emerged)
        found = self._nutrient_status(state, drivers, most, emerged, switches) if self.with_nutrients else None
        if found is not None and self.limiting:
            # The smallest rests at 1, written so that a rounded kink is exact at rest. P and K count at the level of
            # nitrogen too: their uptake is not limited there, but lags behind growth by a day.
            nitrogen, phosphorus, potassium = (
                1 - self.relieved(nutrient, index)
                for nutrient, index in zip(NUTRIENTS, found[1].nutrition.unbind(0), strict=True)
            )
            nitrogen_index = 1 - nitrogen
            nutrition_index = 1 - switches.max(switches.max(nitrogen, phosphorus), potassium)
            nutrition = nutrient_factor(switches, crop.nutrient_effect, nutrition_index)

        # Growth
        intercepted = emerged * drivers.par * canopy.interception(extinction, state.lai)
        potential = self.process("potential_growth", potential_growth)(
            efficiency, drivers.efficiency_factor, intercepted
        )
        # The smaller of two factors that rest at 1, written so that a rounded kink is exact at rest.
        growth = alive * potential * (1 - switches.max(1 - ratio, 1 - nutrition))

        # Partitioning: drought shifts growth to the roots, shortage of nitrogen from leaves to stems
        shifted = switches.min(roots * partitioning.root_multiplier(switches, ratio), _LARGEST_DROUGHT_ROOTS)
        if self.limiting:
            drier = switches.step(nitrogen_index - ratio, _BRANCH_SCALE, strict=True)
            roots = drier * shifted + (1 - drier) * roots
            moved = (1 - drier) * leaves * (1 - torch.exp(-crop.nutrient_effect_partitioning * (1 - nitrogen_index)))
            leaves, stems = leaves - moved, stems + moved
        else:
            roots = switches.branch(ratio - 1.0, shifted, roots)
        above = (1 - roots) * growth

        # Leaf area
        young = (1 - old) * (1 - large)
        exponential = drivers.juvenile_growth * state.lai * ratio
        if self.limiting:
            exponential = exponential * torch.exp(-crop.nutrient_effect_juvenile * (1 - nutrition_index))
            specific = specific * torch.exp(-crop.nutrient_effect_leaves * (1 - nutrition_index))
        lai_growth = emerged * (young * alive * exponential + (1 - young) * specific * leaves * above)

        # Death
        shading = canopy.shading_death(switches, state.lai, crop.critical_lai, crop.shading_death_rate)
        drought = (1 - ratio) * crop.drought_death_rate
        death = living * canopy.leaf_death(switches, ageing, drivers.ageing, switches.max(shading, drought))
        leaf_death, lai_death = death * state.leaves, death * state.lai
        if self.limiting:
            starved = living * crop.nutrient_death_rate * (1 - nutrition_index) * state.leaves
            leaf_death, lai_death = leaf_death + starved, lai_death + specific * starved
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

        rates_of = {
            "emergence_sum": demergence,
            "emergence_sum_before": demergence - state.emergence_sum_before,
            "temperature_sum": dtsum,
            "temperature_sum_before": dtsum - tsum_before,
            "stage": dstage,
            "stage_before": dstage - stage_before,
            "effective_before": drivers.effective - state.effective_before,
            "running": 1 - state.running,
            "lai": lai_growth - lai_death,
            "leaves": leaves * above - leaf_death,
            "dead_leaves": leaf_death,
            "stems": stems * above - stem_death,
            "dead_stems": stem_death,
            "storage_organs": storage * above,
            "roots": roots * growth - root_death,
            "dead_roots": root_death,
            "total_growth": growth,
            "total_par": drivers.par,
            "total_intercepted_par": intercepted,
            "root_depth": root_growth,
            "rooted_depth": state.root_growth_before,
            "root_growth_before": root_growth - state.root_growth_before,
            # Seedlings intercept light from sowing on, before they emerge: the original's.
            "interception_before": day.sown * soil_water.energy_interception(extinction, state.lai)
            - state.interception_before,
            "water": infiltration - into_lower + alive * gained,
            "water_lower": into_lower - drainage - alive * gained,
            "available": infiltration - into_lower + alive * gained_available,
            "available_lower": into_lower - drainage - alive * gained_available,
            "dry_days": dry_days - state.dry_days,
            "wet_days": wet_days - state.wet_days,
            "irrigation_decided": decided + tabled - state.irrigation_decided,
            "irrigation_carried": carried - state.irrigation_carried,
            "total_rain": alive * weather.rain,
            "total_irrigation": irrigation,
            "total_transpiration": transpiration,
            "total_evaporation": evaporation,
            "total_drainage": drainage,
            "total_runoff": runoff,
            "days_to_emergence": 1 - emerged,
            "days_to_anthesis": 1 - anthesis,
            "days_to_maturity": 1 - maturity,
        }
        outputs_of = {
            "tmean": drivers.tmean,
            "growth": growth,
            "intercepted_par": intercepted,
            "efficiency": efficiency,
            "efficiency_factor": drivers.efficiency_factor,
            "share_roots": roots,
            "share_leaves": leaves,
            "share_stems": stems,
            "share_storage": storage,
            "lai_growth": lai_growth,
            "lai_death": lai_death,
            "aboveground": state.leaves + state.dead_leaves + state.stems + state.dead_stems + state.storage_organs,
            "transpiration_ratio": ratio,
            "water_content": content,
            "critical_content": critical,
            "canopy_demand": drivers.canopy_demand,
            "soil_demand": drivers.soil_demand,
            "potential_transpiration": demand,
            "transpiration": transpiration,
            "evaporation": evaporation,
            "drainage": drainage,
            "runoff": runoff,
            "irrigation": irrigation,
            "drought_factor": dry,
            "oxygen_factor": wet,
            "temperature_factor": drivers.temperature_factor,
            "nutrient_factor": nutrition,
            "emergence": emerged,
            "anthesis": anthesis,
            "maturity": maturity,
        }
        if found is None:
            return Lintul5State(**rates_of), Lintul5Outputs(**outputs_of)
        balances, reported = self._nutrient_balances(
            *found,
            state,
            day,
            crop,
            _Life(alive, living, nutrient_shares[0], nutrient_shares[1], moist),
            Organs(leaf_death, stem_death, root_death),
            staged,
            switches,
        )
        return (
            Lintul5NutrientState(**rates_of, **balances),
            Lintul5NutrientOutputs(**outputs_of, **reported, nutrition_index=nutrition_index),
        )

    def _nutrient_status(
        self,
        state: Any,
        drivers: Lintul5NutrientDrivers,
        most: Sequence[Tensor],
        emerged: Tensor,
        switches: Switches,
    ) -> tuple[_Nutrients, Status]:
        """Parameters of the nutrients, and what the crop holds of them; `most`: largest concentrations of leaves."""
        nutrients = _Nutrients(*drivers.nutrients.unbind(-3))
        crop = crop_nutrients.status(
            switches,
            Organs(*(_abreast(state, organ) for organ in ("leaf", "stem", "root"))),
            Organs(state.leaves, state.stems, state.roots),
            Organs(nutrients.residual_leaves, nutrients.residual_stems, nutrients.residual_roots),
            torch.stack(torch.broadcast_tensors(*most)),
            nutrients.stems_to_leaves,
            nutrients.roots_to_leaves,
            nutrients.optimal_share,
        )
        # 0 before emergence. Not multiplied by its share of the day: the crop would be starved on the day it emerges.
        return nutrients, crop._replace(nutrition=exceeds(emerged) * crop.nutrition)

    def _nutrient_balances(
        self,
        nutrients: _Nutrients,
        status: Status,
        state: Any,
        day: Day,
        crop: Lintul5Crop,
        life: _Life,
        deaths: Organs,
        staged: _Stage,
        switches: Switches,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Changes of the nutrient states, and outputs of the day, by name; `deaths`: dying matter [g m-2 d-1]."""
        taking = life.living * (1 - life.satisfied) * life.moist
        lacking = crop_nutrients.demand(switches, status.largest, status.held)
        demanded = (1 - nutrients.fixation) * lacking.total
        mineral, organic, stored = (_abreast(state, what) for what in ("mineral", "organic", "storage"))
        n = self.limiting
        uptake = torch.cat([soil_nutrients.uptake(switches, demanded[:n], mineral[:n], taking), demanded[n:] * taking])
        fixed = soil_nutrients.fixed(switches, uptake, nutrients.fixation)
        gained = crop_nutrients.shared(uptake + fixed, lacking, lacking.total)
        moved = crop_nutrients.to_storage(
            switches,
            switches.positive(nutrients.maximum_storage * state.storage_organs - stored),
            crop_nutrients.translocatable(switches, status.held, status.residual, crop.root_translocation),
            nutrients.translocation_time,
            life.living * life.filling,
        )
        lost = Organs(
            nutrients.residual_leaves * deaths.leaves,
            nutrients.residual_stems * deaths.stems,
            nutrients.residual_roots * deaths.roots,
        )
        mineralised = life.living * soil_nutrients.mineralised(
            switches, organic, nutrients.organic, nutrients.mineralisation, taking
        )
        applied = torch.stack(
            [
                _full(getattr(day, kind), life.living) + applications.at_stage(switches, day.by_stage, kind, *staged)
                for kind in NUTRIENTS
            ]
        )
        supply = life.alive * applied * day.drivers.recovery
        unlimited = torch.ones_like(status.nutrition[n:])
        balances = {
            "leaf_{}": gained.leaves - moved.leaves - lost.leaves,
            "stem_{}": gained.stems - moved.stems - lost.stems,
            "root_{}": gained.roots - moved.roots - lost.roots,
            "storage_{}": moved.total,
            "lost_{}": lost.total,
            "total_{}_uptake": uptake,
            "total_{}_supply": supply,
            "mineral_{}": supply - uptake + mineralised,
            "organic_{}": -mineralised,
        }
        reported = {
            # Where the level does not limit it, a nutrient is shown as sufficient: the original's.
            "{}_index": torch.cat([status.nutrition[:n], unlimited]),
            "crop_{}": status.held.total + stored,
            "{}_uptake": uptake,
            "{}_demand": lacking.total,
        }
        return (
            _by_nutrient(balances) | {"total_fixed_nitrogen": fixed[0]},
            _by_nutrient(reported) | {"fixation": fixed[0]},
        )

    def finished(self, state: Lintul5State, params: Lintul5Parameters, switches: Switches) -> Tensor:
        crop = params.crop
        mature = switches.finished(state.stage, crop.final_stage, phenology.ONE_WARM_DAY / crop.tsum_maturity)

        def dead() -> Tensor:
            intercepted = canopy.interception(switches.table(crop.extinction, state.stage), state.lai)
            above = state.leaves + state.dead_leaves + state.stems + state.dead_stems + state.storage_organs
            return exceeds(_DEAD_INTERCEPTION - intercepted) * exceeds(above - _DEAD_MATTER)

        return switches.abandoned(mature, dead)
