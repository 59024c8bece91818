"""Every soft operator as a function of one float tensor: for tests that hold for all of them.

A call is ``f(x) -> tensor``, with x of shape [3, 5] for operators along an axis and any shape for elementwise ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

import torchcrop.soft as soft

SOFT_MODES = ("smooth", "c0", "c1", "c2")
INDEX_METHODS = ("softsort", "neuralsort", "ot", "sorting_network")
VALUE_METHODS = (*INDEX_METHODS, "fast_soft_sort")


@dataclass(frozen=True)
class Call:
    """An operator with its other arguments.

    Attributes
    ----------
    name : str
        For the test's identity.
    function : callable
        ``function(x, **options)``.
    mode, method : str
        Empty where the operator has none.
    softness : float
    """

    name: str
    function: Callable[..., Tensor]
    mode: str = ""
    method: str = ""
    softness: float | Tensor | None = 0.3

    def __call__(self, x: Tensor) -> Tensor:
        options: dict[str, Any] = {}
        if self.mode:
            options = {"mode": self.mode, "softness": self.softness}
        if self.method:
            options["method"] = self.method
        return self.function(x, **options)

    def __str__(self) -> str:
        return "-".join(part for part in (self.name, self.method, self.mode) if part)

    @property
    def quick(self) -> bool:
        """Whether the fast tests take it: of the operators along an axis one mode of each method, in turns."""
        if self.method == "ot":
            return (self.name, self.mode) in {("argsort", "smooth"), ("quantile", "c1"), ("sort", "c2")}
        if self.method or self.name in SERIES:
            return self.mode == SOFT_MODES[(len(self.name) + len(self.method)) % 4]
        return True

    def softer(self, softness: float | Tensor) -> Call:
        return replace(self, softness=softness)


def _other(x: Tensor) -> Tensor:
    """Return a second operand of the same shape, no constant and nowhere equal to the first."""
    return (0.7 * x + 0.31).flip(-1)


ELEMENTWISE: dict[str, Callable[..., Tensor]] = {
    "sigmoidal": soft.sigmoidal,
    "softrelu": soft.softrelu,
    "softrelu-gated": lambda x, **o: soft.softrelu(x, gated=True, **o),
    "heaviside": soft.heaviside,
    "relu": soft.relu,
    "abs": soft.abs,
    "sign": soft.sign,
    "clamp": lambda x, **o: soft.clamp(x, -0.4, 0.5, **o),
    "clamp-gated": lambda x, **o: soft.clamp(x, -0.4, 0.5, gated=True, **o),
    "clamp-apart": lambda x, **o: soft.clamp(x, -1.2, 2.0, **o),
    "clamp-tensors": lambda x, **o: soft.clamp(x, _other(x) - 0.6, _other(x) + 0.4, **o),
    "round": soft.round,
    "floor": soft.floor,
    "ceil": soft.ceil,
    "trunc": soft.trunc,
    "remainder": lambda x, **o: soft.remainder(x, 0.9, **o),
    "remainder-tensors": lambda x, **o: soft.remainder(x, 1.5 + 0.1 * _other(x), **o),
    "maximum": lambda x, **o: soft.maximum(x, _other(x), **o),
    "minimum": lambda x, **o: soft.minimum(x, _other(x), **o),
    "greater": lambda x, **o: soft.greater(x, _other(x), **o),
    "greater_equal": lambda x, **o: soft.greater_equal(x, 0.2, **o),
    "less": lambda x, **o: soft.less(x, _other(x), **o),
    "less_equal": lambda x, **o: soft.less_equal(x, 0.2, **o),
    "eq": lambda x, **o: soft.eq(x, _other(x), **o),
    "not_equal": lambda x, **o: soft.not_equal(x, _other(x), **o),
    "isclose": lambda x, **o: soft.isclose(x, _other(x), atol=0.2, **o),
}


def _table(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the knots and values of a table that hang on x a little."""
    knots = torch.tensor([-1.1, -0.3, 0.4, 1.3], dtype=x.dtype, device=x.device)
    return knots, torch.tensor([0.1, 0.9, 0.4, 1.2], dtype=x.dtype, device=x.device) + 0.1 * x.sum()


SERIES: dict[str, Callable[..., Tensor]] = {
    "interp": lambda x, **o: soft.interp(x, *_table(x), **o),
    "searchsorted": lambda x, **o: soft.searchsorted(_table(x)[0], x, **o),
    "histogram": lambda x, **o: soft.histogram(x, _table(x)[0], **o).hist,
    "cummax": lambda x, **o: soft.cummax(x, dim=-1, **o).values,
    "cummin": lambda x, **o: soft.cummin(x, dim=-1, return_indices=False, **o).values,
    "event_time": lambda x, **o: soft.event_time(x.cumsum(-1), 0.4, **o),
    "masked_max": lambda x, **o: soft.masked_max(x, x.detach() > -1.0, dim=-1, **o).values,
    "masked_sort": lambda x, **o: soft.masked_sort(x, x.detach() > -1.0, dim=-1, fill=0.0, **o).values,
    "masked_rank": lambda x, **o: soft.masked_rank(x, x.detach() > -1.0, dim=-1, fill=0.0, **o),
    "weighted_quantile": lambda x, **o: soft.weighted_quantile(x, torch.sigmoid(x), 0.3, dim=-1, **o),
}

INDICES: dict[str, Callable[..., Tensor]] = {
    "argmax": lambda x, **o: soft.argmax(x, dim=-1, **o),
    "argmin": lambda x, **o: soft.argmin(x, dim=-1, **o),
    "argsort": lambda x, **o: soft.argsort(x, dim=-1, **o),
    "argquantile": lambda x, **o: soft.argquantile(x, 0.3, dim=-1, **o),
    "argmedian": lambda x, **o: soft.argmedian(x, dim=-1, **o),
    "argmax-logarithm": lambda x, **o: soft.argmax(x, dim=-1, return_log_probs=True, log_prob_eps=1e-3, **o),
}

VALUES: dict[str, Callable[..., Tensor]] = {
    "max": lambda x, **o: soft.max(x, dim=-1, **o).values,
    "min": lambda x, **o: soft.min(x, dim=-1, **o).values,
    "sort": lambda x, **o: soft.sort(x, dim=-1, **o).values,
    "sort-plain": lambda x, **o: soft.sort(x, dim=-1, descending=True, return_indices=False, **o).values,
    "quantile": lambda x, **o: soft.quantile(x, 0.3, dim=-1, **o),
    "median": lambda x, **o: soft.median(x.reshape(-1), **o),
    "topk": lambda x, **o: soft.topk(x, 2, dim=-1, **o).values,
    "rank": lambda x, **o: soft.rank(x, dim=-1, **o),
}


def _index(x: Tensor) -> Tensor:
    return torch.softmax(3 * x, -1)


OTHERS: dict[str, Callable[..., Tensor]] = {
    "logical_not": lambda x: soft.logical_not(torch.sigmoid(x)),
    "logical_and": lambda x: soft.logical_and(torch.sigmoid(x), torch.sigmoid(_other(x))),
    "logical_or": lambda x: soft.logical_or(torch.sigmoid(x), torch.sigmoid(_other(x))),
    "logical_xor": lambda x: soft.logical_xor(torch.sigmoid(x), torch.sigmoid(_other(x))),
    "all": lambda x: soft.all(torch.sigmoid(x)),
    "any": lambda x: soft.any(torch.sigmoid(x), use_geometric_mean=True),
    "where": lambda x: soft.where(torch.sigmoid(x), x * x, _other(x)),
    "take_along_dim": lambda x: soft.take_along_dim(x, soft.argsort(x, dim=-1, softness=0.3), dim=-1),
    "take": lambda x: soft.take(x, _index(x)[..., :2, :], dim=-1),
    "index_select": lambda x: soft.index_select(x, _index(x)[0], dim=-1),
    "narrow": lambda x: soft.narrow(x, _index(x)[0], 2, dim=-1),
    "choose": lambda x: soft.choose(_index(x), x.T),
    "dynamic_slice": lambda x: soft.dynamic_slice(x, [_index(x[:, :3])[0], _index(x)[0]], [2, 2]),
    "sqrt": lambda x: soft.sqrt(x * x + 0.1),
    "log": lambda x: soft.log(x * x + 0.1),
    "div": lambda x: soft.div(x, _other(x) + 9.0),
    "norm": lambda x: soft.norm(x, dim=-1),
    "arcsin": lambda x: soft.arcsin(torch.tanh(x)),
    "arccos": lambda x: soft.arccos(torch.tanh(x)),
}


def calls() -> list[Call]:
    """Return every operator in every soft mode and method."""
    elementwise = [Call(n, f, m) for n, f in ELEMENTWISE.items() for m in SOFT_MODES]
    indices = [Call(n, f, m, k) for n, f in INDICES.items() for m in SOFT_MODES for k in INDEX_METHODS]
    values = [Call(n, f, m, k) for n, f in VALUES.items() for m in SOFT_MODES for k in VALUE_METHODS]
    series = [Call(n, f, m) for n, f in SERIES.items() for m in SOFT_MODES]
    return [*elementwise, *indices, *values, *series, *(Call(n, f) for n, f in OTHERS.items())]


def points() -> Tensor:
    """Return a [3, 5] float64 tensor without ties, symmetries or places where a piecewise curve changes its piece."""
    generator = torch.Generator().manual_seed(7)
    return torch.randn(3, 5, dtype=torch.float64, generator=generator)
