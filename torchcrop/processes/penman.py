"""Evaporative demand after Penman, in the forms of LINTUL2 (also LINTUL3's) and LINTUL5 (WOFOST's)."""

from __future__ import annotations

import torch
from torch import Tensor

from torchcrop.functions.switches import Switches

__all__ = ["demand_lintul2", "reference_evaporation", "wofost_evaporation"]

STEFAN_BOLTZMANN = 5.668e-8
"""[J m-2 s-1 K-4]"""
VAPORISATION = 2.4e6
"""Latent heat of vaporisation in LINTUL2 [J kg-1]."""
PSYCHROMETER = 0.067
"""Psychrometer coefficient in LINTUL2 [kPa K-1]."""
SECONDS = 86400.0
SOIL_ALBEDO, CANOPY_ALBEDO = 0.15, 0.25


def demand_lintul2(
    switches: Switches, tmean: Tensor, radiation: Tensor, vapour_pressure: Tensor, wind: Tensor
) -> tuple[Tensor, Tensor]:
    """Evaporation of bare soil and transpiration of a closed canopy without limits, as LINTUL2 has them.

    Parameters
    ----------
    tmean : Tensor
        Mean temperature [degC].
    radiation : Tensor
        Global radiation [J m-2 d-1].
    vapour_pressure : Tensor
        [kPa]
    wind : Tensor
        Wind speed at 2 m [m s-1].

    Returns
    -------
    soil, canopy : Tensor
        [mm d-1]; may be negative (condensation).

    Notes
    -----
    Penman 1948, with long-wave radiation after Brunt and the wind function ``2.63 (1 + 0.54 u)``; the constants are
    those of the LINTUL2 listing, 273 K included.
    """
    saturation = 0.611 * torch.exp(17.4 * tmean / (tmean + 239.0))
    slope = 4158.6 * saturation / (tmean + 239.0) ** 2
    clear = switches.positive(0.55 * (1 - vapour_pressure / saturation))
    long_wave = STEFAN_BOLTZMANN * (tmean + 273.0) ** 4 * SECONDS * clear
    drying = VAPORISATION * 2.63 * (1 + 0.54 * wind) * (saturation - vapour_pressure)
    drying = drying * PSYCHROMETER / (slope + PSYCHROMETER)

    def evaporation(albedo: float) -> Tensor:
        net = (1 - albedo) * radiation - long_wave
        return (net * slope / (slope + PSYCHROMETER) + drying) / VAPORISATION

    return evaporation(SOIL_ALBEDO), evaporation(CANOPY_ALBEDO)


def reference_evaporation(
    switches: Switches,
    tmin: Tensor,
    tmax: Tensor,
    radiation: Tensor,
    sunshine: Tensor,
    vapour_pressure: Tensor,
    wind: Tensor,
    elevation: Tensor,
) -> tuple[Tensor, Tensor]:
    """Potential evaporation of a wet soil (ES0) and a closed canopy (ET0), as LINTUL5 has them.

    Parameters
    ----------
    tmin, tmax : Tensor
        [degC]
    radiation : Tensor
        Global radiation, limited to 0.80 of extraterrestrial [J m-2 d-1].
    sunshine : Tensor
        Relative sunshine duration [-].
    vapour_pressure : Tensor
        [mbar]
    wind : Tensor
        Wind speed at 2 m [m s-1].
    elevation : Tensor
        [m]

    Returns
    -------
    es0, et0 : Tensor
        [mm d-1], not negative.

    Notes
    -----
    Penman 1948 in the form of WOFOST (Supit et al. 1994), with the constants of Wolf 2012.
    """
    tmean = (tmin + tmax) / 2
    saturation = 6.11 * torch.exp(17.4 * tmean / (tmean + 239.0))
    goudriaan = 6.10588 * torch.exp(17.32491 * tmean / (tmean + 238.102))
    vapour = switches.min(vapour_pressure, switches.min(goudriaan, saturation))
    slope = 239.0 * 17.4 * saturation / (tmean + 239.0) ** 2
    psychrometer = 0.000662 * 1013.0 * torch.exp(-0.034 * elevation / (tmean + 273.0))
    wind_coefficient = 0.54 + 0.35 * switches.limit(0.0, 1.0, (tmax - tmin - 12.0) / 4.0)
    long_wave = 4.9e-3 * (tmean + 273.0) ** 4 * (0.56 - 0.079 * torch.sqrt(vapour)) * (0.1 + 0.9 * sunshine)
    deficit = saturation - vapour
    drying_soil = 0.26 * deficit * (0.5 + wind_coefficient * wind)
    drying_canopy = 0.26 * deficit * (1.0 + wind_coefficient * wind)

    def evaporation(albedo: float, drying: Tensor) -> Tensor:
        net = ((1 - albedo) * radiation - long_wave) / 2.45e6
        return switches.positive((slope * net + psychrometer * drying) / (slope + psychrometer))

    return evaporation(SOIL_ALBEDO, drying_soil), evaporation(CANOPY_ALBEDO, drying_canopy)


# Largest share of extraterrestrial radiation that reaches the ground, the share under an overcast sky, and what clear
# sky adds to it [-].
_CLEAREST, _OVERCAST, _BY_SUNSHINE = 0.80, 0.20, 0.56


def wofost_evaporation(
    switches: Switches,
    tmin: Tensor,
    tmax: Tensor,
    srad: Tensor,
    vapour_pressure: Tensor,
    wind: Tensor,
    elevation: Tensor,
    extraterrestrial: Tensor,
) -> tuple[Tensor, Tensor]:
    """`reference_evaporation` of a day's weather, its sunshine estimated from radiation with Angstrom's 0.20 and 0.56.

    Parameters
    ----------
    tmin, tmax : Tensor
        [degC]
    srad : Tensor
        Global radiation [MJ m-2 d-1].
    vapour_pressure : Tensor
        [kPa]
    wind : Tensor
        Wind speed at 2 m [m s-1].
    elevation : Tensor
        [m]
    extraterrestrial : Tensor
        Extraterrestrial radiation [J m-2 d-1].

    Returns
    -------
    es0, et0 : Tensor
        [mm d-1], not negative.
    """
    radiation = switches.min(_CLEAREST * extraterrestrial, srad * 1e6)
    sunshine = switches.limit(0.0, 1.0, (radiation / extraterrestrial - _OVERCAST) / _BY_SUNSHINE)
    return reference_evaporation(switches, tmin, tmax, radiation, sunshine, 10.0 * vapour_pressure, wind, elevation)
