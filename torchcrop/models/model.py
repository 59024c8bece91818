"""What every model shares: weather, day, site, and the three functions that make a model.

A model is one day. It declares its records and gives `initial`, `rates` and `finished`; it never sees dates,
batches, devices or files. The engine owns time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar

from torch import Tensor

from torchcrop.functions.switches import Switches
from torchcrop.quantities import Record, driver, nearest, parameter

__all__ = ["Day", "Event", "Model", "Observable", "Site", "Weather"]


class Weather(Record):
    """Weather of a day, as it comes from the border."""

    tmin: Tensor = driver(unit="degC", symbol="TMMN", bounds=(-70, 50), doc="daily minimum temperature")
    tmax: Tensor = driver(unit="degC", symbol="TMMX", bounds=(-60, 60), doc="daily maximum temperature")
    srad: Tensor = driver(unit="MJ m-2 d-1", symbol="DTR", bounds=(0, 45), doc="global radiation")
    rain: Tensor = driver(unit="mm d-1", symbol="RAIN", bounds=(0, 1000), doc="precipitation")
    wind: Tensor = driver(unit="m s-1", symbol="WN", bounds=(0, 40), doc="mean wind speed at 2 m")
    vap: Tensor = driver(unit="kPa", symbol="VP", bounds=(0, 6), doc="mean vapour pressure")


class Site(Record):
    """Place of a simulation."""

    latitude: Tensor = parameter(unit="degree", symbol="LAT", bounds=(-90, 90), doc="latitude, north positive")
    elevation: Tensor = parameter(0.0, unit="m", symbol="ALT", bounds=(-450, 6000), doc="elevation above sea level")
    co2: Tensor = parameter(370.0, unit="ppm", symbol="CO2", bounds=(40, 2000), doc="CO2 concentration of the air")


class Day(Record):
    """Everything that a model may know of a day beside its states and parameters."""

    weather: Weather = driver(unit="", doc="weather of the day")
    drivers: Any = driver(unit="", doc="what follows from weather and parameters alone (the model's own record)")
    doy: Tensor = driver(unit="d", symbol="DOY", doc="day of year")
    time: Tensor = driver(unit="d", symbol="TIME", doc="day number; 1 = 1 January of the year of the run's first day")
    sown: Tensor = driver(unit="-", doc="1 from the day of sowing (without one: emergence) on, else 0")
    irrigation: Tensor = driver(unit="mm", doc="dated irrigation of the day")
    irrigation_table: Tensor = driver(unit="mm", symbol="IRRTAB", doc="tabled irrigation of the day, before its cap")
    nitrogen: Tensor = driver(unit="g m-2", symbol="FERTN", doc="fertiliser nitrogen applied on the day")
    phosphorus: Tensor = driver(unit="g m-2", symbol="FERTP", doc="fertiliser phosphorus applied on the day")
    potassium: Tensor = driver(unit="g m-2", symbol="FERTK", doc="fertiliser potassium applied on the day")
    by_stage: Any = driver(unit="", doc="applications by development stage: by kind, a table of amounts by stage")


@dataclass(frozen=True)
class Event:
    """A date that a run reports.

    Attributes
    ----------
    counter : str
        State that counts the days before the event: sum of ``1 - share``.
    share : str
        Output: share of the day beyond the event.
    centred : bool
        Whether the share's window is centred (temperature sums) or the day itself (dates).
    """

    counter: str
    share: str
    centred: bool = True


@dataclass(frozen=True)
class Observable:
    """Something observed in the field, as a function of what a run holds.

    Attributes
    ----------
    unit, doc : str
        Unit and meaning.
    needs : tuple of str
        States and outputs of the day from which it follows.
    compute : callable
        ``compute(values, params)``: `values` by name in `needs`, tensors ``[B]`` of one day or ``[T, B]``.
    check : callable, optional
        ``check(params)`` raises ValueError if the parameters do not reach what is asked for.
    """

    unit: str
    doc: str
    needs: tuple[str, ...]
    compute: Callable[[Mapping[str, Tensor], Any], Tensor]
    check: Callable[[Any], None] | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Model(ABC):
    """Base of the models, values that hold a model's choices.

    Parameters
    ----------
    processes : mapping of str to callable, optional
        Replacements of single processes, for instance by an `nn.Module`; each model lists in `replaceable` what may be
        replaced and with which arguments.
    relief : mapping of str to float or Tensor, optional
        Share of a stress that is taken away, 0 to 1, one number or ``[B]``, by the names in `stresses`; for the
        attribution of losses, `Run.explain`.

    Attributes
    ----------
    Parameters, State, Outputs, Drivers : type of Record
        The model's records. The record of rates has the type of the states.
    listens : frozenset of str
        Kinds of dated events that the model (at its level) acts on.
    events : mapping of str to Event
        Dates that a run reports.
    observables : mapping of str to Observable
        What can be compared with field observations, beside states and outputs.
    stresses : mapping of str to str
        What may reduce growth, and the output of the day that shows it.
    """

    processes: Mapping[str, Callable[..., Tensor]] = field(default_factory=dict)
    relief: Mapping[str, Any] = field(default_factory=dict)

    name: ClassVar[str]
    Parameters: ClassVar[type[Record]]
    State: ClassVar[type[Record]]
    Outputs: ClassVar[type[Record]]
    Drivers: ClassVar[type[Record]]
    events: ClassVar[Mapping[str, Event]]
    observables: ClassVar[Mapping[str, Observable]] = {}
    replaceable: ClassVar[Mapping[str, str]] = {}
    stresses: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        for name in self.processes:
            if name not in self.replaceable:
                raise KeyError(
                    f"{type(self).__name__} has no replaceable process {name!r}{nearest(name, self.replaceable)}; "
                    f"it has {', '.join(sorted(self.replaceable)) or 'none'}"
                )
        for name in self.relief:
            if name not in self.stresses:
                raise KeyError(
                    f"{self!r} has no stress {name!r}{nearest(name, self.stresses)}; "
                    f"it has {', '.join(self.stresses) or 'none'}"
                )
            share = self.relief[name]
            if isinstance(share, int | float) and not 0 <= share <= 1:
                raise ValueError(f"relief of {name} is {share:g}; expected a share, 0 to 1")

    def __repr__(self) -> str:
        chosen = (
            f"{f.name}={value!r}"
            for f in fields(self)
            if (value := getattr(self, f.name)) or (f.default_factory is MISSING and value != f.default)
        )
        return f"{type(self).__name__}({', '.join(chosen)})"

    @property
    @abstractmethod
    def listens(self) -> frozenset[str]:
        """Kinds of dated events that the model acts on."""

    @property
    def listens_by_stage(self) -> frozenset[str]:
        """Those of them that may be given at a development stage too."""
        return frozenset()

    @property
    def unused_management(self) -> frozenset[str]:
        """Values of the management record that have no effect with the model's present choices."""
        return frozenset()

    @property
    def removed(self) -> frozenset[str]:
        """Stresses that `relief` takes away wholly, in all simulations."""
        return frozenset(s for s, share in self.relief.items() if isinstance(share, int | float) and share == 1)

    @property
    def production_level(self) -> str:
        """What limits production, in the words of tables."""
        return self.name

    def listeners(self, kind: str) -> tuple[str, ...]:
        """Say which choices of this model act on a kind of event that the present ones do not, as one writes them."""
        return ()

    @abstractmethod
    def management(self, emergence: float | None, sowing: float | None, start: float) -> dict[str, float]:
        """Values of the management record that follow from a season's dates.

        Parameters
        ----------
        emergence, sowing : float or None
            Day numbers as `Day.time` counts them; None if the season has no such date.
        start : float
            Day number of the run's first day.

        Raises
        ------
        ValueError
            If the model cannot start from what is given; the text says what it needs.
        """

    @abstractmethod
    def drivers(self, weather: Weather, doy: Tensor, time: Tensor, params: Any, switches: Switches) -> Any:
        """What follows from weather, day of year, day number and parameters, without any state.

        Elementwise, so of any shape: the engine computes it for a block of days at once, ``[days, 1]`` or
        ``[days, B]``.
        """

    @abstractmethod
    def initial(self, params: Any, switches: Switches) -> Any:
        """States at the start of the run's first day."""

    @abstractmethod
    def rates(self, state: Any, day: Day, params: Any, switches: Switches) -> tuple[Any, Any]:
        """Change per day of every state, and the outputs of the day, from the states at its start."""

    @abstractmethod
    def finished(self, state: Any, params: Any, switches: Switches) -> Tensor:
        """1 where the simulation may stop after this day's row, else 0."""

    def carry_over(self, final: Any, params: Any, crop: Record) -> tuple[dict[str, Tensor], Record]:
        """States with which a crop starts on the soil that another left, and that soil.

        Parameters
        ----------
        final : Record
            States at the end of the season before.
        params : Record
            Parameters of that season.
        crop : Record
            Parameters of the crop that follows.

        Raises
        ------
        TypeError
            If the model has no soil.
        """
        raise TypeError(f"{self.name} has no soil that a crop could leave to the next: choose a model with one")

    def observable(self, name: str) -> Observable | None:
        """Give the observable of a name, or None. A model may know families of them (water by depth)."""
        return self.observables.get(name)

    def process(self, name: str, default: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Give the replacement of a process, or its default."""
        return self.processes.get(name, default)

    def relieved(self, stress: str, stressed: Tensor, unstressed: Tensor | float = 1.0) -> Tensor:
        """Give a factor or a flow under stress, less what `relief` takes away of the stress."""
        share = self.relief.get(stress)
        return stressed if share is None else stressed + share * (unstressed - stressed)

    def less_limited(self) -> Model | None:
        """Give the model at the level that one stress less limits, or None at the highest."""
        return None
