"""Canopy: light interception, growth, leaf area and its death."""

from __future__ import annotations

import torch
from torch import Tensor

from torchcrop.functions.switches import Switches

__all__ = ["interception", "juvenile_growth", "photosynthetic", "shading_death"]

PAR_SHARE = 0.5
"""Photosynthetically active share of global radiation [-]."""


def photosynthetic(radiation: Tensor) -> Tensor:
    """PAR of global radiation [MJ m-2 d-1]."""
    return PAR_SHARE * radiation


def interception(extinction: Tensor | float, lai: Tensor) -> Tensor:
    """Share of light intercepted by a canopy, ``1 - exp(-K LAI)`` (Monsi & Saeki 1953)."""
    return 1 - torch.exp(-extinction * lai)


def juvenile_growth(relative_growth: Tensor, effective_temperature: Tensor) -> Tensor:
    """Exponential growth of leaf area over one day, relative to it, ``exp(RGRL Teff) - 1`` [d-1]."""
    return torch.exp(relative_growth * effective_temperature) - 1


def shading_death(switches: Switches, lai: Tensor, critical: Tensor, largest: Tensor) -> Tensor:
    """Relative death rate of leaves by shading, ``RDRSHM (LAI - LAICR) / LAICR``, not negative [d-1]."""
    return switches.positive(largest * (lai - critical) / critical)
