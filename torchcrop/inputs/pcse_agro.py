"""Management from the agro files of PCSE: campaigns with a crop calendar and events by date and by stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from torchcrop.inputs.applications import as_date
from torchcrop.inputs.management import Management, ManagementError
from torchcrop.inputs.yaml_files import FileError, read_yaml, unknown_keys
from torchcrop.quantities import nearest

__all__ = ["read_campaigns"]

_CALENDAR = ("crop_start_date", "crop_start_type")
_CALENDAR_OPTIONAL = ("crop_name", "variety_name", "crop_end_date", "crop_end_type", "max_duration")
_EVENT = ("event_signal", "events_table")
_LETTERS = {"N": "nitrogen", "P": "phosphorus", "K": "potassium"}


def read_campaigns(path: str | Path, model: str, common: Mapping[str, Any], problems: list[str]) -> list[Management]:
    """Read the campaigns of an agro file.

    Parameters
    ----------
    path : str or Path
    model : {"lintul3", "lintul5"}
        The model that is to run, which says the unit of ``amount``.
    common : mapping
        Arguments of `Management` that every campaign has.
    problems : list of str
        What is wrong or cannot be represented is added to it.

    Returns
    -------
    list of Management
        One per campaign with a crop.
    """
    try:
        campaigns = read_yaml(path).get("AgroManagement")
    except FileError as failure:
        problems += failure.problems
        return []
    if not isinstance(campaigns, list) or not all(isinstance(c, Mapping) and len(c) == 1 for c in campaigns):
        problems.append("AgroManagement: expected a list of campaigns, `- 2001-01-01: ...`")
        return []
    found = []
    for campaign in campaigns:
        ((start, body),) = campaign.items()
        where = f"campaign {start}"
        own: list[str] = []
        try:
            management = _campaign(start, body, model, common, own)
        except ManagementError as failure:
            own += failure.problems
        problems += [f"{where}: {problem}" for problem in own]
        if not own and management is not None:
            found.append(management)
    if not found and not problems:
        problems.append("AgroManagement: holds no campaign with a crop")
    return found


def _campaign(start: Any, body: Any, model: str, common: Mapping[str, Any], problems: list[str]) -> Management | None:
    """Management of a campaign; None of one without crop: fallow, or the end of the last."""
    body = body or {}
    if not isinstance(body, Mapping):
        problems.append(f"is {body!r}; expected CropCalendar, TimedEvents, StateEvents")
        return None
    problems += unknown_keys("", body, (), ("CropCalendar", "TimedEvents", "StateEvents"))
    calendar, events = body.get("CropCalendar"), [*(body.get("TimedEvents") or []), *(body.get("StateEvents") or [])]
    if not calendar:
        if events:
            problems.append("has events and no crop; a run needs a crop: move them to the campaign of one")
        return None
    chosen: dict[str, Any] = {**common, "start": start, **_calendar(calendar, problems)}
    for event in body.get("TimedEvents") or []:
        _timed(event, model, chosen, problems)
    recoveries: dict[str, set[float | None]] = {}
    for event in body.get("StateEvents") or []:
        _staged(event, model, chosen, recoveries, problems)
    for nutrient, shares in recoveries.items():
        others = {None for application in chosen.get(nutrient, ()) if len(application) == 2}
        if shares == {None}:
            continue
        if len(shares | others) > 1:
            named = ", ".join(sorted("none" if share is None else f"{share:g}" for share in shares | others))
            problems.append(
                f"applications of {nutrient} by stage, and dated ones without a recovery, have the recoveries {named}; "
                f"expected one: write it with each, or multiply amounts and recoveries and write recovery 1"
            )
        else:
            chosen[f"{nutrient}_recovery"] = shares.pop()
    return None if problems else Management(**chosen)


def _calendar(calendar: Any, problems: list[str]) -> dict[str, Any]:
    if not isinstance(calendar, Mapping):
        problems.append(f"CropCalendar: is {calendar!r}; expected crop_start_date and others")
        return {}
    found = unknown_keys("CropCalendar.", calendar, _CALENDAR, _CALENDAR_OPTIONAL)
    kind, end = calendar.get("crop_start_type"), calendar.get("crop_end_type", "maturity")
    if kind is not None and kind not in ("sowing", "emergence"):
        found.append(f"CropCalendar.crop_start_type: is {kind!r}; expected sowing or emergence")
    if end not in ("maturity", "harvest", "earliest"):
        found.append(f"CropCalendar.crop_end_type: is {end!r}; expected maturity, harvest or earliest")
    if end != "maturity" and calendar.get("crop_end_date") is None:
        found.append(f"CropCalendar.crop_end_date: missing; the crop ends at {end}")
    problems += found
    if found:
        return {}
    dates = {str(kind): calendar["crop_start_date"], "longest": calendar.get("max_duration")}
    return dates if end == "maturity" else dates | {"harvest": calendar["crop_end_date"]}


def _entries(event: Any, kind: str, optional: tuple[str, ...], problems: list[str]) -> list[tuple[Any, Any]]:
    """Entries of an events table: when, and what is given."""
    if not isinstance(event, Mapping):
        problems.append(f"{kind}: is {event!r}; expected event_signal and events_table")
        return []
    found = unknown_keys(f"{kind}.", event, _EVENT, ("name", "comment", *optional))
    table = event.get("events_table") or []
    if not isinstance(table, list) or not all(
        isinstance(item, Mapping) and len(item) == 1 and isinstance(next(iter(item.values())), Mapping)
        for item in table
    ):
        found.append(f"{kind}.events_table: is {table!r}; expected a list such as `- 1997-04-10: {{amount: 10}}`")
    problems += found
    return [] if found else [next(iter(item.items())) for item in table]


def _timed(event: Any, model: str, chosen: dict[str, Any], problems: list[str]) -> None:
    for when, body in _entries(event, "TimedEvents", (), problems):
        if as_date(when) is None:
            problems.append(f"TimedEvents: {when!r} is no date such as 1997-04-10")
            continue
        for kind, amount, recovery in _given(event["event_signal"], body, model, str(when), problems):
            own = [] if recovery is None else [recovery]
            chosen.setdefault(kind, []).append((when, amount, *own))


def _staged(
    event: Any, model: str, chosen: dict[str, Any], recoveries: dict[str, set[float | None]], problems: list[str]
) -> None:
    entries = _entries(event, "StateEvents", ("event_state", "zero_condition"), problems)
    if not entries:
        return
    state, condition = event.get("event_state"), event.get("zero_condition")
    if state != "DVS" or condition not in ("rising", "either"):
        problems.append(
            f"StateEvents: an event at {state} {condition} has no counterpart; expected DVS rising (for irrigation of "
            f"dry soil give Management irrigation_trigger and irrigation_dose)"
        )
        return
    for stage, body in entries:
        for kind, amount, recovery in _given(event["event_signal"], body, model, f"DVS {stage}", problems):
            chosen.setdefault(f"{kind}_by_stage", []).append((stage, amount))
            recoveries.setdefault(kind, set()).add(recovery)


Given = tuple[str, float, float | None]


def _given(signal: Any, body: Mapping[str, Any], model: str, where: str, problems: list[str]) -> list[Given]:
    """What an event gives: kind, amount in our unit and recovery."""
    reader = _SIGNALS.get(signal)
    if reader is None:
        problems.append(
            f"the event {signal!r} has no counterpart{nearest(str(signal), _SIGNALS)}; expected one of "
            f"{', '.join(_SIGNALS)}: take it out of the file"
        )
        return []
    found: list[str] = []
    numbers = {
        key: value for key, value in body.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }
    found += [f"{key} is {value!r}; expected a number" for key, value in body.items() if key not in numbers]
    given = reader(numbers, model, found) if not found else []
    problems += [f"{signal} at {where}: {problem}" for problem in found]
    return given


def _apply_n(body: Mapping[str, Any], model: str, problems: list[str]) -> list[Given]:
    """Nitrogen: ``amount`` in g m-2 as LINTUL3 has it, ``N_amount`` in kg ha-1 as WOFOST has it."""
    if "amount" not in body:
        return _apply_npk(body, model, problems)
    problems += unknown_keys("", body, ("amount",), ("recovery",))
    if model != "lintul3":
        problems.append("the amount has a unit that depends on PCSE's model; write N_amount [kg ha-1] instead")
    return [("nitrogen", float(body["amount"]), body.get("recovery"))]


def _apply_npk(body: Mapping[str, Any], model: str, problems: list[str]) -> list[Given]:
    known = [f"{letter}_{what}" for letter in _LETTERS for what in ("amount", "recovery")]
    problems += unknown_keys("", body, (), known)
    given = [
        (kind, float(Decimal(repr(float(body[f"{letter}_amount"]))).scaleb(-1)), body.get(f"{letter}_recovery"))
        for letter, kind in _LETTERS.items()
        if f"{letter}_amount" in body
    ]
    if not given:
        problems.append("no amount is given; expected N_amount, P_amount or K_amount [kg ha-1]")
    return given


def _irrigate(body: Mapping[str, Any], model: str, problems: list[str]) -> list[Given]:
    """Irrigation: cm of which a share, the efficiency, reaches the soil."""
    problems += unknown_keys("", body, ("amount",), ("efficiency",))
    amount = Decimal(repr(float(body.get("amount", 0)))) * Decimal(repr(float(body.get("efficiency", 1))))
    return [("irrigation", float(amount.scaleb(1)), None)]


_SIGNALS: dict[str, Callable[[Mapping[str, Any], str, list[str]], list[Given]]] = {
    "apply_n": _apply_n,
    "apply_npk": _apply_npk,
    "irrigate": _irrigate,
}
"""Events of PCSE that have a counterpart."""
