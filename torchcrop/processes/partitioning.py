"""Partitioning of growth among organs."""

from __future__ import annotations

import torch
from torch import Tensor

from torchcrop.functions.smoothing import exceeds, is_zero
from torchcrop.functions.switches import Switches

__all__ = ["drought_shift", "nitrogen_shift", "root_multiplier"]


def root_multiplier(switches: Switches, transpiration_ratio: Tensor) -> Tensor:
    """Factor of the root fraction under drought, ``max(1, 1 / (TRANRF + 0.5))``."""
    return switches.max(1 / (transpiration_ratio + 0.5), 1.0)


def drought_shift(switches: Switches, roots: Tensor, transpiration_ratio: Tensor) -> tuple[Tensor, Tensor]:
    """Shift of growth to the roots under drought (LINTUL2).

    Parameters
    ----------
    roots : Tensor
        Fraction of growth to roots without drought [-].
    transpiration_ratio : Tensor
        TRANRF [-].

    Returns
    -------
    roots, factor : Tensor
        Root fraction ``FRT' = FRT m`` and the factor ``(1 - FRT') / (1 - FRT' / m)`` of the other fractions, so
        that the sum of all stays 1.
    """
    multiplier = root_multiplier(switches, transpiration_ratio)
    shifted = roots * multiplier
    return shifted, (1 - shifted) / (1 - shifted / multiplier)


def nitrogen_shift(leaves: Tensor, effect: Tensor, nitrogen_index: Tensor) -> tuple[Tensor, Tensor]:
    """Shift of growth from leaves to all other organs under nitrogen stress (LINTUL3).

    Parameters
    ----------
    leaves : Tensor
        Fraction of growth to leaves without stress [-].
    effect : Tensor
        NPART [-].
    nitrogen_index : Tensor
        NNI [-].

    Returns
    -------
    leaves, factor : Tensor
        Leaf fraction ``FLV' = FLV exp(-NPART (1 - NNI))`` and the factor ``(1 - FLV') / (1 - FLV)`` of the other
        fractions, so that the sum of all stays 1. Where all growth goes to leaves nothing is shifted (the original
        divides 0 by 0).
    """
    others = 1 - leaves
    moved = exceeds(others) * leaves * (1 - torch.exp(-effect * (1 - nitrogen_index)))
    return leaves - moved, 1 + moved / (others + is_zero(others))
