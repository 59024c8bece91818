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
    function: RowFunction,
    pairs: int,
    rows: Tensor,
    *others: Tensor,
    gradient: RowGradient | None = None,
    reference: RowFunction | None = None,
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
    reference : callable, optional
        The same function in ordinary torch operations alone, for higher derivatives and forward mode: transforms do not
        nest through functions with derivatives of their own.

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
    outputs = _ByRows.apply(function, gradient, reference or function, pairs, *flat)
    return tuple(o.reshape(*lead, *o.shape[1:]) for o in outputs)


class _ByRows(torch.autograd.Function):
    @staticmethod
    def forward(
        function: RowFunction,
        gradient: RowGradient | None,
        reference: RowFunction,
        pairs: int,
        rows: Tensor,
        *others: Tensor,
    ) -> tuple[Tensor, ...]:
        results: list[Tensor] = []
        for slices, pieces in _parts(rows, pairs):
            for piece in pieces:
                outputs = function(rows[slices, piece], *(o[slices] for o in others))
                results = results or [o.new_empty(*rows.shape, *o.shape[2:]) for o in outputs]
                for result, output in zip(results, outputs, strict=True):
                    result[slices, piece] = output
        return tuple(results)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.gradient, ctx.reference, ctx.pairs, *tensors = inputs[1:]
        ctx.set_materialize_grads(False)
        ctx.count = len(tensors)
        ctx.save_for_backward(*tensors, *output)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        tensors, outputs = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        wanted = ctx.needs_input_grad[4:]
        given = [i for i, g in enumerate(gradients) if g is not None]
        if not given:
            return None, None, None, None, *(None for _ in tensors)

        def function(*inputs: Tensor) -> tuple[Tensor, ...]:
            results = ctx.reference(*inputs)
            return tuple(results[i] for i in given)

        incoming = tuple(g for g in gradients if g is not None)
        if torch.is_grad_enabled():
            backward = torch.func.vjp(function, *tensors)[1]
            return None, None, None, None, *(g if w else None for g, w in zip(backward(incoming), wanted, strict=True))

        def by_autograd(inputs: tuple[Tensor, ...], _outputs: Any, incoming: Any) -> tuple[Tensor | None, ...]:
            return torch.func.vjp(function, *inputs)[1](tuple(g for g in incoming if g is not None))

        gradient = ctx.gradient or by_autograd
        return None, None, None, None, *_blocked_gradient(gradient, ctx.pairs, tensors, outputs, gradients, wanted)

    @staticmethod
    def jvp(
        ctx: Any, _function: None, _gradient: None, _reference: None, _pairs: None, *tangents: Tensor | None
    ) -> tuple[Tensor, ...]:
        tensors = ctx.saved_tensors[: ctx.count]
        moves = tuple(torch.zeros_like(x) if t is None else t for x, t in zip(tensors, tangents, strict=True))
        # Forward by twice backward, since forward mode does not nest: what goes back is linear in what comes in.
        outputs, backward, *_ = torch.func.vjp(ctx.reference, *tensors)
        return torch.func.vjp(backward, tuple(torch.zeros_like(o) for o in outputs))[1](moves)[0]

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[Any, ...],
        function: RowFunction,
        gradient: RowGradient | None,
        reference: RowFunction,
        pairs: int,
        *tensors: Tensor,
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        size = info.batch_size
        fronted = [
            t.expand(size, *t.shape) if d is None else t.movedim(d, 0)
            for t, d in zip(tensors, in_dims[4:], strict=True)
        ]
        flat = [t.reshape(-1, t.shape[-1]).contiguous() for t in fronted]
        outputs = _ByRows.apply(function, gradient, reference, pairs, *flat)
        return tuple(o.reshape(size, -1, *o.shape[1:]) for o in outputs), (0,) * len(outputs)


def _blocked_gradient(
    gradient: RowGradient,
    pairs: int,
    tensors: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
    incoming: tuple[Tensor | None, ...],
    wanted: tuple[bool, ...],
) -> list[Tensor | None]:
    parts: list[list[Tensor]] = [[] for _ in tensors]
    for slices, pieces in _parts(tensors[0], pairs):
        found: list[Tensor | None] = [None for _ in tensors]
        for piece in pieces:
            places = [(slices, piece if i == 0 else slice(None)) for i in range(len(tensors))]
            one = gradient(
                tuple(t[p] for t, p in zip(tensors, places, strict=True)),
                tuple(o[slices, piece] for o in outputs),
                tuple(None if g is None else _narrowed(g, slices, piece) for g in incoming),
            )
            for i, (new, w) in enumerate(zip(one, wanted, strict=True)):
                if not w or new is None:
                    continue
                have = found[i]
                if i > 0:  # shared by all rows
                    found[i] = new if have is None else have.add_(new)
                else:
                    # Made of what it is to hold: under vmap over gradients both have a hidden dimension.
                    have = new.new_empty(new.shape[0], tensors[0].shape[1]) if have is None else have
                    _narrowed(have, slice(0, new.shape[0]), piece).copy_(new)
                    found[i] = have
        for part, total in zip(parts, found, strict=True):
            if total is not None:
                part.append(total)
    # Put together, not written in place, for the same reason.
    return [torch.cat(part) if part else None for part in parts]


def _narrowed(x: Tensor, *slices: slice) -> Tensor:
    # Not x[slices]: where they are the whole, that is an alias, which vmap over gradients does not know.
    for dim, part in enumerate(slices):
        x = x.narrow(dim, part.start, min(part.stop, x.shape[dim]) - part.start)
    return x


def _parts(rows: Tensor, pairs: int) -> Iterator[tuple[slice, list[slice]]]:
    """Cut ``[slices, rows]`` into blocks of whole slices, or of some rows of one slice where that is larger."""
    slices, count = rows.shape
    together = max(1, BLOCK // max(1, count * pairs))
    length = max(1, BLOCK // max(1, pairs)) if together == 1 else max(1, count)
    for i in range(0, slices, together):
        yield slice(i, i + together), [slice(j, j + length) for j in range(0, count, length)]
