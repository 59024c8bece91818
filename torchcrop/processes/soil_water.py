"""Water in the soil: demand, uptake, and the balances of LINTUL2, LINTUL3 and LINTUL5.

Flows are written as complementary shares of one flow wherever a threshold divides them, so that the balance
closes under every treatment of the threshold.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from torchcrop.functions.smoothing import hard_max, is_zero
from torchcrop.functions.switches import Switches

__all__ = [
    "Overflow",
    "TwoZoneFlows",
    "UptakeLimits",
    "critical_content",
    "demand_per_cover",
    "evaporation_since_rain",
    "overflow",
    "oxygen_factor",
    "transpiring",
    "two_zone_flows",
    "uptake_limits",
]

ENERGY_EXTINCTION = 0.5
"""Extinction coefficient for total radiation in LINTUL2 [-]."""

# Scale of the demand per cover at which a canopy turns from dry to wet [mm d-1].
_DEMAND_SCALE = 0.5
# Cover far below that of any emerged crop [-].
_NO_COVER = 1e-9


# --- LINTUL2 --------------------------------------------------------------------------------------------


def demand_per_cover(canopy_demand: Tensor, intercepted_rain: Tensor, cover: Tensor) -> Tensor:
    """Transpiration demand per unit of ground cover, less half of the rain that the canopy holds [mm d-1].

    Per unit of cover, because the demand of a small crop is small: a gate on it would never open.
    """
    return canopy_demand - 0.5 * intercepted_rain / (cover + is_zero(cover))


def transpiring(switches: Switches, per_cover: Tensor, cover: Tensor) -> Tensor:
    """1 where a canopy transpires at all (LINTUL2's TRANRF is 0 elsewhere), else 0."""
    exists = cover / (cover + _NO_COVER)
    return switches.step(per_cover * exists, _DEMAND_SCALE, strict=True)


class UptakeLimits(NamedTuple):
    """Factors of transpiration [-]; one of the two is always 1."""

    dry: Tensor
    oxygen: Tensor


def uptake_limits(
    switches: Switches,
    content: Tensor,
    potential_transpiration: Tensor,
    transpiration_constant: Tensor,
    wilting_point: Tensor,
    field_capacity: Tensor,
    wet: Tensor,
    saturation: Tensor,
) -> UptakeLimits:
    """Reduction of transpiration by dry and by wet soil, whose product is FR of LINTUL2 and LINTUL3.

    Below the critical content ``WCCR = WCWP + max(0.01, PTRAN / (PTRAN + TRANCO) (WCFC - WCWP))`` it falls to 0
    at wilting point, above WCWET to 0 at saturation.
    """
    share = potential_transpiration / (potential_transpiration + transpiration_constant)
    critical = wilting_point + switches.max(share * (field_capacity - wilting_point), 0.01)
    return UptakeLimits(
        dry=switches.limit(0.0, 1.0, (content - wilting_point) / (critical - wilting_point)),
        oxygen=switches.limit(0.0, 1.0, (saturation - content) / (saturation - wet)),
    )


class Overflow(NamedTuple):
    """Losses of a soil layer [mm d-1]."""

    drainage: Tensor
    runoff: Tensor


def overflow(
    switches: Switches,
    surplus: Tensor,
    above_capacity: Tensor,
    above_saturation: Tensor,
    maximum_drainage: Tensor,
) -> Overflow:
    """Drainage and runoff of LINTUL2.

    Parameters
    ----------
    surplus : Tensor
        Rain and irrigation less interception, evaporation and transpiration [mm d-1].
    above_capacity, above_saturation : Tensor
        Water above field capacity and above saturation, negative below [mm].
    maximum_drainage : Tensor
        [mm d-1]
    """
    drainage = switches.limit(0.0, maximum_drainage, above_capacity + surplus)
    runoff = switches.positive(above_saturation + surplus - drainage)
    return Overflow(drainage, runoff)


# --- LINTUL3 --------------------------------------------------------------------------------------------

_RESETTING_RAIN = 0.5


def evaporation_since_rain(
    switches: Switches, potential: Tensor, dry_days: Tensor, rain: Tensor
) -> tuple[Tensor, Tensor]:
    """Soil evaporation that declines with the days since rain, as LINTUL3 has it (Stroosnijder 1987).

    Parameters
    ----------
    potential : Tensor
        Evaporation of the soil if it were wet [mm d-1].
    dry_days : Tensor
        Days since rain, before today [d].
    rain : Tensor
        [mm d-1]. From 0.5 mm on the count starts again: a branch on data, hard in every mode.

    Returns
    -------
    evaporation, dry_days : Tensor
        [mm d-1] and [d], today's.

    Notes
    -----
    ``min(PEVAP, PEVAP (sqrt(DSLR) - sqrt(DSLR - 1)) + RAIN)``.
    """
    longer = dry_days + 1.0
    # The square root of the count, whose derivative is finite at the 0 of a run's start.
    root = dry_days / torch.sqrt(hard_max(dry_days, 1.0))
    drying = switches.min(potential, potential * (torch.sqrt(longer) - root) + rain)
    beyond = rain - _RESETTING_RAIN
    return switches.branch(beyond, drying, potential), switches.branch(beyond, longer, 1.0)


# --- LINTUL5 --------------------------------------------------------------------------------------------

# Light in LINTUL5's evapotranspiration is total radiation, which a canopy intercepts less than PAR [-].
_ENERGY_SHARE = 0.75
SMALLEST_TRANSPIRATION = 1e-3
"""Lower limit of LINTUL5's potential transpiration [mm d-1]."""
LONGEST_WET = 4.0
"""Days of oxygen shortage after which its effect is full [d]."""
# Share of the critical air content over which the count of wet days is reset: wider, and a soil that hovers about
# its limit (wet clay) never starts anew, which biases its yield by 1.5 %.
_WET_SCALE = 0.2
_WETTING_RAIN = 5.0
# Scale of the amount that restarts soil evaporation [mm]: narrow, or the drying between rains is lost.
_WETTING_SCALE = 1.0
# Gap between root depth and its limit below which the zone below the roots is void [m].
_NO_ZONE = 1e-8
_LARGEST_IRRIGATION = 30.0
# Largest irrigation that a trigger other than Wolf's decides [mm].
_LARGEST_TRIGGERED = 300.0
_IRRIGATION_MARGIN = 0.02
_IRRIGATION_SHARE = 0.7
_RAINY_DAY = 10.0


def energy_interception(extinction: Tensor, lai: Tensor) -> Tensor:
    """Share of total radiation intercepted by a canopy, ``1 - exp(-0.75 KDIF LAI)`` [-]."""
    return 1 - torch.exp(-_ENERGY_SHARE * extinction * lai)


def depletion_fraction(switches: Switches, evapotranspiration: Tensor, group: Tensor) -> Tensor:
    """Fraction of easily available water, SWEAF (Doorenbos & Kassam 1979, in the form of WOFOST) [-].

    Parameters
    ----------
    evapotranspiration : Tensor
        Potential evapotranspiration of the closed canopy [mm d-1].
    group : Tensor
        Crop group DEPNR, 1 (sensitive) to 5 (tolerant). At exactly 3 the two formulas differ: the jump
        is one in the parameter, and there no derivative exists.
    """
    cm = evapotranspiration / 10.0
    fraction = 1 / (0.76 + 1.5 * cm) - (5.0 - group) * 0.10
    sensitive = fraction + (cm - 0.6) / (group * (group + 3.0))
    return switches.limit(0.10, 0.95, switches.branch(group - 3.0, sensitive, fraction))


def critical_content(fraction: Tensor, wilting_point: Tensor, field_capacity: Tensor) -> Tensor:
    """Water content below which transpiration is reduced, ``(1 - p)(SMFC - SMW) + SMW`` [m3 m-3]."""
    return (1 - fraction) * (field_capacity - wilting_point) + wilting_point


def wet_days(switches: Switches, days: Tensor, content: Tensor, saturation: Tensor, critical_air: Tensor) -> Tensor:
    """Days of oxygen shortage after today [d].

    One more, at most 4, if the air content is not above the critical one, else 0.
    """
    shortage = switches.step(content - (saturation - critical_air), _WET_SCALE * critical_air)
    return shortage * switches.min(days + 1.0, LONGEST_WET)


def oxygen_factor(
    switches: Switches,
    days: Tensor,
    content: Tensor,
    saturation: Tensor,
    critical_air: Tensor,
    air_ducts: Tensor,
) -> Tensor:
    """Reduction of transpiration by lack of oxygen, RWET [-]; 1 for roots with air ducts.

    It sets in over four days, down to ``(SM0 - SM) / CRAIRC``.
    """
    full = switches.limit(0.0, 1.0, (saturation - content) / critical_air)
    factor = full + (1 - days / LONGEST_WET) * (1 - full)
    return 1 - (1 - air_ducts) * (1 - factor)


def soil_evaporation(
    switches: Switches,
    potential: Tensor,
    dry_days: Tensor,
    entering: Tensor,
    content: Tensor,
    air_dry: Tensor,
    decline: Tensor,
) -> tuple[Tensor, Tensor]:
    """Soil evaporation that declines with the days since rain (Stroosnijder 1987).

    Parameters
    ----------
    potential : Tensor
        Evaporation of the soil if it were wet [mm d-1].
    dry_days : Tensor
        Days since rain, before today [d].
    entering : Tensor
        Rain and irrigation that enter the soil today [mm d-1]. From 5 mm on the count starts again.
    content, air_dry : Tensor
        Water content and its air-dry value [m3 m-3].
    decline : Tensor
        CFEV [-].

    Returns
    -------
    evaporation, dry_days : Tensor
        [mm d-1] and [d], today's.
    """
    wet = switches.data_step(entering - _WETTING_RAIN, _WETTING_SCALE)
    longer = dry_days + 1.0
    share = switches.limit(0.0, 1.0, (torch.sqrt(longer) - torch.sqrt(dry_days)) * decline)
    drying = switches.min(potential, potential * share + entering)
    drying = switches.positive(switches.min(drying, 100.0 * (content - air_dry)))
    return wet * potential + (1 - wet) * drying, wet + (1 - wet) * longer


class TwoZoneFlows(NamedTuple):
    """Flows of LINTUL5's soil [mm d-1]."""

    into_lower: Tensor
    drainage: Tensor
    runoff: Tensor
    infiltration: Tensor


def two_zone_flows(
    switches: Switches,
    gain: Tensor,
    water: Tensor,
    water_lower: Tensor,
    depth: Tensor,
    depth_lower: Tensor,
    field_capacity: Tensor,
    saturation: Tensor,
    percolation: Tensor,
) -> TwoZoneFlows:
    """Percolation through the rooted zone and the zone below it.

    Parameters
    ----------
    gain : Tensor
        Water entering the soil less evaporation and transpiration [mm d-1].
    water, water_lower : Tensor
        Water of the two zones [mm].
    depth, depth_lower : Tensor
        Thickness of the two zones [m].
    field_capacity, saturation : Tensor
        [m3 m-3]
    percolation : Tensor
        Largest percolation to the subsoil, KSUB [mm d-1].

    Notes
    -----
    The rooted zone takes ``P1 = min(KSUB + room to saturation, gain)``, the rest runs off; what exceeds field
    capacity goes to the lower zone (P2, at most KSUB + its room to saturation), and from there, again above field
    capacity, out of the profile (P3, at most KSUB).
    """
    room = 1000.0 * field_capacity * depth - water
    room_saturated = 1000.0 * saturation * depth - water
    room_lower = 1000.0 * field_capacity * depth_lower - water_lower
    room_lower_saturated = 1000.0 * saturation * depth_lower - water_lower
    infiltration = switches.min(percolation + room_saturated, gain)
    runoff = gain - infiltration
    into_lower = switches.min(percolation + room_lower_saturated, switches.positive(infiltration - room))
    drainage = switches.min(percolation, switches.positive(into_lower - room_lower))
    return TwoZoneFlows(into_lower, drainage, runoff, infiltration)


def newly_rooted(switches: Switches, growth: Tensor, below: Tensor) -> Tensor:
    """Share of the zone below the roots that they grow into; `growth` of root depth, zone `below` [m]."""
    return growth / switches.max(below, _NO_ZONE)


def rainless(switches: Switches, rain: Tensor) -> Tensor:
    """1 on a day with less than 10 mm of rain, else 0: a branch on data."""
    return switches.branch(rain - _RAINY_DAY, 1.0, 0.0)


class IrrigationRule(NamedTuple):
    """When the soil's state decides an irrigation, and how much it gives."""

    possible: Tensor
    """1 on a day on which it may, else 0."""
    content: Tensor
    """Water content below which it does [m3 m-3]."""
    refill: Tensor
    """Share of the deficit to field capacity that it gives [-]."""
    amount: Tensor
    """Amount that it gives beside [mm]."""
    largest: Tensor
    """[mm]"""


def irrigation_rule(
    switches: Switches,
    automatic: Tensor,
    trigger: Tensor,
    amount: Tensor,
    refill: Tensor,
    rain: Tensor,
    critical: Tensor,
    wilting_point: Tensor,
    field_capacity: Tensor,
) -> IrrigationRule:
    """Wolf's rule IRRI = 1 (`automatic` is 1), or a trigger of one's own.

    Wolf's rule: on a day with less than 10 mm of rain whose content is at most 0.02 above the critical one, 0.7 of the
    deficit to field capacity, at most 30 mm. A trigger: where less than its share of the available water is left,
    `amount` [mm] and `refill` of the deficit; none if it is 0.
    """
    own = 1 - automatic
    return IrrigationRule(
        possible=automatic * rainless(switches, rain) + own * switches.branch(-trigger, 1.0, 0.0),
        content=automatic * (critical + _IRRIGATION_MARGIN)
        + own * (wilting_point + trigger * (field_capacity - wilting_point)),
        refill=automatic * _IRRIGATION_SHARE + own * refill,
        amount=own * amount,
        largest=automatic * _LARGEST_IRRIGATION + own * _LARGEST_TRIGGERED,
    )


def triggered_irrigation(
    switches: Switches, rule: IrrigationRule, content: Tensor, available_range: Tensor, deficit: Tensor
) -> Tensor:
    """Irrigation that a rule decides at a water content [mm].

    Parameters
    ----------
    available_range : Tensor
        Field capacity less wilting point, the scale of the trigger [m3 m-3].
    deficit : Tensor
        To field capacity [mm].
    """
    dry = switches.step(rule.content - content, available_range)
    return rule.possible * dry * switches.limit(0.0, rule.largest, rule.refill * deficit + rule.amount)


def capped_irrigation(switches: Switches, due: Tensor) -> tuple[Tensor, Tensor]:
    """Split what a table of irrigation asks for into today's decision, at most 30 mm, and what is carried over [mm]."""
    dose = switches.min(due, _LARGEST_IRRIGATION)
    return dose, due - dose
