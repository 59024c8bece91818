"""Random draws with derivatives: a hard decision about noise, made soft.

Every draw decides about noise that does not depend on the parameters [1]_: which of n log-probabilities is the
largest with Gumbel noise added, or whether a probability exceeds a uniform number. In mode "hard" the decision is
torch's own, and the draw has exactly the distribution named. In the other modes it is that of the soft operator, so
that derivatives reach the parameters; for the same noise, the soft draw tends to the hard one as softness falls. The
``_st`` forms have the value of the hard draw and the derivatives of the soft one, of the same noise.

All take ``generator``, a `torch.Generator` on the device of the parameters; None is torch's global one, the only one
that `torch.compile` knows. Under `torch.func.vmap` torch asks for its argument `randomness`. The values of
probabilities are not looked at: one below 0 is as 0.

References
----------
.. [1] Maddison, C. J., Mnih, A., Teh, Y. W. (2017). The concrete distribution: a continuous relaxation of discrete
   random variables. ICLR. Jang, E., Gu, S., Poole, B. (2017). Categorical reparameterization with Gumbel-softmax.
   ICLR.
.. [2] Kool, W., van Hoof, H., Welling, M. (2019). Stochastic beams and where to find them: the Gumbel-top-k trick
   for sampling sequences without replacement. ICML.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from torchcrop.soft import checks
from torchcrop.soft.checks import Softness
from torchcrop.soft.comparison import greater
from torchcrop.soft.indices import argmax, argsort
from torchcrop.soft.logic import SoftBool
from torchcrop.soft.selection import SoftIndex, take
from torchcrop.soft.straight_through import st, with_own_code
from torchcrop.soft.values import topk

__all__ = [
    "bernoulli",
    "bernoulli_st",
    "binomial",
    "binomial_st",
    "categorical",
    "categorical_st",
    "choice",
    "choice_st",
    "multinomial",
    "multinomial_st",
    "permutation",
    "permutation_st",
    "rademacher",
    "rademacher_st",
]


def categorical(
    logits: Tensor,
    dim: int = -1,
    sample_shape: int | Sequence[int] = (),
    *,
    generator: Generator | None = None,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "softsort",
) -> SoftIndex:
    """Return soft indices of categories drawn with the probabilities ``softmax(logits)``.

    Parameters
    ----------
    logits : Tensor
        Logarithms of the probabilities, up to a constant, of shape ``(..., n, ...)``. [-]
    dim : int
        Axis of the n categories.
    sample_shape : int or sequence of int
        Independent draws, in front of the axes of `logits`.
    generator : torch.Generator, optional
        Source of the noise.
    softness : float or Tensor, optional
        Greater than 0; None is the default of `default_softness`, 0.1. In mode "smooth" it is the temperature of the
        Gumbel-softmax distribution. [-]
    mode, method : str
        As in `argmax`.

    Returns
    -------
    SoftIndex
        Of shape ``(*sample_shape, ..., [n])``: the axes of `logits` but `dim`, and the weights last. In mode "hard"
        one-hot.

    Raises
    ------
    NotATensorError, TypeError
        If `logits` is no tensor, or complex.
    ValueError
        If `dim` or `sample_shape` is out of range; as `argmax`.
    """
    logits = _last("categorical", "logits", logits, dim)
    noise = _gumbel((*_shape("categorical", sample_shape), *logits.shape), logits, generator)
    return _winner(logits, noise, softness, mode, method)


def bernoulli(
    p: Tensor,
    sample_shape: int | Sequence[int] = (),
    *,
    generator: Generator | None = None,
    softness: Softness = None,
    mode: str = "smooth",
) -> SoftBool:
    """Return soft truth values that are true with probability p: the share to which p exceeds a uniform number.

    Parameters
    ----------
    p : Tensor
        Probabilities of any shape. [-]
    sample_shape : int or sequence of int
        Independent draws, in front of the axes of `p`.
    generator : torch.Generator, optional
        Source of the noise.
    softness : float or Tensor, optional
        Greater than 0, on the scale of `p`; None is the default of `default_softness`, 0.1. [-]
    mode : str
        As in `greater`.

    Returns
    -------
    SoftBool
        Of shape ``(*sample_shape, *p.shape)``; in mode "hard" 0 or 1.

    Raises
    ------
    NotATensorError, TypeError
        If `p` is no tensor, or complex.
    ValueError
        If `sample_shape` is negative; as `greater`.
    """
    return _exceeds("bernoulli", p, sample_shape, generator, softness, mode)


def rademacher(
    p: Tensor,
    sample_shape: int | Sequence[int] = (),
    *,
    generator: Generator | None = None,
    softness: Softness = None,
    mode: str = "smooth",
) -> Tensor:
    """Return soft signs, 1 with probability p and -1 otherwise: ``2 bernoulli(p) - 1``. See `bernoulli`. [-]"""
    return 2 * _exceeds("rademacher", p, sample_shape, generator, softness, mode) - 1


def binomial(
    count: int,
    p: Tensor,
    sample_shape: int | Sequence[int] = (),
    *,
    generator: Generator | None = None,
    softness: Softness = None,
    mode: str = "smooth",
) -> Tensor:
    """Return how many of `count` trials come true, each with probability p: a sum of draws of `bernoulli`.

    Parameters
    ----------
    count : int
        Number of trials, at least 1; noise for all of them is held at once.
    p, sample_shape, generator, softness, mode
        As in `bernoulli`.

    Returns
    -------
    Tensor
        Of shape ``(*sample_shape, *p.shape)``, from 0 to `count`. [-]

    Raises
    ------
    NotATensorError, TypeError, ValueError
        As `bernoulli`; also if `count` is no integer or below 1.
    """
    shape = (_at_least_one("binomial", "count", count), *_shape("binomial", sample_shape))
    return _exceeds("binomial", p, shape, generator, softness, mode).sum(0)


def multinomial(
    total_count: int,
    p: Tensor,
    dim: int = -1,
    sample_shape: int | Sequence[int] = (),
    *,
    generator: Generator | None = None,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "softsort",
) -> Tensor:
    """Return how often each category occurs in `total_count` draws: a sum of draws of `categorical`.

    The counts of `torch.distributions.Multinomial`, not the positions of `torch.multinomial`.

    Parameters
    ----------
    total_count : int
        Number of draws, at least 1; noise for all of them is held at once.
    p : Tensor
        Probabilities up to a factor, of shape ``(..., n, ...)``. [-]
    dim, sample_shape, generator, softness, mode, method
        As in `categorical`.

    Returns
    -------
    Tensor
        Of shape ``(*sample_shape, *p.shape)``; the sum along `dim` is `total_count`. [-]

    Raises
    ------
    NotATensorError, TypeError, ValueError
        As `categorical`; also if `total_count` is no integer or below 1.
    """
    logits = _logarithm(_last("multinomial", "p", p, dim))
    draws = (_at_least_one("multinomial", "total_count", total_count), *_shape("multinomial", sample_shape))
    noise = _gumbel((*draws, *logits.shape), logits, generator)
    counts = _winner(logits, noise, softness, mode, method).sum(0)
    return counts.movedim(-1, dim if dim < 0 else dim - p.ndim)


def choice(
    x: Tensor,
    count: int,
    p: Tensor | None = None,
    dim: int = 0,
    replace: bool = True,
    *,
    generator: Generator | None = None,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "softsort",
) -> Tensor:
    """Return entries of `x` drawn at random along an axis.

    Parameters
    ----------
    x : Tensor
        Values of shape ``(..., n, ...)``. [unit of x]
    count : int
        Number of entries drawn, at least 1.
    p : Tensor, optional
        Probabilities of the n entries, up to a factor; None is all alike. [-]
    dim : int
        Axis of length n.
    replace : bool
        Whether an entry may be drawn again. If not, entries are drawn one after the other, each with a probability
        in proportion to `p` among those left: the `count` largest log-probabilities with Gumbel noise, [2]_ of the
        module.
    generator, softness, mode, method
        As in `categorical`.

    Returns
    -------
    Tensor
        Of shape ``(..., count, ...)``, in the order in which they are drawn. [unit of x]

    Raises
    ------
    NotATensorError, TypeError, ValueError
        As `categorical`; also if `count` is no integer, below 1, or without replacement above n, or if `p` has not
        the shape ``(n,)``.
    """
    x = checks.floating("choice", "x", x)
    n = x.shape[checks.axis("choice", dim, x.ndim)]
    _at_least_one("choice", "count", count)
    logits = x.new_zeros(n) if p is None else _logarithm(_of_entries("choice", "p", p, n))
    if replace:
        index = _winner(logits, _gumbel((count, n), logits, generator), softness, mode, method)
    elif count <= n:
        scores = logits + _gumbel((n,), logits, generator)
        index = topk(scores, count, softness=softness, mode=mode, method=method, standardize=False).indices
    else:
        raise ValueError(f"choice: count is {count}, but x has {n} entries along axis {dim}; draw with replace=True")
    return take(x, index.to(x.dtype), dim)


def permutation(
    x: Tensor,
    dim: int = 0,
    logits: Tensor | None = None,
    *,
    generator: Generator | None = None,
    softness: Softness = None,
    mode: str = "smooth",
    method: str = "softsort",
) -> Tensor:
    """Return `x` with its entries along an axis in random order, the same for all rows.

    Parameters
    ----------
    x : Tensor
        Values of shape ``(..., n, ...)``. [unit of x]
    dim : int
        Axis of length n.
    logits : Tensor, optional
        Logarithms of the weights of the n entries: entries are drawn one after the other, each with a probability in
        proportion to its weight among those left (Plackett-Luce). None is all orders alike. [-]
    generator, softness, mode, method
        As in `categorical`; `method` is that of `argsort`.

    Returns
    -------
    Tensor
        Of the shape of `x`. [unit of x]

    Raises
    ------
    NotATensorError, TypeError, ValueError
        As `categorical`; also if `logits` has not the shape ``(n,)``.
    """
    x = checks.floating("permutation", "x", x)
    n = x.shape[checks.axis("permutation", dim, x.ndim)]
    weights = x.new_zeros(n) if logits is None else _of_entries("permutation", "logits", logits, n)
    scores = weights + _gumbel((n,), weights, generator)
    index = argsort(scores, -1, descending=True, softness=softness, mode=mode, method=method, standardize=False)
    return take(x, index.to(x.dtype), dim)


def _winner(logits: Tensor, noise: Tensor, softness: Softness, mode: str, method: str) -> SoftIndex:
    index = argmax(logits + noise, -1, softness=softness, mode=mode, method=method, standardize=False)
    return index.to(logits.dtype)


def _exceeds(
    operator: str,
    p: Tensor,
    sample_shape: int | Sequence[int],
    generator: Generator | None,
    softness: Softness,
    mode: str,
) -> SoftBool:
    p = checks.floating(operator, "p", p)
    noise = _uniform((*_shape(operator, sample_shape), *p.shape), p, generator)
    return greater(p.to(noise.dtype), noise, softness=softness, mode=mode).to(p.dtype)


def _uniform(shape: Sequence[int], like: Tensor, generator: Generator | None) -> Tensor:
    """Return numbers in [0, 1) that have the resolution of float32 at least: in float16 one in 4096 would be 1."""
    if isinstance(generator, _Recorded):
        return generator.uniform(shape, like)
    dtype = torch.promote_types(like.dtype, torch.float32)
    if generator is None:  # torch.compile has no form of `rand` that takes a generator and a length still open
        return torch.rand(shape, dtype=dtype, device=like.device)
    return torch.rand(shape, dtype=dtype, device=like.device, generator=generator)


def _gumbel(shape: Sequence[int], like: Tensor, generator: Generator | None) -> Tensor:
    """Return draws of the standard Gumbel distribution, ``-log(-log(1 - u))`` with u in [0, 1)."""
    u = _uniform(shape, like, generator)
    return -(-torch.log1p(-u)).clamp(min=torch.finfo(u.dtype).tiny).log()


def _logarithm(p: Tensor) -> Tensor:
    # A finite logarithm of 0: no Gumbel noise lifts it above that of a probability.
    return p.clamp(min=torch.finfo(p.dtype).tiny).log()


def _last(operator: str, name: str, value: Tensor, dim: int) -> Tensor:
    x = checks.floating(operator, name, value)
    return x.movedim(checks.axis(operator, dim, x.ndim), -1)


def _of_entries(operator: str, name: str, value: Tensor, n: int) -> Tensor:
    x = checks.floating(operator, name, value)
    if x.shape != (n,):
        raise ValueError(f"{operator}: {name} has shape {tuple(x.shape)}; it must be ({n},), one for each entry of x")
    return x


def _shape(operator: str, sample_shape: int | Sequence[int]) -> tuple[int, ...]:
    shape = (sample_shape,) if isinstance(sample_shape, int) else tuple(sample_shape)
    if [length for length in shape if length < 0]:
        raise ValueError(f"{operator}: sample_shape is {sample_shape}; its lengths must be at least 0, () is one draw")
    return shape


def _at_least_one(operator: str, name: str, count: int) -> int:
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"{operator}: {name} is {count!r}; it must be an integer")
    if count < 1:
        raise ValueError(f"{operator}: {name} is {count}; it must be at least 1")
    return count


class _Recorded:
    """A source of noise that gives the hard and the soft call of a straight-through form the same numbers."""

    def __init__(self, generator: Generator | None) -> None:
        self.generator = generator
        self.drawn: Tensor | None = None

    def uniform(self, shape: Sequence[int], like: Tensor) -> Tensor:
        if self.drawn is None:
            self.drawn = _uniform(shape, like, self.generator)
        return self.drawn


def _straight_through(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
    form = st(draw)

    @functools.wraps(form)
    def drawn(*args: Any, generator: Generator | None = None, **kwargs: Any) -> Tensor:
        return form(*args, generator=_Recorded(generator), **kwargs)

    with_own_code(drawn, draw)
    return drawn


bernoulli_st = _straight_through(bernoulli)
binomial_st = _straight_through(binomial)
categorical_st = _straight_through(categorical)
choice_st = _straight_through(choice)
multinomial_st = _straight_through(multinomial)
permutation_st = _straight_through(permutation)
rademacher_st = _straight_through(rademacher)
