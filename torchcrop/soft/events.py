"""The time at which a series first reaches a threshold.

Between the times at which it is given the series is taken as linear. The hard event time of a threshold c, T(c), is the
first time the series is at or beyond c. It jumps where c leaves the top of a bump. The soft event time is its mean over
thresholds spread around the one given, ``c + e`` with S(e) the share of those below: a jump is smeared over the
softness, and where the series runs straight through all of the spread the mean is the hard time itself, whatever the
softness.

With m(t) the running maximum of the series, ``S(c - m(t))`` is the share not yet reached at t, and the mean is the
integral of that share over time. In closed form: the share is constant while the running maximum is, and where it
rises from a to b its mean is ``(R(c - a) - R(c - b)) / (b - a)``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from torchcrop.soft.checks import MODES, axis, floating, one_of, softness_of_slices
from torchcrop.soft.curves import Number, Shape, ramp, step

__all__ = ["event_time"]

DIRECTIONS = ("up", "down")
#: Nodes on (0, 1) and weights of Gauss-Legendre quadrature with six points, exact for polynomials up to degree 11.
NODES = (
    (0.033765242898423986, 0.08566224618958517),
    (0.16939530676686774, 0.1803807865240693),
    (0.38069040695840155, 0.23395696728634552),
    (0.6193095930415985, 0.23395696728634552),
    (0.8306046932331322, 0.1803807865240693),
    (0.966234757101576, 0.08566224618958517),
)


def event_time(
    series: Tensor,
    threshold: Tensor | float,
    dim: int = -1,
    direction: str = "up",
    times: Tensor | None = None,
    softness: Tensor | float | None = None,
    mode: str = "smooth",
    return_reached: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Time at which a series first reaches a threshold: anthesis of a stage, the onset of drought of a soil's water.

    Parameters
    ----------
    series : Tensor
        T >= 1 values along `dim`, each of the instant in `times`. (The state at the end of a day belongs to the end of
        the day.) [any unit]
    threshold : float or Tensor
        Broadcasts with the series without `dim`. [unit of the series]
    dim : int
        The axis of time.
    direction : {"up", "down"}
        First time the series is at or above the threshold, or at or below it.
    times : Tensor, optional
        Increasing, which is not looked at: shape ``[T]``, or one that broadcasts to that of the series. Without:
        0, 1, 2 ... [any unit of time]
    softness : float or Tensor, optional
        Spread of the thresholds, greater than 0; a tensor broadcasts to the series with length 1 along `dim`. Without:
        the default of `default_softness`, 0.1. [unit of the series]
    mode : {"hard", "smooth", "c0", "c1", "c2"}
        The step by which thresholds are spread: see `sigmoidal`.
    return_reached : bool
        Give the share of the thresholds that are reached as well.

    Returns
    -------
    Tensor
        Time of the event. In hard mode NaN, with derivative 0, where the threshold is never reached. In soft modes a
        threshold that is never reached counts with the last time, so that a fit is drawn towards reaching it: where
        the share reached is much below 1, mask the time or let the series run on. [unit of times]
    Tensor
        With `return_reached`: share reached by the end, 0 or 1 in hard mode. [-]

    Raises
    ------
    NotATensorError, TypeError, ValueError
        If an argument is not one of those allowed, a shape does not fit, or the series is empty.

    Notes
    -----
    A series that starts beyond the threshold reaches it at the first time. As the softness goes to 0 the soft time goes
    to the hard one, at the very top of a bump to the mean of those on either side. Derivatives flow to series,
    threshold, times and softness. To the threshold there is one more than the mode's step has; those to the series
    jump where two tops of the series are equal, as those of every function of a running maximum do.

    Examples
    --------
    >>> stage = torch.tensor([0.0, 0.4, 0.8, 1.2, 1.6])
    >>> event_time(stage, 1.0, softness=0.01)
    tensor(2.5000)
    """
    given = floating("event_time", "series", series)
    one_of("event_time", "mode", mode, MODES)
    one_of("event_time", "direction", direction, DIRECTIONS)
    place = axis("event_time", dim, given.ndim)
    if given.shape[place] == 0:
        raise ValueError(f"event_time: series has no values along dim {dim} (shape {tuple(given.shape)})")
    work = given.float() if given.dtype in (torch.float16, torch.bfloat16) else given
    clock = _clock(times, work, place)
    if isinstance(threshold, Tensor):
        threshold = floating("event_time", "threshold", threshold).to(work)[..., None]
    beyond = work.movedim(place, -1) - threshold
    beyond = beyond if direction == "up" else -beyond
    if mode == "hard":
        time, reached = _hard(beyond, clock)
    else:
        spread = softness_of_slices("event_time", softness, work, place)
        if isinstance(spread, Tensor):
            spread = spread.movedim(place, -1) if spread.ndim else spread.reshape(1)
        time, reached = _soft(beyond, clock, Shape.of(mode, spread))
    time, reached = time.to(given.dtype), reached.to(given.dtype)
    return (time, reached) if return_reached else time


def _clock(times: Tensor | None, series: Tensor, place: int) -> Tensor:
    """Return the times with the axis last."""
    size = series.shape[place]
    if times is None:
        return torch.arange(size, dtype=series.dtype, device=series.device)
    times = floating("event_time", "times", times).to(series)
    if times.ndim == 1 and times.shape[0] == size:
        return times
    try:
        return times.expand(series.shape).movedim(place, -1)
    except RuntimeError:
        raise ValueError(
            f"event_time: times has shape {tuple(times.shape)}; for a series of shape {tuple(series.shape)} it must "
            f"be [{size}] or broadcast to that shape"
        ) from None


def _hard(beyond: Tensor, clock: Tensor) -> tuple[Tensor, Tensor]:
    reached = (beyond.detach() >= 0).to(beyond.dtype)
    first = reached.argmax(-1, keepdim=True)
    before = (first - 1).clamp(min=0)
    clock = clock.expand_as(beyond)
    low, high = beyond.gather(-1, before), beyond.gather(-1, first)
    start, end = clock.gather(-1, before), clock.gather(-1, first)
    # Where the first value is beyond, the interval is none: neither 0 / 0 nor a derivative may come of it.
    crossing = ((low.detach() < 0) & (high.detach() >= 0)).to(beyond.dtype)
    share = -low * crossing / ((high - low) * crossing + (1 - crossing))
    ever = reached.amax(-1)
    return torch.lerp(start, end, share)[..., 0].masked_fill(ever == 0, torch.nan), ever


def _soft(beyond: Tensor, clock: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """Return the mean time and the share reached; `beyond` counts from the threshold."""
    highest = beyond.gather(-1, beyond.detach().cummax(-1).indices)  # cummax has no backward under vmap
    low, high = highest[..., :-1], highest[..., 1:]
    # The share of an interval in which the running maximum rises; before, it is constant.
    rises = (high.detach() > low.detach()).to(beyond.dtype)
    rising = (high - low) / (beyond.diff(dim=-1) * rises + (1 - rises))
    waiting = (1 - rising) * step(-low, shape) + rising * _mean_step(-high, -low, shape)
    time = clock[..., 0] + (waiting * clock.diff(dim=-1)).sum(-1)
    return time, step(highest[..., -1:], shape)[..., 0]


# --- mean of the step over an interval -------------------------------------------------------------------


def _mean_step(low: Tensor, high: Tensor, shape: Shape) -> Tensor:
    """Return the mean of S over ``[low, high]``, S(low) where the interval is a point.

    A quotient of differences loses as many digits as the interval is short, and its derivatives more.
    """
    span = high - low
    if shape.mode == "smooth":
        # Six points are exact to the 13th digit up to a width; the quotient loses no digit from there on.
        far = (span.detach() >= shape.width).to(span.dtype)
        near = _quadrature(low, span * (1 - far), shape)
        integral = _integral(high, shape) - _integral(low, shape)
        return near * (1 - far) + integral * far / (span * far + (1 - far))
    # The others are a polynomial, for which the quadrature is exact, between two constants, 0 and 1.
    begin, end = _held(low, shape.width), _held(high, shape.width)
    above_begin = torch.maximum(low, _as_tensor(shape.width, low))
    above = (high.detach() > shape.width).to(span.dtype)
    within = (low.detach() >= -shape.width) & (high.detach() <= shape.width)
    inner = _share(end - begin, span, within)
    outer = _share((high - above_begin) * above, span, low.detach() >= shape.width)
    return inner * _quadrature(begin, end - begin, shape) + outer


def _integral(x: Tensor, shape: Shape) -> Tensor:
    """Return R(x) as ``max(0, x) + R(-|x|)``, whose first part is exact."""
    above = (x.detach() >= 0).to(x.dtype)
    return x * above + ramp(x * (1 - 2 * above), shape)


def _share(part: Tensor, span: Tensor, whole: Tensor) -> Tensor:
    """Return ``part / span``, exactly 1 with derivative 0 where the part is the whole, and 0 where the span is."""
    all_of_it = whole.to(span.dtype)
    no_span = (span.detach() == 0).to(span.dtype)
    rest = (1 - all_of_it) * (1 - no_span)
    return all_of_it + part * rest / (span * rest + (1 - rest))


def _quadrature(low: Tensor, span: Tensor, shape: Shape) -> Tensor:
    total = torch.zeros_like(low)
    for node, weight in NODES:
        total = total + weight * step(low + node * span, shape)
    return total


def _held(x: Tensor, width: Number) -> Tensor:
    width = _as_tensor(width, x)
    return torch.minimum(torch.maximum(x, -width), width)


def _as_tensor(value: Number, like: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else torch.full((), value, dtype=like.dtype, device=like.device)
