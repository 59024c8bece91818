"""What LINTUL5 keeps and reports: states, outputs of the day, and drivers."""

from __future__ import annotations

from torch import Tensor

from torchcrop.models.irrigation import IrrigationDrivers
from torchcrop.quantities import Record, driver, output, state

__all__ = ["Lintul5Drivers", "Lintul5Outputs", "Lintul5State"]


class Lintul5State(Record):
    """States of LINTUL5; in the record of rates, their changes per day.

    The names that end in ``_before`` hold yesterday's value: the lags of the original, whose water balance is computed
    before the crop of the same day, and the increments that centre the windows of events.
    """

    # Clocks
    emergence_sum: Tensor = state(unit="degC d", symbol="TSULP", doc="temperature sum since sowing")
    emergence_sum_before: Tensor = state(unit="degC d", doc="yesterday's increment of the temperature sum since sowing")
    temperature_sum: Tensor = state(unit="degC d", symbol="TSUML", doc="temperature sum since emergence")
    temperature_sum_before: Tensor = state(unit="degC d", doc="yesterday's increment of the temperature sum")
    stage: Tensor = state(unit="-", symbol="DVS", doc="development stage: 0 emergence, 1 anthesis, 2 maturity")
    stage_before: Tensor = state(unit="d-1", doc="yesterday's increment of the development stage")
    effective_before: Tensor = state(unit="degC", doc="yesterday's effective temperature of juvenile leaf growth")
    running: Tensor = state(unit="-", doc="0 on the run's first day, then 1")

    # Crop
    lai: Tensor = state(unit="m2 m-2", symbol="LAI", doc="leaf area index")
    leaves: Tensor = state(unit="g m-2", symbol="WLVG", doc="dry matter of green leaves")
    dead_leaves: Tensor = state(unit="g m-2", symbol="WLVD", doc="dry matter of dead leaves")
    stems: Tensor = state(unit="g m-2", symbol="WST", doc="dry matter of living stems")
    dead_stems: Tensor = state(unit="g m-2", symbol="WST_D", doc="dry matter of dead stems")
    storage_organs: Tensor = state(unit="g m-2", symbol="WSO", doc="dry matter of storage organs")
    roots: Tensor = state(unit="g m-2", symbol="WRT", doc="dry matter of living roots")
    dead_roots: Tensor = state(unit="g m-2", symbol="WRTD", doc="dry matter of dead roots")
    total_growth: Tensor = state(unit="g m-2", symbol="GTSUM", doc="dry matter formed so far")
    total_par: Tensor = state(unit="MJ m-2", symbol="PAR", doc="PAR so far")
    total_intercepted_par: Tensor = state(unit="MJ m-2", symbol="PARAB", doc="PAR intercepted so far")
    root_depth: Tensor = state(unit="m", symbol="RD", doc="rooting depth")

    # Soil
    rooted_depth: Tensor = state(unit="m", doc="depth of the soil's rooted zone: yesterday's rooting depth")
    root_growth_before: Tensor = state(unit="m d-1", symbol="RR", doc="yesterday's growth of rooting depth")
    interception_before: Tensor = state(unit="-", symbol="FINTT", doc="share of total radiation intercepted yesterday")
    water: Tensor = state(unit="mm", symbol="WTOT", doc="water of the rooted zone")
    water_lower: Tensor = state(unit="mm", symbol="WTOTL", doc="water of the zone below")
    available: Tensor = state(unit="mm", symbol="WAVT", doc="available water of the rooted zone")
    available_lower: Tensor = state(unit="mm", symbol="WAVTL", doc="available water of the zone below")
    dry_days: Tensor = state(unit="d", symbol="DSLR", doc="days since rain")
    wet_days: Tensor = state(unit="d", symbol="DSOS", doc="days of oxygen shortage")
    irrigation_decided: Tensor = state(unit="mm", symbol="RIRR", doc="irrigation decided yesterday, for today")
    irrigation_carried: Tensor = state(unit="mm", doc="tabled irrigation beyond its cap, carried over")
    total_rain: Tensor = state(unit="mm", symbol="TRAIN", doc="rain so far")
    total_irrigation: Tensor = state(unit="mm", symbol="TIRR", doc="irrigation so far")
    total_transpiration: Tensor = state(unit="mm", symbol="TTRANS", doc="transpiration so far")
    total_evaporation: Tensor = state(unit="mm", symbol="TESOIL", doc="soil evaporation so far")
    total_drainage: Tensor = state(unit="mm", symbol="TDRAIN", doc="drainage out of the profile so far")
    total_runoff: Tensor = state(unit="mm", symbol="TRUNOF", doc="runoff so far")

    # Dates
    days_to_emergence: Tensor = state(unit="d", doc="days before emergence")
    days_to_anthesis: Tensor = state(unit="d", doc="days before anthesis")
    days_to_maturity: Tensor = state(unit="d", doc="days before maturity")


class Lintul5NutrientState(Lintul5State):
    """States of LINTUL5 with the balances of nitrogen, phosphorus and potassium."""

    # Nitrogen
    leaf_nitrogen: Tensor = state(unit="g m-2", symbol="ANLV", doc="nitrogen of green leaves")
    stem_nitrogen: Tensor = state(unit="g m-2", symbol="ANST", doc="nitrogen of living stems")
    root_nitrogen: Tensor = state(unit="g m-2", symbol="ANRT", doc="nitrogen of living roots")
    storage_nitrogen: Tensor = state(unit="g m-2", symbol="ANSO", doc="nitrogen of storage organs")
    lost_nitrogen: Tensor = state(unit="g m-2", symbol="NLOSS", doc="nitrogen of dead organs")
    total_nitrogen_uptake: Tensor = state(unit="g m-2", symbol="NUPT", doc="nitrogen taken up from the soil so far")
    total_nitrogen_supply: Tensor = state(unit="g m-2", doc="fertiliser nitrogen that became available so far")
    mineral_nitrogen: Tensor = state(unit="g m-2", symbol="NMINT", doc="nitrogen of the soil available to the crop")
    organic_nitrogen: Tensor = state(unit="g m-2", symbol="NMIN", doc="nitrogen of the soil still to be mineralised")
    # Phosphorus
    leaf_phosphorus: Tensor = state(unit="g m-2", symbol="APLV", doc="phosphorus of green leaves")
    stem_phosphorus: Tensor = state(unit="g m-2", symbol="APST", doc="phosphorus of living stems")
    root_phosphorus: Tensor = state(unit="g m-2", symbol="APRT", doc="phosphorus of living roots")
    storage_phosphorus: Tensor = state(unit="g m-2", symbol="APSO", doc="phosphorus of storage organs")
    lost_phosphorus: Tensor = state(unit="g m-2", symbol="PLOSS", doc="phosphorus of dead organs")
    total_phosphorus_uptake: Tensor = state(unit="g m-2", symbol="PUPT", doc="phosphorus taken up from the soil so far")
    total_phosphorus_supply: Tensor = state(unit="g m-2", doc="fertiliser phosphorus that became available so far")
    mineral_phosphorus: Tensor = state(unit="g m-2", symbol="PMINT", doc="phosphorus of the soil available to the crop")
    organic_phosphorus: Tensor = state(
        unit="g m-2", symbol="PMIN", doc="phosphorus of the soil still to be mineralised"
    )
    # Potassium
    leaf_potassium: Tensor = state(unit="g m-2", symbol="AKLV", doc="potassium of green leaves")
    stem_potassium: Tensor = state(unit="g m-2", symbol="AKST", doc="potassium of living stems")
    root_potassium: Tensor = state(unit="g m-2", symbol="AKRT", doc="potassium of living roots")
    storage_potassium: Tensor = state(unit="g m-2", symbol="AKSO", doc="potassium of storage organs")
    lost_potassium: Tensor = state(unit="g m-2", symbol="KLOSS", doc="potassium of dead organs")
    total_potassium_uptake: Tensor = state(unit="g m-2", symbol="KUPT", doc="potassium taken up from the soil so far")
    total_potassium_supply: Tensor = state(unit="g m-2", doc="fertiliser potassium that became available so far")
    mineral_potassium: Tensor = state(unit="g m-2", symbol="KMINT", doc="potassium of the soil available to the crop")
    organic_potassium: Tensor = state(unit="g m-2", symbol="KMIN", doc="potassium of the soil still to be mineralised")
    total_fixed_nitrogen: Tensor = state(unit="g m-2", symbol="NFIX", doc="nitrogen fixed so far")


class Lintul5Outputs(Record):
    """Outputs of a day of LINTUL5."""

    tmean: Tensor = output(unit="degC", doc="mean temperature")
    growth: Tensor = output(unit="g m-2 d-1", symbol="GRT", doc="growth of the crop")
    intercepted_par: Tensor = output(unit="MJ m-2 d-1", symbol="PARINT", doc="intercepted PAR")
    efficiency: Tensor = output(unit="g MJ-1", symbol="RUE", doc="radiation use efficiency without reductions")
    efficiency_factor: Tensor = output(unit="-", symbol="RTMCO", doc="factor of the efficiency for temperature and CO2")
    share_roots: Tensor = output(unit="-", symbol="FRT", doc="fraction of growth to roots")
    share_leaves: Tensor = output(unit="-", symbol="FLV", doc="fraction of growth above ground to leaves")
    share_stems: Tensor = output(unit="-", symbol="FST", doc="fraction of growth above ground to stems")
    share_storage: Tensor = output(unit="-", symbol="FSO", doc="fraction of growth above ground to storage organs")
    lai_growth: Tensor = output(unit="d-1", symbol="GLAI", doc="growth of leaf area")
    lai_death: Tensor = output(unit="d-1", symbol="DLAI", doc="death of leaf area")
    aboveground: Tensor = output(
        unit="g m-2", symbol="TAGB", held=True, doc="dry matter above ground, dead leaves and stems included"
    )
    transpiration_ratio: Tensor = output(unit="-", symbol="TRANRF", doc="actual over potential transpiration")
    water_content: Tensor = output(unit="m3 m-3", symbol="SMACT", held=True, doc="water content of the rooted zone")
    critical_content: Tensor = output(
        unit="m3 m-3", symbol="SMCR", doc="water content below which transpiration is reduced"
    )
    canopy_demand: Tensor = output(unit="mm d-1", symbol="ETC", doc="potential transpiration of a closed canopy")
    soil_demand: Tensor = output(unit="mm d-1", symbol="ES0", doc="potential evaporation of bare wet soil")
    potential_transpiration: Tensor = output(unit="mm d-1", symbol="TRMAX", doc="potential transpiration")
    transpiration: Tensor = output(unit="mm d-1", symbol="TRA", doc="transpiration")
    evaporation: Tensor = output(unit="mm d-1", symbol="EVA", doc="soil evaporation")
    drainage: Tensor = output(unit="mm d-1", symbol="DRAIN", doc="drainage out of the profile")
    runoff: Tensor = output(unit="mm d-1", symbol="RUNOF", doc="runoff")
    irrigation: Tensor = output(unit="mm d-1", symbol="IRRIG", doc="irrigation of the day")
    drought_factor: Tensor = output(unit="-", symbol="RDRY", doc="factor of transpiration for dry soil")
    oxygen_factor: Tensor = output(unit="-", symbol="RWET", doc="factor of transpiration for lack of oxygen")
    temperature_factor: Tensor = output(unit="-", doc="factor of growth for temperature, without CO2")
    nutrient_factor: Tensor = output(unit="-", symbol="NPKREF", doc="factor of growth for nutrients")
    emergence: Tensor = output(unit="-", doc="share of the day after emergence")
    anthesis: Tensor = output(unit="-", doc="share of the day after anthesis")
    maturity: Tensor = output(unit="-", doc="share of the day after maturity")


class Lintul5NutrientOutputs(Lintul5Outputs):
    """Outputs of a day of LINTUL5 with nutrients."""

    nitrogen_index: Tensor = output(unit="-", symbol="NNI", doc="nitrogen nutrition index: 1 without stress")
    phosphorus_index: Tensor = output(unit="-", symbol="PNI", doc="phosphorus nutrition index")
    potassium_index: Tensor = output(unit="-", symbol="KNI", doc="potassium nutrition index")
    nutrition_index: Tensor = output(unit="-", symbol="NPKI", doc="smallest of the three nutrition indices")
    crop_nitrogen: Tensor = output(unit="g m-2", symbol="NLIV", held=True, doc="nitrogen of the living crop")
    nitrogen_uptake: Tensor = output(unit="g m-2 d-1", symbol="NUPTR", doc="nitrogen uptake from the soil")
    nitrogen_demand: Tensor = output(unit="g m-2", symbol="NDEMTO", doc="nitrogen demand of leaves, stems and roots")
    crop_phosphorus: Tensor = output(unit="g m-2", symbol="PLIV", held=True, doc="phosphorus of the living crop")
    phosphorus_uptake: Tensor = output(unit="g m-2 d-1", symbol="PUPTR", doc="phosphorus uptake from the soil")
    phosphorus_demand: Tensor = output(
        unit="g m-2", symbol="PDEMTO", doc="phosphorus demand of leaves, stems and roots"
    )
    crop_potassium: Tensor = output(unit="g m-2", symbol="KLIV", held=True, doc="potassium of the living crop")
    potassium_uptake: Tensor = output(unit="g m-2 d-1", symbol="KUPTR", doc="potassium uptake from the soil")
    potassium_demand: Tensor = output(unit="g m-2", symbol="KDEMTO", doc="potassium demand of leaves, stems and roots")
    fixation: Tensor = output(unit="g m-2 d-1", symbol="NFIXTR", doc="nitrogen fixation")


class Lintul5Drivers(IrrigationDrivers):
    """What follows from weather and parameters alone."""

    tmean: Tensor = driver(unit="degC", doc="mean temperature")
    emergence: Tensor = driver(unit="degC", doc="mean temperature that counts towards emergence")
    dated_emergence: Tensor = driver(unit="-", doc="share of the day after the date of emergence")
    development: Tensor = driver(unit="degC d d-1", symbol="DTSU", doc="daily increase of the temperature sum")
    photoperiod: Tensor = driver(unit="-", doc="factor of development before anthesis for a sensitive crop")
    effective: Tensor = driver(unit="degC", doc="mean temperature above the base temperature of juvenile leaf growth")
    juvenile_growth: Tensor = driver(unit="d-1", doc="relative growth of juvenile leaf area")
    ageing: Tensor = driver(unit="d-1", doc="relative death rate of ageing leaves")
    par: Tensor = driver(unit="MJ m-2 d-1", symbol="PAR", doc="photosynthetically active radiation")
    efficiency_factor: Tensor = driver(
        unit="-", symbol="RTMCO", doc="factor of the radiation use efficiency for temperature and CO2"
    )
    temperature_factor: Tensor = driver(unit="-", doc="factor of the radiation use efficiency for temperature")
    unstressed: Tensor = driver(unit="-", symbol="NPKREF", doc="factor of growth without nutrient stress")
    soil_demand: Tensor = driver(unit="mm d-1", symbol="ES0", doc="potential evaporation of bare wet soil")
    canopy_demand: Tensor = driver(
        unit="mm d-1", symbol="ETC", doc="potential transpiration of a closed canopy at the site's CO2"
    )
    critical_content: Tensor = driver(
        unit="m3 m-3", symbol="SMCR", doc="water content below which transpiration is reduced"
    )


class Lintul5NutrientDrivers(Lintul5Drivers):
    """The same with nutrients."""

    recovery: Tensor = driver(unit="-", symbol="NRF", doc="recovery of fertiliser, by nutrient")
    nutrients: Tensor = driver(unit="", doc="parameters of the three nutrients side by side, by parameter and nutrient")
