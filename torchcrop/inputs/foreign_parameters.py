"""Crops and soils from the files of other programs, and crops of LINTUL5 back to a file of TTUTIL.

`torchcrop.inputs.assignments` reads the names and numbers; here names find their quantity, numbers their unit, and what
has no place here is an error or a note, never lost in silence.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from torchcrop.functions.tables import Table
from torchcrop.inputs.assignments import Assigned, read_assignments
from torchcrop.inputs.foreign_names import ELSEWHERE, NOT_USED, POWERS, TITLES, ours
from torchcrop.inputs.parameter_checks import RECORDS, cross_checks, read_entries
from torchcrop.inputs.parameters import ParameterError, build, missing_values
from torchcrop.inputs.provenance import Provenance, provenance_of, value_of
from torchcrop.inputs.yaml_files import FileError
from torchcrop.models.lintul5_records import Lintul5Crop
from torchcrop.quantities import Quantity, Record, nearest

__all__ = ["collect", "export_ttutil", "import_crop", "import_soil"]

_LICENCE = "not stated; that of the imported file"


def import_crop(
    *paths: str | Path,
    model: str,
    name: str | None = None,
    format: str | None = None,
    variety: str | None = None,
    values: Mapping[str, Any] | None = None,
    ignore: Iterable[str] = (),
) -> Record:
    """Make a crop from files of another program.

    Parameters
    ----------
    *paths : str or Path
        One file or several that complement each other: TTUTIL, CABO, Rlintul's ini, PCSE's assignments or crop YAML.
    model : str
        Whose crop it is, such as ``"lintul5"``; the names in the files are the symbols of its original.
    name : str, optional
        Name of the crop; default: that of the first file.
    format : {"ttutil", "ini", "pcse", "yaml"}, optional
        Notation of the files; default: by content.
    variety : str, optional
        Which variety of a YAML file; needed if it has several.
    values : mapping of str to number or list, optional
        Values that the files lack, or that replace theirs, by symbol and in the files' units: ``{"NFIXF": 0.0}``.
    ignore : iterable of str
        Names of the files that are to be left out.

    Returns
    -------
    Record
        In our units, with a `Provenance` that names file and symbol of every value. Its notes say what was left out.

    Raises
    ------
    ValueError
        If the model has no crop.
    ParameterError
        With everything that is wrong: what cannot be read, unknown and missing names, values out of bounds.

    Examples
    --------
    >>> crop = import_crop("CROPP1.DAT", model="lintul5")
    >>> crop.save("my_soybean.yaml")
    """
    return _import("crop", paths, model, name, format, variety, values, ignore)


def import_soil(
    *paths: str | Path,
    model: str,
    name: str | None = None,
    format: str | None = None,
    values: Mapping[str, Any] | None = None,
    ignore: Iterable[str] = (),
) -> Record:
    """Make a soil from files of another program, such as soil and site of PCSE; arguments and errors as `import_crop`.

    Examples
    --------
    >>> soil = import_soil("SOILP1.DAT", model="lintul5", values={"NMINS": 40.0})
    """
    return _import("soil", paths, model, name, format, None, values, ignore)


def _import(
    kind: str,
    paths: tuple[str | Path, ...],
    model: str,
    name: str | None,
    format: str | None,
    variety: str | None,
    values: Mapping[str, Any] | None,
    ignore: Iterable[str],
) -> Record:
    known = RECORDS[kind]
    if model not in known:
        raise ValueError(f"model {model!r} has no {kind}{nearest(model, known)}; expected {', '.join(known)}")
    record, files = known[model], " and ".join(str(path) for path in paths)
    problems: list[str] = []
    notes: list[str] = []
    given = collect(paths, format, variety, values, problems)
    title = next((str(given[key].items[0]) for key in TITLES if key in given), "")
    given = ours(kind, model, _without(given, ignore, notes, problems), notes, problems)
    body = _body(kind, model, record, given, notes, problems)
    if not body and not problems:
        problems.append(f"holds no value of a {kind} of {model}, but {', '.join(list(given)[:5])}")
    entries = read_entries(body, record, kind, problems)
    problems += missing_values(record, body) if body else []
    problems += cross_checks(record, entries)
    if problems:
        raise ParameterError(files, problems)
    called = name or Path(paths[0]).stem.lower()
    provenance = Provenance(
        kind=kind,
        model=model,
        name=called,
        title=title or called,
        source=f"imported from {' and '.join(Path(path).name for path in paths)}",
        licence=_LICENCE,
        file=files,
        notes=tuple(notes),
        entries=entries,
    )
    return build(record, provenance)


def collect(
    paths: tuple[str | Path, ...],
    format: str | None,
    variety: str | None,
    values: Mapping[str, Any] | None,
    problems: list[str],
) -> dict[str, Assigned]:
    """Read several files of assignments as one, with the values that a user adds."""
    if not paths:
        raise TypeError("give at least one file")
    given: dict[str, Assigned] = {}
    for path in paths:
        try:
            found = read_assignments(path, format, variety)
        except FileError as failure:
            several = f"{Path(path).name}: " if len(paths) > 1 else ""
            problems += [several + problem for problem in failure.problems]
            continue
        for name, assigned in found.items():
            old = given.setdefault(name, assigned)
            if old.items != assigned.items:
                problems.append(f"{name}: is given in {old.place} and, differently, in {assigned.place}")
    for name, value in (values or {}).items():
        given[name.upper()] = Assigned(
            name.upper(), tuple(Decimal(repr(float(v))) for v in _flat(value)), Path("values")
        )
    return given


def _flat(value: Any) -> list[Any]:
    """Numbers of a value: a number, a flat list, or points."""
    if isinstance(value, Table):
        value = value.pairs()
    if not isinstance(value, list | tuple):
        return [value]
    return [number for item in value for number in _flat(item)]


def _without(
    given: Mapping[str, Assigned], ignore: Iterable[str], notes: list[str], problems: list[str]
) -> dict[str, Assigned]:
    left_out = {name.upper() for name in ignore}
    problems += [f"ignore: {name} is not in the file{nearest(name, given)}" for name in sorted(left_out - set(given))]
    if left_out:
        notes.append(f"Left out on request: {', '.join(sorted(left_out))}.")
    return {name: assigned for name, assigned in given.items() if name not in left_out}


def _body(
    kind: str,
    model: str,
    record: type[Record],
    given: Mapping[str, Assigned],
    notes: list[str],
    problems: list[str],
) -> dict[str, Any]:
    """The values of a record as a parameter file holds them, by symbol."""
    by_symbol = {q.symbol: q for q in record.quantities().values() if q.symbol}
    body: dict[str, Any] = {}
    for name, assigned in given.items():
        if name in by_symbol:
            value = _converted(assigned, by_symbol[name], POWERS.get(model, {}).get(name, 0), problems)
            if value is not None:
                body[name] = {
                    "value": value,
                    "unit": by_symbol[name].unit,
                    "source": f"{assigned.name} of {assigned.file.name}",
                }
        elif not _noted(name, kind, model, notes):
            problems.append(
                f"{name} ({assigned.place}): {model} has no such value{nearest(name, by_symbol)}; if it is of no use "
                f"here, leave it out with ignore=[{name!r}]"
            )
    return body


def _noted(name: str, kind: str, model: str, notes: list[str]) -> bool:
    """Note a name that is known but is no value of this record; False if it is unknown."""
    if name in TITLES:
        return True
    if name in NOT_USED.get(model, {}):
        notes.append(f"{name} is left out: {NOT_USED[model][name]}.")
        return True
    other = next((k for k in RECORDS if k != kind and model in RECORDS[k] and _has(RECORDS[k][model], name)), "")
    place = f"import_{other}" if other else ELSEWHERE.get(model, {}).get(name, "")
    if place:
        notes.append(f"{name} is no value of the {kind}: read it with {place}.")
    return bool(place)


def _has(record: type[Record], symbol: str) -> bool:
    return any(q.symbol == symbol for q in record.quantities().values())


def _converted(assigned: Assigned, quantity: Quantity, power: int, problems: list[str]) -> Any:
    """A value in our unit, without loss: the decimal point moves by `power` digits."""
    where = f"{assigned.name} ({assigned.place})"
    texts = [item for item in assigned.items if isinstance(item, str)]
    if texts:
        problems.append(
            f"{where}: is the text {texts[0]!r}; expected {'numbers' if quantity.kind == 'table' else 'a number'}"
        )
        return None
    numbers = [item for item in assigned.items if isinstance(item, Decimal)]
    if quantity.kind == "table":
        if len(numbers) % 2:
            problems.append(f"{where}: has {len(numbers)} numbers; a table has pairs of {quantity.x} and value")
            return None
        return [[float(x), _scaled(y, power)] for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
    if len(numbers) != 1:
        problems.append(f"{where}: has {len(numbers)} numbers; expected one")
        return None
    return _scaled(numbers[0], power)


def _scaled(number: Decimal, power: int) -> float:
    return float(number.scaleb(power) if number.is_finite() else number)


# --- TTUTIL ---------------------------------------------------------------------------------------------

_CONSTANTS = {"DVSJ": 0.2, "LAIJ": 0.75}
"""Values of our crop that are constants in the program of LINTUL5."""
_NOT_USED_BY_PROGRAM = {"SPA": "0.0", "SSATB": "0.0, 0.0,\n           2.0, 0.0"}
"""What LINTUL5 reads and does not use, but must find."""


def export_ttutil(crop: Record, path: str | Path) -> Path:
    """Write a crop of LINTUL5 as a file that the original program reads, in its units.

    Parameters
    ----------
    crop : Lintul5Crop
        One set of values, not a batch.
    path : str or Path
        File to write; an existing one is replaced.

    Returns
    -------
    Path

    Raises
    ------
    TypeError
        If it is no crop of LINTUL5.
    ParameterError
        If a value cannot be written: a batch, or another end of the juvenile stage (DVSJ, LAIJ) than the constants of
        the original program.

    Notes
    -----
    `import_crop` gives the same values back. The original continues a table beyond its ends with the slope of the last
    segment; ours holds the last value, unless it says ``extrapolate``, which the file cannot.
    """
    path = Path(path)
    if not isinstance(crop, Lintul5Crop):
        raise TypeError(f"a {type(crop).__name__} is no crop of LINTUL5; export_ttutil writes these only")
    problems: list[str] = []
    about = provenance_of(crop)
    heading = [about.title, *about.source.splitlines()] if about else [path.stem]
    lines = [*(f"** {line}" for line in heading), "** Written by torchcrop, in the units of LINTUL5", ""]
    for name, quantity in crop.quantities().items():
        try:
            value = value_of(name, getattr(crop, name))
        except ValueError as failure:
            problems.append(str(failure))
            continue
        symbol, constant = quantity.symbol, _CONSTANTS.get(quantity.symbol)
        if constant is None:
            power = -POWERS["lintul5"].get(symbol, 0)
            lines.append(f"{symbol:8} = {_written(value, power, quantity)}")
        elif value != constant:
            problems.append(f"{name} ({symbol}): is {value:g}, but the program of LINTUL5 has {constant:g} built in")
    if problems:
        raise ParameterError(f"{path}, not written,", problems)
    lines += [f"{symbol:8} = {text}" for symbol, text in _NOT_USED_BY_PROGRAM.items()]
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text("\n".join(lines) + "\n", encoding="ascii", errors="replace")
    os.replace(unfinished, path)
    return path


def _written(value: Any, power: int, quantity: Quantity) -> str:
    if quantity.kind == "switch":
        return str(int(value))
    if isinstance(value, tuple):
        return ",\n           ".join(f"{_digits(x, 0)}, {_digits(y, power)}" for x, y in value)
    return _digits(value, power)


def _digits(number: float, power: int) -> str:
    """All digits of a number, its decimal point moved; with a point, as Fortran wants a real number."""
    text = str(Decimal(repr(number)).scaleb(power))
    return text if "." in text else text.replace("E", ".E") if "E" in text else text + "."
