"""Bijections between bounded parameters and the unbounded numbers that an optimiser moves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Box"]


@dataclass(frozen=True, eq=False)
class Box:
    """Scaled logit: ``x = lower + (upper - lower) sigmoid(u)``.

    Parameters
    ----------
    lower, upper : Tensor
        Bounds, ``[P]``, in the parameters' units.
    """

    lower: Tensor
    upper: Tensor

    def natural(self, latent: Tensor) -> Tensor:
        """Parameters ``[..., P]`` of latent values."""
        return self.lower + (self.upper - self.lower) * torch.sigmoid(latent)

    def latent(self, natural: Tensor, margin: float = 0.05) -> Tensor:
        """Latent values of parameters, held `margin` of the range away from the bounds, where a sigmoid is flat."""
        share = ((natural - self.lower) / (self.upper - self.lower)).clamp(margin, 1 - margin)
        return torch.logit(share)

    def share(self, natural: Tensor) -> Tensor:
        """Place within the bounds, 0 to 1."""
        return (natural - self.lower) / (self.upper - self.lower)
