"""Experiments: a folder with what was done and measured in the field, checked as one.

``experiment.yaml`` says where, on what soil and with what management; ``weather.csv`` and ``observations.csv`` stand
beside it. The page ``docs/experiment-folder.md`` lists every key with its unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from torchcrop.inputs.applications import LIMITS, STAGED, read_date, slip
from torchcrop.inputs.management import LONGEST, Management, ManagementError
from torchcrop.inputs.observations import ObservationError, read_observations
from torchcrop.inputs.parameters import ParameterError, load_soil, provenance_of
from torchcrop.inputs.shipped import data_path, names
from torchcrop.inputs.units import convert
from torchcrop.inputs.weather import Weather, load_weather, read_weather
from torchcrop.inputs.weather_checks import WeatherError
from torchcrop.inputs.yaml_files import FileError, looks_like_path, read_yaml, unknown_keys
from torchcrop.models.model import Site
from torchcrop.processes.crop_nutrients import NUTRIENTS
from torchcrop.quantities import Record, nearest
from torchcrop.simulation.seasons import Season

__all__ = ["Check", "Experiment", "ExperimentError", "Treatment", "check_experiment", "load_experiment"]

_TOP = ("id", "title", "source", "licence", "site", "weather", "treatments")
_TOP_OPTIONAL = ("crop", "citation", "soil", "observations", "notes")
_SITE = ("latitude",)
_SITE_OPTIONAL = ("name", "longitude", "elevation", "co2", "assumed", "notes")
_WEATHER_OPTIONAL = ("file", "use", "units", "columns", "wind_height", "defaults", "fill", "notes")
_SOIL = ("use",)
_SOIL_OPTIONAL = ("model", "values", "layers", "notes")
_LAYER = ("top_cm", "bottom_cm")
_LAYER_OPTIONAL = ("field_capacity", "wilting_point", "saturation", "initial_water")
_DATES = ("sowing", "emergence", "transplanting", "start", "end", "harvest")
_EVENTS = tuple(LIMITS)
_STAGED = tuple(f"{kind}_by_stage" for kind in STAGED)
_RECOVERIES = tuple(f"{nutrient}_recovery" for nutrient in NUTRIENTS)
_CHOICES = (
    "longest",
    "automatic_irrigation",
    "flooded",
    "irrigation_trigger",
    "irrigation_dose",
    "irrigation_refill",
    "irrigation_factor",
)
_TREATMENT_OPTIONAL = (
    "title",
    *_DATES,
    *_EVENTS,
    *_STAGED,
    *_RECOVERIES,
    *_CHOICES,
    "irrigation_before_start",
    "notes",
)
_UNITS = {kind: {"g_m2": "g m-2", "kg_ha": "kg ha-1"} if kind in NUTRIENTS else {"mm": "mm"} for kind in LIMITS}
"""Units of the amounts of a kind of application, by the key that gives them."""
_OBSERVATIONS = ("file",)
_OBSERVATIONS_OPTIONAL = ("variables", "notes")
_FILE = "experiment.yaml"


class ExperimentError(FileError):
    """An experiment that cannot be used; `problems` lists everything that is wrong with its folder."""


class Check(NamedTuple):
    """What `check_experiment` finds.

    Attributes
    ----------
    problems : list of str
        What stands in the way of a run; empty if nothing does.
    notes : list of str
        What a user should know: assumptions, what was filled or converted, what is kept but not used.
    """

    problems: list[str]
    notes: list[str]


@dataclass(frozen=True)
class Treatment:
    """One treatment of an experiment.

    Attributes
    ----------
    id, title : str
    management : Management
    before_start : tuple of (date, amount)
        Irrigation that was given before the run's first day and is not part of it [mm].
    notes : tuple of str
    """

    id: str
    title: str
    management: Management
    before_start: tuple[tuple[Any, float], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Experiment:
    """A field experiment: site, soil, weather, treatments and observations.

    Attributes
    ----------
    id, title : str
    site : mapping of str to float
        Values of the site record: latitude [degree], elevation [m], co2 [ppm], as far as given.
    weather : Weather
    treatments : mapping of str to Treatment
    soil : Record, optional
        Soil of a model, with its provenance.
    observations : DataFrame, optional
        Columns date, treatment, variable, value, unit, sd, time.
    attributes : mapping
        Provenance: source, licence, citation, crop, notes, assumed, soil_layers, folder.
    """

    id: str
    title: str
    site: Mapping[str, float]
    weather: Weather
    treatments: Mapping[str, Treatment]
    soil: Record | None = None
    observations: pd.DataFrame | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def seasons(self, treatments: str | Iterable[str] | None = None) -> list[Season]:
        """Give what the engine runs: one season per treatment, on one station.

        Parameters
        ----------
        treatments : str or iterable of str, optional
            Which; default: all, in the order of the file.

        Raises
        ------
        KeyError
            If there is no such treatment.
        """
        wanted = self.treatments if treatments is None else treatments
        chosen = [wanted] if isinstance(wanted, str) else list(wanted)
        for name in chosen:
            if name not in self.treatments:
                raise KeyError(
                    f"experiment {self.id} has no treatment {name!r}{nearest(name, self.treatments)}; "
                    f"it has {', '.join(self.treatments)}"
                )
        station = self.weather.station()
        return [
            self.treatments[name].management.season(
                station, self.soil, self.site, {"experiment": self.id, "treatment": name}
            )
            for name in chosen
        ]

    def __repr__(self) -> str:
        observed = 0 if self.observations is None else len(self.observations)
        return f"Experiment({self.id!r}, treatments {', '.join(self.treatments)}, {observed} observations)"


def load_experiment(name_or_folder: str | Path) -> Experiment:
    """Load an experiment that ships, by name, or one of your own, by folder.

    Raises
    ------
    ValueError
        If nothing of that name ships.
    FileNotFoundError
        If the folder has no ``experiment.yaml``.
    ExperimentError
        With everything that is wrong with the folder.
    """
    reading = _Reading(_folder(name_or_folder))
    experiment = reading.experiment()
    if reading.problems or experiment is None:
        raise ExperimentError(reading.folder / _FILE, reading.problems)
    return experiment


def check_experiment(name_or_folder: str | Path) -> Check:
    """Check the folder of an experiment without refusing it.

    Returns
    -------
    Check
        Problems, which `load_experiment` would raise as one error, and notes.
    """
    reading = _Reading(_folder(name_or_folder))
    experiment = reading.experiment()
    return Check(reading.problems, [] if experiment is None else _notes_on(experiment))


def _folder(name_or_folder: str | Path) -> Path:
    if name_or_folder in names("experiments"):
        return data_path("experiments", str(name_or_folder))
    if looks_like_path(name_or_folder) or Path(name_or_folder).is_dir():
        path = Path(name_or_folder)
        return path.parent if path.name == _FILE else path
    return data_path("experiments", str(name_or_folder))


class _Reading:
    """Reading of one folder: sections one by one, their problems in one list."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []
        self.assumed: list[str] = []
        self.notes: list[str] = []

    def experiment(self) -> Experiment | None:
        """The experiment, or None if the problems leave none."""
        try:
            data = read_yaml(self.folder / _FILE, ExperimentError)
        except ExperimentError as failure:
            self.problems += failure.problems
            return None
        self.problems += unknown_keys("", data, _TOP, _TOP_OPTIONAL)
        self._texts("", data, ("id", "title", "source", "licence", "citation", "crop"))
        self._take_notes("", data)
        site = self._site(self._section(data, "site", _SITE, _SITE_OPTIONAL))
        weather = self._weather(self._section(data, "weather", (), _WEATHER_OPTIONAL), site)
        soil, layers = self._soil(self._section(data, "soil", _SOIL, _SOIL_OPTIONAL))
        treatments = self._treatments(data.get("treatments"), weather)
        observed = self._section(data, "observations", _OBSERVATIONS, _OBSERVATIONS_OPTIONAL)
        observations = self._observations(observed, treatments, weather)
        if self.problems or weather is None:
            return None
        return Experiment(
            id=data["id"],
            title=data["title"],
            site={name: value for name, value in site.items() if name in Site.quantities()},
            weather=weather,
            treatments=treatments,
            soil=soil,
            observations=observations,
            attributes={
                **{key: data[key] for key in ("source", "licence", "citation", "crop") if key in data},
                "notes": tuple(self.notes),
                "assumed": tuple(self.assumed),
                "soil_layers": layers,
                "folder": str(self.folder),
            },
        )

    # --- sections

    def _section(self, data: Mapping[str, Any], key: str, required: Any, optional: Any) -> dict[str, Any] | None:
        section = data.get(key)
        if section is None:
            return None
        if not isinstance(section, dict):
            self.problems.append(f"{key}: is {section!r}; expected a mapping with {', '.join((*required, *optional))}")
            return None
        self.problems += unknown_keys(f"{key}.", section, required, optional)
        self._take_notes(f"{key}.", section)
        return section

    def _texts(self, where: str, section: Mapping[str, Any], keys: Iterable[str]) -> None:
        self.problems += [
            f"{where}{key}: is {section[key]!r}; expected text (put it in quotes)"
            for key in keys
            if key in section and not isinstance(section[key], str)
        ]

    def _take_notes(self, where: str, section: Mapping[str, Any]) -> tuple[str, ...]:
        notes = section.get("notes", [])
        if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
            self.problems.append(f"{where}notes: expected a list of texts")
            return ()
        label = where.rstrip(".")
        self.notes += [f"{label}: {note}" if label else note for note in notes]
        return tuple(notes)

    def _number(self, where: str, given: Any, low: float, high: float, unit: str) -> float | None:
        if isinstance(given, int | float) and not isinstance(given, bool) and low <= given <= high:
            return float(given)
        self.problems.append(f"{where}: is {given!r}; expected a number, {low:g} to {high:g} {unit}")
        return None

    def _site(self, section: dict[str, Any] | None) -> dict[str, float]:
        if section is None:
            return {}
        self._texts("site.", section, ("name",))
        limits = {name: (*q.bounds, q.unit) for name, q in Site.quantities().items()}
        limits["longitude"] = (-180.0, 360.0, "degree")
        found = {}
        for key in limits:
            if key in section:
                number = self._number(f"site.{key}", section[key], *limits[key])
                if number is not None:
                    found[key] = number
        assumed = section.get("assumed", [])
        if not isinstance(assumed, list) or any(key not in section for key in assumed):
            self.problems.append(f"site.assumed: is {assumed!r}; expected a list of keys of the site that are given")
        else:
            self.assumed += [f"site.{key}" for key in assumed]
        return found

    def _weather(self, section: dict[str, Any] | None, site: Mapping[str, float]) -> Weather | None:
        if section is None:
            return None
        if ("file" in section) == ("use" in section):
            self.problems.append("weather: give either file, in this folder, or use, the name of weather that ships")
            return None
        options: dict[str, Any] = {key: section[key] for key in ("defaults", "fill") if key in section}
        self._texts("weather.", section, ("file", "use"))
        try:
            if "use" in section:
                ignored = [key for key in ("units", "columns", "wind_height") if key in section]
                self.problems += [f"weather.{key}: goes with file only; what ships is in our units" for key in ignored]
                return load_weather(str(section["use"]), **options)
            options |= {key: section[key] for key in ("units", "columns", "wind_height") if key in section}
            place = {key: site[key] for key in ("latitude", "longitude", "elevation") if key in site}
            return read_weather(self._beside(section["file"]), **place, **options)
        except WeatherError as failure:
            self.problems += [f"weather: {problem}" for problem in failure.problems]
        except (ValueError, OSError) as failure:
            self.problems.append(f"weather: {failure}")
        return None

    def _beside(self, file: Any) -> Path:
        return self.folder / str(file)

    def _soil(self, section: dict[str, Any] | None) -> tuple[Record | None, tuple[dict[str, float], ...]]:
        if section is None:
            return None, ()
        layers = self._layers(section.get("layers", []))
        use, overlay = section.get("use"), section.get("values")
        if not isinstance(use, str) or not isinstance(overlay or {}, dict):
            self.problems.append("soil: expected use, the name of a soil or a file in this folder, and values")
            return None, layers
        try:
            soil = load_soil(self._beside(use) if looks_like_path(use) else use, overlay)
        except ParameterError as failure:
            self.problems += [f"soil: {problem}" for problem in failure.problems]
            return None, layers
        except (ValueError, OSError) as failure:
            self.problems.append(f"soil.use: {failure}")
            return None, layers
        origin = provenance_of(soil)
        assert origin is not None
        if section.get("model", origin.model) != origin.model:
            self.problems.append(f"soil.model: is {section['model']!r}, but {use} is a soil of {origin.model}")
        self.assumed += [f"soil.{name}" for name in origin.assumed]
        return soil, layers

    def _layers(self, given: Any) -> tuple[dict[str, float], ...]:
        if not isinstance(given, list) or not all(isinstance(layer, dict) for layer in given):
            self.problems.append("soil.layers: expected a list of mappings with top_cm, bottom_cm, ...")
            return ()
        found = []
        depth = 0.0
        for i, layer in enumerate(given):
            where = f"soil.layers[{i}]"
            self.problems += unknown_keys(f"{where}.", layer, _LAYER, _LAYER_OPTIONAL)
            limits = dict.fromkeys(_LAYER, (0.0, 1000.0, "cm")) | dict.fromkeys(_LAYER_OPTIONAL, (0.0, 1.0, "m3 m-3"))
            values = {key: self._number(f"{where}.{key}", layer[key], *limits[key]) for key in limits if key in layer}
            numbers = {key: value for key, value in values.items() if value is not None}
            top, bottom = numbers.get("top_cm"), numbers.get("bottom_cm")
            if top is not None and bottom is not None and (top != depth or bottom <= top):
                self.problems.append(f"{where}: is {top:g} to {bottom:g} cm; expected a layer from {depth:g} cm down")
            order = [numbers[key] for key in ("wilting_point", "field_capacity", "saturation") if key in numbers]
            if order != sorted(set(order)):
                self.problems.append(f"{where}: wilting_point, field_capacity, saturation must increase, got {order}")
            depth = depth if bottom is None else bottom
            found.append(numbers)
        return tuple(found)

    def _treatments(self, given: Any, weather: Weather | None) -> dict[str, Treatment]:
        if given is None:
            return {}
        if not isinstance(given, dict) or not given:
            self.problems.append("treatments: expected a mapping of names to treatments, one at least")
            return {}
        found = {}
        for name, body in given.items():
            treatment = self._treatment(f"treatments.{name}", str(name), body)
            if treatment is None:
                continue
            found[str(name)] = treatment
            if weather is not None:
                try:
                    treatment.management.season(weather)
                except ManagementError as failure:
                    self.problems += [f"treatments.{name}: {problem}" for problem in failure.problems]
        return found

    def _treatment(self, where: str, name: str, body: Any) -> Treatment | None:
        if not isinstance(body, dict):
            self.problems.append(f"{where}: is {body!r}; expected a mapping with sowing, harvest, irrigation, ...")
            return None
        before = len(self.problems)
        self.problems += unknown_keys(f"{where}.", body, (), _TREATMENT_OPTIONAL)
        self._texts(f"{where}.", body, ("title",))
        notes = self._take_notes(f"{where}.", body)
        events: dict[str, Any] = {
            kind: self._applications(f"{where}.{kind}", kind, body.get(kind, [])) for kind in _EVENTS
        }
        for kind, key in zip(STAGED, _STAGED, strict=True):
            events[key] = self._staged(f"{where}.{key}", kind, body.get(key, []))
        for key in _RECOVERIES:
            events[key] = self._recovery(f"{where}.{key}", body.get(key))
        early = self._applications(
            f"{where}.irrigation_before_start", "irrigation", body.get("irrigation_before_start", [])
        )
        try:
            given: dict[str, Any] = {key: body[key] for key in (*_DATES, *_CHOICES) if key in body}
            management = Management(**given | events)
        except ManagementError as failure:
            hint = " (what was given before the run goes under irrigation_before_start)"
            self.problems += [
                f"{where}: {problem}{hint if problem.startswith('irrigation of') else ''}"
                for problem in failure.problems
            ]
            return None
        if len(self.problems) > before:
            return None
        late = [day for day, _ in early if day >= management.first_day]
        if late:
            self.problems.append(
                f"{where}.irrigation_before_start: {late[0]} is not before the run's first day, {management.first_day}"
            )
        return Treatment(name, body.get("title", name), management, tuple(early), notes)

    def _listed(self, where: str, given: Any, example: str) -> list[tuple[str, dict[str, Any]]]:
        """Entries of a list of mappings, each with its place."""
        if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
            self.problems.append(f"{where}: expected a list such as [{example}]")
            return []
        return [(f"{where}[{i}]", item) for i, item in enumerate(given)]

    def _applications(self, where: str, kind: str, given: Any) -> list[tuple[Any, ...]]:
        """Dated applications, in our units."""
        optional = ("recovery",) if kind in NUTRIENTS else ()
        found = []
        for place, item in self._listed(where, given, f"{{date: 2023-06-29, {_example(kind)}}}"):
            amount = self._amount(place, kind, item, ("date",), optional)
            day = read_date(f"{place}.date", item["date"], self.problems) if "date" in item else None
            own = [self._number(f"{place}.{key}", item[key], 0, 1, "-") for key in optional if key in item]
            if amount is not None and day is not None and None not in own:
                found.append((day, amount, *own))
        return found

    def _staged(self, where: str, kind: str, given: Any) -> list[tuple[Any, float]]:
        """Applications by stage, in our units."""
        found = []
        for place, item in self._listed(where, given, f"{{stage: 1.0, {_example(kind)}}}"):
            amount = self._amount(place, kind, item, ("stage",), ())
            if amount is not None and "stage" in item:
                found.append((item["stage"], amount))
        return found

    def _amount(
        self, where: str, kind: str, item: dict[str, Any], required: tuple[str, ...], optional: tuple[str, ...]
    ) -> float | None:
        """The amount of an application in our unit; its key is the unit that it has."""
        units, limit = _UNITS[kind], LIMITS[kind]
        self.problems += unknown_keys(f"{where}.", item, required, (*optional, *units))
        given = [key for key in units if key in item]
        if len(given) != 1:
            self.problems.append(f"{where}: give the amount as {' or '.join(units)}{', not both' if given else ''}")
            return None
        (key,) = given
        amount = self._number(f"{where}.{key}", item[key], 0, convert(limit.most, limit.unit, units[key]), units[key])
        if amount is None:
            if units[key] == limit.unit and slip(kind, item[key]):
                self.problems[-1] += " (kg ha-1? write kg_ha)"
            return None
        return float(convert(amount, units[key], limit.unit))

    def _recovery(self, where: str, given: Any) -> Any:
        """Recovery of fertiliser: a share, or shares by date."""
        if given is None or isinstance(given, int | float):
            return given
        found = []
        for place, item in self._listed(where, given, "{date: 2023-06-29, recovery: 0.7}"):
            self.problems += unknown_keys(f"{place}.", item, ("date", "recovery"), ())
            if "date" in item and "recovery" in item:
                found.append((item["date"], item["recovery"]))
        return found or None

    def _observations(
        self, section: dict[str, Any] | None, treatments: Mapping[str, Treatment], weather: Weather | None
    ) -> pd.DataFrame | None:
        if section is None or "file" not in section:
            return None
        declared = self._declared(section.get("variables", {}))
        try:
            table = read_observations(self._beside(section["file"]), variables=declared, treatments=treatments or None)
        except ObservationError as failure:
            self.problems += [f"observations: {problem}" for problem in failure.problems]
            return None
        except OSError as failure:
            self.problems.append(f"observations.file: {failure}")
            return None
        for name, treatment in treatments.items():
            if weather is not None:
                self._inside(table[table["treatment"] == name], treatment, weather)
        return table

    def _declared(self, given: Any) -> dict[str, str]:
        if not isinstance(given, dict) or not all(isinstance(body, dict) for body in given.values()):
            self.problems.append("observations.variables: expected a mapping of names to {unit: ..., meaning: ...}")
            return {}
        for name, body in given.items():
            self.problems += unknown_keys(f"observations.variables.{name}.", body, ("unit",), ("meaning",))
        return {str(name): str(body["unit"]) for name, body in given.items() if "unit" in body}

    def _inside(self, table: pd.DataFrame, treatment: Treatment, weather: Weather) -> None:
        """Observations lie inside the season that they are compared with."""
        try:
            season = treatment.management.season(weather)
        except ManagementError:
            return
        outside = table[(table["date"] < pd.Timestamp(season.start)) | (table["date"] > pd.Timestamp(season.end))]
        if len(outside):
            first = outside.iloc[0]
            self.problems.append(
                f"observations: {len(outside)} of treatment {treatment.id} lie outside its run, {season.start} to "
                f"{season.end}, such as {first['variable']} on {first['date']:%Y-%m-%d}: set start or end in the "
                "treatment, or leave them out"
            )


def _example(kind: str) -> str:
    return "kg_ha: 60" if kind in NUTRIENTS else "mm: 33"


def _notes_on(experiment: Experiment) -> list[str]:
    """What a user should know of an experiment that is in order."""
    notes = []
    if experiment.attributes["assumed"]:
        notes.append(f"assumed, not from the source: {', '.join(experiment.attributes['assumed'])}")
    for treatment in experiment.treatments.values():
        for day, amount in treatment.before_start:
            notes.append(
                f"treatments.{treatment.id}: {amount:g} mm of irrigation on {day} precede the run and are left out"
            )
        management = treatment.management
        if management.last_day is None:
            notes.append(
                f"treatments.{treatment.id}: neither end, harvest nor longest is given; the run lasts at most "
                f"{LONGEST} days"
            )
    notes += [f"weather: {key}: {text}" for key, text in experiment.weather.attributes.items() if key != "source"]
    if experiment.soil is None:
        notes.append("soil: none is given; a model that needs one takes it from `simulate(..., soil=...)`")
    if experiment.observations is None:
        notes.append("observations: none")
    else:
        counts = experiment.observations.groupby("variable", sort=False).size()
        notes.append("observations: " + ", ".join(f"{variable} {count}" for variable, count in counts.items()))
        converted = experiment.observations.attrs.get("converted", {})
        notes += [f"observations: {variable} converted from {unit}" for variable, unit in converted.items()]
    return [*notes, *experiment.attributes["notes"]]
