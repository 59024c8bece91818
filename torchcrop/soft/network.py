"""Soft sort by a sorting network of soft comparators (``method="sorting_network"``).

A bitonic network [1]_ sorts 2^k wires in k (k + 1) / 2 stages, each of which compares every wire with one other. A soft
comparator of two wires a and b has the share sigma = S(a - b), S the soft step, and gives

    low  = sigma b + (1 - sigma) a
    high = sigma a + (1 - sigma) b.

All outputs are thus convex mixes of the inputs [2]_: the same mixes of the unit matrix are the matrix of the sort.

Here wires are the first axis, and a stage is one step over all its comparators.

References
----------
.. [1] Batcher, K. E. (1968). Sorting networks and their applications. AFIPS Spring Joint Computer Conference.
.. [2] Petersen, F., Borgelt, C., Kuehne, H., Deussen, O. (2021). Differentiable Sorting Networks for Scalable Sorting
   and Ranking Supervision. ICML 38.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from torchcrop.soft.curves import Shape, step

__all__ = ["network_matrix", "network_sorted"]


def network_sorted(
    z: Tensor, softness: float | Tensor, mode: str, descending: bool = False, pad: float | None = None
) -> Tensor:
    """Sort softly along the last axis.

    Parameters
    ----------
    z : Tensor
        Shape [..., n].
    softness : float or Tensor
        Greater than 0; a tensor has size 1 along the last axis. [unit of z]
    mode : str
        ``smooth``, ``c0``, ``c1`` or ``c2``.
    descending : bool
        Whether the largest comes first.
    pad : float, optional
        What fills the wires above n, up to a power of two (at least 2). A number takes part like any other input, and
        mixes into the result; it belongs above all of z. None (default) is above everything: its comparators are
        decided, the pad's wire is known beforehand and nothing of it can enter.

    Returns
    -------
    Tensor
        Shape [..., n]; with ``pad=None`` the sum of a row is that of z's.

    Notes
    -----
    Memory O(n) in each of O(log(n)^2) stages. Half precision is computed in float32.
    """
    return _outputs(_network(z, softness, mode, pad)[0][: z.shape[-1]], z, descending)


def network_matrix(
    z: Tensor, softness: float | Tensor, mode: str, descending: bool = False, pad: float | None = None
) -> tuple[Tensor, Tensor]:
    """Sort softly along the last axis, with the weights of the inputs in every output.

    Parameters
    ----------
    z, softness, mode, descending, pad
        As in `network_sorted`.

    Returns
    -------
    values : Tensor
        Shape [..., n]; those of `network_sorted`.
    matrix : Tensor
        Shape [..., n, n]; row i holds the weights of z in output i, and its sum is 1. The weights of pads are left out
        and the others divided by their sum: with ``pad=None``, or n a power of two, matrix times z is values.
    """
    n = z.shape[-1]
    unit = torch.eye(_wires(n), n, dtype=torch.promote_types(z.dtype, torch.float32), device=z.device)
    unit = unit.reshape(_wires(n), *(1,) * (z.ndim - 1), n).expand(_wires(n), *z.shape[:-1], n)
    values, mixes = _network(z, softness, mode, pad, unit)
    weights = mixes[:n]
    # The sum is 0 only where pads took all the weight: nothing is left to share out.
    weights = weights / weights.sum(-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    return _outputs(values[:n], z, descending), _outputs(weights, z, descending, axis=-2)


def _network(
    z: Tensor, softness: float | Tensor, mode: str, pad: float | None, unit: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the wires, shape [wires, ...], after the last stage, and what its mixes make of a unit matrix.

    A pad above everything is no number, but a wire known beforehand: which wires hold pads after a stage does not
    depend on z, and follows from the same comparators applied to a mark.
    """
    n = z.shape[-1]
    values = z.to(torch.promote_types(z.dtype, torch.float32)).movedim(-1, 0)
    wires = _wires(n)
    values = torch.cat([values, values.new_full((wires - n, *values.shape[1:]), 0.0 if pad is None else pad)])
    marks = None
    if pad is None and wires > n:
        marks = torch.arange(wires, device=z.device).ge(n).to(values.dtype).reshape(wires, *(1,) * (z.ndim - 1))
    if isinstance(softness, Tensor) and softness.ndim > 0:
        softness = softness.movedim(-1, 0)
    shape = Shape.of(mode, softness)
    mixes = values.new_zeros(0) if unit is None else unit
    for half, up in _stages(wires, values):
        low, high = _sides(values, half)
        share = step(up * (low - high), shape)
        if marks is not None:
            one, other = _sides(marks, half)
            decided = (up * (one - other)).clamp(min=0)
            share = share * ((1 - one) * (1 - other)) + decided
            marks = _mixed(marks, half, decided)
        values = _mixed(values, half, share)
        if unit is not None:
            mixes = _mixed(mixes, half, share.unsqueeze(-1))
    return values, mixes


def _wires(n: int) -> int:
    return max(2, 1 << (n - 1).bit_length()) if n else 0


def _stages(wires: int, like: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield half of the length of a stage's groups, and for each group 1 (low first) or -1 (high first).

    Wires i and i + half of a group of 2 half wires are compared.
    """
    length = 2
    while length <= wires:
        half = length // 2
        while half:
            group = torch.arange(wires // (2 * half), device=like.device)
            up = 1 - 2 * ((group * (2 * half) // length) % 2)
            yield half, up.to(like.dtype).reshape(-1, 1, *(1,) * (like.ndim - 1))
            half //= 2
        length *= 2


def _sides(x: Tensor, half: int) -> tuple[Tensor, Tensor]:
    """Return the two wires of every comparator, each of shape [groups, half, ...]."""
    first, second = x.reshape(x.shape[0] // (2 * half), 2, half, *x.shape[1:]).unbind(1)
    return first, second


def _mixed(x: Tensor, half: int, share: Tensor) -> Tensor:
    """Return the wires after a stage that swaps those of every comparator by a share."""
    first, second = _sides(x, half)
    # Not first + share (second - first): a share of 1 has to be an exact swap.
    kept = 1 - share
    return torch.stack([share * second + kept * first, share * first + kept * second], 1).flatten(0, 2)


def _outputs(wires: Tensor, z: Tensor, descending: bool, axis: int = -1) -> Tensor:
    """Return wires as an axis of the result, in z's dtype."""
    outputs = (wires.flip(0) if descending else wires).movedim(0, axis)
    return outputs.to(z.dtype)
