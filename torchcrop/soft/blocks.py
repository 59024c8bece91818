"""Functions of every pair of elements, evaluated a block of rows at a time: memory O(n) instead of O(n²).

The first derivative evaluates a block anew and sends its gradient back before the next: what lies between is never all
in memory, and stays in the cache. Higher derivatives and `torch.func` transforms differentiate the function as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

#: Elements of a block of pairs.
BLOCK = 262_144

#: ``f(rows [b, k], *others [b, m]) -> outputs [b, k, ...]``: each output row depends on its own entry of `rows`.
RowFunction = Callable[..., tuple[Tensor, ...]]

#: ``g(inputs, outputs, gradients of the outputs or None) -> gradients of the inputs or None``, of one block.
RowGradient = Callable[[tuple[Tensor, ...], tuple[Tensor, ...], tuple[Tensor | None, ...]], tuple[Tensor | None, ...]]


def by_rows(
    function: RowFunction, pairs: int, rows: Tensor, *others: Tensor, gradient: RowGradient | None = None
) -> tuple[Tensor, ...]:
    """Evaluate a function of rows, in blocks where there are many pairs.

    Parameters
    ----------
    function : callable
        ``f(rows, *others)`` gives a tuple of outputs; elementwise in the leading dimensions and in the rows.
    pairs : int
        Elements of its intermediate tensors for one row.
    rows : Tensor
        Shape ``[..., k]``.
    *others : Tensor
        Shape ``[..., m]``, m as it comes; the leading dimensions broadcast with those of `rows`.
    gradient : callable, optional
        The first derivative by hand, where that takes fewer operations than autograd's.

    Returns
    -------
    tuple of Tensor
        Each of shape ``[..., k, ...]``.
    """
    lead = torch.broadcast_shapes(rows.shape[:-1], *(o.shape[:-1] for o in others))
    count = rows.shape[-1] * pairs
    for size in lead:
        count *= size
    if torch.compiler.is_compiling() or count <= BLOCK:
        return function(rows, *others)
    # Contiguous: forward mode does not take a tensor of which several entries are one.
    flat = [t.expand(*lead, t.shape[-1]).reshape(-1, t.shape[-1]).contiguous() for t in (rows, *others)]
    outputs = _ByRows.apply(function, gradient, pairs, *flat)
    return tuple(o.reshape(*lead, *o.shape[1:]) for o in outputs)


class _ByRows(torch.autograd.Function):
    @staticmethod
    def forward(
        function: RowFunction, gradient: RowGradient | None, pairs: int, rows: Tensor, *others: Tensor
    ) -> tuple[Tensor, ...]:
        results: list[Tensor] = []
        for slices, part in _parts(rows, pairs):
            outputs = function(rows[slices, part], *(o[slices] for o in others))
            results = results or [o.new_empty(*rows.shape, *o.shape[2:]) for o in outputs]
            for result, output in zip(results, outputs, strict=True):
                result[slices, part] = output
        return tuple(results)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.function, ctx.gradient, ctx.pairs, *tensors = inputs
        ctx.set_materialize_grads(False)
        ctx.count = len(tensors)
        ctx.save_for_backward(*tensors, *output)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        tensors, outputs = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        wanted = ctx.needs_input_grad[3:]
        given = [i for i, g in enumerate(gradients) if g is not None]
        if not given:
            return None, None, None, *(None for _ in tensors)

        def function(*inputs: Tensor) -> tuple[Tensor, ...]:
            results = ctx.function(*inputs)
            return tuple(results[i] for i in given)

        incoming = tuple(g for g in gradients if g is not None)
        if torch.is_grad_enabled():
            backward = torch.func.vjp(function, *tensors)[1]
            return None, None, None, *(g if w else None for g, w in zip(backward(incoming), wanted, strict=True))

        def by_autograd(inputs: tuple[Tensor, ...], _outputs: Any, _incoming: Any) -> tuple[Tensor | None, ...]:
            used = [t.detach().requires_grad_(w) for t, w in zip(inputs, wanted, strict=True)]
            with torch.enable_grad():
                results = function(*used)
                live = [t for t in used if t.requires_grad]
                given_parts = [g for g in _incoming if g is not None]
                found = iter(torch.autograd.grad(results, live, given_parts, allow_unused=True))
            return tuple(next(found) if w else None for w in wanted)

        gradient = ctx.gradient or by_autograd
        return None, None, None, *_blocked_gradient(gradient, ctx.pairs, tensors, outputs, gradients, wanted)

    @staticmethod
    def jvp(ctx: Any, _function: None, _gradient: None, _pairs: None, *tangents: Tensor | None) -> tuple[Tensor, ...]:
        tensors = ctx.saved_tensors[: ctx.count]
        moves = tuple(torch.zeros_like(x) if t is None else t for x, t in zip(tensors, tangents, strict=True))
        return torch.func.jvp(ctx.function, tensors, moves)[1]

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[Any, ...],
        function: RowFunction,
        gradient: RowGradient | None,
        pairs: int,
        *tensors: Tensor,
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        size = info.batch_size
        fronted = [
            t.expand(size, *t.shape) if d is None else t.movedim(d, 0)
            for t, d in zip(tensors, in_dims[3:], strict=True)
        ]
        flat = [t.reshape(-1, t.shape[-1]).contiguous() for t in fronted]
        outputs = _ByRows.apply(function, gradient, pairs, *flat)
        return tuple(o.reshape(size, -1, *o.shape[1:]) for o in outputs), (0,) * len(outputs)


def _blocked_gradient(
    gradient: RowGradient,
    pairs: int,
    tensors: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
    incoming: tuple[Tensor | None, ...],
    wanted: tuple[bool, ...],
) -> list[Tensor | None]:
    totals = [torch.zeros_like(t) if w else None for t, w in zip(tensors, wanted, strict=True)]
    for slices, part in _parts(tensors[0], pairs):
        places = [(slices, part if i == 0 else slice(None)) for i in range(len(tensors))]
        found = gradient(
            tuple(t[p] for t, p in zip(tensors, places, strict=True)),
            tuple(o[slices, part] for o in outputs),
            tuple(None if g is None else g[slices, part] for g in incoming),
        )
        for total, place, one in zip(totals, places, found, strict=True):
            if total is not None and one is not None:
                total[place] += one
    return totals


def _parts(rows: Tensor, pairs: int) -> Iterator[tuple[slice, slice]]:
    """Cut ``[slices, rows]`` into blocks of whole slices, or of some rows of one slice where that is larger."""
    slices, count = rows.shape
    together = max(1, BLOCK // max(1, count * pairs))
    length = max(1, BLOCK // max(1, pairs)) if together == 1 else max(1, count)
    for i in range(0, slices, together):
        for j in range(0, count, length):
            yield slice(i, i + together), slice(j, j + length)
