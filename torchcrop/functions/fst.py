"""The functions of FST, the Fortran Simulation Translator, under a run's switches.

Argument order and behaviour at zero are FST's (Rappoldt & van Kraalingen 1996, FST version 2.0, QASA 5): under
`Hard` each function is the original. Under `Smooth` what jumps is smoothed on the mandatory natural `scale`.

Each function takes the `Switches` of the run first. TTUTIL's conventions: INSW takes its second branch at zero, REAAND
and REANOR test strictly, LIMIT has the order low, high, x.
"""

from __future__ import annotations

from torch import Tensor

from torchcrop.functions.smoothing import _as_tensors, choose, is_zero
from torchcrop.functions.switches import Hard, Switches
from torchcrop.functions.tables import Table
from torchcrop.functions.tables import afgen as _afgen
from torchcrop.functions.tables import cspline as _cspline

__all__ = ["afgen", "cspline", "fcnsw", "insw", "limit", "max", "min", "notnul", "reaand", "reanor"]

Number = Tensor | float


def insw(switches: Switches, x: Tensor, below: Number, above: Number, scale: Number) -> Tensor:
    """INSW(x, below, above): `below` where x < 0, else `above`."""
    return switches.select(x, below, above, scale)


def fcnsw(switches: Switches, x: Tensor, below: Number, zero: Number, above: Number, scale: Number) -> Tensor:
    """FCNSW(x, below, zero, above): `below` where x < 0, `zero` where x == 0, `above` where x > 0.

    A smooth run passes from `below` through `zero` (half way, at x = 0) to `above`.
    """
    if isinstance(switches, Hard):  # as blended shares a branch not taken would count, if infinite (a / x at 0)
        return choose(x, below, choose(-x, above, zero))
    reached, passed = switches.step(x, scale), switches.step(x, scale, strict=True)
    # Hard: reached - passed is 1 exactly at zero. Smooth: both are one sigmoid s; 4 s (1 - s) peaks at zero.
    at = reached - passed + 4 * reached * (1 - passed) * (1 - (reached - passed) ** 2)
    return at * zero + (1 - at) * ((1 - passed) * below + passed * above)


def limit(switches: Switches, low: Number, high: Number, x: Number) -> Tensor:
    """LIMIT(low, high, x): `x` limited to [low, high].

    Raises
    ------
    ValueError
        If `low` and `high` are numbers and low > high.
    """
    if isinstance(low, float | int) and isinstance(high, float | int) and low > high:
        raise ValueError(f"LIMIT: low {low} is above high {high}; the order is LIMIT(low, high, x)")
    return switches.limit(low, high, x)


def notnul(switches: Switches, x: Tensor) -> Tensor:
    """NOTNUL(x): x, but 1 where x is exactly zero (a guard of denominators, the same in every mode)."""
    return x + is_zero(x)


def reaand(switches: Switches, a: Tensor, b: Tensor, scale: Number) -> Tensor:
    """REAAND(a, b): 1 where a > 0 and b > 0, else 0."""
    return switches.step(a, scale, strict=True) * switches.step(b, scale, strict=True)


def reanor(switches: Switches, a: Tensor, b: Tensor, scale: Number) -> Tensor:
    """REANOR(a, b): 1 where a <= 0 and b <= 0, else 0."""
    return (1 - switches.step(a, scale, strict=True)) * (1 - switches.step(b, scale, strict=True))


def afgen(switches: Switches, table: Table, x: Tensor) -> Tensor:
    """AFGEN(table, x): linear interpolation; the ends as the table says."""
    return _afgen(table, x)


def cspline(switches: Switches, table: Table, x: Tensor) -> Tensor:
    """CSPLIN(table, x): natural cubic spline through the points of the table."""
    return _cspline(table, x)


def min(switches: Switches, a: Number, b: Number, *more: Number) -> Tensor:
    """MIN(a, b, ...): the smallest."""
    first, *others = _as_tensors(a, b, *more)
    for value in others:
        first = switches.min(first, value)
    return first


def max(switches: Switches, a: Number, b: Number, *more: Number) -> Tensor:
    """MAX(a, b, ...): the largest."""
    first, *others = _as_tensors(a, b, *more)
    for value in others:
        first = switches.max(first, value)
    return first
