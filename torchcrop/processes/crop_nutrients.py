"""Nutrients in the crop: nutrition index, demand, uptake and translocation of LINTUL3 and LINTUL5.

One set of equations for nitrogen, phosphorus and potassium: tensors may have a leading dimension of nutrients,
``[3, B]``. Organs are leaves, stems and roots, which take nutrients up, and storage organs, which are filled from them.
Shibu et al. 2010, European Journal of Agronomy 32: 255-271; Wolf 2012, User guide for LINTUL5.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from torchcrop.functions.smoothing import is_zero
from torchcrop.functions.switches import Number, Switches

__all__ = [
    "NUTRIENTS",
    "Organs",
    "Status",
    "demand",
    "nutrition_index",
    "shared",
    "status",
    "to_storage",
    "translocatable",
]

NUTRIENTS = ("nitrogen", "phosphorus", "potassium")

_SMALLEST_INDEX = 0.001


class Organs(NamedTuple):
    """A quantity of leaves, stems and roots."""

    leaves: Tensor
    stems: Tensor
    roots: Tensor

    @property
    def total(self) -> Tensor:
        """Sum over the organs."""
        return self.leaves + self.stems + self.roots


class Status(NamedTuple):
    """A nutrient in the crop at the start of a day [g m-2]."""

    held: Organs
    residual: Organs
    largest: Organs
    nutrition: Tensor
    """Nutrition index [-]."""


def status(
    switches: Switches,
    held: Organs,
    matter: Organs,
    residual: Organs,
    largest_leaves: Tensor,
    stems_to_leaves: Tensor,
    roots_to_leaves: Tensor,
    optimal_share: Tensor,
) -> Status:
    """What a crop holds of a nutrient against what it needs.

    Parameters
    ----------
    held, matter : Organs
        Nutrient and dry matter of leaves, stems and roots [g m-2].
    residual : Organs
        Residual concentrations [g g-1].
    largest_leaves : Tensor
        Largest concentration of leaves at the crop's stage [g g-1].
    stems_to_leaves, roots_to_leaves : Tensor
        That of stems and of roots over it [-].
    optimal_share : Tensor
        Optimal over largest concentration of leaves and stems [-].
    """
    left = Organs(*(concentration * mass for concentration, mass in zip(residual, matter, strict=True)))
    largest = Organs(
        largest_leaves * matter.leaves,
        largest_leaves * stems_to_leaves * matter.stems,
        largest_leaves * roots_to_leaves * matter.roots,
    )
    index = nutrition_index(
        switches, held.leaves + held.stems, left.leaves + left.stems, optimal_share * (largest.leaves + largest.stems)
    )
    return Status(held, left, largest, index)


def nutrition_index(switches: Switches, content: Tensor, residual: Tensor, optimal: Tensor) -> Tensor:
    """Nutrition index of leaves and stems: 0.001 (at residual concentrations) to 1 (not short) [-].

    Parameters
    ----------
    content : Tensor
        Nutrient of leaves and stems [g m-2].
    residual, optimal : Tensor
        What they would hold at residual and at optimal concentrations [g m-2].

    Notes
    -----
    ``(n - n_residual) / (n_optimal - n_residual)`` of concentrations, whose common denominator, the dry matter,
    cancels.
    """
    span = optimal - residual
    return switches.limit(_SMALLEST_INDEX, 1.0, (content - residual) / (span + is_zero(span)))


def demand(switches: Switches, largest: Organs, content: Organs) -> Organs:
    """What organs lack to their maximum content, not negative [g m-2]; both by organ."""
    return Organs(*(switches.positive(most - held) for most, held in zip(largest, content, strict=True)))


def translocatable(switches: Switches, content: Organs, residual: Organs, root_share: Number) -> Organs:
    """What organs can give to the storage organs [g m-2].

    Leaves and stems: what exceeds their residual content. Roots: at most `root_share` of that; less, even negative,
    where the roots hold less than their residual content.
    """
    leaves = switches.positive(content.leaves - residual.leaves)
    stems = switches.positive(content.stems - residual.stems)
    roots = switches.min((leaves + stems) * root_share, content.roots - residual.roots)
    return Organs(leaves, stems, roots)


def to_storage(switches: Switches, lacking: Tensor, available: Organs, time: Number, open_: Tensor) -> Organs:
    """Translocation from leaves, stems and roots to the storage organs [g m-2 d-1].

    Parameters
    ----------
    lacking : Tensor
        What the storage organs lack to their maximum content [g m-2].
    available : Organs
        What the organs can give [g m-2].
    time : Tensor
        Time coefficient of translocation [d].
    open_ : Tensor
        Share of the day on which the storage organs are supplied [-].
    """
    total = available.total
    # The share stands outside the minimum: inside it, a demand that rests at 0 would hide whether they are supplied.
    flow = open_ * switches.min(lacking, total) / time
    return shared(flow, available, total)


def shared(flow: Tensor, weights: Organs, total: Tensor) -> Organs:
    """Divide a flow among organs by weights that sum to `total`; none where that is 0."""
    each = flow / (total + is_zero(total))
    return Organs(each * weights.leaves, each * weights.stems, each * weights.roots)
