"""Crop and soil parameters from YAML files: strict in, complete out.

A file holds ``name, title, model, source, licence`` and ``values``: by readable name or FST symbol, each with its value
in our unit, the unit itself, and where it comes from. Reading reports everything that is wrong with a file in one
`ParameterError`. What was read travels with the record as its `Provenance`, so that a saved record says which values
differ from the preset, and by whom.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from torchcrop.functions.tables import Table
from torchcrop.inputs.parameter_checks import RECORDS, check_texts, cross_checks, read_entries
from torchcrop.inputs.provenance import Entry, Provenance, Value, attributed, provenance_of, same_value, value_of
from torchcrop.inputs.shipped import data_path, names
from torchcrop.inputs.yaml_files import FileError, looks_like_path, read_yaml, unknown_keys
from torchcrop.quantities import Quantity, Record, nearest

__all__ = [
    "Entry",
    "ParameterError",
    "Provenance",
    "attributed",
    "load_crop",
    "load_soil",
    "provenance_of",
    "read_parameters",
    "save_parameters",
]

_TOP = ("name", "title", "model", "source", "licence", "values")
_TOP_OPTIONAL = ("based_on", "notes")
_PRESET = "of the preset: "


class ParameterError(FileError):
    """A parameter file or record that cannot be used; `problems` lists everything that is wrong with it."""


# --- loading --------------------------------------------------------------------------------------------


def load_crop(name_or_path: str | Path, overlay: str | Path | Mapping[str, Any] | None = None) -> Record:
    """Load a crop that ships, by name, or one of your own, by path.

    Parameters
    ----------
    name_or_path : str or Path
        Such as ``"maize"`` or ``"my_maize.yaml"``.
    overlay : str, Path or mapping, optional
        Values that replace some of the crop's: a file of the same shape with only these values, or a mapping of FST
        symbol or readable name to number or points, in our units: ``{"tsum1": 720.0}``.

    Returns
    -------
    Record
        `Lintul5Crop` or `Lintul2Crop` (which serves LINTUL1 too) of float64 scalars and tables, with its `Provenance`
        as attribute ``provenance``.

    Raises
    ------
    ValueError
        If nothing of that name ships.
    ParameterError
        With everything that is wrong with the file or the overlay.
    """
    return read_parameters(_find("crop", name_or_path), "crop", overlay)


def load_soil(name_or_path: str | Path, overlay: str | Path | Mapping[str, Any] | None = None) -> Record:
    """Load a soil that ships, by name, or one of your own, by path; arguments and errors as of `load_crop`."""
    return read_parameters(_find("soil", name_or_path), "soil", overlay)


def _find(kind: str, name_or_path: str | Path) -> Path:
    shipped = names(f"{kind}s")
    if name_or_path not in shipped and (looks_like_path(name_or_path) or Path(name_or_path).is_file()):
        return Path(name_or_path)
    return data_path(f"{kind}s", str(name_or_path))


def read_parameters(path: str | Path, kind: str, overlay: str | Path | Mapping[str, Any] | None = None) -> Record:
    """Read a parameter file.

    Parameters
    ----------
    path : str or Path
    kind : {"crop", "soil"}
    overlay : str, Path or mapping, optional
        As of `load_crop`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ParameterError
        With everything that is wrong.
    """
    if kind not in RECORDS:
        raise ValueError(f"unknown kind of parameter file {kind!r}{nearest(kind, RECORDS)}; expected crop or soil")
    data = read_yaml(path, ParameterError)
    problems = unknown_keys("", data, _TOP, _TOP_OPTIONAL)
    problems += check_texts(data, ("name", "title", "source", "licence", "based_on"))
    record = _record_of(kind, data.get("model"), problems)
    if record is None:
        raise ParameterError(path, problems)
    entries = read_entries(data.get("values"), record, kind, problems)
    problems += missing_values(record, data.get("values"), bool(entries))
    provenance = Provenance(
        kind=kind,
        model=str(data.get("model")),
        name=str(data.get("name")),
        title=str(data.get("title")),
        source=str(data.get("source")),
        licence=str(data.get("licence")),
        file=str(path),
        based_on=str(data.get("based_on", "")),
        notes=tuple(_notes(data, problems)),
        entries=entries,
    )
    if not problems and overlay is not None:
        provenance = _overlaid(provenance, record, overlay)
    problems += cross_checks(record, provenance.entries)
    if problems:
        raise ParameterError(path, problems)
    return build(record, provenance)


def _record_of(kind: str, model: Any, problems: list[str]) -> type[Record] | None:
    known = RECORDS[kind]
    if isinstance(model, str) and model in known:
        return known[model]
    if model is not None:
        problems.append(f"model: {model!r} has no {kind}{nearest(str(model), known)}; expected {' or '.join(known)}")
    return None


def _notes(data: Mapping[str, Any], problems: list[str]) -> list[str]:
    notes = data.get("notes", [])
    if isinstance(notes, list) and all(isinstance(note, str) for note in notes):
        return notes
    problems.append("notes: expected a list of texts")
    return []


def missing_values(record: type[Record], values: Any, legible: bool = True) -> list[str]:
    """Sentences on values that a file does not give; none if its values are no values of the record at all."""
    if not isinstance(values, Mapping) or (values and not legible):
        return []
    given = {str(key).lower() for key in values}
    return [
        f"values.{name}: missing; {record.__name__} needs it ({q.symbol} [{q.unit}], {q.doc})"
        for name, q in record.quantities().items()
        if q.required and not given.intersection(q.spellings())
    ]


def _overlaid(base: Provenance, record: type[Record], overlay: str | Path | Mapping[str, Any]) -> Provenance:
    """Merge the values of an overlay into those of a file."""
    problems: list[str] = []
    if isinstance(overlay, Mapping):
        where, name, by, notes = "overlay", base.name, "user", base.notes
        entries = read_entries(overlay, record, base.kind, problems, short=True)
    else:
        where = str(overlay)
        data = read_yaml(overlay, ParameterError)
        problems += unknown_keys("", data, ("name", "model", "values"), (*_TOP, *_TOP_OPTIONAL))
        if data.get("model", base.model) != base.model:
            problems.append(f"model: is {data['model']!r}, but {base.name} is a {base.kind} of {base.model}")
        name = str(data.get("name"))
        by, notes = f"overlay {name}", (*base.notes, *_notes(data, problems))
        entries = read_entries(data.get("values"), record, base.kind, problems)
    merged = dict(base.entries)
    for key, entry in entries.items():
        old = base.entries.get(key)
        before = _default_of(record.quantities()[key]) if old is None else old.value
        entry = dataclasses.replace(entry, bounds=entry.bounds or (old.bounds if old else None))
        if entry.value != before:
            entry = dataclasses.replace(entry, preset=before, changed_by=entry.changed_by or by)
        merged[key] = entry
    if not problems:
        problems = cross_checks(record, merged)
    if problems:
        raise ParameterError(f"{where} (on {base.file})", problems)
    return dataclasses.replace(base, name=name, entries=merged, notes=notes, based_on=base.based_on or base.name)


def build(record: type[Record], provenance: Provenance) -> Record:
    """Make a record of the checked entries of a provenance, with defaults for the values that it lacks."""
    values = []
    for name, quantity in record.quantities().items():
        entry = provenance.entries.get(name)
        if entry is None:
            values.append(quantity.default if isinstance(quantity.default, Table) else _tensor(quantity.default))
        elif isinstance(entry.value, tuple):
            values.append(Table.from_pairs(entry.value, ends=entry.ends))
        else:
            values.append(_tensor(entry.value))
    return record._rebuild(values, provenance)


def _tensor(value: Any) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def _default_of(quantity: Quantity) -> Value:
    return tuple(quantity.default.pairs()) if isinstance(quantity.default, Table) else float(quantity.default)


# --- saving ---------------------------------------------------------------------------------------------


def save_parameters(
    record: Record,
    path: str | Path,
    *,
    name: str | None = None,
    title: str | None = None,
    source: str | None = None,
    licence: str | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write a record as a parameter file that reads back to the same values.

    A value that differs from the preset the record came from is written with the preset's value (``preset``) and by
    whom it was changed (``changed_by``: what `attributed` noted, else ``user``).

    Parameters
    ----------
    record : Record
        Crop or soil; one set of values, not a batch.
    path : str or Path
        File to write; an existing one is replaced.
    name, title, source, licence : str, optional
        Top of the file; the name defaults to the file's, the others to those of the preset.
    notes : sequence of str
        Remarks, after those of the preset.

    Returns
    -------
    Path

    Raises
    ------
    TypeError
        If the record is neither crop nor soil of a model.
    ParameterError
        If the file could not be read back: values out of bounds, fractions that do not sum to one, a batch.
    """
    path = Path(path)
    kind, model = _kind_of(record)
    origin = provenance_of(record) or Provenance(
        kind, model, "", path.stem, "values set by hand, no source given", "not stated"
    )
    body: dict[str, Any] = {
        "name": name or path.stem,
        "title": title or origin.title,
        "model": model,
        "source": source or origin.source,
        "licence": licence or origin.licence,
    }
    based_on = origin.based_on or (origin.name if origin.name != body["name"] else "")
    if based_on:
        body["based_on"] = based_on
    if origin.notes or notes:
        body["notes"] = [*origin.notes, *notes]
    body["values"] = _entries_to_save(record, origin, path)
    problems: list[str] = []
    entries = read_entries(body["values"], type(record), kind, problems)
    problems += cross_checks(type(record), entries)
    if problems:
        raise ParameterError(f"{path}, not written because it could not be read back,", problems)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(_as_yaml(body), encoding="utf-8")
    os.replace(unfinished, path)
    return path


def _kind_of(record: Record) -> tuple[str, str]:
    for kind, models in RECORDS.items():
        for model, known in models.items():
            if type(record) is known:
                return kind, model
    raise TypeError(f"a {type(record).__name__} is neither crop nor soil of a model and has no file format")


def _entries_to_save(record: Record, origin: Provenance, path: Path) -> dict[str, Any]:
    entries = {}
    problems = []
    for name, quantity in type(record).quantities().items():
        try:
            value = value_of(name, getattr(record, name))
        except ValueError as failure:
            problems.append(str(failure))
            continue
        entry = _changed(name, value, getattr(record, name), quantity, origin)
        entries[name] = _entry_as_mapping(entry, quantity)
    if problems:
        raise ParameterError(f"{path}, not written,", problems)
    return entries


def _changed(name: str, value: Value, held: Any, quantity: Quantity, origin: Provenance) -> Entry:
    """The entry of a value: as read, or with what it was and who changed it."""
    ends = held.ends if isinstance(held, Table) else "hold"
    read = origin.entries.get(name)
    if read is None:
        return Entry(value, ends=ends)
    if same_value(read.value, held):
        return dataclasses.replace(read, ends=ends)
    preset = read.value if read.preset is None else read.preset
    if same_value(preset, held):
        source, comment = read.source.removeprefix(_PRESET), read.comment.removeprefix(_PRESET)
        return dataclasses.replace(
            read, value=preset, ends=ends, source=source, comment=comment, preset=None, changed_by=""
        )
    by, noted = origin.attributions.get(name, ("user", None))
    return dataclasses.replace(
        read,
        value=value,
        ends=ends,
        assumed=False,
        source=_of_preset(read.source),
        comment=_of_preset(read.comment),
        preset=preset,
        changed_by=by if noted == value else "user",
    )


def _of_preset(text: str) -> str:
    """Say of a remark that it was made on the preset's value."""
    return text if not text or text.startswith(_PRESET) else _PRESET + text


def _entry_as_mapping(entry: Entry, quantity: Quantity) -> dict[str, Any]:
    table = quantity.kind == "table"
    by = f", by {quantity.x} [{quantity.x_unit}]" if table else ""
    body: dict[str, Any] = {"symbol": quantity.symbol} if quantity.symbol else {}
    body |= {"value": _plain(entry.value), "unit": quantity.unit, "meaning": quantity.doc + by}
    if entry.bounds is not None:
        body["scale_bounds" if table else "bounds"] = list(entry.bounds)
    if entry.ends != "hold":
        body["ends"] = entry.ends
    if entry.assumed:
        body["assumed"] = True
    if entry.preset is not None:
        body["preset"] = _plain(entry.preset)
    return body | {key: getattr(entry, key) for key in ("changed_by", "source", "comment") if getattr(entry, key)}


def _plain(value: Value) -> Any:
    return [list(point) for point in value] if isinstance(value, tuple) else value


class _Dumper(yaml.SafeDumper):
    """Mappings in blocks, lists on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    list,
    lambda dumper, items: dumper.represent_sequence(
        "tag:yaml.org,2002:seq", items, flow_style=not any(isinstance(item, str) for item in items)
    ),
)


def _as_yaml(body: Mapping[str, Any]) -> str:
    return yaml.dump(dict(body), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
