"""Rows of a soft permutation matrix: for each wanted rank, how much every element is the one with that rank.

Everything works on the last axis, on z (squashed values or raw ones) and a softness. Four methods:

* softsort (Prillo and Eisenschlos 2020): row i projects ``-|z_(i) - z_j|``, the distances from the i-th smallest;
* neuralsort (Grover et al. 2019): row i projects ``(2i - n - 1) z_j - A_j`` with ``A_j = sum_k |z_j - z_k|``, here with
  the soft absolute value, which makes it as smooth as the mode;
* ot: the plan of an optimal transport from the elements to evenly spaced anchors (Cuturi et al. 2019);
* sorting_network: the product of the soft swaps of a bitonic network (Petersen et al. 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from torchcrop.soft import network, transport
from torchcrop.soft.blocks import by_rows
from torchcrop.soft.curves import Shape
from torchcrop.soft.elementwise import ABS
from torchcrop.soft.simplex import exponentials, log_of, log_project, plain_project, project, projection_gradient

#: Least mass of an anchor between order statistics: an anchor without any would have no row.
LEAST_MASS = 1e-12


@dataclass(frozen=True)
class Order:
    """The elements of an axis, and how their order is softened.

    Attributes
    ----------
    z : Tensor
        Shape ``[..., n]``, n at least 1.
    softness : float or Tensor
        Shape ``[..., 1]``. [unit of z]
    mode : str
        smooth, c0, c1 or c2.
    method : str
        softsort, neuralsort, ot or sorting_network.
    options : tuple of float and int
        Tolerance [share of the mass] and largest number of iterations of the transport.
    squashed : bool
        Whether z lies in (0, 1).
    """

    z: Tensor
    softness: Tensor | float
    mode: str
    method: str
    options: tuple[float, int]
    squashed: bool

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.z.shape[-1]

    @property
    def pad(self) -> float | None:
        """What fills a network up to a power of two: the end of squashed values, or what cannot enter the result."""
        return 1.0 if self.squashed else None

    # --- what the operators ask for ----------------------------------------------------------------------

    def best(self, *, log: bool = False) -> Tensor:
        """Return the row of the largest element, shape ``[..., n]``; or its logarithm."""
        if self.method == "softsort":
            return (log_project if log else project)(self.z / self.softness, self.mode)
        if self.method == "ot":
            n = self.size
            return self._transported([0.0, 1.0], [(n - 1) / n, 1 / n], [1], log=log)[..., 0, :]
        return self.rows(self._ranks([self.size - 1]), log=log)[..., 0, :]

    def sorted(self, *, descending: bool, log: bool = False) -> Tensor:
        """Return all rows, shape ``[..., n, n]``, of ascending or descending elements."""
        ranks = range(self.size)
        if self.method == "ot":
            n = self.size
            anchors = [k / (n - 1) if n > 1 else 0.0 for k in ranks]
            return self._transported(anchors, [1 / n for _ in ranks], ranks[::-1] if descending else ranks, log=log)
        return self.rows(self._ranks(ranks[::-1] if descending else ranks), log=log)

    def top(self, k: int, *, log: bool = False) -> Tensor:
        """Return the rows of the k largest elements, the largest first, shape ``[..., k, n]``."""
        n = self.size
        if k == n:
            return self.sorted(descending=True, log=log)
        if self.method == "ot":
            anchors = [j / k for j in range(k + 1)]
            return self._transported(anchors, [(n - k) / n] + [1 / n] * k, range(k, 0, -1), log=log)
        return self.rows(self._ranks(range(n - 1, n - k - 1, -1)), log=log)

    def neighbours(self, low: Tensor, *, single: bool, log: bool = False) -> Tensor:
        """Return the rows of rank `low` and of the next, shape ``[..., Q, 1 or 2, n]``.

        Parameters
        ----------
        low : Tensor
            Shape ``[Q]``, ranks from 0 to n - 1.
        single : bool
            Only the first of the two.
        log : bool
            Logarithms.
        """
        high = (low + 1).clamp(max=self.size - 1)
        if self.method != "ot":
            ranks = low if single else torch.stack([low, high], -1).reshape(-1)
            return self.rows(ranks, log=log).unflatten(-2, (low.numel(), -1))
        n = self.size
        before, last = low, n - 1 - (low if single else high)
        masses = [before, torch.ones_like(low), *([] if single else [high - low]), last]
        mass = (torch.stack(masses, -1).to(torch.float64) / n).clamp(min=LEAST_MASS)
        mass = mass / mass.sum(-1, keepdim=True)
        anchors = [0.0, 0.5, 1.0] if single else [0.0, 1 / 3, 2 / 3, 1.0]
        return self._transported(anchors, mass, range(1, len(anchors) - 1), log=log, problems=True)

    def memberships(self, *, descending: bool) -> Tensor:
        """Return for every element its shares in the ranks, shape ``[..., n (element), n (rank)]``, rows of sum 1."""
        if self.method == "softsort":
            ordered = self.z.sort(-1, descending=descending).values
            softness = self.softness[..., None] if isinstance(self.softness, Tensor) else self.softness
            return project(-(self.z[..., :, None] - ordered[..., None, :]).abs() / softness, self.mode)
        shares = self.sorted(descending=descending).transpose(-1, -2)
        return shares / shares.sum(-1, keepdim=True).clamp(min=1e-10)

    def expected(self, x: Tensor, ranks: Sequence[int], *, index: bool, gated: bool) -> tuple[Tensor, Tensor | None]:
        """Return the expectations of x under some rows, shape ``[..., k]``, and the rows themselves if asked for.

        Parameters
        ----------
        x : Tensor
            Shape ``[..., n]``.
        ranks : sequence of int
            Ranks of the rows, ascending elements counted from 0.
        index : bool
            Give the rows, shape ``[..., k, n]``.
        gated : bool
            Whether the values' derivative goes through the rows as well.
        """
        rows, others = self._row_arguments(self._ranks(ranks))
        if gated:
            live = self._by_rows(rows, others, x, index=index)
            return live[0], live[1] if index else None
        still = self._by_rows(rows.detach(), [o.detach() for o in others], x, index=False)
        return still[0], self._by_rows(rows, others, None, index=True)[0] if index else None

    # --- softsort and neuralsort -------------------------------------------------------------------------

    def rows(self, ranks: Tensor, *, log: bool = False) -> Tensor:
        """Return the rows of given ranks, shape ``[..., k, n]``; not by transport.

        Parameters
        ----------
        ranks : Tensor
            Shape ``[k]``, ascending elements counted from 0.
        log : bool
            Logarithms.
        """
        if self.method == "sorting_network":
            matrix = self._network_matrix().index_select(-2, ranks)
            return log_of(matrix) if log else matrix
        rows, others = self._row_arguments(ranks)
        if log:
            return log_project(self._scores(rows, *others), self.mode)
        return self._by_rows(rows, others, None, index=True)[0]

    def _ranks(self, ranks: Sequence[int]) -> Tensor:
        return torch.tensor(list(ranks), dtype=torch.long, device=self.z.device)

    def _row_arguments(self, ranks: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return what tells one row from another, shape ``[..., k]``, and what all rows share, shapes ``[..., m]``."""
        softness = self.softness if isinstance(self.softness, Tensor) else None
        shared = [self.z] if softness is None else [self.z, softness]
        if self.method == "softsort":
            return self.z.sort(-1).values.index_select(-1, ranks), shared
        places = (2 * ranks + (1 - self.size)).to(self.z.dtype)
        return places.expand(*self.z.shape[:-1], -1), [*shared, self._distances(softness)]

    def _distances(self, softness: Tensor | None) -> Tensor:
        """Return ``A_j = sum_k |z_j - z_k|``, shape ``[..., n]``, with the soft absolute value."""

        def total(row: Tensor, z: Tensor, *tensor_softness: Tensor) -> tuple[Tensor]:
            if self.mode == "smooth" and not tensor_softness and not torch.is_grad_enabled():
                difference, share = self._shares_above(row, z)
                return (share.sub_(0.5).mul_(difference).sum(-1).mul_(2),)
            softness = tensor_softness[0][..., None] if tensor_softness else self.softness
            difference = row[..., :, None] - z[..., None, :]
            return (ABS.value(difference, Shape.of(self.mode, softness)).sum(-1),)

        def gradient(inputs: Any, _outputs: Any, incoming: Any) -> tuple[Tensor, Tensor]:
            row, z = inputs
            (given,) = incoming
            if self.mode == "smooth" and not isinstance(self.softness, Tensor):
                difference, share = self._shares_above(row, z)
                # Half of the slope 2S - 1 + 2u S (1 - S), u = difference / softness.
                flat = torch.addcmul(share, share, share, value=-1)
                turn, given = share.sub_(0.5).addcmul_(flat, difference, value=1 / self.softness), 2 * given
                return given * turn.sum(-1), -(given[..., None, :] @ turn)[..., 0, :]
            (turn,) = ABS.slopes(row[..., :, None] - z[..., None, :], Shape.of(self.mode, self.softness))
            return given * turn.sum(-1), -(turn * given[..., :, None]).sum(-2)

        if softness is not None:
            return by_rows(total, self.size, self.z, self.z, softness)[0]
        return by_rows(total, self.size, self.z, self.z, gradient=gradient)[0]

    def _shares_above(self, row: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``row - z`` of every pair and its soft step S in mode smooth."""
        difference = row[..., :, None] - z[..., None, :]
        return difference, (difference * (1 / self.softness)).sigmoid_()

    def _scores(self, rows: Tensor, z: Tensor, *others: Tensor) -> Tensor:
        """Return what is projected, shape ``[..., k, n]``. [softness]"""
        rest = list(others)
        softness = rest.pop(0)[..., None] if isinstance(self.softness, Tensor) else self.softness
        row, element = rows[..., :, None], z[..., None, :]
        if self.method == "softsort":
            return (row - element).abs() / -softness
        return torch.addcmul(rest.pop(0)[..., None, :] / -softness, row, element / softness)

    def _by_rows(self, rows: Tensor, others: list[Tensor], x: Tensor | None, *, index: bool) -> tuple[Tensor, ...]:
        """Return the expectations of x, if there is one, and the rows, if asked for."""

        def function(rows: Tensor, *others: Tensor, projection: Any = project) -> tuple[Tensor, ...]:
            scores = self._scores(rows, *(others if x is None else others[:-1]))
            if linear and projection is project and not torch.is_grad_enabled():
                weight = exponentials(scores)
                total = weight.sum(-1)
                return ((weight * others[-1][..., None, :]).sum(-1) / total,)
            shares = projection(scores, self.mode)
            expectation = () if x is None else ((shares * others[-1][..., None, :]).sum(-1),)
            return (*expectation, shares) if index else expectation

        linear = self.mode == "smooth" and self.method == "neuralsort" and x is not None and not index
        given = others if x is None else [*others, x]
        gradient: Any = None
        if not isinstance(self.softness, Tensor):
            gradient = partial(self._gradient, x is not None)
        reference = partial(function, projection=plain_project)
        return by_rows(function, self.size, rows, *given, gradient=gradient, reference=reference)

    def _linear_gradient(
        self, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...], incoming: tuple[Tensor | None, ...]
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of rows, z, distances and x for neuralsort's expectations in mode smooth.

        The gradient of a score is ``g_i P_ij (x_j - y_i)``; of it only its sums over i are wanted, also weighted with
        the places, and those are products of P with vectors.
        """
        (rows, z, distances, x), (y, *shares), (given, *_) = inputs, outputs, incoming
        assert given is not None
        weight = shares[0] if shares else exponentials(self._scores(rows, z, distances))
        given = given if shares else given / weight.sum(-1)
        centre = x.mean(-1, keepdim=True)  # or large x would lose what they differ by
        by_value = given * (y - centre)
        sums = torch.stack([given, by_value, given * rows, by_value * rows], -2) @ weight
        of_x, level, placed, placed_level = sums.unbind(-2)
        x = x - centre
        return None, (x * placed - placed_level) / self.softness, (x * of_x - level) / -self.softness, of_x

    def _gradient(
        self,
        values: bool,
        inputs: tuple[Tensor, ...],
        outputs: tuple[Tensor, ...],
        incoming: tuple[Tensor | None, ...],
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of rows, z, distances and x from those of the expectations and perhaps of the rows."""
        plain = self.mode == "smooth" and self.method == "neuralsort"
        if plain and values and (len(outputs) == 1 or incoming[-1] is None):
            return self._linear_gradient(inputs, outputs, incoming)
        rows, z, *distances = inputs[:-1] if values else inputs
        assert not isinstance(self.softness, Tensor)
        index = len(outputs) > values
        shares = outputs[-1] if index else project(self._scores(rows, z, *distances), self.mode)
        sent = incoming[-1] if index else None
        of_x: tuple[Tensor | None, ...] = (None,) if values else ()
        if values and incoming[0] is not None:
            of_values = incoming[0][..., :, None]
            of_x = ((shares * of_values).sum(-2),)
            by_value = of_values * inputs[-1][..., None, :]
            sent = by_value if sent is None else sent + by_value
        assert sent is not None
        of_scores = projection_gradient(shares, sent, self.mode)
        if self.method == "neuralsort":
            of_z = (of_scores * rows[..., :, None]).sum(-2)
            return None, of_z / self.softness, of_scores.sum(-2) / -self.softness, *of_x
        of_scores *= torch.sign(rows[..., :, None] - z[..., None, :])
        return of_scores.sum(-1) / -self.softness, of_scores.sum(-2) / self.softness, *of_x

    # --- the other two -----------------------------------------------------------------------------------

    def _network_matrix(self) -> Tensor:
        return network.network_matrix(self.z, self.softness, self.mode, pad=self.pad)[1]

    def _transported(
        self,
        anchors: Sequence[float],
        masses: Sequence[float] | Tensor,
        wanted: Sequence[int],
        *,
        log: bool,
        problems: bool = False,
    ) -> Tensor:
        """Return the shares that some anchors, given in ascending order, receive from the elements: ``[..., k, n]``.

        With `problems` the masses have shape ``[Q, m]``, a transport for each, and the result ``[..., Q, k, n]``.
        """
        z, double = self.z, torch.float64
        places = torch.tensor(list(anchors), dtype=double, device=z.device)
        nu = masses if isinstance(masses, Tensor) else torch.tensor(list(masses), dtype=double, device=z.device)
        nu = nu.clamp(min=LEAST_MASS) / nu.clamp(min=LEAST_MASS).sum(-1, keepdim=True)
        softness = self.softness
        if problems:
            z = z[..., None, :]
            softness = softness[..., None, :] if isinstance(softness, Tensor) else softness
        tolerance, most = self.options
        return transport.shares(
            z, softness, places, nu, wanted, self.mode, log=log, tolerance=tolerance, max_iterations=most
        )
