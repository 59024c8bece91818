"""One declaration per state, parameter, driver and output: name, symbol, unit, meaning, bounds.

A `Record` is a typed bundle of such quantities. From one line

    light_use_efficiency: Tensor = parameter(3.0, unit="g MJ-1", symbol="LUE", bounds=(1.5, 4.5), doc="...")

follow the reading of parameter files with checks, the texts of errors, the attributes of an xarray
result, the default bounds of a calibration and the reference tables of the documentation.

Records are frozen, keyword-only dataclasses and registered pytrees: they go through `torch.func`,
`torch.compile` and `.to(device)`. A field holds a scalar tensor, a batch ``[B]`` or a
`torchcrop.functions.tables.Table` whose ordinates may be batched.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, dataclass_transform

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from torchcrop.functions.tables import Table

__all__ = [
    "Quantity",
    "Record",
    "driver",
    "nearest",
    "output",
    "parameter",
    "record",
    "resolve",
    "state",
    "table",
]

_METADATA_KEY = "torchcrop"


@dataclass(frozen=True)
class Quantity:
    """What is declared of one quantity.

    Attributes
    ----------
    name : str
        Readable name, the attribute of the record.
    kind : str
        ``parameter``, ``switch`` (a parameter that is 0 or 1), ``table``, ``state``, ``driver``,
        ``output`` (a value of the day) or ``record`` (a nested record).
    unit : str
        Unit inside torchcrop; ``-`` if dimensionless. For a table, the unit of its ordinates.
    doc : str
        Meaning in one sentence.
    symbol : str
        FST or Fortran symbol, upper case; empty if the originals have none.
    bounds : tuple of float
        Plausible range; for a table, of its ordinates.
    default : object
        Default value; None if a value must be given.
    x, x_unit : str
        For a table: name and unit of the abscissa.
    record : type of Record
        For a nested record: its type.
    held : bool
        For an output: it follows from states alone and keeps its value after the end of a simulation, as they do;
        other outputs, rates and shares of a day, are 0 there.
    """

    name: str
    kind: str
    unit: str = "-"
    doc: str = ""
    symbol: str = ""
    bounds: tuple[float, float] = (-float("inf"), float("inf"))
    default: Any = None
    x: str = ""
    x_unit: str = ""
    record: type[Record] | None = None
    held: bool = False

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is None

    def spellings(self) -> tuple[str, ...]:
        """Accepted spellings, lower case: the readable name and the symbol."""
        return (self.name, self.symbol.lower()) if self.symbol else (self.name,)


def _declare(quantity: Quantity, default: Any) -> Any:
    metadata = {_METADATA_KEY: quantity}
    if default is None:
        return dataclasses.field(metadata=metadata)
    if isinstance(default, Table | Record):
        return dataclasses.field(default_factory=lambda: default, metadata=metadata)
    value = torch.as_tensor(default, dtype=torch.float64)
    return dataclasses.field(default_factory=lambda: value, metadata=metadata)


def parameter(
    default: Any = None,
    *,
    unit: str,
    doc: str,
    symbol: str = "",
    bounds: tuple[float, float] = (-float("inf"), float("inf")),
    switch: bool = False,
) -> Any:
    """Declare a scalar parameter (``switch=True``: a choice coded 0 or 1, never calibrated)."""
    kind = "switch" if switch else "parameter"
    return _declare(Quantity("", kind, unit, doc, symbol, (0.0, 1.0) if switch else bounds, default), default)


def table(
    default: Any = None,
    *,
    unit: str,
    x: str,
    x_unit: str,
    doc: str,
    symbol: str = "",
    bounds: tuple[float, float] = (-float("inf"), float("inf")),
) -> Any:
    """Declare a table parameter: piecewise linear in `x`. `bounds` hold for the ordinates."""
    if default is not None and not isinstance(default, Table):
        default = Table.from_pairs(default)
    return _declare(Quantity("", "table", unit, doc, symbol, bounds, default, x, x_unit), default)


def state(*, unit: str, doc: str, symbol: str = "") -> Any:
    """Declare a state: its record of rates holds the change per day."""
    return _declare(Quantity("", "state", unit, doc, symbol), None)


def driver(
    *, unit: str, doc: str, symbol: str = "", bounds: tuple[float, float] = (-float("inf"), float("inf"))
) -> Any:
    """Declare a driver of the day: weather, or what follows from weather and site alone."""
    return _declare(Quantity("", "driver", unit, doc, symbol, bounds), None)


def output(*, unit: str, doc: str, symbol: str = "", held: bool = False) -> Any:
    """Declare an output of the day: a rate, or (``held``) a value that follows from the states."""
    return _declare(Quantity("", "output", unit, doc, symbol, held=held), None)


def record(kind: type[Record], doc: str) -> Any:
    """Declare a nested record."""
    return _declare(Quantity("", "record", "", doc, record=kind), None)


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    field_specifiers=(parameter, table, state, driver, output, record),
)
class Record:
    """Base of all records: a frozen, keyword-only dataclass that is a pytree."""

    _quantities: ClassVar[dict[str, Quantity]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclass(frozen=True, eq=False, kw_only=True, repr=False)(cls)
        declared = {}
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            quantity = field.metadata.get(_METADATA_KEY)
            if quantity is None:
                raise TypeError(
                    f"{cls.__name__}.{field.name} has no declaration: use parameter(), table(), state(), ..."
                )
            declared[field.name] = dataclasses.replace(quantity, name=field.name)
        cls._quantities = declared
        pytree.register_pytree_node(
            cls,
            lambda r: ([getattr(r, name) for name in type(r)._quantities], getattr(r, "provenance", None)),
            lambda values, provenance: cls._rebuild(values, provenance),
            serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
        )

    @classmethod
    def _rebuild(cls, values: Iterable[Any], provenance: Any) -> Self:
        new = object.__new__(cls)
        for name, value in zip(cls._quantities, values, strict=True):
            object.__setattr__(new, name, value)
        if provenance is not None:
            object.__setattr__(new, "provenance", provenance)
        return new

    @classmethod
    def quantities(cls) -> dict[str, Quantity]:
        """Declarations of the fields by name, in order."""
        return dict(cls._quantities)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Pairs of field name and value, in order."""
        return ((name, getattr(self, name)) for name in self._quantities)

    def replace(self, **values: Any) -> Self:
        """Return a copy in which the fields named by their attribute have other values."""
        unknown = [name for name in values if name not in self._quantities]
        if unknown:
            raise KeyError(_unknown(unknown[0], type(self)))
        return self._rebuild(
            [values.get(name, getattr(self, name)) for name in self._quantities],
            getattr(self, "provenance", None),
        )

    def with_values(self, **values: Any) -> Self:
        """Return a copy with other values, named by FST symbol in any case or by readable name.

        Numbers, NumPy arrays and sequences become float64 tensors, sequences of pairs become tables;
        tensors keep their dtype, device and graph. A nested record is searched too.

        Raises
        ------
        KeyError
            If a name is unknown; the text names the nearest match.
        """
        new: dict[str, Any] = {}
        for spelled, value in values.items():
            path = resolve(type(self), spelled)
            if len(path) == 2:
                inner = new.get(path[0], getattr(self, path[0]))
                new[path[0]] = inner.with_values(**{path[1]: value})
                continue
            quantity = self._quantities[path[0]]
            if quantity.kind == "record" or isinstance(value, Tensor | Table | torch.nn.Module):
                new[path[0]] = value
            elif quantity.kind == "table":
                new[path[0]] = Table.from_pairs(value)
            else:
                new[path[0]] = torch.as_tensor(value, dtype=torch.float64)
        return self.replace(**new)

    def map(self, fn: Callable[[Tensor], Tensor]) -> Self:
        """Apply a function to every tensor, those of tables and nested records included."""
        values: list[Any] = []
        for name in self._quantities:
            value = getattr(self, name)
            if isinstance(value, Tensor):
                value = fn(value)
            elif isinstance(value, Record | Table):
                value = value.map(fn)
            values.append(value)
        return self._rebuild(values, getattr(self, "provenance", None))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """Move to a device and convert to a floating dtype."""
        wanted = None if device is None else torch.device(device)

        def moved(t: Tensor) -> Tensor:
            stays = (dtype is None or t.dtype == dtype) and (wanted is None or t.device == wanted)
            return t if stays else t.to(device=device, dtype=dtype)

        return self.map(moved)

    def as_module(self) -> torch.nn.Module:
        """Return an `nn.Module` that owns this record's values.

        Parameters and table ordinates become `nn.Parameter`, switches and breakpoints buffers, so that
        ``.to()``, ``.double()`` and ``state_dict()`` follow them; calling the module gives the record.
        """
        return RecordModule(self)

    def save(self, path: str | Path, **about: Any) -> Path:
        """Write crop or soil to a parameter file; see `torchcrop.inputs.parameters.save_parameters`."""
        from torchcrop.inputs.parameters import save_parameters  # the border stands above this floor

        return save_parameters(self, path, **about)

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={_short(value)}" for name, value in self.items())
        return f"{type(self).__name__}({inner})"


class RecordModule(torch.nn.Module):
    """A record whose values are parameters and buffers of a module; see `Record.as_module`."""

    def __init__(self, source: Record) -> None:
        super().__init__()
        self._kind = type(source)
        self._provenance = getattr(source, "provenance", None)
        self._ends: dict[str, str] = {}
        for name, value in source.items():
            if isinstance(value, Record | torch.nn.Module):
                self.add_module(name, value.as_module() if isinstance(value, Record) else value)
            elif isinstance(value, Table):
                self.register_buffer(f"{name}_x", value.x.detach().clone())
                self.register_parameter(f"{name}_y", torch.nn.Parameter(value.y.detach().clone()))
                self._ends[name] = value.ends
            elif source.quantities()[name].kind == "switch":
                self.register_buffer(name, value.detach().clone())
            else:
                self.register_parameter(name, torch.nn.Parameter(value.detach().clone()))

    def forward(self) -> Record:
        """Return the record of the present values."""
        values: dict[str, Any] = {}
        for name in self._kind._quantities:
            if name in self._ends:
                values[name] = Table(getattr(self, f"{name}_x"), getattr(self, f"{name}_y"), self._ends[name])
            else:
                value = getattr(self, name)
                values[name] = value() if isinstance(value, RecordModule) else value
        return self._kind._rebuild(values.values(), self._provenance)


def resolve(kind: type[Record], spelled: str) -> tuple[str, ...]:
    """Find the field that a user means.

    Parameters
    ----------
    kind : type of Record
        Where to look: its fields, then those of its nested records.
    spelled : str
        FST symbol in any case, readable name, or ``record.name`` such as ``soil.smfc``.

    Returns
    -------
    tuple of str
        The path, of one or two field names.

    Raises
    ------
    KeyError
        If nothing matches (the text names the nearest spelling) or if several nested records match.
    """
    first, _, rest = spelled.partition(".")
    nested = _nested(kind)
    if rest and first in nested:
        return (first, *resolve(nested[first], rest))
    wanted = spelled.lower()
    for name, quantity in kind._quantities.items():
        if wanted in quantity.spellings():
            return (name,)
    hits = [
        (outer, name)
        for outer, inner in nested.items()
        for name, quantity in inner._quantities.items()
        if wanted in quantity.spellings()
    ]
    if len(hits) > 1:
        raise KeyError(f"{spelled!r} is ambiguous: say one of {', '.join('.'.join(h) for h in hits)}")
    if not hits:
        raise KeyError(_unknown(spelled, kind))
    return hits[0]


def _nested(kind: type[Record]) -> dict[str, type[Record]]:
    return {name: q.record for name, q in kind._quantities.items() if q.record is not None}


def nearest(spelled: str, known: Iterable[str]) -> str:
    """Give `` (did you mean ...?)`` for a misspelled name, or an empty string."""
    matches = difflib.get_close_matches(spelled.lower(), sorted({k.lower() for k in known}), n=2, cutoff=0.6)
    return f" (did you mean {' or '.join(repr(m) for m in matches)}?)" if matches else ""


def _unknown(spelled: str, kind: type[Record]) -> str:
    known = [s for q in kind._quantities.values() for s in q.spellings()]
    for inner in _nested(kind).values():
        known += [s for q in inner._quantities.values() for s in q.spellings()]
    return f"{kind.__name__} has no quantity {spelled!r}{nearest(spelled, known)}"


def _short(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{value.item():g}" if value.dim() == 0 and not is_wrapped(value) else f"tensor{list(value.shape)}"
    return repr(value)


def is_wrapped(value: Tensor) -> bool:
    """Whether a tensor stands for others (under vmap, a tracer, ...), so that it has no numbers to show."""
    known = type(value) in (Tensor, torch.nn.Parameter)
    return not known or torch._C._functorch.is_functorch_wrapped_tensor(value)


def declarations(kinds: Mapping[str, type[Record]]) -> Iterator[tuple[str, Quantity]]:
    """Iterate over all quantities of several records, with the key of their record."""
    for key, kind in kinds.items():
        for quantity in kind._quantities.values():
            yield key, quantity
