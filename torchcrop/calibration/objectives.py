"""Objectives: how the distance between simulation and observation is counted. Small values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Concentrated", "LeastSquares", "Objective"]

# Mean square below this share of the observations' variance counts as this share: a perfect fit of one variable would
# otherwise outweigh all others.
_SMALLEST_SHARE = 1e-6


class Objective(ABC):
    """What a calibration minimises."""

    @abstractmethod
    def __call__(self, residuals: Sequence[Tensor], spreads: Sequence[Tensor]) -> Tensor:
        """Objective of the residuals (simulated less observed) of each variable.

        Parameters
        ----------
        residuals : sequence of Tensor
            One per variable, ``[n_j]``, in the variable's unit.
        spreads : sequence of Tensor
            Per variable the scale of its residuals, ``[n_j]``: the given standard deviations, or the observations' own.
        """


@dataclass(frozen=True)
class LeastSquares(Objective):
    """Mean square of the residuals, each in units of its spread; every variable counts the same.

    ``sum_j mean_i (r_ij / s_ij)^2``
    """

    def __call__(self, residuals: Sequence[Tensor], spreads: Sequence[Tensor]) -> Tensor:
        return torch.stack([((r / s) ** 2).mean() for r, s in zip(residuals, spreads, strict=True)]).sum()


@dataclass(frozen=True)
class Concentrated(Objective):
    """Likelihood with an unknown variance per variable, profiled out: ``sum_j n_j / 2 ln(SS_j / n_j)``.

    The default where several variables are observed: no weight has to be chosen.
    """

    def __call__(self, residuals: Sequence[Tensor], spreads: Sequence[Tensor]) -> Tensor:
        terms = []
        for r, s in zip(residuals, spreads, strict=True):
            mean_square = ((r / s) ** 2).mean()
            terms.append(r.numel() / 2 * torch.log(mean_square + _SMALLEST_SHARE))
        return torch.stack(terms).sum()
