"""Units at the border: what users have, converted to the one unit per quantity that is used inside.

Conversions are exact fractions (``470 kJ`` is ``470 / 1000 MJ``, not ``470 * 0.001``), so that a converted
value is the float nearest to the true one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

__all__ = ["UnitError", "convert", "known_units", "shortest"]


class UnitError(ValueError):
    """A unit that is unknown, or that is no unit of the quantity asked for."""


@dataclass(frozen=True)
class _Unit:
    """One unit: ``value in the family's first unit = (value - zero) * factor``."""

    name: str
    factor: Fraction
    zero: float = 0.0
    short: tuple[str, ...] = ()


def _unit(name: str, factor: str | int = 1, *short: str, zero: float = 0.0) -> _Unit:
    return _Unit(name, Fraction(factor), zero, short)


# A family is one quantity; its first unit is ours. Short forms leave out what cannot be otherwise for daily
# weather (area, "per day"); they are read, never converted to, since "mm" is also a depth.
_FAMILIES: tuple[tuple[_Unit, ...], ...] = (
    (
        _unit("MJ m-2 d-1", 1, "MJ", "MJ m-2"),
        _unit("kJ m-2 d-1", "1/1000", "kJ", "kJ m-2"),
        _unit("J m-2 d-1", "1/1000000", "J", "J m-2"),
        _unit("J cm-2 d-1", "1/100", "J cm-2"),
        _unit("kWh m-2 d-1", "3.6", "kWh", "kWh m-2"),
        _unit("W m-2", "0.0864", "W"),
    ),
    (_unit("degC"), _unit("K", zero=273.15), _unit("degF", "5/9", zero=32.0)),
    (_unit("kPa"), _unit("hPa", "1/10"), _unit("Pa", "1/1000")),
    (_unit("m s-1"), _unit("km d-1", "5/432"), _unit("km h-1", "5/18", "kmh", "kph")),
    (
        _unit("mm d-1", 1, "mm"),
        _unit("cm d-1", 10, "cm"),
        _unit("m d-1", 1000, "m"),
        _unit("inch d-1", "25.4", "inch"),
        _unit("kg m-2 s-1", 86400),
    ),
    (_unit("g m-2"), _unit("kg m-2", 1000), _unit("kg ha-1", "1/10"), _unit("t ha-1", 100)),
    (_unit("m"), _unit("cm", "1/100"), _unit("mm", "1/1000"), _unit("inch", "0.0254")),
)

# Other names of the same symbol, lower case like everything that is compared. ("mg" is the megagram: no milligram
# meets a unit of the table.)
_SYMBOLS = {
    "day": "d", "days": "d", "hr": "h", "hour": "h", "sec": "s", "second": "s",
    "c": "degc", "celsius": "degc", "f": "degf", "fahrenheit": "degf", "kelvin": "k",
    "mbar": "hpa", "mb": "hpa", "millibar": "hpa",
    "in": "inch", "inches": "inch", "ton": "t", "tonne": "t", "tonnes": "t", "mg": "t",
}  # fmt: skip
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁻−", "0123--")


def convert(values: Any, unit: str, to: str, *, what: str = "value") -> Any:
    """Convert values between units of one quantity.

    Parameters
    ----------
    values : float, ndarray, Series or Tensor
        Values in `unit`.
    unit : str
        Unit that the values have, in any usual spelling: ``MJ m-2 d-1``, ``MJ/m2/day``, ``MJ``.
    to : str
        Unit wanted, in full: ``MJ m-2 d-1``. It decides which quantity is meant:
        ``convert(1, "cm", "mm d-1")`` is rain, ``convert(1, "cm", "m")`` a depth.
    what : str
        What the values are, for the message.

    Returns
    -------
    same type as `values`
        Values in `to`.

    Raises
    ------
    UnitError
        If `unit` is no unit of that quantity; the text names the nearest and all known.
    """
    family = _family(to)
    target = _find(to, family)
    origin = _find(unit, family)
    if origin is None or target is None:
        known = ", ".join(u.name for u in family)
        raise UnitError(f"unknown unit {unit!r} for {what}{_nearest(unit, family)}; known are {known}")
    if origin == target:
        return values
    ratio = origin.factor / target.factor
    if origin.zero:
        values = values - origin.zero
    converted = values * ratio.numerator / ratio.denominator
    return converted + target.zero if target.zero else converted


def known_units(to: str) -> tuple[str, ...]:
    """List the units that can be converted to `to`, itself included, by their full names."""
    return tuple(u.name for u in _family(to))


def shortest(unit: str, to: str) -> str:
    """Give the shortest accepted spelling of a unit of the quantity of `to`: ``kJ`` for ``kJ m-2 d-1``."""
    found = _find(unit, _family(to))
    if found is None:
        raise UnitError(f"unknown unit {unit!r} for values in {to}")
    return min((found.name, *found.short), key=len)


def _family(to: str) -> tuple[_Unit, ...]:
    for family in _FAMILIES:
        if any(_parse(to) == _parse(u.name) for u in family):
            return family
    every = tuple(u for family in _FAMILIES for u in family)
    known = ", ".join(dict.fromkeys(u.name for u in every))
    raise UnitError(f"unknown unit {to!r} to convert to{_nearest(to, every)}; known are {known}")


def _find(spelled: str, family: tuple[_Unit, ...]) -> _Unit | None:
    wanted = _parse(spelled)
    return next((u for u in family if any(_parse(s) == wanted for s in (u.name, *u.short))), None)


def _nearest(spelled: str, family: tuple[_Unit, ...]) -> str:
    names = {s.lower(): s for u in family for s in (u.name, *u.short)}
    close = difflib.get_close_matches(spelled.lower(), list(names), n=1, cutoff=0.5)
    return f" (did you mean {names[close[0]]!r}?)" if close else ""


def _parse(spelled: str) -> tuple[tuple[str, int], ...] | str:
    """Reduce a spelling to its sorted symbols and exponents; what cannot be read stays as it is."""
    text = spelled.translate(_SUPERSCRIPTS).lower().replace("**", "").replace("^", "")
    text = re.sub(r"(?:°|degrees?|deg)[ _]*", "", text)
    text = re.sub(r"\bper\b", "/", text)
    text = re.sub(r"[()\[\]·*._]", " ", text)
    powers: dict[str, int] = {}
    for symbol, exponent in _powers(text):
        powers[symbol] = powers.get(symbol, 0) + exponent
    return tuple(sorted(powers.items())) if powers else spelled


def _powers(text: str) -> Iterator[tuple[str, int]]:
    for place, part in enumerate(text.split("/")):
        for token in part.split():
            match = re.fullmatch(r"([a-z]+)([+-]?\d+)?", token)
            if match is None:
                yield token, 1  # no unit has such a symbol
                continue
            exponent = int(match[2] or 1)
            # "MJ/m2 d-1": what is written with a negative exponent is below the line already.
            yield _SYMBOLS.get(match[1], match[1]), -exponent if place and exponent > 0 else exponent
