"""Checks of parameters: one value against its declaration, and values against each other.

All functions collect sentences, so that a file's problems come in one error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from torchcrop.functions.tables import Table, afgen
from torchcrop.inputs.provenance import Entry, Value
from torchcrop.inputs.yaml_files import unknown_keys
from torchcrop.models.lintul1 import Lintul1Crop
from torchcrop.models.lintul2 import Lintul2Crop, Lintul2Soil
from torchcrop.models.lintul3 import Lintul3Crop, Lintul3Soil
from torchcrop.models.lintul5 import Lintul5Crop, Lintul5Soil
from torchcrop.processes.crop_nutrients import NUTRIENTS
from torchcrop.quantities import Quantity, Record, nearest

__all__ = ["RECORDS", "check_texts", "cross_checks", "read_entries"]

RECORDS: dict[str, dict[str, type[Record]]] = {
    "crop": {"lintul1": Lintul1Crop, "lintul2": Lintul2Crop, "lintul3": Lintul3Crop, "lintul5": Lintul5Crop},
    "soil": {"lintul2": Lintul2Soil, "lintul3": Lintul3Soil, "lintul5": Lintul5Soil},
}
"""Record of each kind of file and model."""

_WATER = "water contents must increase from air-dry to saturation"
_WATER_START = "the water content at the start lies between air-dry and saturation"
_ORDER: dict[type[Record], tuple[tuple[str, str, str], ...]] = {
    Lintul1Crop: (("tsum_anthesis", "tsum_maturity", "maturity follows anthesis"),),
    Lintul2Crop: (("initial_root_depth", "maximum_root_depth", "roots grow downwards"),),
    Lintul3Crop: (
        ("initial_tsum", "tsum_anthesis", "anthesis follows the start"),
        ("initial_root_depth", "maximum_root_depth", "roots grow downwards"),
    ),
    Lintul5Crop: (
        ("emergence_base_temperature", "emergence_maximum_temperature", "emergence needs a range of temperatures"),
        ("initial_stage", "final_stage", "maturity follows the start"),
        ("initial_root_depth", "maximum_root_depth", "roots grow downwards"),
        ("initial_stage", "uptake_end_stage", "uptake of nutrients needs time after the start"),
        ("translocation_stage", "final_stage", "nutrients move to the storage organs before maturity"),
    ),
    Lintul2Soil: (
        ("air_dry", "wilting_point", _WATER),
        ("wilting_point", "field_capacity", _WATER),
        ("field_capacity", "wet", _WATER),
        ("wet", "saturation", _WATER),
        ("air_dry", "initial", _WATER_START),
        ("initial", "saturation", _WATER_START),
    ),
    Lintul3Soil: (
        ("air_dry", "subsoil", _WATER_START),
        ("subsoil", "saturation", _WATER_START),
    ),
    Lintul5Soil: (
        ("air_dry", "wilting_point", _WATER),
        ("wilting_point", "field_capacity", _WATER),
        ("field_capacity", "saturation", _WATER),
        ("air_dry", "initial", _WATER_START),
        ("initial", "saturation", _WATER_START),
        ("air_dry", "initial_lower", _WATER_START),
        ("initial_lower", "saturation", _WATER_START),
    ),
}
"""Pairs (lower, higher, why) of values that must stand in this order."""

_FRACTIONS: dict[type[Record], tuple[str, ...]] = {
    Lintul1Crop: ("fraction_roots", "fraction_leaves", "fraction_stems", "fraction_storage"),
    Lintul3Crop: ("fraction_roots", "fraction_leaves", "fraction_stems", "fraction_storage"),
    Lintul5Crop: ("fraction_leaves", "fraction_stems", "fraction_storage"),
}
"""Tables that must sum to one wherever one of them has a point."""
_SUM_TOLERANCE = 1e-6
_NUTRIENTS: dict[type[Record], tuple[str, ...]] = {
    Lintul3Crop: ("nitrogen",),
    Lintul5Crop: NUTRIENTS,
}
"""Nutrients of which residual concentrations must stay below those of an organ that is not short."""
_ABSCISSA = {"development stage": "DVS", "temperature sum": "TSUM"}

_FACTORS = {
    ("kg ha-1", "g m-2"): 0.1,
    ("ha kg-1", "m2 g-1"): 10.0,
    ("cm", "m"): 0.01,
    ("cm d-1", "m d-1"): 0.01,
    ("cm d-1", "mm d-1"): 10.0,
    ("%", "m3 m-3"): 0.01,
    ("%", "-"): 0.01,
    ("cm3 cm-3", "m3 m-3"): 1.0,
}
"""Factors named in the text of an error about a unit of the original files."""

_ENTRY = ("value", "unit")
_ENTRY_OPTIONAL = (
    "symbol",
    "meaning",
    "bounds",
    "scale_bounds",
    "ends",
    "assumed",
    "source",
    "comment",
    "preset",
    "changed_by",
)


def check_texts(data: Mapping[str, Any], keys: Iterable[str], where: str = "") -> list[str]:
    """Sentences on values of a mapping that should be text and are not."""
    return [
        f"{where}{key}: is {data[key]!r}; expected text (put it in quotes)"
        for key in keys
        if key in data and not isinstance(data[key], str)
    ]


# --- entries --------------------------------------------------------------------------------------------


def read_entries(
    values: Any, record: type[Record], kind: str, problems: list[str], short: bool = False
) -> dict[str, Entry]:
    """Read the mapping of values; with `short`, a bare number or list of points is a value in our unit."""
    if not isinstance(values, Mapping):
        if values is not None:
            problems.append("values: expected a mapping of names to entries")
        return {}
    spellings = {s: name for name, q in record.quantities().items() for s in q.spellings()}
    other = _other_kind(kind, [str(key) for key in values if str(key).lower() not in spellings], len(values))
    if other:
        problems.append(f"values: these are the values of a {other}; read the file with load_{other}")
        return {}
    entries: dict[str, Entry] = {}
    for key, body in values.items():
        name = spellings.get(str(key).lower())
        if name is None:
            problems.append(f"values.{key}: {record.__name__} has no such value{nearest(str(key), spellings)}")
        elif name in entries:
            problems.append(f"values.{key}: {name} is given twice, by name and by symbol")
        else:
            if short and not isinstance(body, Mapping):
                body = {"value": body, "unit": record.quantities()[name].unit}
            entry = _read_entry(f"values.{key}", body, record.quantities()[name], problems)
            if entry is not None:
                entries[name] = entry
    return entries


def _other_kind(kind: str, unknown: Sequence[str], count: int) -> str:
    """The other kind of file, if that is what most of the names belong to."""
    if len(unknown) <= count / 2:
        return ""
    for other, records in RECORDS.items():
        known = {s for record in records.values() for q in record.quantities().values() for s in q.spellings()}
        if other != kind and all(key.lower() in known for key in unknown):
            return other
    return ""


def _read_entry(where: str, body: Any, quantity: Quantity, problems: list[str]) -> Entry | None:
    if not isinstance(body, Mapping):
        problems.append(
            f"{where}: expected a mapping with value and unit, such as {{value: 1.0, unit: {quantity.unit}}}"
        )
        return None
    found = unknown_keys(f"{where}.", body, _ENTRY, _ENTRY_OPTIONAL)
    found += check_texts(body, ("source", "comment", "changed_by", "meaning"), f"{where}.")
    found += _check_identity(where, body, quantity)
    value = _read_value(f"{where}.value", body["value"], quantity, found) if "value" in body else None
    preset = (
        _read_value(f"{where}.preset", body["preset"], quantity, found, bounded=False) if "preset" in body else None
    )
    bounds = _read_bounds(where, body, quantity, found)
    ends = body.get("ends", "hold")
    if ends not in ("hold", "extrapolate") or ("ends" in body and quantity.kind != "table"):
        found.append(f"{where}.ends: is {ends!r}; expected hold or extrapolate, for a table only")
    if not isinstance(body.get("assumed", False), bool):
        found.append(f"{where}.assumed: is {body['assumed']!r}; expected true or false")
    problems += found
    if found or value is None:
        return None
    return Entry(
        value=value,
        bounds=bounds,
        ends=ends,
        assumed=body.get("assumed", False),
        source=body.get("source", ""),
        comment=body.get("comment", ""),
        preset=preset,
        changed_by=body.get("changed_by", ""),
    )


def _check_identity(where: str, body: Mapping[str, Any], quantity: Quantity) -> list[str]:
    problems = []
    symbol = body.get("symbol")
    if symbol is not None and str(symbol).upper() != quantity.symbol:
        problems.append(f"{where}.symbol: is {symbol!r}, but the symbol of {quantity.name} is {quantity.symbol}")
    unit = body.get("unit")
    if "unit" in body and _squeezed(unit) != quantity.unit:
        factor = _FACTORS.get((_squeezed(unit), quantity.unit))
        remedy = f": multiply the value by {factor:g}" if factor is not None else ""
        problems.append(f"{where}.unit: is {unit!r}, but {quantity.name} is in {quantity.unit!r}{remedy}")
    return problems


def _squeezed(unit: Any) -> str:
    return " ".join(str(unit).split())


def _read_value(where: str, given: Any, quantity: Quantity, problems: list[str], bounded: bool = True) -> Value | None:
    if quantity.kind == "table":
        return _read_table(where, given, quantity, problems, bounded)
    number = _read_number(where, given, problems)
    if number is None:
        return None
    if quantity.kind == "switch" and number not in (0.0, 1.0):
        problems.append(f"{where}: is {number:g}; a switch is 0 or 1")
        return None
    low, high = quantity.bounds
    if bounded and not low <= number <= high:
        problems.append(f"{where}: is {number:g} {quantity.unit}; expected {low:g} to {high:g} ({quantity.doc})")
        return None
    return number


def _read_number(where: str, given: Any, problems: list[str]) -> float | None:
    if isinstance(given, int | float) and not isinstance(given, bool):
        if math.isfinite(given):
            return float(given)
        problems.append(f"{where}: is {given}; expected a finite number")
    elif isinstance(given, str) and _is_number(given):
        problems.append(f"{where}: is the text {given!r}; write a number without quotes, with an exponent as 1.0e-5")
    else:
        problems.append(f"{where}: is {given!r}; expected a number")
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_table(where: str, given: Any, quantity: Quantity, problems: list[str], bounded: bool) -> Value | None:
    if isinstance(given, Table):
        given = given.pairs()
    if not isinstance(given, Sequence) or isinstance(given, str) or not all(_is_pair(point) for point in given):
        problems.append(f"{where}: expected a list of points [[x, y], ...], x being {quantity.x} [{quantity.x_unit}]")
        return None
    if len(given) < 2:
        problems.append(f"{where}: has {len(given)} point; a table needs at least two")
        return None
    found: list[str] = []
    points = [tuple(_read_number(f"{where}[{i}]", v, found) for v in point) for i, point in enumerate(given)]
    problems += found
    if found:
        return None
    pairs = tuple((float(x), float(y)) for x, y in points)  # type: ignore[arg-type]
    low, high = quantity.bounds
    for i, (x, y) in enumerate(pairs):
        if i and x <= pairs[i - 1][0]:
            found.append(
                f"{where}: x must increase, but {x:g} follows {pairs[i - 1][0]:g} (point {i + 1}, {quantity.x})"
            )
        if bounded and not low <= y <= high:
            found.append(
                f"{where}: is {y:g} {quantity.unit} at {quantity.x} {x:g}; expected {low:g} to {high:g} "
                f"({quantity.doc})"
            )
    problems += found
    return None if found else pairs


def _is_pair(point: Any) -> bool:
    return isinstance(point, Sequence) and not isinstance(point, str) and len(point) == 2


def _read_bounds(
    where: str, body: Mapping[str, Any], quantity: Quantity, problems: list[str]
) -> tuple[float, float] | None:
    key, wrong = ("scale_bounds", "bounds") if quantity.kind == "table" else ("bounds", "scale_bounds")
    if wrong in body:
        what = "a table takes scale_bounds, of a common factor" if wrong == "bounds" else "only a table takes them"
        problems.append(f"{where}.{wrong}: {what}")
    if key not in body:
        return None
    given = body[key]
    if not _is_pair(given):
        problems.append(f"{where}.{key}: is {given!r}; expected [low, high]")
        return None
    low, high = (_read_number(f"{where}.{key}", v, problems) for v in given)
    if low is None or high is None:
        return None
    limits = (0.0, math.inf) if quantity.kind == "table" else quantity.bounds
    if not limits[0] <= low < high <= limits[1]:
        problems.append(
            f"{where}.{key}: are {low:g} to {high:g}; expected low < high, within {limits[0]:g} to {limits[1]:g}"
        )
        return None
    return low, high


# --- relations between values ---------------------------------------------------------------------------


def cross_checks(record: type[Record], entries: Mapping[str, Entry]) -> list[str]:
    """Sentences on values that do not go together, among those that are there."""
    problems = []
    quantities = record.quantities()
    for base in record.__mro__:
        for lower, higher, why in _ORDER.get(base, ()):
            a, b = _number(lower, quantities, entries), _number(higher, quantities, entries)
            strict = why is not _WATER_START
            if a is not None and b is not None and (a >= b if strict else a > b):
                problems.append(
                    f"values: {_named(quantities[lower])} is {a:g} and {_named(quantities[higher])} is {b:g} "
                    f"{quantities[higher].unit}, but {why}: raise {quantities[higher].symbol} or lower "
                    f"{quantities[lower].symbol}"
                )
        if base in _FRACTIONS:
            problems += _check_fractions(_FRACTIONS[base], quantities, entries)
        for nutrient in _NUTRIENTS.get(base, ()):
            problems += _check_residuals(nutrient, quantities, entries)
        if base is Lintul5Crop:
            problems += _check_first_leaves(quantities, entries)
    return problems


def _number(name: str, quantities: Mapping[str, Quantity], entries: Mapping[str, Entry]) -> float | None:
    if name in entries:
        return entries[name].value  # type: ignore[return-value]
    quantity = quantities[name]
    return None if quantity.required else float(quantity.default)


def _named(quantity: Quantity) -> str:
    return f"{quantity.name} ({quantity.symbol})"


def _check_fractions(
    fractions: Sequence[str], quantities: Mapping[str, Quantity], entries: Mapping[str, Entry]
) -> list[str]:
    if not all(name in entries for name in fractions):
        return []
    tables = [Table.from_pairs(entries[name].value, ends=entries[name].ends) for name in fractions]
    knots = torch.unique(torch.cat([table.x for table in tables]))
    total = torch.stack([afgen(table, knots) for table in tables]).sum(0)
    wrong = (total - 1).abs() > _SUM_TOLERANCE
    if not wrong.any():
        return []
    axis = _ABSCISSA[quantities[fractions[0]].x]
    where = ", ".join(f"{x:g} ({s:.6g})" for x, s in zip(knots[wrong].tolist(), total[wrong].tolist(), strict=True))
    return [
        f"values: {' + '.join(quantities[name].symbol for name in fractions)} must be 1 and is not at {axis} {where}: "
        f"change one of the tables there"
    ]


def _check_residuals(nutrient: str, quantities: Mapping[str, Quantity], entries: Mapping[str, Entry]) -> list[str]:
    """Sentences on residual concentrations that reach the optimal ones, where the nutrition index has no meaning.

    The index counts leaves and stems at their optimal concentration; roots have no optimum, but give to the storage
    organs what they hold above the residual, and would take from them if that were above their maximum.
    """
    maximum = f"{nutrient}_maximum_leaves"
    points = entries[maximum].value if maximum in entries else None
    if not isinstance(points, tuple):
        return []
    x, lowest = min(points, key=lambda point: point[1])
    problems = []
    for organ in ("leaves", "stems", "roots"):
        residual = f"{nutrient}_residual_{organ}"
        factors = [f"{nutrient}_optimal_share"] if organ != "roots" else []
        factors += [f"{nutrient}_{organ}_to_leaves"] if organ != "leaves" else []
        held, *shares = (_number(name, quantities, entries) for name in (residual, *factors))
        level = math.prod((share for share in shares if share is not None), start=lowest)
        if held is not None and None not in shares and held >= level:
            symbols = " * ".join(quantities[name].symbol for name in (*factors, maximum))
            problems.append(
                f"values: {_named(quantities[residual])} is {held:g} and {symbols} falls to {level:.6g} "
                f"{quantities[residual].unit} at {_ABSCISSA[quantities[maximum].x]} {x:g}, but the residual "
                f"concentration lies below: lower {quantities[residual].symbol} or raise {quantities[maximum].symbol}"
            )
    return problems


def _check_first_leaves(quantities: Mapping[str, Quantity], entries: Mapping[str, Entry]) -> list[str]:
    """Sentences on a crop that has no leaves at the start, and therefore never any."""
    names = ("fraction_roots", "fraction_leaves", "specific_leaf_area")
    stage = _number("initial_stage", quantities, entries)
    if stage is None or not all(name in entries for name in names):
        return []
    roots, leaves, area = (
        float(afgen(Table.from_pairs(entries[name].value, ends=entries[name].ends), torch.tensor(stage).double()))
        for name in names
    )
    if (1 - roots) * leaves * area > 0:
        return []
    return [
        f"values: at the initial stage, DVS {stage:g}, FRTB is {roots:g}, FLTB {leaves:g} and SLATB {area:g} m2 g-1: "
        f"the crop has no leaves at the start and would never grow; give some of the first growth to leaves"
    ]
