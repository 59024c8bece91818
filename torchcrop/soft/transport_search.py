"""Potentials of a regularised transport from points on a line to anchors: the search for the solution, in values.

The dual problem in f (points) and g (anchors) is solved with ``slack = f + g + 2 * anchor * point``; the squares of
the cost are constant along a row or a column, so the potentials absorb them. Nearly all problems are solved from the
potentials of the unregularised transport, which are known on a line, by plain Newton steps on blocks that stay in the
cache. What these do not solve goes to a damped search with the cost annealed.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor

__all__ = ["blocks", "conjugate_gradients", "factor", "plan_and_weight", "potentials", "row", "solve"]

TINY = 1e-300
EPSILON = torch.finfo(torch.float64).eps
# Relative ridge of the Schur complement. It is singular by one vector for each connected component of the plan,
# but the systems are consistent, so the ridge only has to be well above rounding.
RIDGE = 1e-12
# Entries of the cost worked on together on the CPU: what stays in the cache, a megabyte.
BLOCK = 1 << 17
# Steps of the quick solution: Sinkhorn's before the first of Newton's, those of Newton at most.
SINKHORN, NEWTON = 3, 14
# Steps more for what is as good as rounding allows, but not within the tolerance.
EXTRA = 3
# Conjugate gradients at most for a step of Newton's.
CONJUGATE = 60
# Largest change of a potential in a quick Newton step of mode "smooth".
STEP = 2.0
# What is left of a residual by rounding: no direction to follow. [share of the squared right-hand side]
NOISE = 1e-31
# Masses below about 1e-11 tie components of a sparse plan together by slacks of that size; finding these takes more
# steps than they are worth, so an element that good gets this many more steps.
GOOD, POLISH = 1e-11, 12
# The annealing begins where the cost is this many times the slack of a plan that is positive everywhere.
FIRST = {0: 20.0, 1: 50.0, 2: 50.0, 3: 50.0}
FACTOR = {0: 8.0, 1: 4.0, 2: 4.0, 3: 4.0}
# Newton steps of the inner projection of the sparse modes; what they leave goes into the next outer step.
SWEEPS = 4


@torch.library.custom_op("torchcrop::transport_potentials", mutates_args=())
def potentials(
    points: Tensor, anchors: Tensor, nu: Tensor, power: int, tolerance: float, max_iterations: int
) -> tuple[Tensor, Tensor]:
    """Return the potentials f ``(..., n)`` of the points and g ``(..., m)`` of the anchors, without derivatives.

    An operator of its own, since the search branches on values: opaque to `torch.compile` and to transforms.

    Parameters
    ----------
    points : Tensor
        Positions divided by the softness, each with the mass 1/n. Shape ``(..., n)``, float64.
    anchors : Tensor
        Positions, ascending. Shape ``(m,)``.
    nu : Tensor
        Masses of the anchors, positive. [share of the mass], shape ``(..., m)``
    power : int
        Power of the plan in its slack; 0 for the exponential.
    tolerance : float
        Largest error of a marginal. [share of the mass]
    max_iterations : int
        Steps at most; a `UserWarning` says where they were not enough.
    """
    n, m = points.shape[-1], anchors.shape[-1]
    f, g = torch.zeros_like(points, memory_format=torch.contiguous_format), points.new_zeros((*points.shape[:-1], m))
    if points.numel() == 0 or m == 0:
        return f, g
    points, nu = points.reshape(-1, n), nu.reshape(-1, m)
    flat_f, flat_g = f.view(-1, n), g.view(-1, m)
    quick = _quick_smooth if power == 0 else _quick_sparse
    left = 0.0
    for part in blocks(len(points), n * m, points.device):
        flat_f[part], flat_g[part], solved = quick(points[part], anchors, nu[part], power, tolerance, max_iterations)
        missed = (~solved).nonzero().squeeze(-1)
        if len(missed):
            index = missed + part.start
            flat_f[index], flat_g[index], error_left = _searched(
                points[index], anchors, nu[index], power, tolerance, max_iterations
            )
            left = max(left, error_left)
    if left > 0:
        warnings.warn(
            f"optimal transport: after max_iterations = {max_iterations} a marginal is off by {left:.1e} of the mass "
            f"(tolerance {tolerance:.1e}); allow more iterations, or a larger tolerance or softness",
            UserWarning,
            stacklevel=2,
        )
    return f, g


@potentials.register_fake
def _(points: Tensor, anchors: Tensor, nu: Tensor, power: int, tolerance: float, max_iterations: int) -> Any:
    return points.new_empty(points.shape), points.new_empty(nu.shape)


@potentials.register_vmap
def _(info: Any, in_dims: Any, points: Tensor, anchors: Tensor, nu: Tensor, *settings: Any) -> Any:
    points, nu = (
        x.unsqueeze(0).expand(info.batch_size, *x.shape) if d is None else x.movedim(d, 0)
        for x, d in zip((points, nu), (in_dims[0], in_dims[2]), strict=True)
    )
    return potentials(points, anchors, nu, *settings), (0, 0)


def blocks(count: int, size: int, device: torch.device) -> list[slice]:
    """Cut `count` problems of `size` entries into blocks."""
    together = max(1, BLOCK // max(1, size)) if device.type == "cpu" else max(1, count)
    return [slice(i, min(i + together, count)) for i in range(0, count, together)]


# --- linear systems --------------------------------------------------------------------------------------
#
# Weights have the shape (..., m, n), anchors by points. Products with one vector are written as row vector times
# matrix: torch is five times slower with columns.


def factor(weight: Tensor, by_point: Tensor, scale: Tensor, ridge: Tensor | float) -> Tensor:
    """Return the Cholesky factor of the Schur complement of the points, scaled to a diagonal near 1."""
    v = weight * by_point.sqrt().unsqueeze(-2) * scale.unsqueeze(-1)
    eye = torch.eye(v.shape[-2], dtype=v.dtype, device=v.device)
    return torch.linalg.cholesky_ex(eye * (1 + ridge) - v @ v.mT).L


def solve(
    weight: Tensor, by_point: Tensor, scale: Tensor, cholesky: Tensor, error_point: Tensor, error_anchor: Tensor
) -> tuple[Tensor, Tensor]:
    """Solve [diag(W^T 1), W^T; W, diag(W 1)] (df, dg) = (error_point, error_anchor) by elimination of df."""
    right = error_anchor - row(by_point * error_point, weight.mT)
    dg = scale * torch.cholesky_solve((scale * right).unsqueeze(-1), cholesky).squeeze(-1)
    return by_point * (error_point - row(dg, weight)), dg


def conjugate_gradients(
    kernel: Tensor, by_point: Tensor, scale: Tensor, constant: Tensor, right: Tensor, accuracy: float, most: int
) -> tuple[Tensor, bool]:
    """Solve ``x - scale * kernel @ (by_point * (kernel.T @ (scale * x))) = right``, and say whether that succeeded.

    Parameters
    ----------
    kernel : Tensor
        Shape ``(b, m, n)``.
    by_point, scale : Tensor
        Shapes ``(b, n)`` and ``(b, m)``.
    constant : Tensor
        The x for which the left-hand side is 0, shape ``(b, m)``; its norm is near 1. The matrix gets the eigenvalue
        1 there, which changes nothing for a right-hand side of the system.
    right : Tensor
        Shape ``(b, m)``, orthogonal to `constant`.
    accuracy : float
        Residual, in the Euclidean norm. [share of the right-hand side]
    most : int
        Steps at most.
    """
    x, residual, direction = torch.zeros_like(right), right, right
    square = _inner(residual, residual)
    noise, goal = square * NOISE + TINY, square * accuracy**2 + TINY
    for step in range(most):
        image = direction - scale * row(by_point * row(scale * direction, kernel), kernel.mT)
        image = torch.addcmul(image, constant, _inner(constant, direction))
        length = square * (square > noise) / _inner(direction, image).clamp(min=TINY)
        x = torch.addcmul(x, length, direction)
        residual = torch.addcmul(residual, length, image, value=-1)
        last, square = square, _inner(residual, residual)
        if step % 2 and bool((square <= goal).all()):
            return x, True
        direction = torch.addcmul(residual, square / last.clamp(min=TINY), direction)
    return x, False


def row(vector: Tensor, matrix: Tensor) -> Tensor:
    """Return the product of row vectors and matrices."""
    return torch.matmul(vector.unsqueeze(-2), matrix).squeeze(-2)


def _inner(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum(-1, keepdim=True)


def plan_and_weight(slack: Tensor, power: int) -> tuple[Tensor, Tensor]:
    """Return the plan and its derivative with respect to the slack."""
    if power == 0:
        plan = slack.exp()
        return plan, plan
    positive = slack.clamp(min=0)
    if power == 1:
        return positive, (positive > 0).to(positive.dtype)
    weight = positive if power == 2 else positive * positive
    return weight * positive, weight * power


# --- quick solution --------------------------------------------------------------------------------------


def _start(points: Tensor, anchors: Tensor, nu: Tensor) -> Tensor:
    """Return the potentials of the anchors in the unregularised transport: ``dg/da = -2`` times the quantiles."""
    n = points.shape[-1]
    place = (nu.cumsum(-1)[:, :-1] * n - 0.5).clamp(0, n - 1)
    low = place.floor()
    ordered, index = points.sort(-1).values, low.long()
    border = torch.lerp(ordered.gather(-1, index), ordered.gather(-1, (index + 1).clamp(max=n - 1)), place - low)
    rise = (-2 * border * anchors.diff()).cumsum(-1)
    return torch.cat([torch.zeros_like(nu[:, :1]), rise], -1)


def _quick_smooth(
    points: Tensor, anchors: Tensor, nu: Tensor, power: int, tolerance: float, max_iterations: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return f, g and where they solve the problem: Sinkhorn steps, then Newton's by conjugate gradients.

    With the kernel ``K = exp(slack of the start)`` the plan is ``v K u``; a step costs products with K only.
    """
    mass, g = 1 / points.shape[-1], _start(points, anchors, nu)
    slack = torch.addcmul(g.unsqueeze(-1), anchors.unsqueeze(-1) * 2, points.unsqueeze(-2))
    f = -slack.amax(-2)
    kernel = slack.add_(f.unsqueeze(-2)).exp_()
    v = torch.ones_like(nu)
    for step in range(min(SINKHORN + NEWTON, max_iterations)):
        u = mass / row(v, kernel)
        anchor = v * row(u, kernel.mT)
        off = nu - anchor
        error = off.abs().amax(-1)
        worst = float(error.nan_to_num(0.0).max())
        if worst <= tolerance:
            break
        if step < SINKHORN:
            v = v * (nu / anchor)
        else:
            root = anchor.sqrt()
            accuracy = min(0.1, max(worst / float(nu.max()), tolerance / worst / 4, 1e-8))
            move, _ = conjugate_gradients(kernel, u * u / mass, v / root, root, off / root, accuracy, CONJUGATE)
            v = v * (move / root).clamp(-STEP, STEP).exp()
    return f + u.log(), g + v.log(), error <= tolerance


def _quick_sparse(
    points: Tensor, anchors: Tensor, nu: Tensor, power: int, tolerance: float, max_iterations: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return f, g and where they solve the problem: Newton steps without damping."""
    mass, g = 1 / points.shape[-1], _start(points, anchors, nu)
    gain = anchors.unsqueeze(-1) * 2 * points.unsqueeze(-2)
    size = 2 * (points.amax(-1) - points.amin(-1)) * (anchors.amax() - anchors.amin())
    f = _project((gain + g.unsqueeze(-1)).mT, torch.full_like(points, mass), torch.full_like(points, -math.inf), power)
    found_f, found_g, solved = torch.empty_like(f), torch.empty_like(g), torch.zeros_like(size, dtype=torch.bool)
    best, fine_for, index = size + math.inf, torch.zeros_like(size), torch.arange(len(points), device=points.device)
    for _ in range(min(NEWTON, max_iterations)):
        plan, weight = plan_and_weight((gain + g.unsqueeze(-1)).add_(f.unsqueeze(-2)), power)
        off_point, off_anchor = mass - plan.sum(-2), nu - plan.sum(-1)
        error = torch.maximum(off_point.abs().amax(-1), off_anchor.abs().amax(-1))
        point, anchor = weight.sum(-2).clamp(min=TINY), weight.sum(-1).clamp(min=TINY)
        limit = _limit(tolerance, size, point, anchor)
        better = error < best
        found_f[index[better]], found_g[index[better]], best = f[better], g[better], torch.fmin(best, error)
        fine_for = fine_for + (best < limit)
        solved[index] = fine_for > 0
        going = (error > tolerance) & (fine_for <= EXTRA)
        left = int(going.sum())
        if left == 0:
            break
        if 2 * left <= len(going):  # evaluating these few again is less than another step for all
            nu, gain, size, f, g, index, best, fine_for = (
                t[going] for t in (nu, gain, size, f, g, index, best, fine_for)
            )
            continue
        by_point, scale = 1 / point, anchor.rsqrt()
        ridge = (10 * (off_point.abs().sum(-1) + off_anchor.abs().sum(-1))).clamp(RIDGE, 1e-2)
        cholesky = factor(weight, by_point, scale, ridge[:, None, None])
        df, dg = solve(weight, by_point, scale, cholesky, off_point, off_anchor)
        f, g = f + df, g + dg
    return found_f, found_g, solved


def _limit(tolerance: float, size: Tensor, point: Tensor, anchor: Tensor) -> Tensor:
    """Return the error of a marginal to stop at: the tolerance, or what rounding of a cost of some size allows."""
    rounding = 4 * EPSILON * (1 + size) * torch.maximum(point.amax(-1), anchor.amax(-1))
    return rounding.clamp(min=tolerance)


# --- damped search ---------------------------------------------------------------------------------------


def _searched(
    points: Tensor, anchors: Tensor, nu: Tensor, power: int, tolerance: float, max_iterations: int
) -> tuple[Tensor, Tensor, float]:
    """Return f, g and the largest error of a marginal above the tolerance; NaN where a point is not finite."""
    finite = points.isfinite().all(-1)
    f, g = torch.full_like(points, math.nan), torch.full_like(nu, math.nan)
    if not finite.any():
        return f, g, 0.0
    points, nu = points[finite], nu[finite]
    mu = torch.full_like(points, 1 / points.shape[-1])
    search = _Search(points.unsqueeze(-1) * (-2 * anchors), mu, nu, power, tolerance)
    f[finite], g[finite], left = search.run(max_iterations)
    return f, g, left


class _Search:
    """Damped Newton on the dual as a function of g, f being eliminated, with the cost annealed from small to full.

    Every element of the batch has its own stage `kappa` (share of the cost), step length and direction; those that
    are done are taken out.
    """

    def __init__(self, cost: Tensor, mu: Tensor, nu: Tensor, power: int, tolerance: float) -> None:
        self.power, self.tolerance = power, tolerance
        self.mu, self.nu = mu, nu
        # Potentials absorb what is constant along a row or column; the rest is what rounding has to resolve.
        self.low_row = cost.amin(-1)
        cost = cost - self.low_row.unsqueeze(-1)
        self.low_column = cost.amin(-2)
        self.cost = cost - self.low_column.unsqueeze(-2)
        self.size = self.cost.amax((-1, -2)).clamp(min=TINY)
        slack = (mu.amax(-1) * nu.amax(-1)) ** (1 / power) if power else torch.ones_like(self.size)
        self.kappa = (FIRST[power] * slack / self.size).clamp(max=1.0)
        self.f, self.g = torch.zeros_like(mu), torch.zeros_like(nu)
        self.df, self.dg = torch.zeros_like(mu), torch.zeros_like(nu)
        nothing = torch.zeros_like(self.size)
        self.slope, self.step = nothing, nothing + 1
        self.last_error = nothing + math.inf
        self.best = nothing + math.inf
        self.best_f, self.best_g = self.f.clone(), self.g.clone()
        self.good_for, self.at_stage = nothing, nothing

    # fmt: off
    _PER_ELEMENT = (
        "mu", "nu", "cost", "size", "kappa", "f", "g", "df", "dg",
        "slope", "step", "last_error", "best", "best_f", "best_g", "good_for", "at_stage",
    )
    # fmt: on

    def run(self, max_iterations: int) -> tuple[Tensor, Tensor, float]:
        """Return f, g and the largest error of a marginal that is above the tolerance (0 if none is)."""
        f, g = torch.zeros_like(self.mu), torch.zeros_like(self.nu)
        index, left = torch.arange(len(f), device=f.device), 0.0
        for iteration in range(max_iterations):
            done = self._advance()
            last = iteration == max_iterations - 1
            if last:
                missed = self.best[~done]
                left = float(missed.max()) if len(missed) else 0.0
                done = torch.ones_like(done)
            if done.any():
                f[index[done]], g[index[done]] = self.best_f[done], self.best_g[done]
                if done.all():
                    break
                index = index[~done]
                for name in self._PER_ELEMENT:
                    setattr(self, name, getattr(self, name)[~done])
        return f + self.low_row, g + self.low_column, left

    def _advance(self) -> Tensor:
        """Evaluate the proposed point, judge it, and propose the next; return which elements are done."""
        step = self.step.unsqueeze(-1)
        g = self.g + step * self.dg
        base = g.unsqueeze(-2) - self.kappa[:, None, None] * self.cost
        f = _project(base, self.mu, self.f + step * self.df, self.power)
        slack = base.add_(f.unsqueeze(-1))
        plan, weight = plan_and_weight(slack, self.power)
        error_row, error_column = self.mu - plan.sum(-1), self.nu - plan.sum(-2)
        row, column = weight.sum(-1), weight.sum(-2)
        worst = torch.maximum(error_row.abs().amax(-1), error_column.abs().amax(-1))
        error = error_row.abs().sum(-1) + error_column.abs().sum(-1)
        close = worst <= _limit(self.tolerance, self.kappa * self.size, row, column)

        done = self._keep_best(f, g, worst, close)
        slope = (error_column * self.dg).sum(-1)
        accept = (slope >= -0.5 * self.slope) | (error <= 0.5 * self.last_error) | close | (self.step < 1e-8)
        shorter = (self.slope / (self.slope - slope)).nan_to_num(0.5).clamp(0.1, 0.5)
        self.step = torch.where(accept, 1.0, self.step * shorter)
        self.last_error = torch.where(accept, error, self.last_error)
        taken = accept.unsqueeze(-1)
        self.f, self.g = torch.where(taken, f, self.f), torch.where(taken, g, self.g)
        self.at_stage = self.at_stage + 1
        df, dg = self._newton(slack, weight, row, column, error_row, error_column, error)
        self.df, self.dg = torch.where(taken, df, self.df), torch.where(taken, dg, self.dg)
        self.slope = torch.where(accept, (error_column * dg).sum(-1), self.slope)
        sweep = accept & (self.at_stage % 10 == 9)
        if self.power and sweep.any():
            self._sweep_columns(sweep)
        self._next_stage(accept & (error <= 0.01) & (self.kappa < 1))
        return done

    def _keep_best(self, f: Tensor, g: Tensor, worst: Tensor, close: Tensor) -> Tensor:
        full = self.kappa >= 1
        better = (worst < self.best) & full
        self.best = torch.where(better, worst, self.best)
        self.best_f = torch.where(better.unsqueeze(-1), f, self.best_f)
        self.best_g = torch.where(better.unsqueeze(-1), g, self.best_g)
        self.good_for = self.good_for + (self.best <= GOOD)
        return full & close | (self.good_for > POLISH)

    def _newton(
        self,
        slack: Tensor,
        weight: Tensor,
        row: Tensor,
        column: Tensor,
        error_row: Tensor,
        error_column: Tensor,
        error: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return the regularised Newton direction.

        Where the linear model of a column's mass is far off, its slope is replaced by the secant to the step that
        would fill the column alone, or by less of its coupling: the matrix stays positive definite. The ridge goes
        to zero with the error, so that convergence stays quadratic (Levenberg and Marquardt).
        """
        alone = self._fill_alone(slack, column, self.nu - error_column)
        far = error_column.abs() > 1e-3 * self.nu
        slope = torch.where(far, error_column / torch.where(far, alone, 1.0), column).clamp(min=TINY)
        coupling = (slope / column.clamp(min=TINY)).clamp(max=1.0)
        by_row = (row > TINY) / row.clamp(min=TINY)
        ridge = (error * (10.0 if self.power else 0.1)).clamp(RIDGE, 1e-2)
        coupled = (weight * coupling.unsqueeze(-2)).mT
        cholesky = factor(coupled, by_row, slope.rsqrt(), ridge[:, None, None])
        df, dg = solve(coupled, by_row, slope.rsqrt(), cholesky, error_row, error_column)
        usable = dg.isfinite().all(-1, keepdim=True)
        return df.where(usable, 0.0), dg.where(usable, torch.where(far, alone, 0.0))

    def _fill_alone(self, slack: Tensor, column: Tensor, filled: Tensor) -> Tensor:
        """Return the step of g that would bring each column's mass from `filled` to nu: Newton on its r-th root."""
        if self.power == 0:
            return (self.nu.clamp(min=TINY) / filled.clamp(min=TINY)).log()
        root = self.nu ** (1 / self.power)
        now = filled.clamp(min=TINY)
        inside = self.power * now / column.clamp(min=TINY) * (root / now ** (1 / self.power) - 1)
        return torch.minimum(torch.where(column > 0, inside, math.inf), root - slack.amax(-2))

    def _sweep_columns(self, which: Tensor) -> None:
        """Fill each column exactly: block ascent, which breaks a cycle of Newton steps between two supports."""
        base = self.f[which].unsqueeze(-2) - self.kappa[which, None, None] * self.cost[which].mT
        self.g[which] = _project(base, self.nu[which], self.g[which], self.power)
        self.df[which], self.dg[which], self.slope[which] = 0.0, 0.0, 0.0

    def _next_stage(self, up: Tensor) -> None:
        factor = torch.where(up, (1 / self.kappa).clamp(max=FACTOR[self.power]), 1.0)
        self.kappa = (self.kappa * factor).clamp(max=1.0)
        self.f, self.g = self.f * factor.unsqueeze(-1), self.g * factor.unsqueeze(-1)
        keep = (~up).to(factor.dtype)
        self.df, self.dg = self.df * keep.unsqueeze(-1), self.dg * keep.unsqueeze(-1)
        self.slope, self.at_stage = self.slope * keep, self.at_stage * keep
        self.last_error = torch.where(up, math.inf, self.last_error)


def _project(base: Tensor, mass: Tensor, start: Tensor, power: int) -> Tensor:
    """Return f such that the plan of slack ``base + f`` has row sums `mass`.

    For the sparse modes by Newton's method, which comes down from the right on a convex function, kept between the
    bounds that one and all columns in the support give.
    """
    if power == 0:
        return mass.log() - base.logsumexp(-1)
    top = base.amax(-1)
    high, low = mass ** (1 / power) - top, (mass / base.shape[-1]) ** (1 / power) - top
    f = torch.minimum(torch.maximum(start, low), high)
    for _ in range(SWEEPS):
        slack = (base + f.unsqueeze(-1)).clamp_(min=0)
        if power == 1:
            filled, slope = slack.sum(-1), (slack > 0).sum(-1).to(slack.dtype)
        else:
            weight = slack if power == 2 else slack * slack
            filled, slope = (weight * slack).sum(-1), power * weight.sum(-1)
        off = filled - mass
        f = torch.minimum(torch.maximum(f - off / slope.clamp(min=TINY), low), high)
        if (off.abs() <= 1e-4 * mass).all():
            break
    return f
