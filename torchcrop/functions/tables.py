"""Tables: piecewise-linear and smooth look-up, with batched ordinates.

`Table` is FST's FUNCTION. It is read by `afgen` (linear interpolation), `window_mean` (mean of the linear
interpolant over an interval: a stage table over a day) and `cspline` (natural cubic spline through the
same points). All are differentiable with respect to query, ordinates and breakpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad
from torch.utils import _pytree as pytree

from torchcrop.functions.registry import function
from torchcrop.functions.smoothing import _as_tensors, _half

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

    __slots__ = ("_shelf", "_slopes", "ends", "x", "y")

    def __init__(self, x: Tensor, y: Tensor, ends: str = "hold") -> None:
        self.x = x
        self.y = y
        self.ends = ends
        self._slopes: Tensor | None = None
        self._shelf: tuple[Shelf, int] | None = None

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

    def map(self, fn: Callable[[Tensor], Tensor]) -> Table:
        """Apply a function to every tensor."""
        new = Table(fn(self.x), fn(self.y), self.ends)
        new._slopes = None if self._slopes is None else fn(self._slopes)
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


def _leaves(table: Table) -> tuple[list[Tensor], str]:
    return [table.x, table.y] if table._slopes is None else [table.x, table.y, table._slopes], table.ends


def _rebuild(values: Any, ends: Any) -> Table:
    x, y, *slopes = values
    new = Table(x, y, ends)
    new._slopes = slopes[0] if slopes else None
    return new


pytree.register_pytree_node(Table, _leaves, _rebuild, serialized_type_name="torchcrop.functions.tables.Table")


def _flatten(pairs: Any, name: str) -> list[float]:
    if isinstance(pairs, Tensor) or hasattr(pairs, "tolist"):
        pairs = pairs.tolist()
    values: list[Any] = []
    for item in pairs:
        if isinstance(item, Sequence) and not isinstance(item, str):
            if len(item) != 2:
                raise ValueError(f"{name}: a point is (x, y), got {list(item)!r}")
            values.extend(item)
        else:
            values.append(item)
    flat: list[float] = []
    for value in values:
        try:
            flat.append(float(value))
        except (TypeError, ValueError):
            raise ValueError(f"{name} contains {value!r}, which is not a number") from None
    if len(flat) % 2:
        raise ValueError(f"{name} has {len(flat)} values; a list x1, y1, x2, y2, ... has an even number")
    return flat


class Shelf:
    """Several tables of one abscissa, side by side, so that they are read together.

    Reading nine stage tables one by one costs nine times the dispatch of reading them together. Tables are
    padded to one length by points that contribute nothing.

    Parameters
    ----------
    tables : sequence of Table
        Prepared, all with ends held; shared or batched.
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        longest = max(t.x.shape[-1] for t in tables)
        columns = [_padded(t, longest) for t in tables]
        self.x, self.y, self.slopes = (_side_by_side(parts) for parts in zip(*columns, strict=True))
        # at and beyond its last breakpoint a table's derivative is that of its last segment
        ends = [t.slopes[..., -1:].expand(*t.slopes.shape[:-1], longest - t.slopes.shape[-1]) for t in tables]
        self.right = _side_by_side([torch.cat([t.slopes, e], -1) for t, e in zip(tables, ends, strict=True)])
        self.first = self.x[..., 0]
        self.last = _side_by_side([t.x[..., -1:] for t in tables]).squeeze(-1)

    @classmethod
    def prepare(cls, tables: Sequence[Table]) -> list[Table]:
        """Prepare tables and put those that hold their ends on a common shelf."""
        prepared = [t.prepared() for t in tables]
        held = [t for t in prepared if t.ends == "hold"]
        if len(held) > 1:
            shelf = cls(held)
            for i, t in enumerate(held):
                t._shelf = (shelf, i)
        return prepared

    @staticmethod
    def of(tables: Sequence[Table]) -> tuple[Shelf, list[int]] | None:
        """Give the shelf on which all the tables stand, and their places, or None."""
        places = [t._shelf for t in tables]
        if any(p is None or places[0] is None or p[0] is not places[0][0] for p in places):
            return None
        return places[0][0], [p[1] for p in places if p is not None]  # type: ignore[index]

    def read(self, query: Tensor) -> tuple[Tensor, ...]:
        """`afgen` of each table, in the order of the shelf."""
        held = torch.maximum(self.first, torch.minimum(self.last, query[..., None]))
        index = _last_passed(self.x, held)[..., None]
        shape = torch.broadcast_shapes(index.shape[:-1], self.y.shape[:-1])
        index = index.expand(*shape, 1)

        def pick(values: Tensor) -> Tensor:
            return values.expand(*shape, values.shape[-1]).gather(-1, index).squeeze(-1)

        return (pick(self.y) + pick(self.right) * (held - pick(self.x))).unbind(-1)

    def means(self, start: Tensor, length: Tensor | float) -> tuple[Tensor, ...]:
        """`window_mean` of each table, in the order of the shelf."""
        start, length = _as_tensors(start, length)
        _, _, mean = _segment_means(self.x, start[..., None], length[..., None])
        return (self.y[..., 0] + (self.slopes * mean).sum(-1)).unbind(-1)


def _padded(table: Table, length: int) -> tuple[Tensor, Tensor, Tensor]:
    missing = length - table.x.shape[-1]
    beyond = torch.arange(1, missing + 1, dtype=table.x.dtype, device=table.x.device)
    x = torch.cat([table.x, table.x[..., -1:] + beyond], -1)
    y = torch.cat([table.y, table.y[..., -1:].expand(*table.y.shape[:-1], missing)], -1)
    return x, y, pad(table.slopes, (0, missing))


def _side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """Stack the tables of a shelf: ``[n, points]``, or ``[B, n, points]`` if any is batched."""
    batch = torch.broadcast_shapes(*(p.shape[:-1] for p in parts))
    return torch.stack([p.expand(*batch, p.shape[-1]) for p in parts], -2)


# --- linear look-up -------------------------------------------------------------------------------------


def _last_passed(x: Tensor, query: Tensor) -> Tensor:
    """Index of the last breakpoint that each query has reached, 0 (also where none is) to n-1."""
    return (query[..., None] >= x[..., 1:]).sum(-1)


def _segment(x: Tensor, query: Tensor) -> Tensor:
    """Index of the segment of each query, 0 to n-2; at a breakpoint the right one."""
    return (query[..., None] >= x[..., 1:-1]).sum(-1)


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """Take ``values[..., index]`` row by row, or from the one shared row."""
    if values.dim() == 1:
        # Indexing by a 0-d tensor reads it as a Python number, which vmap refuses.
        return values[index] if index.dim() else values[index[None]].squeeze(0)
    # Queries may have days before the batch, which the tables have not.
    shape = torch.broadcast_shapes(index.shape, values.shape[:-1])
    return torch.take_along_dim(values.expand(*shape, -1), index.expand(shape)[..., None], -1).squeeze(-1)


def _held(table: Table, query: Tensor) -> Tensor:
    if table.ends == "extrapolate":
        return query
    return torch.maximum(table.x[..., 0], torch.minimum(table.x[..., -1], query))


def _d_afgen(table: Table, query: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    n = table.x.shape[-1]
    held = _held(table, query)
    index = _segment(table.x, held)
    left = one_hot(index, n).to(query.dtype)
    right = one_hot(index + 1, n).to(query.dtype)
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
        first = one_hot(torch.zeros_like(index), n).to(query.dtype)
        last = one_hot(torch.full_like(index, n - 1), n).to(query.dtype)
        at_first = (_half(table.x[..., 0] - query) * slope)[..., None]
        at_last = (_half(query - table.x[..., -1]) * slope)[..., None]
        by_x = by_x + first * at_first + last * at_last
    return by_x, by_y, slope * inside


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
    # From the last breakpoint passed, so that the value at every breakpoint is the ordinate to the last digit.
    index = _last_passed(table.x, held)
    if table.y.dim() > 1 or table.x.dim() > 1:
        index = index.expand(torch.broadcast_shapes(index.shape, table.x.shape[:-1], table.y.shape[:-1]))
    slope = _pick(table.slopes, index.clamp(max=table.x.shape[-1] - 2))
    return _pick(table.y, index) + slope * (held - _pick(table.x, index))


# --- mean over a window ---------------------------------------------------------------------------------


def _segment_means(x: Tensor, start: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means over the window of each segment's ``min(max(u - x_i, 0), x_i+1 - x_i)``, ``[..., n-1]``.

    Also, first, the start less each breakpoint and the share of the window beyond each, ``[..., n]``. Where the
    window begins at a breakpoint every part has its derivative from the left, so that their sum is C1.
    """
    low = start[..., None] - x
    length = length[..., None]
    share = 1 - (low / -length).clamp(0, 1)
    before = torch.where(low[..., 1:] > 0, x[..., 1:] - x[..., :-1], torch.relu(low[..., :-1]))
    square = share * share
    return low, share, before + (square[..., :-1] - square[..., 1:]) * (length / 2)


def _outside(low: Tensor, share: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Means over the window of ``min(u - x_0, 0)`` and of ``max(u - x_last, 0)``."""
    first, last = low[..., 0], low[..., -1]
    short = 1 - share[..., 0]
    left = torch.where(short >= 1, first + length / 2, -length * short**2 / 2)
    right = torch.relu(last) + length * share[..., -1] ** 2 / 2
    return left, right


def _d_window_mean(table: Table, start: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    start, length = _as_tensors(start, length)
    low, share, mean = _segment_means(table.x, start, length)
    slopes = table.slopes
    width = table.x[..., 1:] - table.x[..., :-1]
    part = mean / width
    by_y = pad(part, (1, 0), value=1.0) - pad(part, (0, 1))
    # A moved breakpoint tilts the segments on its left and on its right.
    by_x = -pad(slopes * (part - share[..., 1:]), (1, 0)) - pad(slopes * (share[..., :-1] - part), (0, 1))
    by_start = (slopes * (share[..., :-1] - share[..., 1:])).sum(-1)
    curve = share - share**2 / 2
    by_length = (slopes * (curve[..., :-1] - curve[..., 1:])).sum(-1)
    if table.ends == "extrapolate":
        left, right = _outside(low, share, length)
        first, last = slopes[..., 0], slopes[..., -1]
        by_start = by_start + first * (1 - share[..., 0]) + last * share[..., -1]
        by_length = by_length + first * (0.5 - curve[..., 0]) + last * curve[..., -1]
        rest = table.x.shape[-1] - 2
        at_left = (left / width[..., 0])[..., None] * low.new_tensor([-1.0, 1.0])
        at_right = (right / width[..., -1])[..., None] * low.new_tensor([-1.0, 1.0])
        by_y = by_y + pad(at_left, (0, rest)) + pad(at_right, (rest, 0))
        at_left = -first[..., None] * (at_left + pad(1 - share[..., :1], (0, 1)))
        at_right = -last[..., None] * (at_right + pad(share[..., -1:], (1, 0)))
        by_x = by_x + pad(at_left, (0, rest)) + pad(at_right, (rest, 0))
    return by_x, by_y, by_start, by_length


@function(derivative=_d_window_mean)
def window_mean(table: Table, start: Tensor, length: Tensor) -> Tensor:
    """Mean of the linear interpolant over ``[start, start + length]``, the ends held.

    With ``m_i`` the mean over the window of ``min(max(u - x_i, 0), x_i+1 - x_i)``, the mean of the interpolant is
    ``y_0 + sum_i slope_i m_i``: once continuously differentiable in the window, linear in the ordinates (so
    fractions that sum to one still do, to round-off), and a jump between two neighbouring breakpoints becomes
    ordinary. No difference of large numbers is taken, so a short window or a steep segment costs no digits.

    Parameters
    ----------
    table : Table
        Shared or batched. A table that extrapolates is extrapolated.
    start, length : Tensor
        Window, scalar or ``[B]``; the length is positive.
    """
    start, length = _as_tensors(start, length)
    low, share, mean = _segment_means(table.x, start, length)
    slopes = table.slopes
    result = table.y[..., 0] + (slopes * mean).sum(-1)
    if table.ends == "extrapolate":
        left, right = _outside(low, share, length)
        result = result + slopes[..., 0] * left + slopes[..., -1] * right
    return result


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
    return pad(inner, (1, 1))


def _d_cspline(table: Table, query: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    def value(x: Tensor, y: Tensor, q: Tensor) -> Tensor:
        return cspline.body(Table(x, y, table.ends), q)

    shape = torch.broadcast_shapes(query.shape, table.x.shape[:-1], table.y.shape[:-1])
    n = table.x.shape[-1]
    x = table.x.expand(*shape, n).reshape(-1, n)
    y = table.y.expand(*shape, n).reshape(-1, n)
    by_x, by_y, by_q = torch.func.vmap(torch.func.jacrev(value, argnums=(0, 1, 2)))(
        x, y, query.expand(shape).reshape(-1)
    )
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
