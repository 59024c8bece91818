"""Elements with weights along an axis, and their soft order: what the masked and weighted operators rest on.

A weight of 0 leaves an element out, whatever it is. With ``w_i`` scaled to the sum ``n = (sum w)² / sum w²`` (Kish
1965: the number of elements of equal weight that are as good; for a mask, the number of valid ones):

* a projection of scores v is ``y_i = w_i max(0, v_i - theta)^r`` of sum 1 (mode smooth: ``w_i exp(v_i)`` over its sum);
* softsort has a row ``-|z_(i) - z_j|`` for each element, which covers a cell of width ``w_(i)`` on the axis of
  cumulated weights, from 0 to n;
* neuralsort has a row ``(2 c - n) z_j - sum_k w_k |z_j - z_k|`` for the middle c of each cell of width 1 on that axis.
  (Its rows stand for places, not for elements: with cells of unequal width they would jump where two elements change
  places.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from torchcrop.soft import checks
from torchcrop.soft.blocks import by_rows
from torchcrop.soft.checks import Softness
from torchcrop.soft.curves import Shape
from torchcrop.soft.elementwise import ABS
from torchcrop.soft.simplex import log_of, root
from torchcrop.soft.standardise import Standardised

METHODS = ("softsort", "neuralsort")
_POWERS = {"c0": 1, "c1": 2, "c2": 3}


# --- the elements and their weights ----------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """Elements with the axis in question last, and their weights, free of what is not valid.

    Attributes
    ----------
    x : Tensor
        Shape ``[..., n]``, 0 where not valid. [any unit]
    weight : Tensor
        Shape ``[..., n]``, as given.
    share : Tensor
        Shape ``[..., n]``, weights of sum 1. In a slice without valid elements the first one stands in for them.
    count : Tensor
        Shape ``[...]``, number n of elements of equal weight that are as good.
    valid : Tensor
        Shape ``[..., n]``, bool.
    dim, ndim : int
        Place of the axis, and dimensions of the broadcast tensors.
    flattened : bool
        Whether `dim` was None.
    dtype : torch.dtype
        Of the results.
    """

    x: Tensor
    weight: Tensor
    share: Tensor
    count: Tensor
    valid: Tensor
    dim: int
    ndim: int
    flattened: bool
    dtype: torch.dtype

    @classmethod
    def of(cls, operator: str, x: Tensor, mask: Tensor, dim: int | None) -> Group:
        given = checks.floating(operator, "x", x)
        name = "weight" if operator.startswith("weighted") else "mask"
        weight = checks.tensor(operator, name, mask)
        weight = weight.to(given) if weight.dtype == torch.bool else checks.floating(operator, name, weight).to(given)
        try:
            given, weight = torch.broadcast_tensors(given, weight)
        except RuntimeError:
            raise ValueError(
                f"{operator}: {name} of shape {tuple(mask.shape)} does not broadcast with x of shape {tuple(x.shape)}"
            ) from None
        _check_weight(operator, name, weight)
        ndim, place = given.ndim, 0 if dim is None else checks.axis(operator, dim, given.ndim)
        if dim is None:
            given, weight = given.reshape(-1), weight.reshape(-1)
        dtype = given.dtype
        given, weight = (t.float() if dtype in (torch.float16, torch.bfloat16) else t for t in (given, weight))
        given, weight = given.movedim(place, -1), weight.movedim(place, -1)
        valid = weight.detach() > 0
        weight = weight.masked_fill(~valid, 0.0)
        first = torch.arange(given.shape[-1], device=given.device) == 0
        standing = weight + (first & ~valid.any(-1, keepdim=True)).to(weight.dtype)
        # In units of the largest, so that neither the sum nor its square leaves the range of the dtype.
        standing = standing / _largest(standing)
        total = standing.sum(-1, keepdim=True)
        count = total[..., 0] ** 2 / (standing * standing).sum(-1)
        elements = given.masked_fill(~valid, 0.0)
        return cls(elements, weight, standing / total, count, valid, place, ndim, dim is None, dtype)

    @property
    def scaled(self) -> Tensor:
        """Weights of sum n: 1 where all that are not 0 are equal."""
        return self.share * self.count[..., None]

    def reduced(self, values: Tensor, keepdim: bool, fill: float = 0.0) -> Tensor:
        """Return results ``[...]`` of the slices, `fill` where there are no valid elements."""
        values = values.masked_fill(~self.valid.any(-1), fill).to(self.dtype)
        if not keepdim:
            return values
        return values.reshape([1] * self.ndim) if self.flattened else values.unsqueeze(self.dim)

    def index(self, shares: Tensor, keepdim: bool) -> Tensor:
        """Return soft indices ``[..., n]``, 0 where there are no valid elements."""
        shares = shares.masked_fill(~self.valid.any(-1, keepdim=True), 0.0).to(self.dtype)
        if not keepdim:
            return shares
        return shares.reshape([1] * self.ndim + [-1]) if self.flattened else shares.unsqueeze(self.dim)

    def standardised(self) -> Tensor:
        """Return ``logistic((x - mean) / sd)`` with the moments of the valid elements; see `Standardised`."""
        return Standardised.of(self.x, self.share).z


def _largest(x: Tensor) -> Tensor:
    return x.detach().abs().amax(-1, keepdim=True) if x.shape[-1] else x.detach().sum(-1, keepdim=True)


def _check_weight(operator: str, name: str, weight: Tensor) -> None:
    lowest = checks.lowest_visible(weight)
    if lowest is not None and not lowest >= 0:
        raise ValueError(f"{operator}: {name} has {lowest} as its smallest value; it must be at least 0, and not NaN")


# --- their order -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WeightedOrder:
    """Elements, and how their order is softened.

    Attributes
    ----------
    group : Group
        The elements.
    z : Tensor
        Shape ``[..., n]``: standardised, or raw values.
    softness : float or Tensor
        Shape ``[..., 1]``. [unit of z]
    mode, method : str
        As in the call.
    """

    group: Group
    z: Tensor
    softness: Tensor | float
    mode: str
    method: str

    @classmethod
    def of(
        cls,
        operator: str,
        x: Tensor,
        mask: Tensor,
        dim: int | None,
        softness: Softness,
        mode: str,
        method: str,
        standardize: bool,
    ) -> WeightedOrder:
        checks.one_of(operator, "mode", mode, checks.MODES)
        checks.one_of(operator, "method", method, METHODS)
        group = Group.of(operator, x, mask, dim)
        if group.x.shape[-1] == 0:
            raise ValueError(f"{operator}: x has no elements along dim {dim} (shape {tuple(x.shape)})")
        if mode == "hard":
            return cls(group, group.x, torch.nan, mode, method)
        if isinstance(softness, Tensor) and group.flattened and softness.numel() == 1:
            softness = softness.reshape(())
        spread = checks.softness_of_slices(operator, softness, group.x.movedim(-1, group.dim), group.dim)
        if isinstance(spread, Tensor):
            spread = spread.movedim(group.dim, -1) if spread.ndim else spread.reshape(1)
        return cls(group, group.standardised() if standardize else group.x, spread, mode, method)

    def negated(self) -> WeightedOrder:
        """Return the order of -x: a smallest element is the largest of them."""
        return WeightedOrder(self.group, -self.z, self.softness, self.mode, self.method)

    def best(self) -> Tensor:
        """Return the index of the largest, shape ``[..., n]``."""
        if self.mode == "hard":
            best = self.z.masked_fill(~self.group.valid, -torch.inf).argmax(-1)
            return torch.nn.functional.one_hot(best, self.z.shape[-1]).to(self.z.dtype)
        weight = self.group.scaled
        if self.method == "softsort":
            return project_weighted(self.z / self.softness, weight, self.mode)
        place = self.group.count[..., None] - 1
        return project_weighted((place * self.z - self._distances()) / self.softness, weight, self.mode)

    def places(self) -> Tensor:
        """Return the positions of the sorted elements, those that are not valid last, shape ``[..., n]``."""
        return self.z.detach().masked_fill(~self.group.valid, torch.inf).argsort(stable=True, dim=-1)

    def edges(self) -> Tensor:
        """Return the edges of the rows' cells on the axis of cumulated weights, shape ``[..., n + 1]``."""
        if self.method == "neuralsort" and self.mode != "hard":
            whole = torch.arange(self.z.shape[-1] + 1, dtype=self.z.dtype, device=self.z.device)
            return torch.minimum(whole, self.group.count[..., None])
        ends = self.group.scaled.gather(-1, self.places()).cumsum(-1)
        return torch.cat([torch.zeros_like(ends[..., :1]), ends], -1)

    def expected(self, *, descending: bool, index: bool) -> tuple[Tensor, Tensor | None]:
        """Return the expectations of x in the rows, shape ``[..., n]``, and the rows themselves if asked for."""
        if self.mode != "hard":
            return self._evaluated(self._rows(descending=descending), index=index, values=True)
        places = self._turned(self.places(), descending)
        rows = torch.nn.functional.one_hot(places, self.z.shape[-1]).to(self.z.dtype) if index else None
        return self.group.x.gather(-1, places), rows

    def _rows(self, *, descending: bool) -> Tensor:
        """Return what tells one row from another, shape ``[..., n]``: its value, or its place."""
        if self.method == "softsort":
            return self._turned(self.z.gather(-1, self.places()), descending)
        count = self.group.count[..., None]
        middles = torch.arange(self.z.shape[-1], dtype=self.z.dtype, device=self.z.device) + 0.5
        return self._turned(2 * torch.minimum(middles, count - 0.5) - count, descending)

    def _turned(self, rows: Tensor, descending: bool) -> Tensor:
        """Return rows as they are, or those of valid elements the other way round."""
        if not descending:
            return rows
        count = self.group.valid.sum(-1, keepdim=True)
        own = torch.arange(rows.shape[-1], device=rows.device)
        return rows.gather(-1, torch.remainder(count - 1 - own, rows.shape[-1]))

    def ranks(self, *, descending: bool) -> Tensor:
        """Return the expectations of the elements' places, shape ``[..., n]``."""
        edges = self.edges()
        middles = (edges[..., 1:] + edges[..., :-1]) / 2 + 0.5
        middles = self.group.count[..., None] + 1 - middles if descending else middles
        if self.mode == "hard":
            return torch.zeros_like(middles).scatter(-1, self.places(), middles)
        if self.method == "softsort":
            places = self.places()
            softness = self.softness[..., None] if isinstance(self.softness, Tensor) else self.softness
            scores = -(self.z[..., :, None] - self.z.gather(-1, places)[..., None, :]).abs() / softness
            shares = project_weighted(scores, self.group.scaled.gather(-1, places)[..., None, :], self.mode)
        else:
            _, rows = self._evaluated(self._rows(descending=False), index=True, values=False)
            assert rows is not None
            shares = (rows * edges.diff(dim=-1)[..., :, None]).transpose(-1, -2)
            shares = shares / shares.sum(-1, keepdim=True).clamp(min=1e-10)
        return torch.matmul(shares, middles[..., :, None])[..., 0]

    def _evaluated(self, rows: Tensor, *, index: bool, values: bool) -> tuple[Tensor, Tensor | None]:
        """Return expectations of x and the projected rows, in so far as they are asked for."""
        shared = [] if self.method == "softsort" else [self._distances()]
        softness = [self.softness] if isinstance(self.softness, Tensor) else []

        def function(row: Tensor, z: Tensor, w: Tensor, x: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
            rest = list(others)
            spread = rest.pop()[..., None] if softness else self.softness
            if rest:
                scores = row[..., :, None] * z[..., None, :] - rest[0][..., None, :]
            else:
                scores = -(row[..., :, None] - z[..., None, :]).abs()
            shares = project_weighted(scores / spread, w[..., None, :], self.mode)
            mean = (torch.matmul(shares, x[..., :, None])[..., 0],) if values else ()
            return (*mean, shares) if index else mean

        size, group = self.z.shape[-1], self.group
        found = by_rows(function, size, rows, self.z, group.scaled, group.x, *shared, *softness)
        return found[0], found[-1] if index else None

    def _distances(self) -> Tensor:
        """Return ``sum_k w_k |z_j - z_k|``, shape ``[..., n]``, with the soft absolute value."""
        tensors = [self.softness] if isinstance(self.softness, Tensor) else []

        def total(row: Tensor, z: Tensor, w: Tensor, *others: Tensor) -> tuple[Tensor]:
            spread = others[0][..., None] if others else self.softness
            apart = ABS.value(row[..., :, None] - z[..., None, :], Shape.of(self.mode, spread))
            return (torch.matmul(apart, w[..., :, None])[..., 0],)

        return by_rows(total, self.z.shape[-1], self.z, self.z, self.group.scaled, *tensors)[0]


# --- weighted projection ---------------------------------------------------------------------------------


def project_weighted(v: Tensor, weight: Tensor, mode: str) -> Tensor:
    """Project on the simplex along the last axis with weights: ``y_i = w_i max(0, v_i - theta)^r`` of sum 1.

    Parameters
    ----------
    v : Tensor
        Shape ``[..., n]``, in units of the softness.
    weight : Tensor
        Broadcasts to v, at least 0, not all 0. Where it is 0, v takes no part.
    mode : {"smooth", "c0", "c1", "c2"}
        smooth: ``w_i exp(v_i)`` over its sum.
    """
    absent = weight.detach() == 0
    if mode == "smooth":
        return torch.softmax(v.masked_fill(absent, -torch.inf) + log_of(weight), -1)
    power = _POWERS[mode]
    top = v.detach().masked_fill(absent, -torch.inf).amax(-1, keepdim=True)
    # theta is not below that of any element alone. Entries below that take no part; they are put well below, where
    # rounding cannot count them in.
    reach = (weight.detach() + absent.to(weight.dtype)) ** (-1 / power)
    alone = ((v - top).detach() - reach).masked_fill(absent, -torch.inf).amax(-1, keepdim=True)
    v = torch.maximum((v - top).masked_fill(absent, -torch.inf), alone - 1)
    theta = _search(v.detach(), weight.detach().expand_as(v), power)
    # Two steps by Newton's rule from the root itself leave its value and give its derivatives up to the third order.
    for _ in range(2):
        excess = torch.relu(v - theta)
        slope = excess ** (power - 1) if power > 1 else (excess.detach() > 0).to(v.dtype)
        theta = theta + ((weight * slope * excess).sum(-1, keepdim=True) - 1) / (
            power * (weight * slope).sum(-1, keepdim=True)
        )
    return weight * torch.relu(v - theta) ** power


def _search(v: Tensor, weight: Tensor, power: int) -> Tensor:
    """Find theta, shape ``[..., 1]``, by trying the k largest entries as the support, for every k at once."""
    ordered, places = v.sort(-1, descending=True)
    sums = [weight.gather(-1, places)]
    for _ in range(power):
        sums.append(sums[-1] * ordered)
    count, *moments = [s.cumsum(-1) for s in sums]
    candidates = root(count, moments, power)
    size = (ordered > candidates).sum(-1, keepdim=True).clamp(min=1)
    return candidates.gather(-1, size - 1)
