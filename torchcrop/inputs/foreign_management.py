"""Management from the files of other programs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torchcrop.inputs.day_tables import DayTables
from torchcrop.inputs.foreign_parameters import collect
from torchcrop.inputs.management import Management
from torchcrop.inputs.parameters import ParameterError
from torchcrop.inputs.pcse_agro import read_campaigns
from torchcrop.quantities import nearest

__all__ = ["import_management"]

_MODELS = ("lintul3", "lintul5")
_AGRO = re.compile(r"^AgroManagement\s*:", re.MULTILINE)


def import_management(
    *paths: str | Path,
    model: str,
    format: str | None = None,
    values: Mapping[str, Any] | None = None,
    ignore: Iterable[str] = (),
) -> list[Management]:
    """Make management from files of another program.

    Parameters
    ----------
    *paths : str or Path
        An agro file of PCSE, alone or with its site file (IRRIGF); or files of assignments with the tables of LINTUL5
        or LINTUL3 (FERNTAB, NRFTAB, IRRTAB, ...).
    model : {"lintul5", "lintul3"}
        Whose names and units: LINTUL5 counts fertiliser in kg ha-1 and irrigation in cm, LINTUL3 nitrogen in g m-2.
    format : {"ttutil", "ini", "pcse"}, optional
        Notation of files of assignments; default: by content.
    values : mapping of str to number or list, optional
        What such files do not say, by name: ``{"IYEAR": 1969, "IDEM": 1, "IRRI": 2}``.
    ignore : iterable of str
        Names that are to be left out.

    Returns
    -------
    list of Management
        One per campaign with a crop; one for files of assignments. Values of crop and soil in the same files are passed
        over: `import_crop` and `import_soil` read these.

    Raises
    ------
    ParameterError
        With everything that is wrong or cannot be represented, and what to do about it.

    Notes
    -----
    A table by day number is read at whole days, as the models do: the peak ``99, 0, 100, 50, 101, 0`` is 50 on day 100.
    A day number before the start of the run is of the year after.

    Examples
    --------
    >>> (management,) = import_management("MANAG.DAT", model="lintul5", values={"IYEAR": 1969, "IDEM": 1})
    """
    if model not in _MODELS:
        raise ValueError(f"model {model!r} has no management to import{nearest(model, _MODELS)}; {', '.join(_MODELS)}")
    problems: list[str] = []
    agro = [path for path in paths if _AGRO.search(Path(path).read_text(encoding="utf-8", errors="replace"))]
    rest = tuple(path for path in paths if path not in agro)
    given = collect(rest, format, None, values, problems) if rest or values or not paths else {}
    given = {name: assigned for name, assigned in given.items() if name not in {i.upper() for i in ignore}}
    tables = DayTables(model, given, bool(agro), problems)
    if len(agro) > 1:
        problems.append(f"{len(agro)} agro files are given; import them one by one")
    found = read_campaigns(agro[0], model, tables.irrigation(), problems) if agro else tables.management()
    if problems:
        raise ParameterError(" and ".join(str(path) for path in paths), problems)
    return found
