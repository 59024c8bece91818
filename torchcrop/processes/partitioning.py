"""Partitioning of growth among organs."""

from __future__ import annotations

from torch import Tensor

from torchcrop.functions.switches import Switches

__all__ = ["drought_shift", "root_multiplier"]


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
