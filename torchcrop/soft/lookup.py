"""Look-ups in sorted values: a table of a function, the place of a value, a count per class.

The kinks of a table and the edges of classes are rounded with the soft step S and its antiderivative R
(`torchcrop.soft.curves`); the softness is a length on the axis of x.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from torchcrop.soft.checks import Softness, floating, lowest_visible
from torchcrop.soft.comparison import EPSILON
from torchcrop.soft.curves import Shape
from torchcrop.soft.elementwise import RAMP, STEP, shape_of

__all__ = ["histogram", "interp", "searchsorted"]


# --- tables ----------------------------------------------------------------------------------------------


def interp(x: Tensor, xp: Tensor, fp: Tensor, softness: Softness = None, mode: str = "smooth") -> Tensor:
    """Piecewise linear function through given points with rounded kinks, constant beyond the ends.

    With the slope c_k of the piece behind knot k, less that of the piece before it: ``fp_0 + sum_k c_k R(x - xp_k)``,
    FST's AFGEN as the softness goes to 0. A kink that is further from the others than its rounding reaches is off the
    corner by ``c_k R(0)`` at the knot, and not at all beyond ``5 softness`` in modes c0, c1, c2.

    Parameters
    ----------
    x : Tensor
        Any shape with one table; ``[..., M]`` with a table for each of the leading indices.
    xp : Tensor
        Places of the K >= 1 knots, increasing: shape ``[K]``, or ``[..., K]`` whose leading dimensions broadcast
        with those of `x` (and of `fp`). [unit of x]
    fp : Tensor
        Values at the knots, shape as `xp`. [any unit]
    softness : float or Tensor, optional
        Greater than 0; a tensor broadcasts with the result. Without: the default of `default_softness`, 0.1.
        [unit of x]
    mode : str
        See `sigmoidal`. The result has one derivative more than the mode's step. "hard": `numpy.interp`; at a knot
        half of either side's derivative.

    Returns
    -------
    Tensor
        Shape of x, its leading dimensions broadcast with those of the tables. Derivatives flow to x, xp, fp and
        softness. [unit of fp]

    Raises
    ------
    NotATensorError, TypeError
        If x, xp or fp is no tensor, or complex.
    ValueError
        If the shapes do not fit, there is no knot, the softness is not positive or the mode unknown; or if xp does
        not increase, which is looked at on the CPU, outside of `torch.compile` and `torch.func.vmap`.

    Notes
    -----
    One value for each table: ``interp(x[..., None], xp, fp)[..., 0]``. Soft modes need memory for M K elements.
    """
    (x, xp, fp), dtype = _one_type("interp", x=x, xp=xp, fp=fp)
    shape, _ = shape_of("interp", softness, mode, x)
    _check_table(xp, fp)
    if not xp.ndim == fp.ndim == 1:
        x, xp, fp = _in_step("interp", x, xp=xp, fp=fp)
    if xp.shape[-1] == 1:
        result = torch.lerp(fp, fp, 0 * x)
    elif shape is None:
        result = _linear(x, xp, fp, right=True) / 2 + _linear(x, xp, fp, right=False) / 2
    else:
        result = _linear(x, xp, fp, right=True) + _roundings(x, xp, fp, shape)
    return result.to(dtype)


def _linear(x: Tensor, xp: Tensor, fp: Tensor, *, right: bool) -> Tensor:
    """Interpolate in the piece behind (`right`) or before the knot where x is one."""
    last = xp.shape[-1] - 1
    count = _count_below(xp.detach(), x.detach(), right=right)
    piece = count.clamp(1, last)
    if xp.ndim == 1:
        low, high, start, end = xp[piece - 1], xp[piece], fp[piece - 1], fp[piece]
    else:
        low, high, start, end = (t.gather(-1, p) for t in (xp, fp) for p in (piece - 1, piece))
    after = count > last
    inside = ((count > 0) & ~after).to(x.dtype)
    # clamp lets the derivative through at its limits, where x may be on a knot and the piece an outer, constant one.
    return torch.lerp(start, end, ((x - low) / (high - low)).clamp(0, 1) * inside + after.to(x.dtype))


def _roundings(x: Tensor, xp: Tensor, fp: Tensor, shape: Shape) -> Tensor:
    """Return what the rounded kinks add to the table, ``sum_k c_k R(-|x - xp_k|)``.

    As ``R(d) = max(0, d) + R(-|d|)``, the table itself is not the sum of large terms that cancel. Signs from the
    comparison by which `_linear` takes its piece keep every derivative of the two together right where d is 0.
    """
    slopes = fp.diff(dim=-1) / xp.diff(dim=-1)
    constant = torch.zeros_like(slopes[..., :1])
    kinks = torch.cat([slopes, constant], -1) - torch.cat([constant, slopes], -1)
    distance = _differences(x, xp)
    above = (distance.detach() >= 0).to(x.dtype)
    rounding = RAMP((distance * (1 - 2 * above),), _of_pairs(shape))
    return torch.matmul(rounding, kinks[..., None])[..., 0]


def _check_table(xp: Tensor, fp: Tensor) -> None:
    for name, value in (("xp", xp), ("fp", fp)):
        if value.ndim == 0 or value.shape[-1] == 0:
            raise ValueError(f"interp: {name} has shape {tuple(value.shape)}; it must have at least one knot, [..., K]")
    if xp.shape[-1] != fp.shape[-1]:
        raise ValueError(
            f"interp: xp has {xp.shape[-1]} knots and fp {fp.shape[-1]}; each knot needs a place and a value"
        )
    smallest = lowest_visible(xp.detach().diff(dim=-1))
    if smallest is not None and not smallest > 0:
        raise ValueError(
            f"interp: xp must increase, its smallest step is {smallest}; sort the knots and merge those at one place"
        )


# --- counts ----------------------------------------------------------------------------------------------


def searchsorted(
    sorted_sequence: Tensor,
    values: Tensor,
    softness: Softness = None,
    mode: str = "smooth",
    right: bool = False,
) -> Tensor:
    """Soft number of elements below each value, ``sum_k S(value - sequence_k)``: the place to insert it.

    Parameters
    ----------
    sorted_sequence : Tensor
        Ascending, which is not looked at: shape ``[K]``, or ``[..., K]`` whose leading dimensions broadcast with
        those of `values`.
    values : Tensor
        Any shape with one sequence, else ``[..., M]``.
    softness : float or Tensor, optional
        Greater than 0; a tensor broadcasts with the result. Without: the default of `default_softness`, 0.1.
        [unit of the values]
    mode : str
        See `sigmoidal`. "hard": `torch.searchsorted` as floating-point numbers, without a derivative.
    right : bool
        Whether an element equal to the value counts, as the softness goes to 0. (By a shift of 1e-10, as in
        `greater_equal`: at a softness that is seen, an equal element counts one half.)

    Returns
    -------
    Tensor
        Shape of the values, their leading dimensions broadcast with those of the sequence; from 0 to K.

    Raises
    ------
    NotATensorError, TypeError
        If one of the two is no tensor, or complex.
    ValueError
        If the shapes do not fit, the softness is not positive or the mode unknown.
    """
    (x, edges), dtype = _one_type("searchsorted", values=values, sorted_sequence=sorted_sequence)
    shape, _ = shape_of("searchsorted", softness, mode, x)
    if edges.ndim == 0:
        raise ValueError("searchsorted: sorted_sequence has no dimension; it must have shape [..., K]")
    if edges.ndim > 1:
        x, edges = _in_step("searchsorted", x, sorted_sequence=edges)
    if shape is None:
        return _count_below(edges.detach(), x.detach(), right=right).to(dtype)
    share = STEP((_differences(x, edges) + (EPSILON if right else -EPSILON),), _of_pairs(shape))
    return share.sum(-1).to(dtype)


def histogram(
    x: Tensor,
    bins: Tensor | int,
    range: tuple[float, float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
    softness: Softness = None,
    mode: str = "smooth",
) -> Any:
    """Soft histogram along the last axis: ``sum_i w_i [S(x_i - e_b) - S(x_i - e_(b+1))]`` in the class from e_b.

    An element is spread as wide as the step, S'(x_i - e) at e: all classes together hold what of it lies between the
    outer edges.

    Parameters
    ----------
    x : Tensor
        Shape ``[..., n]``.
    bins : Tensor or int
        Edges of the B classes, ascending: ``[B + 1]``, or ``[..., B + 1]`` whose leading dimensions broadcast with
        those of `x`. Or the number of classes of equal width. [unit of x]
    range : tuple of float, optional
        Lowest and highest edge where `bins` is a number; without, the smallest and largest element of each slice.
        [unit of x]
    weight : Tensor, optional
        Of each element, broadcasts with x; without, 1.
    density : bool
        Divide by the sum over all classes and by their widths: the integral is 1.
    softness : float or Tensor, optional
        Greater than 0; a tensor broadcasts with x. Without: the default of `default_softness`, 0.1. [unit of x]
    mode : str
        See `sigmoidal`. "hard": `torch.histogram`, the highest edge belongs to its class; it has derivatives to the
        weights.

    Returns
    -------
    torch.return_types.histogram
        ``hist``, shape ``[..., B]``, and ``bin_edges``, shape ``[..., B + 1]``. Derivatives flow to x, edges, weight
        and softness.

    Raises
    ------
    NotATensorError, TypeError
        If x is no tensor, or one is complex.
    ValueError
        If there is no class, the shapes do not fit, a `range` goes with edges or is empty, the softness is not
        positive or the mode unknown.
    """
    given = [floating("histogram", "x", x)]
    given += [floating("histogram", "bins", bins)] if isinstance(bins, Tensor) else []
    named = {"x": given[0]} | ({"bins": given[1]} if len(given) > 1 else {})
    (values, *rest), dtype = _one_type("histogram", **named)
    shape, _ = shape_of("histogram", softness, mode, values)
    if values.ndim == 0:
        raise ValueError("histogram: x has no dimension; it must have shape [..., n]: x.reshape(1)")
    edges = _edges(values, rest[0] if rest else bins, range)
    if edges.ndim > 1:
        values, edges = _in_step("histogram", values, bins=edges)
    above = _above(values, edges, shape)
    shares = above[..., :-1] - above[..., 1:]
    if weight is None:
        counts = shares.sum(-2)
    else:
        heavy = floating("histogram", "weight", weight).to(values).expand(values.shape)
        counts = torch.matmul(heavy[..., None, :], shares)[..., 0, :]
    if density:
        counts = counts / counts.sum(-1, keepdim=True) / edges.diff(dim=-1)
    return torch.return_types.histogram((counts.to(dtype), edges.to(dtype)))


def _above(x: Tensor, edges: Tensor, shape: Shape | None) -> Tensor:
    """Return the share of each element above each edge, shape ``[..., n, B + 1]``."""
    distance = _differences(x, edges)
    if shape is not None:
        return STEP((distance,), _of_pairs(shape))
    last = torch.cat([torch.zeros_like(edges[..., 1:]), torch.ones_like(edges[..., :1])], -1)[..., None, :] > 0
    return ((distance > 0) | ((distance == 0) & ~last)).to(x.dtype)


def _edges(x: Tensor, bins: Tensor | int, range: tuple[float, float] | None) -> Tensor:
    if isinstance(bins, Tensor):
        if range is not None:
            raise ValueError(f"histogram: range is {range} and bins are edges; range goes with a number of classes")
        if bins.ndim == 0 or bins.shape[-1] < 2:
            raise ValueError(f"histogram: bins has shape {tuple(bins.shape)}; it must have at least two edges")
        return bins
    if bins < 1:
        raise ValueError(f"histogram: bins is {bins}; it must be at least 1")
    share = torch.linspace(0, 1, bins + 1, dtype=x.dtype, device=x.device)
    if range is None:
        if x.shape[-1] == 0:
            raise ValueError("histogram: x has no elements to take the range of; give range=(lowest, highest)")
        low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
        # As in torch: classes of slices whose elements are equal lie about them, one unit wide.
        half = (low == high).to(x.dtype) / 2
        return torch.lerp(low - half, high + half, share)
    lowest, highest = range
    if not lowest < highest:
        raise ValueError(f"histogram: range is {range}; the lowest edge must be below the highest")
    return lowest + (highest - lowest) * share


# --- shapes ----------------------------------------------------------------------------------------------


def _one_type(operator: str, **tensors: Tensor) -> tuple[list[Tensor], torch.dtype]:
    """Return tensors in one dtype, half precision in float32, and the dtype of the result."""
    given = [floating(operator, name, value) for name, value in tensors.items()]
    dtype = given[0].dtype
    for value in given[1:]:
        dtype = torch.promote_types(dtype, value.dtype)
    work = torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
    return [value.to(work) for value in given], dtype


def _in_step(operator: str, x: Tensor, **tables: Tensor) -> list[Tensor]:
    """Broadcast the leading dimensions of x ``[..., M]`` and of tables ``[..., K]``."""
    shapes = [tuple(t.shape) for t in tables.values()]
    try:
        if x.ndim == 0:
            raise RuntimeError
        lead = torch.broadcast_shapes(x.shape[:-1], *(shape[:-1] for shape in shapes))
    except RuntimeError:
        raise ValueError(
            f"{operator}: {' and '.join(tables)} of shape {' and '.join(map(str, shapes))} do not fit the values, of "
            f"shape {tuple(x.shape)}; all dimensions but the last must broadcast. For one value a table: x[..., None]"
        ) from None
    return [t.expand(*lead, t.shape[-1]) for t in (x, *tables.values())]


def _differences(x: Tensor, table: Tensor) -> Tensor:
    """Return x less every entry of its table, shape of x and ``[K]``."""
    return x[..., None] - (table if table.ndim == 1 else table[..., None, :])


def _of_pairs(shape: Shape) -> Shape:
    """Return the shape of a step for differences with a further, last dimension."""
    return Shape(shape.mode, shape.width[..., None]) if isinstance(shape.width, Tensor) else shape


def _count_below(edges: Tensor, x: Tensor, *, right: bool) -> Tensor:
    """Return `torch.searchsorted`; the leading dimensions are those of x, or none."""
    return torch.searchsorted(edges.contiguous(), x.contiguous(), right=right)
