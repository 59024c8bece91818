"""Where a quantile lies between two order statistics."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from torchcrop.soft.checks import floating, one_of

INTERPOLATIONS = ("linear", "lower", "higher", "nearest", "midpoint")


@dataclass(frozen=True)
class Place:
    """The rank below each quantile, and the share of the next.

    Attributes
    ----------
    low : Tensor
        Shape ``[Q]``, integers from 0 to n - 1.
    share : Tensor or None
        Shape ``[Q]``, from 0 to 1, of the rank after `low`; None where one order statistic is the quantile.
    scalar : bool
        Whether the caller asked for one quantile, not a list.
    """

    low: Tensor
    share: Tensor | None
    scalar: bool

    @classmethod
    def of(cls, operator: str, q: Tensor | float, size: int, interpolation: str, like: Tensor) -> Place:
        """Find the place of quantiles among `size` elements.

        Parameters
        ----------
        operator : str
            For the messages.
        q : float or Tensor
            A number or a one-dimensional tensor; held to [0, 1]. Derivatives flow to a tensor.
        size : int
            Number of elements, at least 1.
        interpolation : str
            As in `torch.quantile`.
        like : Tensor
            Gives dtype and device.

        Raises
        ------
        ValueError
            If q has two dimensions or more, or the interpolation is unknown.
        """
        one_of(operator, "interpolation", interpolation, INTERPOLATIONS)
        if isinstance(q, Tensor):
            q = floating(operator, "q", q).to(device=like.device)
        else:
            q = torch.tensor(q, dtype=torch.float64, device=like.device)
        if q.ndim > 1:
            raise ValueError(f"{operator}: q has shape {tuple(q.shape)}; it must be a number or one-dimensional")
        place = q.reshape(-1).clamp(0, 1) * (size - 1)
        below = place.detach().floor()
        low = below.long().clamp(0, size - 1)
        if interpolation == "lower":
            return cls(low, None, q.ndim == 0)
        if interpolation == "higher":
            return cls(place.detach().ceil().long(), None, q.ndim == 0)
        if interpolation == "nearest":
            return cls(place.detach().round().long(), None, q.ndim == 0)
        share = place - below
        if interpolation == "midpoint":
            whole = torch.isclose(place.detach(), place.detach().round())
            low = torch.minimum(low + (whole & (share.detach() > 0.5)).long(), torch.full_like(low, size - 1))
            share = (~whole).to(share.dtype) / 2
        return cls(low, share.to(like.dtype), q.ndim == 0)

    def mixed(self, neighbours: Tensor, dim: int, *, log: bool = False) -> Tensor:
        """Mix two rows, or take the one: the dimension `dim` of length 1 or 2 goes; Q stands before it."""
        first = neighbours.select(dim, 0)
        if self.share is None:
            return first
        share = self.share.to(neighbours.dtype)
        share = share.reshape(-1, *[1] * (-dim - 1))
        second = neighbours.select(dim, 1)
        if log:
            return torch.logaddexp(torch.log1p(-share) + first, torch.log(share) + second)
        return (1 - share) * first + share * second

    @property
    def single(self) -> bool:
        """Whether one order statistic is the quantile."""
        return self.share is None
