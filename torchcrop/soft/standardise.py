"""Standardised and squashed values: what makes a softness mean the same for numbers of any size.

Along the axis ``z = logistic((x - mean) / sd)`` with ``sd = sqrt(var + 1e-6)`` and the biased variance: z lies in
(0, 1), does not change when x is scaled or shifted, and draws outliers in.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Added to the variance. [unit of x, squared]
FLOOR = 1e-6


@dataclass(frozen=True)
class Standardised:
    """Values of an axis and the way back.

    Attributes
    ----------
    z : Tensor
        Shape ``[..., n]``, in (0, 1).
    mean, deviation : Tensor
        Of the last axis, shape ``[..., 1]``. [unit of x]
    """

    z: Tensor
    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, x: Tensor, share: Tensor | None = None) -> Standardised:
        """Standardise and squash along the last axis; derivatives flow through mean and deviation.

        `share`, of the shape of x and with the sum 1, weighs the elements in both.
        """
        if x.shape[-1] == 0:
            return cls(x, x.sum(-1, keepdim=True), x.sum(-1, keepdim=True))
        # Squares of 1e30 are beyond float32: the variance is formed of x in units of its largest entry, to the next
        # power of two, by which nothing is rounded.
        largest = x.detach().abs().amax(-1, keepdim=True).clamp(min=1)
        unit = largest / torch.frexp(largest).mantissa
        scaled = x / unit
        mean = _mean(scaled, share)
        centred = scaled - mean
        # What is left of the floor in that unit, but not less than the rounding of the entries.
        floor = (FLOOR / unit / unit).clamp(min=torch.finfo(x.dtype).eps ** 2)
        deviation = torch.sqrt(_mean(centred * centred, share) + floor)
        return cls(torch.sigmoid(centred / deviation), mean * unit, deviation * unit)

    def restore(self, y: Tensor) -> Tensor:
        """Return squashed values in the unit of x, held off 0 and 1 where the logit has no end."""
        edge = max(1e-10, 10 * torch.finfo(y.dtype).eps)
        return torch.logit(y.clamp(edge, 1 - edge)) * self.deviation + self.mean


def _mean(values: Tensor, share: Tensor | None) -> Tensor:
    return values.mean(-1, keepdim=True) if share is None else (values * share).sum(-1, keepdim=True)
