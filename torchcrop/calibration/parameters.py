"""Free parameters: what a calibration may change, by name.

A name is an FST symbol in any case or a readable name (``tsum1``, ``soil.smfc``). Of a table, ``slatb*`` means a
factor on all its ordinates, and ``fotb[1.0]`` the ordinate at that breakpoint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from torchcrop.functions.tables import Table
from torchcrop.inputs.provenance import attributed, provenance_of
from torchcrop.models.model import Model
from torchcrop.quantities import Quantity, Record, nearest, resolve

__all__ = ["FreeParameter", "free_parameters", "with_parameters"]

_NAME = re.compile(r"^(?P<name>[\w.]+?)(?P<scale>\*)?(?:\[(?:\w+\s*=\s*)?(?P<knot>[-+\d.eE]+)\])?$")
# Default bounds: preset x [0.5, 2], cut at the declared ones.
_DEFAULT_SPAN = (0.5, 2.0)


@dataclass(frozen=True)
class FreeParameter:
    """One number that a calibration may change.

    Attributes
    ----------
    name : str
        As the user wrote it.
    record, field : str
        ``crop`` or ``soil``, and the field in it.
    symbol, unit, doc : str
        Of the quantity; a factor has unit ``-``.
    part : int, None or ``"scale"``
        Ordinate of a table, a scalar, or a factor on all ordinates.
    preset, lower, upper : float
        In `unit`.
    """

    name: str
    record: str
    field: str
    symbol: str
    unit: str
    doc: str
    part: int | str | None
    preset: float
    lower: float
    upper: float


def free_parameters(
    model: Model,
    records: Mapping[str, Record],
    free: Mapping[str, tuple[float, float]] | Sequence[str],
) -> list[FreeParameter]:
    """Resolve the names of free parameters and check their bounds, all problems in one message.

    Parameters
    ----------
    model : Model
    records : mapping of str to Record
        ``crop`` and, if the model has one, ``soil``.
    free : mapping of str to (float, float), or sequence of str
        Bounds by name; names alone take the default bounds of the crop file.

    Raises
    ------
    ValueError
        If a name is unknown, means the same as another, is a table without ``*`` or ``[x]``, or bounds are wrong.
    """
    if isinstance(free, str):
        raise TypeError(f"free is the text {free!r}; give {{name: (lower, upper)}} or a list of names")
    bounds = dict(free) if isinstance(free, Mapping) else dict.fromkeys(free)
    if not bounds:
        raise ValueError("there is no free parameter: give at least one, such as {'tsum1': (500, 1100)}")
    problems: list[str] = []
    found: list[FreeParameter] = []
    for name, pair in bounds.items():
        try:
            one = _resolve(model, records, name, pair)
        except (KeyError, ValueError) as error:
            problems.append(str(error.args[0]))
            continue
        twice = next((f for f in found if (f.record, f.field, f.part) == (one.record, one.field, one.part)), None)
        if twice is not None:
            problems.append(f"{name} and {twice.name} are the same parameter, {one.field}")
        found.append(one)
    if problems:
        raise ValueError("free parameters: " + "; ".join(problems))
    return found


def _resolve(model: Model, records: Mapping[str, Record], name: str, bounds: Any) -> FreeParameter:
    match = _NAME.match(name)
    if match is None:
        raise ValueError(f"{name!r} is not a name; write tsum1, slatb* (a factor) or fotb[1.0] (an ordinate)")
    path = resolve(model.Parameters, match["name"])
    if len(path) != 2 or path[0] not in records:
        raise KeyError(f"{name!r} is not a parameter of {' or '.join(records)}, the records that can be calibrated")
    record, field = path
    quantity = records[record].quantities()[field]
    value = getattr(records[record], field)
    if quantity.kind == "switch":
        raise ValueError(f"{name} is a choice coded 0 or 1; it cannot be calibrated")
    part: int | str | None = None
    if isinstance(value, Table):
        if match["scale"]:
            part, preset = "scale", 1.0
        elif match["knot"]:
            part = _knot(name, value, float(match["knot"]))
            preset = float(value.y[part])
        else:
            raise ValueError(f"{name} is a table: write {name}* for a factor on it or {name}[x] for an ordinate")
    elif match["scale"] or match["knot"]:
        raise ValueError(f"{name}: {match['name']} is a number, not a table")
    elif value.dim() != 0:
        raise ValueError(f"{name} is batched, {list(value.shape)}; calibrate from one crop")
    else:
        preset = float(value)
    lower, upper = _bounds(records[record], quantity, field, part, preset) if bounds is None else map(float, bounds)
    limits = (0.0, float("inf")) if part == "scale" else quantity.bounds
    if not lower < upper:
        raise ValueError(f"{name}: lower bound {lower:g} is not below upper bound {upper:g}")
    if lower < limits[0] or upper > limits[1]:
        raise ValueError(
            f"{name}: bounds {lower:g} to {upper:g} [{quantity.unit}] leave the plausible range "
            f"{limits[0]:g} to {limits[1]:g}"
        )
    unit = "-" if part == "scale" else quantity.unit
    return FreeParameter(name, record, field, quantity.symbol, unit, quantity.doc, part, preset, lower, upper)


def _knot(name: str, table: Table, x: float) -> int:
    knots = table.x.tolist()
    for i, knot in enumerate(knots):
        if abs(knot - x) <= 1e-9 * max(1.0, abs(knot)):
            return i
    raise ValueError(
        f"{name}: the table has no breakpoint at {x:g}{nearest(f'{x:g}', [f'{k:g}' for k in knots])}; "
        f"it has {', '.join(f'{k:g}' for k in knots)}"
    )


def _bounds(
    record: Record, quantity: Quantity, field: str, part: int | str | None, preset: float
) -> tuple[float, float]:
    """Give default bounds: the file's, or preset x [0.5, 2] cut at the declared ones."""
    provenance = provenance_of(record)
    if provenance is not None and field in provenance.bounds() and (part is None or part == "scale"):
        return provenance.bounds()[field]
    if part == "scale":
        return _DEFAULT_SPAN
    if preset == 0:
        raise ValueError(f"{field} is 0 in the preset, so that no default bounds follow: give them")
    low, high = sorted(preset * factor for factor in _DEFAULT_SPAN)
    return max(low, quantity.bounds[0]), min(high, quantity.bounds[1])


def with_parameters(
    records: Mapping[str, Record], free: Sequence[FreeParameter], values: Tensor, fitted: bool = False
) -> dict[str, Record]:
    """Put values ``[P]`` (or ``[P, B]``) of free parameters into their records.

    Parameters
    ----------
    fitted : bool
        Note in the records' provenance that these values are fitted.
    """
    new: dict[str, dict[str, Any]] = {key: {} for key in records}
    for parameter, value in zip(free, values.unbind(0), strict=True):
        changes = new[parameter.record]
        held = changes.get(parameter.field, getattr(records[parameter.record], parameter.field))
        if parameter.part is None:
            changes[parameter.field] = value
        elif parameter.part == "scale":
            changes[parameter.field] = held.replace(y=held.y.to(value) * value[..., None])
        else:
            assert isinstance(parameter.part, int)
            here = torch.nn.functional.one_hot(torch.tensor(parameter.part), held.x.shape[-1]).to(value)
            y = held.y.to(value)
            changes[parameter.field] = held.replace(y=y + (value[..., None] - y) * here)
    changed = {key: record.replace(**new[key]) for key, record in records.items()}
    if fitted:
        changed = {key: attributed(record, "fitted", new[key]) for key, record in changed.items()}
    return changed
