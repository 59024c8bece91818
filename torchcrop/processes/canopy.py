"""Canopy: light interception, growth, leaf area and its death."""

from __future__ import annotations

import torch
from torch import Tensor

from torchcrop.functions.switches import Switches

__all__ = ["interception", "juvenile_growth", "leaf_death", "photosynthetic", "shading_death"]

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


def leaf_death(switches: Switches, old: Tensor, ageing: Tensor, other: Tensor) -> Tensor:
    """Relative death rate of leaves, the larger of ageing and other causes [d-1].

    Parameters
    ----------
    old : Tensor
        Share of the day on which leaves die of age [-].
    ageing, other : Tensor
        Relative death rates by ageing and by other causes, not negative [d-1].

    Notes
    -----
    The share stands outside the maximum: on the day on which ageing begins leaves die of the other causes before, and
    of the larger after. ``max(old ageing, other)`` would lose what the other causes take before.
    """
    return old * switches.max(ageing, other) + (1 - old) * other
