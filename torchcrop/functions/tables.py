"""Tables: piecewise-linear and smooth look-up, with batched ordinates.

`Table` is FST's FUNCTION. It is read by `afgen` (linear interpolation), `window_mean` (mean of the linear
interpolant over an interval: a stage table over a day) and `cspline` (natural cubic spline through the
same points). All are differentiable with respect to query, ordinates and breakpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from torchcrop.functions.registry import function

__all__ = ["Table", "afgen", "cspline", "window_mean"]


class Table:
    """Points of a piecewise-linear function.

    Parameters
    ----------
    x : Tensor
        Breakpoints, strictly increasing, ``[n]`` or ``[B, n]``, n >= 2.
    y : Tensor
        Ordinates, ``[n]`` (shared) or ``[B, n]`` (one row per simulation).
    ends : {"hold", "extrapolate"}
        Outside the breakpoints: hold the end value (default, as WOFOST's AFGEN does), or extrapolate the
        end segment (as TTUTIL's LINT does).
    """

    __slots__ = ("_slopes", "ends", "x", "y")

    def __init__(self, x: Tensor, y: Tensor, ends: str = "hold") -> None:
        self.x = x
        self.y = y
        self.ends = ends
        self._slopes: Tensor | None = None

    @classmethod
    def from_pairs(cls, pairs: Any, ends: str = "hold", name: str = "table") -> Table:
        """Build from ``[(x, y), ...]`` or from FST's flat ``[x1, y1, x2, y2, ...]``.

        Raises
        ------
        ValueError
            If there are fewer than two points, an odd number of values, a value that is not finite, or
            breakpoints that do not increase; the text names the table and the first offending value.
        """
        if ends not in ("hold", "extrapolate"):
            raise ValueError(f"{name}: ends is {ends!r}; expected 'hold' or 'extrapolate'")
        flat = torch.as_tensor(_flatten(pairs, name), dtype=torch.float64)
        x, y = flat[0::2], flat[1::2]
        if len(x) < 2:
            raise ValueError(f"{name} has {len(x)} point; a table needs at least two")
        if not bool(torch.isfinite(flat).all()):
            raise ValueError(f"{name} contains a value that is not finite: {flat.tolist()}")
        wrong = torch.nonzero(x[1:] <= x[:-1])
        if len(wrong):
            i = int(wrong[0])
            raise ValueError(
                f"{name}: breakpoints must increase, but {x[i + 1].item():g} follows {x[i].item():g} (point {i + 2})"
            )
        return cls(x, y, ends)

    def prepared(self) -> Table:
        """Return the same table with its slopes computed once, for many look-ups in one graph."""
        new = Table(self.x, self.y, self.ends)
        new._slopes = self.slopes
        return new

    @property
    def slopes(self) -> Tensor:
        """Slopes of the segments, ``[..., n-1]``."""
        if self._slopes is not None:
            return self._slopes
        return (self.y[..., 1:] - self.y[..., :-1]) / (self.x[..., 1:] - self.x[..., :-1])

    def replace(self, x: Tensor | None = None, y: Tensor | None = None) -> Table:
        """Return a table with other breakpoints or ordinates."""
        return Table(self.x if x is None else x, self.y if y is None else y, self.ends)

    def scaled(self, factor: Tensor | float) -> Table:
        """Return the table with its ordinates multiplied by a factor, ``[]`` or ``[B]``."""
        factor = torch.as_tensor(factor, dtype=self.y.dtype, device=self.y.device)
        return self.replace(y=self.y * factor[..., None])

    def pairs(self) -> list[tuple[float, float]]:
        """Points as Python numbers; a shared table only."""
        if self.x.dim() != 1 or self.y.dim() != 1:
            raise ValueError(f"the table is batched, ordinates {tuple(self.y.shape)}: take one row first")
        return list(zip(self.x.tolist(), self.y.tolist(), strict=True))

    def __repr__(self) -> str:
        return f"Table(x{list(self.x.shape)}, y{list(self.y.shape)}, {self.ends!r})"


pytree.register_pytree_node(
    Table,
    lambda t: ([t.x, t.y, t._slopes], t.ends),
    lambda values, ends: _rebuild(values, ends),
    serialized_type_name="torchcrop.functions.tables.Table",
)


def _rebuild(values: Any, ends: Any) -> Table:
    x, y, slopes = values
    new = Table(x, y, ends)
    new._slopes = slopes
    return new


def _flatten(pairs: Any, name: str) -> list[float]:
    if isinstance(pairs, Tensor) or hasattr(pairs, "tolist"):
        pairs = pairs.tolist()
    flat: list[float] = []
    for item in pairs:
        if isinstance(item, Sequence) and not isinstance(item, str):
            if len(item) != 2:
                raise ValueError(f"{name}: a point is (x, y), got {list(item)!r}")
            flat.extend(float(v) for v in item)
        else:
            flat.append(float(item))
    if len(flat) % 2:
        raise ValueError(f"{name} has {len(flat)} values; a list x1, y1, x2, y2, ... has an even number")
    return flat


# --- linear look-up -------------------------------------------------------------------------------------


def _segment(x: Tensor, query: Tensor) -> Tensor:
    """Index of the segment of each query, 0 ... n-2; at a breakpoint the right one. Shape of the query."""
    return (query[..., None] >= x[..., 1:-1]).sum(-1)


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """Take ``values[..., index]`` row by row, or from the one shared row."""
    if values.dim() == 1:
        return values[index]
    return torch.take_along_dim(values, index.expand(values.shape[:-1])[..., None], -1).squeeze(-1)


def _held(table: Table, query: Tensor) -> Tensor:
    if table.ends == "extrapolate":
        return query
    return torch.maximum(table.x[..., 0], torch.minimum(table.x[..., -1], query))


def _d_afgen(table: Table, query: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    n = table.x.shape[-1]
    held = _held(table, query)
    index = _segment(table.x, held)
    left = torch.nn.functional.one_hot(index, n).to(query.dtype)
    right = torch.nn.functional.one_hot(index + 1, n).to(query.dtype)
    slope = _pick(table.slopes, index)
    along = (held - _pick(table.x, index)) / (_pick(table.x, index + 1) - _pick(table.x, index))
    by_y = left * (1 - along)[..., None] + right * along[..., None]
    if table.ends == "hold":
        inside = _half(query - table.x[..., 0]) * _half(table.x[..., -1] - query)
    else:
        inside = torch.ones_like(query)
    # Moving a breakpoint tilts its segment; a query held at an end stays on that breakpoint.
    by_x = -(left * (1 - along)[..., None] + right * along[..., None]) * slope[..., None]
    if table.ends == "hold":
        first = torch.nn.functional.one_hot(torch.zeros_like(index), n).to(query.dtype)
        last = torch.nn.functional.one_hot(torch.full_like(index, n - 1), n).to(query.dtype)
        at_first = (_half(table.x[..., 0] - query) * slope)[..., None]
        at_last = (_half(query - table.x[..., -1]) * slope)[..., None]
        by_x = by_x + first * at_first + last * at_last
    return by_x, by_y, slope * inside


def _half(x: Tensor) -> Tensor:
    return ((x > 0).to(x.dtype) + (x >= 0).to(x.dtype)) / 2


@function(derivative=_d_afgen)
def afgen(table: Table, query: Tensor) -> Tensor:
    """Linear interpolation in a table.

    Parameters
    ----------
    table : Table
        Shared or batched.
    query : Tensor
        Scalar or ``[B]``.

    Returns
    -------
    Tensor
        Broadcast shape of query and batch. At a breakpoint the derivative is that of the right segment, at
        a held end the half of the end segment's.
    """
    held = _held(table, query)
    index = _segment(table.x, held)
    if table.y.dim() > 1 or table.x.dim() > 1:
        index = index.expand(torch.broadcast_shapes(index.shape, table.x.shape[:-1], table.y.shape[:-1]))
    return _pick(table.y, index) + _pick(table.slopes, index) * (held - _pick(table.x, index))


# --- mean over a window ---------------------------------------------------------------------------------


def _ramps(table: Table, start: Tensor, length: Tensor) -> Tensor:
    """Means of ``max(0, u - x_i)`` over the window, ``[..., n]``."""
    low = (start[..., None] - table.x).clamp(min=0)
    high = ((start + length)[..., None] - table.x).clamp(min=0)
    return (high - low) * (high + low) / (2 * length[..., None])


def _d_window_mean(table: Table, start: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    n = table.x.shape[-1]
    mean = _ramps(table, start, length)
    low = start[..., None] - table.x
    high = (start + length)[..., None] - table.x
    # r_i(start, length): its derivatives follow from r = (Q(high) - Q(low)) / length with Q' = max(0, .)
    d_start = (high.clamp(min=0) - low.clamp(min=0)) / length[..., None]
    d_length = (high.clamp(min=0) - mean) / length[..., None]
    slopes = table.slopes
    width = table.x[..., 1:] - table.x[..., :-1]
    mean_step = mean[..., :-1] - mean[..., 1:]
    share = mean_step / width
    zero = torch.zeros_like(share[..., :1])
    by_y = torch.cat([zero, share], -1) - torch.cat([share, zero], -1)
    by_y = by_y + torch.nn.functional.one_hot(torch.zeros(by_y.shape[:-1], dtype=torch.long), n).to(by_y.dtype)
    by_start = (slopes * (d_start[..., :-1] - d_start[..., 1:])).sum(-1)
    by_length = (slopes * (d_length[..., :-1] - d_length[..., 1:])).sum(-1)
    tilt = slopes * share
    jump = torch.cat([slopes, zero], -1) - torch.cat([zero, slopes.expand_as(share)], -1)
    by_x = torch.cat([tilt, zero], -1) - torch.cat([zero, tilt], -1) - jump * d_start
    return by_x, by_y, by_start, by_length


@function(derivative=_d_window_mean)
def window_mean(table: Table, start: Tensor, length: Tensor) -> Tensor:
    """Mean of the linear interpolant over ``[start, start + length]``, the ends held.

    With ``Q(u) = max(u, 0)^2 / 2`` and ``r_i = (Q(b - x_i) - Q(a - x_i)) / (b - a)`` the mean is
    ``y_0 + sum_i slope_i (r_i - r_{i+1})``: once continuously differentiable in the window, linear in the
    ordinates (so fractions that sum to one still do, to round-off), and a jump between two neighbouring
    breakpoints becomes ordinary.

    Parameters
    ----------
    table : Table
        Shared or batched. A table that extrapolates is extrapolated.
    start, length : Tensor
        Window, scalar or ``[B]``; the length is positive.
    """
    if table.ends == "extrapolate":
        middle = start + length / 2
        inner = _ramps(Table(table.x[..., 1:-1], table.y), start, length)
        bends = table.slopes[..., 1:] - table.slopes[..., :-1]
        return table.y[..., 0] + table.slopes[..., 0] * (middle - table.x[..., 0]) + (bends * inner).sum(-1)
    mean = _ramps(table, start, length)
    return table.y[..., 0] + (table.slopes * (mean[..., :-1] - mean[..., 1:])).sum(-1)


# --- natural cubic spline -------------------------------------------------------------------------------


def _curvatures(x: Tensor, y: Tensor) -> Tensor:
    """Second derivatives of the natural cubic spline at its knots, ``[..., n]``; zero at both ends."""
    h = x[..., 1:] - x[..., :-1]
    slope = (y[..., 1:] - y[..., :-1]) / h
    if x.shape[-1] == 2:
        return torch.zeros_like(y + x)
    system = (
        torch.diag_embed((h[..., :-1] + h[..., 1:]) / 3)
        + torch.diag_embed(h[..., 1:-1] / 6, offset=1)
        + torch.diag_embed(h[..., 1:-1] / 6, offset=-1)
    )
    right = slope[..., 1:] - slope[..., :-1]
    inner = torch.linalg.solve(system.expand(*right.shape[:-1], *system.shape[-2:]), right[..., None]).squeeze(-1)
    return torch.nn.functional.pad(inner, (1, 1))


def _d_cspline(table: Table, query: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    def value(x: Tensor, y: Tensor, q: Tensor) -> Tensor:
        return cspline.body(Table(x, y, table.ends), q)

    shape = torch.broadcast_shapes(query.shape, table.x.shape[:-1], table.y.shape[:-1])
    n = table.x.shape[-1]
    x = table.x.expand(*shape, n).reshape(-1, n)
    y = table.y.expand(*shape, n).reshape(-1, n)
    by_x, by_y, by_q = torch.func.vmap(torch.func.jacrev(value, argnums=(0, 1, 2)))(x, y, query.expand(shape).reshape(-1))
    return by_x.reshape(*shape, n), by_y.reshape(*shape, n), by_q.reshape(shape)


@function(derivative=_d_cspline)
def cspline(table: Table, query: Tensor) -> Tensor:
    """Natural cubic spline through the points of a table (FST's CSPLIN).

    Outside the breakpoints the end value is held, or the end tangent followed (``ends="extrapolate"``).
    Differentiable with respect to query, ordinates and breakpoints.
    """
    x, y = table.x, table.y
    curvature = _curvatures(x, y)
    inside = torch.maximum(x[..., 0], torch.minimum(x[..., -1], query))
    index = _segment(x, inside)
    if y.dim() > 1 or x.dim() > 1:
        index = index.expand(torch.broadcast_shapes(index.shape, x.shape[:-1], y.shape[:-1]))
    x0, x1 = _pick(x, index), _pick(x, index + 1)
    y0, y1 = _pick(y, index), _pick(y, index + 1)
    c0, c1 = _pick(curvature, index), _pick(curvature, index + 1)
    h = x1 - x0
    p, q = (x1 - inside) / h, (inside - x0) / h
    value = p * y0 + q * y1 + ((p**3 - p) * c0 + (q**3 - q) * c1) * h**2 / 6
    if table.ends == "hold":
        return value
    tangent = (y1 - y0) / h + ((1 - 3 * p**2) * c0 + (3 * q**2 - 1) * c1) * h / 6
    return value + tangent * (query - inside)
