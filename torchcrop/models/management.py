"""Management that LINTUL2, LINTUL3 and LINTUL5 share: irrigation that the soil decides, recovery of nitrogen."""

from __future__ import annotations

from torch import Tensor

from torchcrop.functions.switches import Switches
from torchcrop.functions.tables import Table
from torchcrop.processes import soil_water
from torchcrop.quantities import Record, driver, parameter, table

__all__ = ["IrrigationDrivers", "NitrogenRecovery", "TriggeredIrrigation", "irrigation_drivers", "triggered"]


class TriggeredIrrigation(Record):
    """Choices of a management that irrigates by a trigger."""

    irrigation_trigger: Tensor = parameter(
        0.0,
        unit="-",
        bounds=(0, 1),
        doc="share of available water left below which irrigation is decided; 0: never",
    )
    irrigation_dose: Tensor = parameter(
        0.0, unit="mm", bounds=(0, 200), doc="amount of an irrigation that the trigger decides"
    )
    irrigation_refill: Tensor = parameter(
        0.0,
        unit="-",
        bounds=(0, 1),
        doc="share of the deficit to field capacity that an irrigation by the trigger refills",
    )


class NitrogenRecovery(Record):
    """How much of the nitrogen that a management applies reaches the crop."""

    nitrogen_recovery: Table = table(
        [0.0, 0.7, 366.0, 0.7],
        unit="-",
        x="day number",
        x_unit="d",
        symbol="NRFTAB",
        bounds=(0, 1),
        doc="share of applied nitrogen that becomes available to the crop",
    )


class IrrigationDrivers(Record):
    """The rule of a day, which follows from parameters and rain alone."""

    irrigable: Tensor = driver(unit="-", doc="1 on a day on which the soil's state may decide an irrigation")
    irrigation_content: Tensor = driver(unit="m3 m-3", doc="water content below which it does")
    irrigation_refill: Tensor = driver(unit="-", doc="share of the deficit to field capacity that it gives")
    irrigation_amount: Tensor = driver(unit="mm", doc="amount that it gives beside")
    irrigation_largest: Tensor = driver(unit="mm", doc="largest irrigation so decided")


def irrigation_drivers(
    switches: Switches,
    choices: TriggeredIrrigation,
    automatic: Tensor,
    rain: Tensor,
    critical: Tensor,
    wilting_point: Tensor,
    field_capacity: Tensor,
) -> dict[str, Tensor]:
    """Drivers of irrigation, by name; arguments as of `soil_water.irrigation_rule`."""
    rule = soil_water.irrigation_rule(
        switches,
        automatic,
        choices.irrigation_trigger,
        choices.irrigation_dose,
        choices.irrigation_refill,
        rain,
        critical,
        wilting_point,
        field_capacity,
    )
    # Most of it depends on parameters alone, but a driver has a value for every day.
    every_day = 0.0 * rain
    return dict(zip(IrrigationDrivers.quantities(), (every_day + value for value in rule), strict=True))


def triggered(
    switches: Switches, drivers: IrrigationDrivers, content: Tensor, available_range: Tensor, deficit: Tensor
) -> Tensor:
    """Irrigation that the soil decides at a water content [mm]; arguments as of `soil_water.triggered_irrigation`."""
    rule = soil_water.IrrigationRule(*(getattr(drivers, name) for name in IrrigationDrivers.quantities()))
    return soil_water.triggered_irrigation(switches, rule, content, available_range, deficit)
