"""Projection of a vector on the probability simplex: the soft one-hot behind every index along an axis.

``P(v) = argmax <v, y> - Omega(y)`` over the simplex. With the entropy as Omega (mode smooth) it is the softmax. With a
p-norm, p = 2, 3/2, 4/3 (modes c0, c1, c2), it is ``y_i = max(0, v_i - theta)^r``, r = 1, 2, 3, with theta such that the
y_i sum to 1: sparsemax (Martins and Astudillo 2016) and its smoother relatives (Peters, Niculae and Martins 2019:
entmax). These have exact zeros, and r - 1 continuous derivatives.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

_POWERS = {"c0": 1, "c1": 2, "c2": 3}
# Newton's steps to theta at most; where they do not do, as many as there are entries may be needed.
_MOST_STEPS = 30
_SHORT = 256


def project(v: Tensor, mode: str) -> Tensor:
    """Project on the simplex along the last axis.

    Parameters
    ----------
    v : Tensor
        Shape ``[..., n]``, in units of the softness. Entries of -inf take no part.
    mode : {"smooth", "c0", "c1", "c2"}
        The regulariser.

    Returns
    -------
    Tensor
        Shape ``[..., n]``, not negative, with sum 1; derivatives are right to any order.
    """
    if torch.compiler.is_compiling():
        return plain_project(v, mode)
    if mode == "smooth":
        return _softmax(v)
    if v.shape[-1] == 0:
        return v
    return _Projection.apply(v - v.detach().amax(-1, keepdim=True), _POWERS[mode])


def plain_project(v: Tensor, mode: str) -> Tensor:
    """Do as `project`, in ordinary torch operations."""
    if mode == "smooth":
        return torch.softmax(v, -1)
    if v.shape[-1] == 0:
        return v
    return _projection(v - v.detach().amax(-1, keepdim=True), _POWERS[mode])


def log_project(v: Tensor, mode: str) -> Tensor:
    """Return the logarithm of `project`: in mode smooth finite where the probability underflows, else -inf at zeros."""
    return torch.log_softmax(v, -1) if mode == "smooth" else log_of(project(v, mode))


def log_of(probability: Tensor) -> Tensor:
    """Return the logarithm of probabilities, -inf with derivative 0 where they are 0."""
    zero = probability == 0
    # A masked logarithm would send 0 / 0 backwards.
    return torch.log(probability + zero.to(probability.dtype)).masked_fill(zero, -torch.inf)


def projection_gradient(share: Tensor, gradient: Tensor, mode: str) -> Tensor:
    """Return the gradient of v from that of its projection `share`.

    ``dy = w (dv - dtheta)``, with w = y for the softmax and w = r (v - theta)^(r - 1) for the others; dtheta is the
    mean of dv weighted with w.
    """
    if mode == "smooth":
        weighted = share * gradient
        return weighted.addcmul_(share, weighted.sum(-1, keepdim=True), value=-1)
    if mode == "c0":
        weight = share.sign()
    else:
        weight = share.sqrt() if mode == "c1" else share.pow(2 / 3)
    weighted = weight * gradient
    mean = weighted.sum(-1, keepdim=True) / weight.sum(-1, keepdim=True)
    return weighted.addcmul_(weight, mean, value=-1).mul_(_POWERS[mode])


def _softmax(v: Tensor) -> Tensor:
    if torch.is_grad_enabled() or not 0 < v.shape[-1] <= _SHORT:
        return torch.softmax(v, -1)
    weight = exponentials(v)  # torch's own takes twice the time on short rows
    return weight.div_(weight.sum(-1, keepdim=True))


def exponentials(v: Tensor) -> Tensor:
    """Return ``exp(v - max v)`` along the last axis, which is not empty: softmax in other units; no derivative."""
    # exp takes four times the time of exp2. Powers near the end of the normal numbers take ten times that of others;
    # they are 0 here.
    least = 0.9 * math.log2(torch.finfo(v.dtype).tiny)
    weight = (v - v.amax(-1, keepdim=True)).mul_(math.log2(math.e)).clamp_(min=least).exp2_()
    return weight.sub_(1.001 * 2**least).relu_()


def _projection(v: Tensor, power: int) -> Tensor:
    """Project v, the largest of a slice 0, with theta in closed form from the moments of the entries above it."""
    # theta is never below -1, so entries further down take no part: nothing overflows.
    v = v.clamp(min=-1)
    support = (v.detach() > threshold(v.detach(), power)).to(v.dtype)
    part = v * support
    powers = [part]
    for _ in range(power - 1):
        powers.append(powers[-1] * part)
    count = support.sum(-1, keepdim=True)
    theta = root(count, [p.sum(-1, keepdim=True) for p in powers], power)
    return torch.relu(v - theta) ** power


class _Projection(torch.autograd.Function):
    """`_projection` with a first derivative in five passes; higher ones are those of the closed form."""

    @staticmethod
    def forward(v: Tensor, power: int) -> Tensor:
        return torch.relu(v - threshold(v, power)) ** power

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        v, ctx.power = inputs
        ctx.save_for_backward(v, output)
        ctx.save_for_forward(v)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        v, share = ctx.saved_tensors
        if torch.is_grad_enabled():
            backward = torch.func.vjp(lambda v: _projection(v, ctx.power), v)[1]
            return backward(gradient)[0], None
        return projection_gradient(share, gradient, f"c{ctx.power - 1}"), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _power: None) -> Tensor:
        (v,) = ctx.saved_tensors
        # Forward by twice backward, since forward mode does not nest: what goes back is linear in what comes in.
        share, backward, *_ = torch.func.vjp(lambda v: _projection(v, ctx.power), v)
        return torch.func.vjp(lambda gradient: backward(gradient)[0], torch.zeros_like(share))[1](tangent)[0]

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None], v: Tensor, power: int) -> tuple[Tensor, int]:
        return _Projection.apply(v.movedim(in_dims[0], 0), power), 0


# --- theta -----------------------------------------------------------------------------------------------


@torch.library.custom_op("torchcrop::simplex_threshold", mutates_args=())
def threshold(v: Tensor, power: int) -> Tensor:
    """Find theta, at which ``sum max(0, v - theta)^r`` is 1.

    Parameters
    ----------
    v : Tensor
        Shape ``[..., n]``, the largest of each slice 0.
    power : int
        r, from 1 to 3.

    Returns
    -------
    Tensor
        Shape ``[..., 1]``. No derivative is defined.

    Notes
    -----
    The sum is convex and falling in theta, and at theta = -1 not below 1: Newton's steps from there never overshoot.
    A slice that needs very many of them, and every slice on a device where looking at data makes it wait, is sorted.
    """
    if v.device.type == "cpu":
        theta = torch.full_like(v[..., :1], -1)
        rounding = 4 * torch.finfo(v.dtype).eps
        for _ in range(_MOST_STEPS):
            excess = torch.relu(v - theta)
            step = _newton_step(excess, power)
            theta = theta + step
            if not bool((step > rounding).any()):
                return theta
    return _by_sorting(v, power)


@threshold.register_fake
def _(v: Tensor, power: int) -> Tensor:
    return v.new_empty((*v.shape[:-1], 1))


@threshold.register_vmap
def _(info: Any, in_dims: tuple[int, None], v: Tensor, power: int) -> tuple[Tensor, int]:
    return threshold(v.movedim(in_dims[0], 0), power), 0


def _newton_step(excess: Tensor, power: int) -> Tensor:
    """Return ``(sum e^r - 1) / (r sum e^(r - 1))`` along the last axis."""
    if power == 1:
        return (excess.sum(-1, keepdim=True) - 1) / excess.sign().sum(-1, keepdim=True)
    square = excess * excess
    slope, value = (excess, square) if power == 2 else (square, square * excess)
    return (value.sum(-1, keepdim=True) - 1) / (power * slope.sum(-1, keepdim=True))


def _by_sorting(v: Tensor, power: int) -> Tensor:
    """Try the k largest entries as the support, for every k at once."""
    ordered = v.sort(-1, descending=True).values.clamp(min=-1)
    powers = [ordered]
    for _ in range(power - 1):
        powers.append(powers[-1] * ordered)
    count = torch.arange(1, v.shape[-1] + 1, dtype=v.dtype, device=v.device)
    candidates = root(count, [p.cumsum(-1) for p in powers], power)
    size = (ordered > candidates).sum(-1, keepdim=True).clamp(min=1)
    # Rounding must not put theta below the end that v is held at.
    return candidates.gather(-1, size - 1).clamp(min=-1)


def root(count: Tensor, moments: list[Tensor], power: int) -> Tensor:
    """Return the theta at which ``sum (v - theta)^r`` is 1, from the number of entries and the sums of their powers."""
    mean = moments[0] / count
    if power == 1:
        return mean - 1 / count
    spread = (moments[1] - moments[0] * mean).clamp(min=0)  # sum of squares about the mean
    if power == 2:
        # count d² + spread = 1 with d = mean - theta; on a support that is one, d is at least 1/count.
        return mean - torch.sqrt(((1 - spread) / count).clamp(min=torch.finfo(mean.dtype).tiny))
    skew = moments[2] - 3 * mean * moments[1] + 2 * mean**2 * moments[0]  # sum of cubes about the mean
    # count d³ + 3 spread d + skew = 1, by Cardano in the form without cancellation.
    half = ((1 - skew) / (2 * count)).clamp(min=torch.finfo(mean.dtype).eps ** 3)
    p = spread / count
    cube = (half + torch.sqrt(half**2 + p**3)) ** (2 / 3)
    return mean - 2 * half / (cube + p + p**2 / cube)
