"""Nutrients in the soil: what fertiliser and mineralisation supply, and what a crop takes of it."""

from __future__ import annotations

from torch import Tensor

from torchcrop.functions.switches import Number, Switches

__all__ = ["fixed", "mineralised", "uptake"]

# A crop that fixes nearly all of its nitrogen takes a little from the soil [-].
_SMALLEST_SOIL_SHARE = 0.02


def uptake(switches: Switches, demanded: Tensor, available: Tensor, open_: Tensor) -> Tensor:
    """Uptake from the soil, the smaller of demand and available amount [g m-2 d-1].

    Parameters
    ----------
    demanded, available : Tensor
        [g m-2]; neither is negative.
    open_ : Tensor
        Share of the day on which the crop takes up nutrients [-].
    """
    return switches.min(demanded, available) * open_


def fixed(switches: Switches, taken_up: Tensor, fixation: Tensor) -> Tensor:
    """Nitrogen fixation that goes with an uptake from the soil [g m-2 d-1].

    ``uptake NFIXF / (1 - NFIXF)``: the share of both that is fixed is NFIXF.
    """
    return taken_up * fixation / switches.max(1 - fixation, _SMALLEST_SOIL_SHARE)


def mineralised(switches: Switches, left: Tensor, at_start: Tensor, rate: Number, open_: Tensor) -> Tensor:
    """Mineralisation, a share of the amount at the start, as long as any is left [g m-2 d-1]."""
    return switches.min(rate * at_start * open_, left)
