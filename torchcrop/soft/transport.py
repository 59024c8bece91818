"""Regularised optimal transport from points on a line to anchors: exact plan, derivatives of order 1 to 3.

The first derivative is evaluated a block of problems at a time, from the potentials: nothing of the size of the plan
is kept. Higher derivatives, `torch.func` transforms and `torch.compile` differentiate ordinary operations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from torchcrop.soft.simplex import log_of
from torchcrop.soft.transport_search import (
    RIDGE,
    TINY,
    blocks,
    conjugate_gradients,
    factor,
    plan_and_weight,
    potentials,
    row,
    solve,
)

__all__ = ["options", "shares"]

#: Power r of the plan in its dual slack, Gamma = (f + g - C)_+^r. 0 stands for the exponential of mode "smooth".
POWER = {"smooth": 0, "c0": 1, "c1": 2, "c2": 3}
#: Published names of the solver's settings: tolerance and number of iterations, by mode.
SMOOTH_OPTIONS = ("sinkhorn_tol", "sinkhorn_max_iter")
SPARSE_OPTIONS = ("lbfgs_tol", "lbfgs_max_iter")
TOLERANCE = 1e-14
MAX_ITERATIONS = 1000
# What is worth asking for where the result is rounded to float32 or less. [share of an equal mass]
SINGLE = 1e-8

# Between points this far apart no plan exchanges anything; shortening longer gaps keeps rounding at bay. [1/unit of z]
FAR = 1e6
# Each chord step raises the order of the error in a perturbation of the points by one.
CHORD_STEPS = 3
# Of the conjugate gradients in the first derivative of "smooth": steps at most before the system is factorised, and
# accuracy in double and single precision. [share of the right-hand side]
GRADIENT_STEPS = 60
GRADIENT_ACCURACY = {True: 1e-14, False: 1e-9}


def options(operator: str, mode: str, ot_kwargs: Mapping[str, Any] | None) -> tuple[float, int]:
    """Return tolerance and largest number of iterations for a mode, from the published keyword names.

    Parameters
    ----------
    operator : str
        For the message.
    mode : str
        ``smooth`` takes `sinkhorn_tol` and `sinkhorn_max_iter`; ``c0``, ``c1`` and ``c2`` take `lbfgs_tol` and
        `lbfgs_max_iter`. The names of the other modes are accepted and have no effect.
    ot_kwargs : mapping, optional
        Default: a tolerance of 1e-14 [share of the mass], at most 1000 iterations.

    Raises
    ------
    TypeError
        On an unknown name.
    ValueError
        If a tolerance is not positive and finite, or a number of iterations is not a positive integer.
    """
    given = dict(ot_kwargs or {})
    allowed = (*SMOOTH_OPTIONS, *SPARSE_OPTIONS)
    for name, value in given.items():
        if name not in allowed:
            raise TypeError(f"{operator}: ot_kwargs has the unknown key {name!r}; allowed are {', '.join(allowed)}")
        if name.endswith("_tol") and not 0 < value < math.inf:
            raise ValueError(f"{operator}: {name} is {value}; it must be positive and finite, such as {TOLERANCE}")
        if name.endswith("_iter") and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{operator}: {name} is {value!r}; it must be a positive integer, such as 1000")
    tolerance, iterations = SMOOTH_OPTIONS if mode == "smooth" else SPARSE_OPTIONS
    return float(given.get(tolerance, TOLERANCE)), given.get(iterations, MAX_ITERATIONS)


@dataclass(frozen=True)
class _Settings:
    """What the shares are evaluated with besides tensors; logarithms only of the exponential plan."""

    power: int
    wanted: tuple[int, ...]
    log: bool
    dtype: torch.dtype


def shares(
    points: Tensor,
    softness: Tensor | float,
    anchors: Tensor,
    nu: Tensor,
    wanted: Sequence[int],
    mode: str = "smooth",
    *,
    log: bool = False,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
) -> Tensor:
    """Return what share of the mass of an anchor comes from each point, under the least regularised cost.

    The plan minimises ``sum(cost * plan) + Omega(plan)`` with ``cost = (anchor - point)**2 / softness`` among the
    plans with mass 1/n from every point and `nu` to the anchors. Omega is ``sum(plan * (log(plan) - 1))`` for
    ``smooth`` and ``sum(plan**p) / p`` with p = 2, 3/2, 4/3 for ``c0``, ``c1``, ``c2``. With potentials f, g the plan
    is ``exp(f + g - cost)`` or ``relu(f + g - cost)**(1 / (p - 1))``.

    Parameters
    ----------
    points : Tensor
        Positions. [unit of z], shape ``(..., n)``
    softness : float or Tensor
        Broadcasts with `points`. [unit of z squared]
    anchors : Tensor
        Positions, ascending, without derivative. [unit of z], shape ``(m,)``, float64
    nu : Tensor
        Masses of the anchors, positive, of sum 1, without derivative; broadcasts with the batch of `points`.
        [share of the mass], shape ``(..., m)``, float64
    wanted : sequence of int
        Indices of k anchors.
    mode : str
        ``smooth``, ``c0``, ``c1`` or ``c2``.
    log : bool
        Return logarithms: in mode ``smooth`` finite where a share underflows.
    tolerance : float
        Largest error of a marginal that ends the iteration; what rounding of the cost allows ends it as well.
        [share of the mass]
    max_iterations : int
        Newton steps at most. A `UserWarning` says where they were not enough.

    Returns
    -------
    Tensor
        Shape ``(..., k, n)``, dtype of `points`. NaN where an element of the batch has a point that is not finite.

    Notes
    -----
    The derivatives are those of the exact plan, up to the third order; in the sparse modes at fixed support.

    References
    ----------
    Cuturi (2013), Sinkhorn distances, NIPS 26. Blondel, Seguy and Rolet (2018), Smooth and sparse optimal
    transport, AISTATS. Lorenz, Manns and Meyer (2021), Quadratically regularized optimal transport, Appl. Math.
    Optim. 83 (semi-smooth Newton). Luise et al. (2018), Differential properties of Sinkhorn approximation, NeurIPS 31.
    """
    if log and mode != "smooth":
        return log_of(
            shares(points, softness, anchors, nu, wanted, mode, tolerance=tolerance, max_iterations=max_iterations)
        )
    settings = _Settings(POWER[mode], tuple(wanted), log, points.dtype)
    scaled = points.double() / softness
    batch = torch.broadcast_shapes(scaled.shape[:-1], nu.shape[:-1])
    n, m = points.shape[-1], anchors.shape[-1]
    scaled, nu = _gathered(scaled).expand(*batch, n), nu.expand(*batch, m)
    if points.dtype != torch.float64:
        tolerance = max(tolerance, SINGLE / max(n, m, 1))
    f, g = potentials(scaled.detach(), anchors, nu, settings.power, tolerance, max_iterations)
    if torch.compiler.is_compiling():
        return _composite(settings, scaled, anchors, nu, f, g)
    flat = [t.reshape(math.prod(batch), t.shape[-1]).contiguous() for t in (scaled, nu, f, g)]
    return _Shares.apply(settings, flat[0], anchors, *flat[1:]).reshape(*batch, len(settings.wanted), n)


def _gathered(points: Tensor) -> Tensor:
    """Return the points around 0, large distances between neighbours shortened.

    To the derivatives that shortening is nothing: those to a common shift of all points beyond one are 0 as it is.
    """
    still = points.detach()
    ordered, index = still.sort(-1)
    gaps = torch.diff(ordered, dim=-1, prepend=ordered[..., :1]).clamp(max=FAR)
    places = gaps.cumsum(-1)
    places = places - places[..., -1:] / 2 + 0 * still.sum(-1, keepdim=True)  # not finite stays so
    return torch.zeros_like(still).scatter(-1, index, places) + (points - still)


# --- the plan from its potentials ------------------------------------------------------------------------


def _slack(points: Tensor, anchors: Tensor, f: Tensor, g: Tensor) -> Tensor:
    """Return ``f + g - cost``, shape ``(..., m, n)``, up to what the potentials absorb of the cost."""
    return torch.addcmul(g.unsqueeze(-1), anchors.unsqueeze(-1) * 2, points.unsqueeze(-2)) + f.unsqueeze(-2)


def _chosen(settings: _Settings, x: Tensor, dim: int) -> Tensor:
    """Return the entries of the wanted anchors."""
    if settings.wanted == tuple(range(x.shape[dim])):
        return x
    return x.index_select(dim, torch.tensor(settings.wanted, dtype=torch.long, device=x.device))


def _plan(settings: _Settings, slack: Tensor, support: Tensor) -> Tensor:
    return slack.exp() if settings.power == 0 else (slack * support) ** settings.power


def _per_mass(settings: _Settings, plan: Tensor, nu: Tensor) -> Tensor:
    """Return the shares of the wanted anchors from the plan, or their logarithms from its logarithm."""
    plan, mass = _chosen(settings, plan, -2), _chosen(settings, nu, -1).unsqueeze(-1)
    return (plan - mass.log() if settings.log else plan / mass).to(settings.dtype)


def _composite(settings: _Settings, points: Tensor, anchors: Tensor, nu: Tensor, f: Tensor, g: Tensor) -> Tensor:
    """Return the shares with the derivatives of the potentials, in ordinary operations.

    The slack that comes in solves the equations in value but carries no derivative of the potentials. Newton steps
    on the marginals follow, with the Jacobian J0 of the solution, itself held constant: a step maps an error e (in
    powers of a perturbation h of the points) to (1 - J0^-1 J) e = O(h) e. So k steps give derivatives up to order k
    exactly. The marginals asked for are those the solution has, so that the value stays: what rounding left would be
    divided by the ridge otherwise.
    """
    slack = _slack(points, anchors, f, g)
    still = slack.detach()
    plan, weight = plan_and_weight(still, settings.power)
    # The support stays: a slack of nothing but rounding must not leave it during the steps.
    support, mu, reached = (still > 0).to(still.dtype), plan.sum(-2), plan.sum(-1)
    inverse, scale = _system(weight)
    cholesky = factor(weight, inverse, scale, RIDGE)
    for _ in range(CHORD_STEPS):
        plan = _plan(settings, slack, support)
        df, dg = solve(weight, inverse, scale, cholesky, mu - plan.sum(-2), reached - plan.sum(-1))
        slack = slack + df.unsqueeze(-2) + dg.unsqueeze(-1)
    return _per_mass(settings, slack if settings.log else _plan(settings, slack, support), nu)


def _system(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the inverse of the diagonal of the points, 0 where it is 0, and the root of that of the anchors."""
    point, anchor = weight.sum(-2), weight.sum(-1)
    return (point > TINY) / point.clamp(min=TINY), (anchor + (anchor <= TINY)).rsqrt()


class _Shares(torch.autograd.Function):
    """The shares on blocks. Inputs: settings, points ``(b, n)``, anchors ``(m,)``, nu, f, g."""

    @staticmethod
    def forward(settings: _Settings, points: Tensor, anchors: Tensor, nu: Tensor, f: Tensor, g: Tensor) -> Tensor:
        count, n = points.shape
        result = torch.empty((count, len(settings.wanted), n), dtype=settings.dtype, device=points.device)
        for part in blocks(count, n * anchors.numel(), points.device):
            slack = _slack(points[part], anchors, f[part], g[part])
            if not settings.log:
                slack = plan_and_weight(slack, settings.power)[0]
            result[part] = _per_mass(settings, slack, nu[part])
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.settings, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            points, *others = ctx.saved_tensors
            result = torch.func.vjp(lambda p: _composite(ctx.settings, p, *others), points)[1](gradient)[0]
        else:
            settings = ctx.settings
            result = _gradient(
                *ctx.saved_tensors, gradient, settings.power, settings.wanted, settings.log, settings.dtype
            )
        return None, result, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, _settings: None, tangent: Tensor, *_others: None) -> Tensor:
        points, *others = ctx.saved_tensors
        # Forward by twice backward, since forward mode does not nest: what goes back is linear in what comes in.
        shares, backward, *_ = torch.func.vjp(lambda p: _composite(ctx.settings, p, *others), points)
        return torch.func.vjp(lambda gradient: backward(gradient)[0], torch.zeros_like(shares))[1](tangent)[0]

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], settings: _Settings, points: Tensor, anchors: Tensor, *others: Tensor
    ) -> tuple[Tensor, int]:
        points, *rest = _merged(info.batch_size, (in_dims[1], *in_dims[3:]), (points, *others))
        return _Shares.apply(settings, points, anchors, *rest).unflatten(0, (info.batch_size, -1)), 0


def _merged(size: int, in_dims: tuple[int | None, ...], tensors: tuple[Tensor, ...]) -> list[Tensor]:
    """Return batches of batches of problems as one batch."""
    fronted = [
        t.expand(size, *t.shape) if d is None else t.movedim(d, 0) for t, d in zip(tensors, in_dims, strict=True)
    ]
    return [t.flatten(0, 1).contiguous() for t in fronted]


@torch.library.custom_op("torchcrop::transport_gradient", mutates_args=())
def _gradient(
    points: Tensor,
    anchors: Tensor,
    nu: Tensor,
    f: Tensor,
    g: Tensor,
    gradient: Tensor,
    power: int,
    wanted: Sequence[int],
    log: bool,
    dtype: torch.dtype,
) -> Tensor:
    """Return the gradient to the points from that to the shares, without derivatives.

    An operator of its own, since a gradient may be a batch of gradients, of which plain operations cannot take parts.
    """
    settings, result = _Settings(power, tuple(wanted), log, dtype), torch.empty_like(points)
    for part in blocks(len(points), points.shape[-1] * anchors.numel(), points.device):
        result[part] = _block_gradient(
            settings, points[part], anchors, nu[part], f[part], g[part], gradient[part].double()
        )
    return result


@_gradient.register_vmap
def _(info: Any, in_dims: Any, points: Tensor, anchors: Tensor, *others: Any) -> Any:
    tensors, settings = (points, *others[:4]), others[4:]
    points, *rest = _merged(info.batch_size, (in_dims[0], *in_dims[2:6]), tensors)
    return _gradient(points, anchors, *rest, *settings).unflatten(0, (info.batch_size, -1)), 0


def _block_gradient(
    settings: _Settings, points: Tensor, anchors: Tensor, nu: Tensor, f: Tensor, g: Tensor, gradient: Tensor
) -> Tensor:
    """Return the gradient to the points, shape ``(b, n)``, from that to the shares, ``(b, k, n)``.

    With W the derivative of the plan and H = W * V, V the gradient to the plan, the gradient to ``2 * anchor * point``
    is ``H - W * (a + b)``; a and b make its sums over points and anchors 0, as the marginals stay what they are.
    """
    _, weight = plan_and_weight(_slack(points, anchors, f, g), settings.power)
    if not settings.log:
        gradient = gradient * _chosen(settings, weight, -2) / _chosen(settings, nu, -1).unsqueeze(-1)
    by_anchor = torch.zeros_like(nu)
    by_anchor[:, list(settings.wanted)] = gradient.sum(-1)
    a, b = _multipliers(settings, weight, gradient.sum(-2), by_anchor)
    along = row(_chosen(settings, anchors, -1).expand(len(points), -1), gradient)
    return 2 * (along - row(anchors * b, weight) - a * row(anchors.expand(len(points), -1), weight))


def _multipliers(settings: _Settings, weight: Tensor, by_point: Tensor, by_anchor: Tensor) -> tuple[Tensor, Tensor]:
    """Solve for what every point and every anchor adds, so that the weighted sums are `by_point` and `by_anchor`."""
    inverse, scale = _system(weight)
    if settings.power == 0:
        right = scale * (by_anchor - row(inverse * by_point, weight.mT))
        accuracy = GRADIENT_ACCURACY[settings.dtype == torch.float64]
        x, solved = conjugate_gradients(weight, inverse, scale, 1 / scale, right, accuracy, GRADIENT_STEPS)
        if solved:
            b = scale * x
            return inverse * (by_point - row(b, weight)), b
    cholesky = factor(weight, inverse, scale, RIDGE)
    a, b = solve(weight, inverse, scale, cholesky, by_point, by_anchor)
    # A second time for what the ridge left.
    left_point = by_point - weight.sum(-2) * a - row(b, weight)
    left_anchor = by_anchor - weight.sum(-1) * b - row(a, weight.mT)
    da, db = solve(weight, inverse, scale, cholesky, left_point, left_anchor)
    return a + da, b + db
