"""Where parameters come from: what a file said of each value, and who changed it since.

A `Provenance` stays with its record through `replace` and `with_values`, so that a saved record says which values
differ from the preset, and by whom.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from torchcrop.functions.tables import Table
from torchcrop.quantities import Record, resolve

__all__ = ["Entry", "Provenance", "Value", "attributed", "provenance_of", "same_value", "value_of"]

Value = float | tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Entry:
    """What a file says of one value.

    Attributes
    ----------
    value : float or tuple of pairs
        Value in our unit; a table as its points.
    bounds : tuple of float, optional
        Default bounds of a calibration; for a table, of a common factor on its ordinates.
    ends : {"hold", "extrapolate"}
        What a table does outside its points.
    assumed : bool
        Whether the value is an assumption rather than from the file's source.
    source, comment : str
        Source where it is not the file's; remark.
    preset : float or tuple of pairs, optional
        Value of the preset, where this one differs from it.
    changed_by : str
        Who changed it: ``user``, ``fitted``, ...
    """

    value: Value
    bounds: tuple[float, float] | None = None
    ends: str = "hold"
    assumed: bool = False
    source: str = ""
    comment: str = ""
    preset: Value | None = None
    changed_by: str = ""


@dataclass(frozen=True)
class Provenance:
    """Where a record comes from; it stays with the record through `replace` and `with_values`.

    Attributes
    ----------
    kind, model, name, title, source, licence : str
        From the top of the file; `kind` is ``crop`` or ``soil``.
    file : str
        Path of the file, empty if there was none.
    entries : mapping of str to Entry
        By readable name.
    based_on : str
        Name of the preset, if the record was derived from one.
    notes : tuple of str
        Remarks on the whole file.
    attributions : mapping of str to (str, value)
        Changes made since reading, of which it is known by whom: `attributed`.
    """

    kind: str
    model: str
    name: str
    title: str
    source: str
    licence: str
    file: str = ""
    entries: Mapping[str, Entry] = field(default_factory=dict)
    based_on: str = ""
    notes: tuple[str, ...] = ()
    attributions: Mapping[str, tuple[str, Value]] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.kind, self.model, self.name, self.file))

    @property
    def assumed(self) -> tuple[str, ...]:
        """Names of the values that are assumptions."""
        return tuple(name for name, entry in self.entries.items() if entry.assumed)

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Default bounds of a calibration, by name: of the value, or of a common factor on a table's ordinates."""
        return {name: entry.bounds for name, entry in self.entries.items() if entry.bounds is not None}


def provenance_of(record: Record) -> Provenance | None:
    """Where a record comes from, or None if it was built by hand."""
    return getattr(record, "provenance", None)


def attributed(record: Record, by: str, names: Iterable[str]) -> Record:
    """Say who changed values of a record, for the file it will be saved to.

    Parameters
    ----------
    record : Record
        As changed, with the provenance of its preset.
    by : str
        Such as ``fitted``.
    names : iterable of str
        The values concerned, by FST symbol or readable name.

    Returns
    -------
    Record
        The same values, with the changes noted in its provenance. A record without provenance is returned as it is.
    """
    provenance = provenance_of(record)
    if provenance is None:
        return record
    fields = [resolve(type(record), name)[0] for name in names]
    noted = {name: (by, value_of(name, getattr(record, name))) for name in fields}
    provenance = dataclasses.replace(provenance, attributions={**provenance.attributions, **noted})
    return type(record)._rebuild([value for _, value in record.items()], provenance)


def value_of(name: str, value: Any) -> Value:
    """A record's value as Python numbers."""
    if isinstance(value, Table):
        if value.x.dim() != 1 or value.y.dim() != 1:
            raise ValueError(f"{name}: is a batch of tables, {list(value.y.shape)}; save one of them")
        return tuple(value.pairs())
    if not isinstance(value, Tensor):
        raise ValueError(
            f"{name}: is a {type(value).__name__}, which a parameter file cannot hold; save the module itself"
        )
    if value.dim() > 0:
        raise ValueError(f"{name}: is a batch of values, {list(value.shape)}; save one of them")
    return float(value.detach())


def same_value(read: Value, held: Any) -> bool:
    """Whether a record still holds what was read, at the precision it holds."""
    if isinstance(held, Table):
        points = torch.tensor(read, dtype=held.y.dtype)
        return points.shape == (held.x.shape[-1], 2) and torch.equal(
            points, torch.stack([held.x.detach(), held.y.detach()], -1).to(points.device)
        )
    return bool(torch.as_tensor(read, dtype=held.dtype) == held.detach().cpu())
