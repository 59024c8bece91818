"""Names and units of other programs: what they call our quantities, and what has no place here."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from torchcrop.inputs.assignments import Assigned

__all__ = ["ELSEWHERE", "NOT_USED", "ORIGINAL_UNITS", "POWERS", "TITLES", "ours"]

ORIGINAL_UNITS: dict[str, dict[str, tuple[str, int]]] = {
    "lintul5": {
        "TDWI": ("kg ha-1", -1),
        "SLATB": ("ha kg-1", 1),
        "RDI": ("cm", -2),
        "RRI": ("cm d-1", -2),
        "RDMCR": ("cm", -2),
        "RDMSO": ("cm", -2),
        "KSUB": ("cm d-1", 1),
        "NMINS": ("kg ha-1", -1),
        "PMINS": ("kg ha-1", -1),
        "KMINS": ("kg ha-1", -1),
    },
}
"""Units that differ from ours, by model and symbol, and the power of ten that turns their number into ours."""
POWERS = {model: {symbol: power for symbol, (_, power) in units.items()} for model, units in ORIGINAL_UNITS.items()}

TITLES = ("CRPNAM", "SOLNAM")
"""Names of a text that says what the file is of."""

NOT_USED: dict[str, dict[str, str]] = {
    "lintul5": dict.fromkeys(("SPA", "SSATB"), "LINTUL5 reads it but does not use it"),
}
"""Names that a program reads and that have no effect, and why."""

_MANAGEMENT = "import_management"
ELSEWHERE: dict[str, dict[str, str]] = {
    "lintul5": {
        **dict.fromkeys(("FERNTAB", "FERPTAB", "FERKTAB", "NRFTAB", "PRFTAB", "KRFTAB"), _MANAGEMENT),
        **dict.fromkeys(("IRRI", "IRRTAB", "IDEM", "IDPL", "IFINIT", "IYEAR"), _MANAGEMENT),
        "IOPT": "the level of Lintul5",
        "CO2": "the co2 of the site",
    },
    "lintul3": dict.fromkeys(("IRRIGF", "WMFAC", "DOYEM", "FERNTAB", "NRFTAB"), _MANAGEMENT),
}
"""Names that are neither of the crop nor of the soil, and what takes them."""


_RENAMED = {"crop": {"TSUM1": "TSUMAN", "TSUM2": "TSUMMT"}, "soil": {"RNMIN": "RTMIN"}}
"""Names of PCSE's LINTUL3 for what the original calls otherwise, by kind of file."""
_EMERGENCE = ("TBASEM", "TEFFMX", "TSUMEM")


def ours(
    kind: str, model: str, given: Mapping[str, Assigned], notes: list[str], problems: list[str]
) -> dict[str, Assigned]:
    """Translate the names of PCSE's LINTUL3 to those of the original; names of other models stay as they are."""
    found = dict(given)
    if model != "lintul3":
        return found
    for theirs, symbol in _RENAMED[kind].items():
        if theirs not in found:
            continue
        if symbol in found:
            problems.append(f"{theirs} and {symbol}: both are given, and are the same; leave one of them")
        else:
            found[symbol] = found[theirs]
        del found[theirs]
    if kind == "crop":
        _photoperiod(found, problems)
        _fixed(found, "DVSI", 0, "the start is a temperature sum: give TSUMI in values, and DVSI in ignore", problems)
        _fixed(found, "DVSEND", 2, "LINTUL3 ends at stage 2: change TSUM2, and give DVSEND in ignore", problems)
        notes += [
            f"{name} is left out: a crop of LINTUL3 emerges on a date." for name in _EMERGENCE if found.pop(name, None)
        ]
        if "DTSMTB" in found:
            notes.append("DTSMTB counts with Lintul3(variant='pcse'); the original counts temperatures above TBASE.")
    return found


def _photoperiod(found: dict[str, Assigned], problems: list[str]) -> None:
    """Turn IDSL, DLO and DLC into PHOTTB: 0 at the critical daylength, 1 at the optimal one."""
    choice, optimal, critical = (found.pop(name, None) for name in ("IDSL", "DLO", "DLC"))
    if choice is None:
        return
    if "PHOTTB" in found:
        problems.append(f"IDSL and PHOTTB ({choice.place}): both say how daylength acts; leave one of them")
    elif choice.items == (Decimal(0),):
        found["PHOTTB"] = Assigned(
            choice.name, (Decimal(0), Decimal(1), Decimal(24), Decimal(1)), choice.file, choice.line
        )
    elif choice.items != (Decimal(1),):
        problems.append(
            f"IDSL ({choice.place}): is {choice.items[0]}; expected 0 or 1: LINTUL3 has no vernalisation (2)"
        )
    elif optimal is None or critical is None:
        problems.append("DLO, DLC: missing; with IDSL 1 the crop needs its optimal and its critical daylength [h]")
    else:
        points = (*critical.items, Decimal(0), *optimal.items, Decimal(1))
        found["PHOTTB"] = Assigned("DLC and DLO", points, optimal.file, optimal.line)


def _fixed(found: dict[str, Assigned], name: str, expected: int, remedy: str, problems: list[str]) -> None:
    """Drop a value that has to be what LINTUL3 takes it for."""
    assigned = found.pop(name, None)
    if assigned is not None and assigned.items != (Decimal(expected),):
        problems.append(f"{name} ({assigned.place}): is {assigned.items[0]}; expected {expected}: {remedy}")
