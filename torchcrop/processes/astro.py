"""Astronomy of a day: daylength and extraterrestrial radiation, after Goudriaan & van Laar."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from torchcrop.functions.switches import Switches

__all__ = ["PI", "sun"]

PI = 3.1415926
"""The originals' constant; with more digits their printed results are not reproduced to 1e-9."""

# Below this angle the sun still acts on photoperiodic processes [degree].
_TWILIGHT = 4.0


def sun(switches: Switches, doy: Tensor, latitude: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Daylength, photoperiodic daylength and extraterrestrial radiation of a day.

    Parameters
    ----------
    doy : Tensor
        Day of year [d].
    latitude : Tensor
        [degree]

    Returns
    -------
    daylength, photoperiod : Tensor
        [h]
    extraterrestrial : Tensor
        [J m-2 d-1], at least 1e-4.
    """
    radian = PI / 180.0
    declination = -torch.asin(math.sin(23.45 * radian) * torch.cos(2.0 * PI * (doy + 10.0) / 365.0))
    sine = torch.sin(latitude * radian) * torch.sin(declination)
    cosine = torch.cos(latitude * radian) * torch.cos(declination)
    tangent = switches.limit(-1.0, 1.0, sine / cosine)
    twilight = math.sin(_TWILIGHT * radian)
    daylength = 12.0 * (1.0 + 2.0 * torch.asin(tangent) / PI)
    photoperiod = 12.0 * (1.0 + 2.0 * torch.asin(switches.limit(-1.0, 1.0, (twilight + sine) / cosine)) / PI)
    constant = 1370.0 * (1.0 + 0.033 * torch.cos(2.0 * PI * doy / 365.0))
    height = 3600.0 * (daylength * sine + 24.0 * cosine * torch.sqrt(1.0 - tangent**2) / PI)
    return daylength, photoperiod, switches.max(constant * height, 1e-4)
