"""Soft sort and soft rank as projections onto the permutahedron (``method="fast_soft_sort"``).

The permutahedron of w is the convex hull of its permutations. The projection of ``z / softness`` onto it, after
Blondel et al. [1]_, is the solution of an isotonic regression: with both vectors in descending order there is a
partition into blocks of neighbours, and within a block B

=======  =====================================  =======================================
mode     result                                 v of the block
=======  =====================================  =======================================
smooth   z - v                                  logsumexp(z_B) - logsumexp(w_B)
c0       z - v                                  mean(z_B) - mean(w_B)
c1       sign(z - v) abs(z - v)^2               sum of the results over B = sum of w_B
c2       sign(z - v) abs(z - v)^3               sum of the results over B = sum of w_B
=======  =====================================  =======================================

and v falls from block to block. The partition is piecewise constant in z and w: an operator of its own finds it, on
detached tensors. The values of the blocks are then written in differentiable torch operators, so derivatives of every
order follow.

References
----------
.. [1] Blondel, M., Teboul, O., Berthet, Q., Djolonga, J. (2020). Fast Differentiable Sorting and Ranking. ICML 37.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["projected", "soft_ranks", "soft_sorted"]

#: Exponent r of the modes whose result is sign(z - v) abs(z - v)^r.
_EXPONENT = {"c1": 2, "c2": 3}
# Sweeps of the plain algorithm before that of mergers.
_SWEEPS = 6
# Newton steps between bounds that at worst halve: more than a float64 has bits.
_MOST_STEPS = 100
# The bounds of a root are given to about this many units in the last place of a float64.
_TOLERANCE = 4 * torch.finfo(torch.float64).eps
# Sums of abs(z - v)^r below this count as 0: their inverse must be a float32.
_NEGLIGIBLE = 1e-30


def projected(z: Tensor, w: Tensor, softness: float | Tensor, mode: str) -> Tensor:
    """Project ``z / softness`` onto the permutahedron of w.

    The result is in the order of z. In modes c0, c1 and c2 its sum is that of w, in mode smooth the sum of its
    exponentials is that of w's. As the softness goes to 0 it becomes w, permuted into the order of z.

    Parameters
    ----------
    z : Tensor
        Shape [..., n]; what gives the order. [unit of the softness]
    w : Tensor
        Shape [n] or [..., n]; broadcasts with z. [unit of the result]
    softness : float or Tensor
        Greater than 0; a tensor has size 1 along the last axis.
    mode : str
        ``smooth``, ``c0``, ``c1`` or ``c2``.

    Returns
    -------
    Tensor
        Shape [..., n], in z's dtype.

    Notes
    -----
    Half precision is computed in float32. Memory O(n); the blocks are found in O(log n) rounds.
    """
    working = torch.promote_types(z.dtype, torch.float32)
    scaled, target = torch.broadcast_tensors(z.to(working) / softness, w.to(working))
    ordered, order = torch.sort(scaled, dim=-1, descending=True, stable=True)
    result = _projected_in_order(ordered, torch.sort(target, dim=-1, descending=True).values, mode)
    return torch.zeros_like(result).scatter(-1, order, result).to(z.dtype)


def soft_sorted(z: Tensor, softness: float | Tensor, mode: str, descending: bool = False) -> Tensor:
    """Sort softly along the last axis: the anchors 0, ..., 1 projected onto the permutahedron of z.

    Parameters
    ----------
    z : Tensor
        Shape [..., n].
    softness : float or Tensor
        Greater than 0; a tensor has size 1 along the last axis. [1]
    mode : str
        ``smooth``, ``c0``, ``c1`` or ``c2``.
    descending : bool
        Whether the largest comes first.

    Returns
    -------
    Tensor
        Shape [..., n], in the unit of z: exactly sorted where the softness is small against 1 / (n - 1) over the
        differences of z.
    """
    working = torch.promote_types(z.dtype, torch.float32)
    n = z.shape[-1]
    anchors = torch.arange(n - 1, -1, -1, dtype=working, device=z.device) / max(n - 1, 1)
    values, target = torch.sort(z.to(working), dim=-1, descending=True).values, anchors / softness
    target, values = torch.broadcast_tensors(target, values)
    result = _projected_in_order(target, values, mode)
    return (result if descending else result.flip(-1)).to(z.dtype)


def soft_ranks(z: Tensor, softness: float | Tensor, mode: str, descending: bool = True) -> Tensor:
    """Rank softly along the last axis: z projected onto the permutahedron of the ranks 1, ..., n.

    Parameters
    ----------
    z : Tensor
        Shape [..., n].
    softness : float or Tensor
        Greater than 0; a tensor has size 1 along the last axis. [unit of z]
    mode : str
        ``smooth``, ``c0``, ``c1`` or ``c2``.
    descending : bool
        Whether the largest has rank 1.

    Returns
    -------
    Tensor
        Shape [..., n], 1-based.

    Notes
    -----
    Ranks are projected in units of n - 1, and so is their softness.
    """
    working = torch.promote_types(z.dtype, torch.float32)
    steps = max(z.shape[-1] - 1, 1)
    ranks = torch.arange(1, z.shape[-1] + 1, dtype=working, device=z.device) / steps
    wide = z.to(working)
    return (steps * projected(-wide if descending else wide, ranks, softness, mode)).to(z.dtype)


def _projected_in_order(z: Tensor, w: Tensor, mode: str) -> Tensor:
    """Project z onto the permutahedron of w, both of one shape [..., n] and descending."""
    start, root = isotonic_blocks(z.detach(), w.detach(), mode)
    # Differences from the first of the block, a constant, are exact however large z is.
    difference = z - z.detach().gather(-1, start)
    if mode == "c0":
        return difference + _block_sum(w - difference, start) / _block_sum(torch.ones_like(z), start)
    if mode == "smooth":
        largest = w.detach().gather(-1, start)
        z_sum, w_sum = _block_sum(difference.exp(), start), _block_sum((w - largest).exp(), start)
        return difference - z_sum.log() + (largest + w_sum.log())
    return _power_blocks(difference - root, w, start, _EXPONENT[mode])


def _power_blocks(difference: Tensor, w: Tensor, start: Tensor, exponent: int) -> Tensor:
    """Return sign(d - t) abs(d - t)^r with the t near 0 of each block that makes its sum that of w.

    t is found already: difference is taken from it. Two Newton steps from t = 0, in units of the block's own size,
    repeat it as a function of z and w, with its first three derivatives. Where the size is 0 (a block of equal z whose
    w sum to 0), that function has no derivative, but the result has: it is the mean of w, as in every block of one.
    """
    total, count = _block_sum(w, start), _block_sum(torch.ones_like(w), start)
    power = _block_sum(difference.detach().abs() ** exponent, start)
    curved = ((count > 1) & (power > _NEGLIGIBLE)).to(w.dtype)
    power = power * curved + (1 - curved)
    scaled = curved * difference / power ** (1 / exponent)
    needed = curved * total / power
    shift = torch.zeros_like(w)
    for _ in range(2):
        excess = _block_sum(_signed_power(scaled - shift, exponent), start) - needed
        shift = shift + excess / (_block_sum(_slope(scaled - shift, exponent), start) + (1 - curved))
    return power * curved * _signed_power(scaled - shift, exponent) + (1 - curved) * total / count


def _signed_power(x: Tensor, exponent: int) -> Tensor:
    return x * x.abs() if exponent == 2 else x * x * x


def _slope(x: Tensor, exponent: int) -> Tensor:
    return 2 * x.abs() if exponent == 2 else 3 * x * x


def _block_sum(x: Tensor, start: Tensor) -> Tensor:
    """Sum x over blocks, and give every element the sum of its block."""
    return torch.zeros_like(x).scatter_add(-1, start, x).gather(-1, start)


# ---------------------------------------------------------------------------------------------------------------------
# The partition. An operator, because its loops end when the data say so.
# ---------------------------------------------------------------------------------------------------------------------


@torch.library.custom_op("torchcrop::isotonic_blocks", mutates_args=())
def isotonic_blocks(z: Tensor, w: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    """Find the blocks of the isotonic regression of z against w.

    Pool adjacent violators, in all rows at once: neighbouring blocks along which v rises become one. A few such sweeps
    do for most data. Where they would take long (one block swallows its neighbours one by one), the stretches along
    which v falls are merged two by two instead. What a merger pools is one block around the cut between the two, and
    its v is a root: the blocks left of the cut with v below the root belong to it, and those right of it above.

    Parameters
    ----------
    z, w : Tensor
        Shape [..., n], descending along the last axis.
    mode : str
        ``smooth``, ``c0``, ``c1`` or ``c2``.

    Returns
    -------
    start : Tensor
        Shape [..., n], int64; for each element the place of the first of its block.
    root : Tensor
        Shape [..., n]; v of the block, from z of its first element.
    """
    if z.numel() == 0:
        return torch.zeros_like(z, dtype=torch.int64), torch.zeros_like(z)
    # A row with a NaN has no order and its result is NaN whatever its blocks; in place of it, any number.
    wide_z, wide_w = (t.to(torch.float64).nan_to_num(0.0, 1e300, -1e300).reshape(-1) for t in (z, w))
    start, root = torch.arange(z.numel(), device=z.device), -_inverse(wide_w, mode)
    rows = _Rows(wide_z, wide_w, start, root, z.shape[-1], mode)
    for sweep in itertools.count():
        rises = _rises(rows)
        if not rises.any():
            break
        _pool(rows, _chains(rows, rises) if sweep < _SWEEPS else _pairs(rows, rises))
    return (start % rows.n).reshape(z.shape), root.to(z.dtype).reshape(z.shape)


@isotonic_blocks.register_fake
def _(z: Tensor, w: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    return z.new_empty(z.shape, dtype=torch.int64), z.new_empty(z.shape)


@isotonic_blocks.register_vmap
def _(info: Any, in_dims: Any, z: Tensor, w: Tensor, mode: str) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    rows = [t if d is None else t.movedim(d, 0) for t, d in zip((z, w), in_dims, strict=False)]
    return isotonic_blocks(*torch.broadcast_tensors(*rows), mode), (0, 0)


class _Rows(NamedTuple):
    """All rows one after the other, each tensor of shape [rows * n], and the blocks found so far.

    Attributes
    ----------
    z, w : Tensor
        Float64.
    start : Tensor
        Place of the first of an element's block. Changes in place.
    root : Tensor
        v of an element's block, from z of its first. Changes in place.
    n : int
    mode : str
    """

    z: Tensor
    w: Tensor
    start: Tensor
    root: Tensor
    n: int
    mode: str


class _Choice(NamedTuple):
    """What decides whether the elements belong to their pool, each of shape [elements].

    Attributes
    ----------
    value : Tensor
        v of the block that the element is in.
    right : Tensor
        Whether the element belongs to the pool if its v is above the pool's, rather than below.
    certain : Tensor
        Whether it belongs to the pool in any case.
    """

    value: Tensor
    right: Tensor
    certain: Tensor

    def belongs(self, v: Tensor) -> Tensor:
        difference = self.value - v
        return self.certain | torch.where(self.right, difference > 0, difference < 0)


class _Pools(NamedTuple):
    """Blocks to be formed, and the elements that may belong to them, in order.

    Attributes
    ----------
    element : Tensor
        Shape [elements]; places in the rows.
    pool : Tensor
        Shape [elements]; number of the pool.
    origin : Tensor
        Shape [pools]; the z from which z and v are counted.
    low, high : Tensor
        Shape [pools]; bounds of v.
    choice : _Choice or None
        None if all elements belong to their pool.
    """

    element: Tensor
    pool: Tensor
    origin: Tensor
    low: Tensor
    high: Tensor
    choice: _Choice | None = None

    def total(self, x: Tensor) -> Tensor:
        return x.new_zeros(self.low.shape).index_add(0, self.pool, x)

    def largest(self, x: Tensor) -> Tensor:
        return x.new_zeros(self.low.shape).scatter_reduce(0, self.pool, x, "amax", include_self=False)

    def chosen(self, v: Tensor) -> Tensor:
        """Return the elements that belong to a pool with this v."""
        if self.choice is None:
            return torch.ones_like(self.element, dtype=torch.bool)
        return self.choice.belongs(_at(v, self.pool))


def _at(x: Tensor, place: Tensor) -> Tensor:
    # A quarter of the time of x[place].
    return x.index_select(0, place)


def _where(mask: Tensor) -> Tensor:
    return mask.nonzero()[:, 0]


def _inverse(w: Tensor, mode: str) -> Tensor:
    """Return the z - v of a block of one whose result is w."""
    return w.sign() * w.abs() ** (1 / _EXPONENT[mode]) if mode in _EXPONENT else w


def _value(rows: _Rows, place: Tensor, origin: Tensor) -> Tensor:
    """Return v of the block at a place, from an origin on the axis of z."""
    return _at(rows.root, place) + (_at(rows.z, _at(rows.start, place)) - origin)


def _rises(rows: _Rows) -> Tensor:
    """Return where v of a block is above that of the block before it in the row."""
    place = torch.arange(1, rows.start.numel(), device=rows.start.device)
    # v of the block before, less v of this one: the two large parts first.
    fall = (_at(rows.z, rows.start[:-1]) - rows.z[1:]) + (rows.root[:-1] - rows.root[1:])
    rises = torch.zeros_like(rows.start, dtype=torch.bool)
    rises[1:] = (fall < 0) & (rows.start[1:] == place)
    rises[:: rows.n] = False
    return rises


def _chains(rows: _Rows, rises: Tensor) -> _Pools:
    """Return the longest chains of blocks along which v rises: each is one block of the solution, or a part of one."""
    before = torch.zeros_like(rises)
    before[_at(rows.start, _where(rises) - 1)] = True
    chained = rises | before
    opens = before & ~rises
    element = _where(_at(chained, rows.start))
    pool = _at(opens.to(torch.int64).cumsum(0), element) - 1
    first = _where(opens)
    last = _where(chained & ~before)
    origin = _at(rows.z, last)
    return _Pools(element, pool, origin, _value(rows, first, origin), _at(rows.root, last))


def _pairs(rows: _Rows, rises: Tensor) -> _Pools:
    """Return neighbouring stretches between rises, the first with the second of a row, the third with the fourth."""
    number = rises.to(torch.int64).cumsum(0).reshape(-1, rows.n)
    odd = ((number - number[:, :1]) % 2 == 1).reshape(-1)
    opens = rises & ~odd
    opens[:: rows.n] = True
    pair = opens.to(torch.int64).cumsum(0) - 1
    cut = _where(rises & odd)
    complete = torch.zeros_like(pair, dtype=torch.bool)
    complete[_at(pair, cut)] = True
    element = _where(_at(complete, pair))
    pool = _at(complete.to(torch.int64).cumsum(0) - 1, _at(pair, element))
    origin = _at(rows.z, cut)
    value = _value(rows, element, _at(origin, pool))
    right = element >= _at(cut, pool)
    # v of the two blocks at the cut bounds the root, and leaves few blocks that may belong to the pool.
    low, high = _value(rows, cut - 1, origin), _at(rows.root, cut)
    near = _where(torch.where(right, value >= _at(low, pool), value <= _at(high, pool)))
    element, pool, value, right = (_at(t, near) for t in (element, pool, value, right))
    certain = torch.where(right, value >= _at(high, pool), value <= _at(low, pool))
    return _Pools(element, pool, origin, low, high, _Choice(value, right, certain))


def _pool(rows: _Rows, pools: _Pools) -> None:
    """Form the pools' blocks, in place."""
    z, w = _at(rows.z, pools.element) - _at(pools.origin, pools.pool), _at(rows.w, pools.element)
    v = _root(pools, z, w, rows.mode)
    element, pool = pools.element, pools.pool
    if pools.choice is not None:
        inside = _where(_between(pools, pools.chosen(v)))
        element, pool = _at(element, inside), _at(pool, inside)
    first = element[torch.searchsorted(pool, torch.arange(v.numel(), device=v.device))]
    rows.start[element] = _at(first, pool)
    rows.root[element] = _at(v - (_at(rows.z, first) - pools.origin), pool)


def _between(pools: _Pools, chosen: Tensor) -> Tensor:
    """Return the chosen elements and those between them: rounding may leave out a block between two that belong."""
    inside = _where(chosen)
    element, pool = _at(pools.element, inside), _at(pools.pool, inside)
    ends = torch.zeros_like(pools.low, dtype=torch.int64)
    first = ends.scatter_reduce(0, pool, element, "amin", include_self=False)
    last = ends.scatter_reduce(0, pool, element, "amax", include_self=False)
    return (pools.element >= _at(first, pools.pool)) & (pools.element <= _at(last, pools.pool))


def _root(pools: _Pools, z: Tensor, w: Tensor, mode: str) -> Tensor:
    """Return v of every pool: Newton steps, and half the way between the bounds where they go astray."""
    low, high = pools.low, pools.high
    tolerance = _TOLERANCE * torch.maximum(low.abs(), high.abs())
    v, reach = (low + high) / 2, high - low
    for _ in range(_MOST_STEPS):
        step = _newton_step(pools, z, w, v, mode)
        if pools.choice is None and mode not in _EXPONENT:
            return v + step
        low, high = torch.where(step > 0, v, low), torch.where(step < 0, v, high)
        arrived = step.abs() <= tolerance
        on_course = (v + step > low) & (v + step < high) & (2 * step.abs() <= reach)
        moved = torch.where(arrived | on_course, v + step, (low + high) / 2)
        # What has arrived stays: no pool has a say in another's last digits.
        moved = torch.where(reach <= tolerance, v, moved)
        v, reach = moved, (moved - v).abs()
        if (reach <= tolerance).all():
            break
    return v


def _newton_step(pools: _Pools, z: Tensor, w: Tensor, v: Tensor, mode: str) -> Tensor:
    """Return the way from v to that of the blocks that would belong to each pool."""
    belongs = pools.chosen(v).to(z.dtype)
    if mode == "c0":
        return pools.total(belongs * (z - w)) / pools.total(belongs) - v
    if mode == "smooth":
        return _log_sum_exp(pools, z, belongs) - _log_sum_exp(pools, w, belongs) - v
    difference = z - _at(v, pools.pool)
    excess = pools.total(belongs * (_signed_power(difference, _EXPONENT[mode]) - w))
    slope = pools.total(belongs * _slope(difference, _EXPONENT[mode]))
    return excess / slope.clamp(min=torch.finfo(v.dtype).tiny)


def _log_sum_exp(pools: _Pools, x: Tensor, belongs: Tensor) -> Tensor:
    largest = pools.largest(x.masked_fill(belongs == 0, -torch.inf))
    return largest + pools.total(belongs * (x - _at(largest, pools.pool)).clamp(max=0).exp()).log()
