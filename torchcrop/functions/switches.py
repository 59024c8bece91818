"""Switches: how a run treats every threshold of a model.

A model's equations name each threshold once, with its natural scale. What happens there is the choice of
the run:

* `Hard` reproduces FST;
* `Smooth` makes every quantity that *jumps* (stage events, pulses, gates, triggers) differentiable and
  leaves what only bends (minimum, maximum, limit), unless asked to round it too;
* `StraightThrough` has the values of `Hard` and the derivatives of `Smooth`.

The softness is dimensionless: it multiplies the scale that the equation gives (one warm day for a
temperature sum, the available range for a water content), so that one number serves all thresholds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from torchcrop.functions.registry import is_tracing
from torchcrop.functions.smoothing import (
    choose,
    event_share,
    exceeds,
    gate,
    hard_limit,
    hard_max,
    hard_min,
    indicator,
    is_zero,
    replace_gradient,
    rounded_limit,
    rounded_max,
    rounded_min,
)
from torchcrop.functions.tables import Shelf, Table, afgen, window_mean

__all__ = ["Hard", "Smooth", "StraightThrough", "Switches"]

Number = Tensor | float

# Small share of the scale added to the increment of an event: a day without progress stays harmless.
_EVENT_FLOOR = 1e-4
# The same for the window of a stage table, whose mean is divided by the window's length.
_WINDOW_FLOOR = 1e-3
# Above this, smooth gates bias a run by several per cent (SWITCHES.md 3.3): a larger softness widens
# events only.
_LARGEST_GATE_SOFTNESS = 0.1
# A demand below this [mm d-1] is met in full.
_SMALLEST_DEMAND = 1e-9
# Life below which a lane may stop; a smooth end is a sigmoid whose tail is exp(-excess/width).
_NEGLIGIBLE_LIFE_WIDTHS = 28.0


class Switches(ABC):
    """What the equations ask of a run's treatment of thresholds; see `Hard`, `Smooth`, `StraightThrough`."""

    @abstractmethod
    def crossed(
        self,
        clock: Tensor,
        threshold: Number,
        scale: Number,
        now: Number,
        before: Number | None = None,
        strict: bool = False,
    ) -> Tensor:
        """Share of the day on which a clock is beyond a threshold.

        Parameters
        ----------
        clock : Tensor
            Clock at the start of the day (temperature sum, development stage, date).
        threshold : Tensor or float
            Where the event happens.
        scale : Tensor or float
            Natural scale of the threshold: the clock's increment on one warm day.
        now : Tensor or float
            Today's increment of the clock.
        before : Tensor or float, optional
            Yesterday's increment. Given, the window is centred on the instant at which Hard tests, from
            half of yesterday's to half of today's increment; without it (dates) the window is the day.
        strict : bool
            Hard tests ``clock > threshold`` instead of ``>=``.

        Returns
        -------
        Tensor
            In [0, 1]; 0 or 1 under Hard.
        """

    @abstractmethod
    def passed(self, clock: Tensor, threshold: Number, scale: Number, now: Number, before: Number) -> Tensor:
        """Share of a single event at a threshold of a clock that falls on the day.

        As of `crossed`; the shares of all days sum to 1 for a clock that starts well below the threshold and ends well
        beyond it. Hard: 1 on the first day whose clock is not below the threshold.
        """

    @abstractmethod
    def alive(self, ended: Tensor) -> Tensor:
        """Factor for mass and water rates, given the share of the day beyond the end of life.

        Under Hard it is 1: the day that fulfils FINISH is output in full, then the engine stops.
        """

    @abstractmethod
    def finished(self, clock: Tensor, threshold: Number, scale: Number, strict: bool = False) -> Tensor:
        """Whether the lane may stop at this state (1 or 0), given the clock that ends its life."""

    @abstractmethod
    def abandoned(self, ended: Tensor, rule: Callable[[], Tensor]) -> Tensor:
        """Add a rule that stops the original's program, and is no process, to whether a lane has ended.

        `rule` gives 1 or 0. Hard follows it; a smooth run has no such rule and does not ask.
        """

    @abstractmethod
    def step(self, x: Tensor, scale: Number, strict: bool = False) -> Tensor:
        """1 where x >= 0 (``strict``: x > 0), else 0; for a state that moves slowly on `scale`."""

    @abstractmethod
    def data_step(self, x: Tensor, scale: Number) -> Tensor:
        """As `step`, for an `x` that depends on data alone unless parameters of the rain's fate are free."""

    @abstractmethod
    def outstanding(self, done: Tensor, level: Tensor) -> Tensor:
        """Share of a unique event that is still to come.

        FST tests whether the state that the event fills is exactly zero (`level`); a smooth model does not
        test for equality, it knows the share that is `done`.
        """

    @abstractmethod
    def supplied(self, supply: Tensor, demand: Tensor) -> Tensor:
        """Share of a demand that a supply can meet, at most 1.

        FST divides by NOTNUL(demand), whatever the sign of the demand: a negative one (condensation) turns
        the share negative. A smooth model leaves a demand that is not positive alone.
        """

    @abstractmethod
    def min(self, a: Number, b: Number) -> Tensor:
        """Smaller of two."""

    @abstractmethod
    def max(self, a: Number, b: Number) -> Tensor:
        """Larger of two."""

    @abstractmethod
    def limit(self, lo: Number, hi: Number, x: Number) -> Tensor:
        """`x` limited to [lo, hi] (FST's argument order)."""

    @abstractmethod
    def table_mean(self, table: Table, clock: Tensor, now: Number, before: Number, scale: Number) -> Tensor:
        """Stage table: read at the start of the day (Hard) or averaged over the day's window (Smooth)."""

    def crossed_each(
        self,
        clock: Tensor | Sequence[Tensor],
        thresholds: Sequence[Number],
        scale: Number,
        now: Number | Sequence[Number],
        before: Number | Sequence[Number],
    ) -> tuple[Tensor, ...]:
        """`crossed` for several thresholds of one scale; the clock and its increments are shared, or one for each."""
        several = zip(*(_each(v, len(thresholds)) for v in (clock, thresholds, now, before)), strict=True)
        return tuple(self.crossed(c, threshold, scale, n, b) for c, threshold, n, b in several)

    def table_means(
        self, tables: Sequence[Table], clock: Tensor, now: Number, before: Number, scale: Number
    ) -> tuple[Tensor, ...]:
        """`table_mean` for several tables of one clock."""
        return tuple(self.table_mean(table, clock, now, before, scale) for table in tables)

    def select(self, x: Tensor, below: Number, above: Number, scale: Number, strict: bool = False) -> Tensor:
        """`below` where x < 0, else `above` (INSW), as complementary shares of one flow."""
        share = self.step(x, scale, strict)
        return (1 - share) * below + share * above

    def branch(self, x: Tensor, below: Number, above: Number) -> Tensor:
        """`below` where x < 0, else `above`, hard in every mode: a branch on a parameter or on data."""
        return choose(x, below, above)

    def positive(self, x: Tensor) -> Tensor:
        """Positive part: max(0, x), a kink in every mode."""
        return hard_max(x, 0.0)

    def table(self, table: Table, x: Tensor) -> Tensor:
        """Table of a weather variable: read as it is in every mode."""
        return afgen(table, x)


@dataclass(frozen=True)
class Hard(Switches):
    """FST's own switches: the original program, to the printed digit."""

    def crossed(
        self,
        clock: Tensor,
        threshold: Number,
        scale: Number,
        now: Number,
        before: Number | None = None,
        strict: bool = False,
    ) -> Tensor:
        return exceeds(clock - threshold) if strict else indicator(clock - threshold)

    def passed(self, clock: Tensor, threshold: Number, scale: Number, now: Number, before: Number) -> Tensor:
        return indicator(clock - threshold) - indicator(clock - before - threshold)

    def alive(self, ended: Tensor) -> Tensor:
        return ended.new_ones(())

    def finished(self, clock: Tensor, threshold: Number, scale: Number, strict: bool = False) -> Tensor:
        return exceeds(clock - threshold) if strict else indicator(clock - threshold)

    def abandoned(self, ended: Tensor, rule: Callable[[], Tensor]) -> Tensor:
        return 1 - (1 - ended) * (1 - rule())

    def step(self, x: Tensor, scale: Number, strict: bool = False) -> Tensor:
        return exceeds(x) if strict else indicator(x)

    def data_step(self, x: Tensor, scale: Number) -> Tensor:
        return indicator(x)

    def outstanding(self, done: Tensor, level: Tensor) -> Tensor:
        return is_zero(level)

    def supplied(self, supply: Tensor, demand: Tensor) -> Tensor:
        return hard_min(supply / (demand + is_zero(demand)), 1.0)

    def select(self, x: Tensor, below: Number, above: Number, scale: Number, strict: bool = False) -> Tensor:
        return choose(-x, above, below) if strict else choose(x, below, above)

    def min(self, a: Number, b: Number) -> Tensor:
        return hard_min(a, b)

    def max(self, a: Number, b: Number) -> Tensor:
        return hard_max(a, b)

    def limit(self, lo: Number, hi: Number, x: Number) -> Tensor:
        return hard_limit(lo, hi, x)

    def table_mean(self, table: Table, clock: Tensor, now: Number, before: Number, scale: Number) -> Tensor:
        return afgen(table, clock)

    def table_means(
        self, tables: Sequence[Table], clock: Tensor, now: Number, before: Number, scale: Number
    ) -> tuple[Tensor, ...]:
        shelf = None if is_tracing() else Shelf.of(tables)
        if shelf is None:
            return super().table_means(tables, clock, now, before, scale)
        values = shelf[0].read(clock)
        return tuple(values[i] for i in shelf[1])


@dataclass(frozen=True)
class Smooth(Switches):
    """Differentiable through every threshold.

    Parameters
    ----------
    softness : float
        Width of an event as a share of its natural scale, > 0. Default 0.1; sound from 0.05 to 0.2. For
        gates it is capped at 0.1, above which they bias a run.
    kinks : float, optional
        Round minimum, maximum and limit too, by this share (0.02 is sound). Default: leave them.
    rain_gates : bool
        Smooth the gates that depend on rain alone ("more than 5 mm enter the soil today") as well. Needed
        where a parameter that moves the rain across such a gate (the runoff fraction, irrigation amounts) is
        free; costs up to half a per cent of bias.
    """

    softness: float = 0.1
    kinks: float | None = None
    rain_gates: bool = False

    def __post_init__(self) -> None:
        if not self.softness > 0:
            raise ValueError(f"softness is {self.softness}; it must be > 0 (for the limit 0 use Hard())")
        if self.kinks is not None and not 0 < self.kinks < 1:
            raise ValueError(f"kinks is {self.kinks}; expected a number between 0 and 1 such as 0.02, or None")

    def crossed(
        self,
        clock: Tensor,
        threshold: Number,
        scale: Number,
        now: Number,
        before: Number | None = None,
        strict: bool = False,
    ) -> Tensor:
        start = clock - threshold
        length = now
        if before is not None:
            start = start - before / 2
            length = (before + now) / 2
        return event_share(start, length, self.softness * scale, _EVENT_FLOOR * scale)

    def passed(self, clock: Tensor, threshold: Number, scale: Number, now: Number, before: Number) -> Tensor:
        width = self.softness * scale
        return gate(clock + now / 2 - threshold, width) - gate(clock - before / 2 - threshold, width)

    def alive(self, ended: Tensor) -> Tensor:
        return 1 - ended

    def finished(self, clock: Tensor, threshold: Number, scale: Number, strict: bool = False) -> Tensor:
        # Shifted by one scale: the window reaches back half a day before the clock.
        return exceeds(clock - threshold - (1 + _NEGLIGIBLE_LIFE_WIDTHS * self.softness) * scale)

    def abandoned(self, ended: Tensor, rule: Callable[[], Tensor]) -> Tensor:
        return ended

    def step(self, x: Tensor, scale: Number, strict: bool = False) -> Tensor:
        return gate(x, min(self.softness, _LARGEST_GATE_SOFTNESS) * scale)

    def data_step(self, x: Tensor, scale: Number) -> Tensor:
        return self.step(x, scale) if self.rain_gates else indicator(x)

    def outstanding(self, done: Tensor, level: Tensor) -> Tensor:
        return 1 - done

    def supplied(self, supply: Tensor, demand: Tensor) -> Tensor:
        asked = hard_max(demand, _SMALLEST_DEMAND)
        return choose(demand - _SMALLEST_DEMAND, 1.0, hard_min(asked, supply) / asked)

    def min(self, a: Number, b: Number) -> Tensor:
        return hard_min(a, b) if self.kinks is None else rounded_min(a, b, self.kinks)

    def max(self, a: Number, b: Number) -> Tensor:
        return hard_max(a, b) if self.kinks is None else rounded_max(a, b, self.kinks)

    def limit(self, lo: Number, hi: Number, x: Number) -> Tensor:
        return hard_limit(lo, hi, x) if self.kinks is None else rounded_limit(lo, hi, x, self.kinks)

    def table_mean(self, table: Table, clock: Tensor, now: Number, before: Number, scale: Number) -> Tensor:
        return window_mean(table, clock - before / 2, (before + now) / 2 + _WINDOW_FLOOR * scale)

    def crossed_each(
        self,
        clock: Tensor | Sequence[Tensor],
        thresholds: Sequence[Number],
        scale: Number,
        now: Number | Sequence[Number],
        before: Number | Sequence[Number],
    ) -> tuple[Tensor, ...]:
        if is_tracing():
            return super().crossed_each(clock, thresholds, scale, now, before)
        # Evaluated together: several events cost the dispatch of one.
        like = clock if isinstance(clock, Tensor) else clock[0]
        clocks, limits, nows, befores = (_together(v, like) for v in (clock, thresholds, now, before))
        return self.crossed(clocks, limits, scale, nows, befores).unbind(0)

    def table_means(
        self, tables: Sequence[Table], clock: Tensor, now: Number, before: Number, scale: Number
    ) -> tuple[Tensor, ...]:
        shelf = None if is_tracing() else Shelf.of(tables)
        if shelf is None:
            return super().table_means(tables, clock, now, before, scale)
        values = shelf[0].means(clock - before / 2, (before + now) / 2 + _WINDOW_FLOOR * scale)
        return tuple(values[i] for i in shelf[1])


@dataclass(frozen=True)
class StraightThrough(Switches):
    """Values of `Hard`, derivatives of `Smooth`, event by event.

    Products of shares then see hard factors, so that only about half of some derivatives is captured: offered
    for comparison and for networks that need hard values, not recommended for fitting.

    Parameters
    ----------
    softness : float
        As for `Smooth`.
    """

    softness: float = 0.1

    def __post_init__(self) -> None:
        Smooth(self.softness)

    @property
    def _smooth(self) -> Smooth:
        return Smooth(self.softness)

    def crossed(
        self,
        clock: Tensor,
        threshold: Number,
        scale: Number,
        now: Number,
        before: Number | None = None,
        strict: bool = False,
    ) -> Tensor:
        arguments = (clock, threshold, scale, now, before, strict)
        return replace_gradient(_HARD.crossed(*arguments), self._smooth.crossed(*arguments))

    def passed(self, clock: Tensor, threshold: Number, scale: Number, now: Number, before: Number) -> Tensor:
        arguments = (clock, threshold, scale, now, before)
        return replace_gradient(_HARD.passed(*arguments), self._smooth.passed(*arguments))

    def alive(self, ended: Tensor) -> Tensor:
        return replace_gradient(ended.new_ones(()), 1 - ended)

    def finished(self, clock: Tensor, threshold: Number, scale: Number, strict: bool = False) -> Tensor:
        return _HARD.finished(clock, threshold, scale, strict)

    def abandoned(self, ended: Tensor, rule: Callable[[], Tensor]) -> Tensor:
        return 1 - (1 - ended) * (1 - rule())

    def step(self, x: Tensor, scale: Number, strict: bool = False) -> Tensor:
        return replace_gradient(_HARD.step(x, scale, strict), self._smooth.step(x, scale))

    def data_step(self, x: Tensor, scale: Number) -> Tensor:
        return indicator(x)

    def outstanding(self, done: Tensor, level: Tensor) -> Tensor:
        return replace_gradient(is_zero(level), 1 - done)

    def supplied(self, supply: Tensor, demand: Tensor) -> Tensor:
        return _HARD.supplied(supply, demand)

    def min(self, a: Number, b: Number) -> Tensor:
        return hard_min(a, b)

    def max(self, a: Number, b: Number) -> Tensor:
        return hard_max(a, b)

    def limit(self, lo: Number, hi: Number, x: Number) -> Tensor:
        return hard_limit(lo, hi, x)

    def table_mean(self, table: Table, clock: Tensor, now: Number, before: Number, scale: Number) -> Tensor:
        return replace_gradient(afgen(table, clock), self._smooth.table_mean(table, clock, now, before, scale))


_HARD = Hard()


def _each(value: Any, number: int) -> Sequence[Any]:
    """One value for each event."""
    return value if isinstance(value, list | tuple) else [value] * number


def _together(value: Any, like: Tensor) -> Tensor:
    """Values of several events side by side, ``[n, ...]``, or the one that they share."""
    if not isinstance(value, list | tuple):
        return value if isinstance(value, Tensor) else like.new_full((), value)
    tensors = [v if isinstance(v, Tensor) else like.new_full((), v) for v in value]
    return torch.stack(torch.broadcast_tensors(like, *tensors)[1:])
