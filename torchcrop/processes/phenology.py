"""Development: temperature sums, emergence and the juvenile stage.

`ONE_WARM_DAY` is the fixed natural scale of every event on a temperature sum. A fixed scale, not the day's
own increment: that vanishes on cold days, and the derivative of a date to its threshold would explode.
"""

from __future__ import annotations

import torch
from torch import Tensor

from torchcrop.functions.switches import Number, Switches

__all__ = ["ONE_WARM_DAY", "effective_temperature", "emergence", "lai_clock", "mean_temperature", "one_day"]

ONE_WARM_DAY = 15.0
"""Temperature sum of one warm day [degC d]."""

ONE_DAY = 1.0
"""Scale of a threshold on a date [d]."""

# Added to the leaf area before its logarithm, which is asked for before emergence too.
_SMALLEST_LAI = 1e-9


def mean_temperature(tmin: Tensor, tmax: Tensor) -> Tensor:
    """Mean temperature of a day, ``(tmin + tmax) / 2`` [degC]."""
    return (tmin + tmax) / 2


def effective_temperature(switches: Switches, tmean: Tensor, base: Tensor) -> Tensor:
    """Mean temperature above a base, ``max(0, tmean - base)`` [degC]."""
    return switches.positive(tmean - base)


def one_day(switches: Switches, day: Tensor, date: Tensor) -> Tensor:
    """Share of a day after a date; both are day numbers [d].

    Under Smooth a little of a whole date's first day falls on the day before; the shares of all days sum to the days
    of Hard exactly, if the run starts a day before the date.
    """
    return switches.crossed(day, date, ONE_DAY, now=1.0)


def emergence(due: Tensor, emerged: Tensor) -> tuple[Tensor, Tensor]:
    """Emergence on a day, when it is due on a share of it.

    Parameters
    ----------
    due : Tensor
        Share of the day on which the conditions of emergence hold [-].
    emerged : Tensor
        Share of the crop that has emerged before [-].

    Returns
    -------
    present, pulse : Tensor
        Share of the crop that is present today, and what of it emerges today; the pulses of a season sum to 1.
    """
    pulse = due * (1 - emerged)
    return emerged + pulse, pulse


def lai_clock(lai: Tensor, relative_growth: Tensor) -> Tensor:
    """Temperature sum that a juvenile leaf area stands for, ``ln(LAI) / RGRL`` [degC d].

    Juvenile leaf area grows exponentially with temperature, so that a threshold on it is an event on this clock, whose
    increment is the effective temperature.
    """
    return torch.log(lai + _SMALLEST_LAI) / relative_growth


def photoperiod_factor(sensitive: Tensor, flowered: Tensor, factor: Tensor) -> Tensor:
    """Multiplier of development: `factor` for a sensitive crop until it flowers, else 1."""
    return 1 + sensitive * (1 - flowered) * (factor - 1)


def stage_rate(anthesis: Tensor, tsum1: Tensor, tsum2: Tensor) -> Tensor:
    """Development stage per temperature sum: 1/TSUM1 before anthesis, 1/TSUM2 after [(degC d)-1]."""
    return (1 - anthesis) / tsum1 + anthesis / tsum2


def warm_stages(tsum1: Tensor, tsum2: Tensor) -> tuple[Tensor, Tensor]:
    """Progress of the stage on one warm day, before anthesis and after it [-]."""
    return ONE_WARM_DAY / tsum1, ONE_WARM_DAY / tsum2


def warm_day_of_stage(rate: Tensor) -> Number:
    """Scale of an event on the development stage: its progress on one warm day [-]."""
    return ONE_WARM_DAY * rate
