"""What LINTUL5 declares: parameters of crop, soil and management, states, outputs of the day, drivers.

J. Wolf 2012, User guide for LINTUL5, Wageningen UR.
"""

from __future__ import annotations

from torch import Tensor

from torchcrop.functions.tables import Table
from torchcrop.models.management import IrrigationDrivers, NitrogenRecovery, TriggeredIrrigation
from torchcrop.models.model import Site
from torchcrop.quantities import Record, driver, output, parameter, record, state, table

__all__ = [
    "Lintul5Crop",
    "Lintul5Drivers",
    "Lintul5Management",
    "Lintul5NutrientDrivers",
    "Lintul5NutrientOutputs",
    "Lintul5NutrientState",
    "Lintul5Outputs",
    "Lintul5Parameters",
    "Lintul5Soil",
    "Lintul5State",
]


# --- parameters -----------------------------------------------------------------------------------------


class Lintul5Crop(Record):
    """Crop parameters of LINTUL5."""

    # Emergence and development
    emergence_base_temperature: Tensor = parameter(
        unit="degC", symbol="TBASEM", bounds=(-5, 15), doc="base temperature of emergence"
    )
    emergence_maximum_temperature: Tensor = parameter(
        unit="degC",
        symbol="TEFFMX",
        bounds=(15, 45),
        doc="mean temperature above which emergence is not faster",
    )
    tsum_emergence: Tensor = parameter(
        unit="degC d", symbol="TSUMEM", bounds=(0, 400), doc="temperature sum from sowing to emergence"
    )
    photoperiod_sensitive: Tensor = parameter(
        0.0,
        unit="-",
        symbol="IDSL",
        switch=True,
        doc="1: development before anthesis depends on daylength too",
    )
    photoperiod_factor: Table = table(
        unit="-",
        x="photoperiodic daylength",
        x_unit="h",
        symbol="PHOTTB",
        bounds=(0, 1),
        doc="factor of development before anthesis, for a sensitive crop",
    )
    tsum_anthesis: Tensor = parameter(
        unit="degC d", symbol="TSUM1", bounds=(25, 7200), doc="temperature sum from emergence to anthesis"
    )
    tsum_maturity: Tensor = parameter(
        unit="degC d", symbol="TSUM2", bounds=(100, 3000), doc="temperature sum from anthesis to maturity"
    )
    development_temperature: Table = table(
        unit="degC d d-1",
        x="mean temperature",
        x_unit="degC",
        symbol="DTSMTB",
        bounds=(0, 60),
        doc="daily increase of the temperature sum",
    )
    initial_stage: Tensor = parameter(0.0, unit="-", symbol="DVSI", bounds=(0, 1), doc="development stage at the start")
    final_stage: Tensor = parameter(
        2.0,
        unit="-",
        symbol="DVSEND",
        bounds=(1, 2.5),
        doc="development stage at maturity, the end of the run",
    )

    # Leaf area
    initial_weight: Tensor = parameter(
        unit="g m-2", symbol="TDWI", bounds=(0.01, 200), doc="dry matter of the crop at the start"
    )
    relative_lai_growth: Tensor = parameter(
        unit="(degC d)-1",
        symbol="RGRLAI",
        bounds=(0.002, 0.07),
        doc="relative growth rate of leaf area in the juvenile stage",
    )
    juvenile_stage: Tensor = parameter(
        0.2,
        unit="-",
        symbol="DVSJ",
        bounds=(0.02, 0.8),
        doc="development stage at which the juvenile stage of leaf growth ends at the latest",
    )
    juvenile_lai: Tensor = parameter(
        0.75,
        unit="m2 m-2",
        symbol="LAIJ",
        bounds=(0.1, 2),
        doc="leaf area index at which the juvenile stage of leaf growth ends at the latest",
    )
    base_temperature: Tensor = parameter(
        unit="degC", symbol="TBASE", bounds=(-2, 15), doc="base temperature of juvenile leaf growth"
    )
    specific_leaf_area: Table = table(
        unit="m2 g-1",
        x="development stage",
        x_unit="-",
        symbol="SLATB",
        bounds=(0.002, 0.08),
        doc="specific leaf area",
    )
    critical_lai: Tensor = parameter(
        unit="m2 m-2", symbol="LAICR", bounds=(1, 30), doc="leaf area index above which leaves die of shading"
    )
    shading_death_rate: Tensor = parameter(
        unit="d-1",
        symbol="RDRSHM",
        bounds=(0, 0.2),
        doc="slope of the relative death rate of leaves due to shading",
    )
    ageing_stage: Tensor = parameter(
        1.0, unit="-", symbol="DVSDLT", bounds=(0.2, 2), doc="development stage from which leaves die of age"
    )
    ageing_death_rate: Table = table(
        unit="d-1",
        x="mean temperature",
        x_unit="degC",
        symbol="RDRLTB",
        bounds=(0, 1),
        doc="relative death rate of leaves due to ageing",
    )
    drought_death_rate: Tensor = parameter(
        unit="d-1", symbol="RDRL", bounds=(0, 0.5), doc="largest relative death rate of leaves due to drought"
    )

    # Growth
    extinction: Table = table(
        unit="-",
        x="development stage",
        x_unit="-",
        symbol="KDIFTB",
        bounds=(0.2, 1.2),
        doc="extinction coefficient for PAR",
    )
    radiation_use_efficiency: Table = table(
        unit="g MJ-1",
        x="development stage",
        x_unit="-",
        symbol="RUETB",
        bounds=(0, 8),
        doc="dry matter formed per intercepted PAR",
    )
    daytime_temperature_factor: Table = table(
        unit="-",
        x="daytime temperature",
        x_unit="degC",
        symbol="TMPFTB",
        bounds=(0, 1),
        doc="factor of the radiation use efficiency",
    )
    minimum_temperature_factor: Table = table(
        unit="-",
        x="minimum temperature",
        x_unit="degC",
        symbol="TMNFTB",
        bounds=(0, 1),
        doc="factor of the radiation use efficiency",
    )
    co2_factor: Table = table(
        unit="-",
        x="CO2 concentration",
        x_unit="ppm",
        symbol="COTB",
        bounds=(0, 3),
        doc="factor of the radiation use efficiency",
    )

    # Partitioning
    fraction_roots: Table = table(
        unit="-",
        x="development stage",
        x_unit="-",
        symbol="FRTB",
        bounds=(0, 1),
        doc="fraction of growth to roots",
    )
    fraction_leaves: Table = table(
        unit="-",
        x="development stage",
        x_unit="-",
        symbol="FLTB",
        bounds=(0, 1),
        doc="fraction of growth above ground to leaves",
    )
    fraction_stems: Table = table(
        unit="-",
        x="development stage",
        x_unit="-",
        symbol="FSTB",
        bounds=(0, 1),
        doc="fraction of growth above ground to stems",
    )
    fraction_storage: Table = table(
        unit="-",
        x="development stage",
        x_unit="-",
        symbol="FOTB",
        bounds=(0, 1),
        doc="fraction of growth above ground to storage organs",
    )

    # Death of roots and stems
    root_stem_death_stage: Tensor = parameter(
        1.0,
        unit="-",
        symbol="DVSDR",
        bounds=(0.2, 2.5),
        doc="development stage from which roots and stems die",
    )
    root_death_rate: Table = table(
        unit="d-1",
        x="development stage",
        x_unit="-",
        symbol="RDRRTB",
        bounds=(0, 1),
        doc="relative death rate of roots",
    )
    stem_death_rate: Table = table(
        unit="d-1",
        x="development stage",
        x_unit="-",
        symbol="RDRSTB",
        bounds=(0, 1),
        doc="relative death rate of stems",
    )

    # Water and roots
    transpiration_factor: Tensor = parameter(
        1.0, unit="-", symbol="CFET", bounds=(0.5, 1.5), doc="factor of the potential transpiration"
    )
    depletion_group: Tensor = parameter(
        unit="-",
        symbol="DEPNR",
        bounds=(1, 5),
        doc="crop group for soil water depletion, 1 sensitive to 5 tolerant",
    )
    air_ducts: Tensor = parameter(
        0.0, unit="-", symbol="IAIRDU", switch=True, doc="1: roots have air ducts and do not lack oxygen"
    )
    initial_root_depth: Tensor = parameter(unit="m", symbol="RDI", bounds=(0.02, 0.5), doc="rooting depth at the start")
    root_growth: Tensor = parameter(
        unit="m d-1", symbol="RRI", bounds=(0.002, 0.06), doc="largest growth of rooting depth"
    )
    maximum_root_depth: Tensor = parameter(
        unit="m", symbol="RDMCR", bounds=(0.2, 3), doc="largest rooting depth of the crop"
    )

    # Nutrient stress
    nutrient_effect: Tensor = parameter(
        unit="-",
        symbol="NLUE",
        bounds=(0, 3),
        doc="effect of nutrient stress on growth; without stress the factor is 1 - NLUE 1e-8",
    )
    nutrient_effect_juvenile: Tensor = parameter(
        unit="-", symbol="NLAI", bounds=(0, 5), doc="effect of nutrient stress on juvenile growth of leaf area"
    )
    nutrient_effect_leaves: Tensor = parameter(
        unit="-", symbol="NSLA", bounds=(0, 5), doc="effect of nutrient stress on specific leaf area"
    )
    nutrient_effect_partitioning: Tensor = parameter(
        unit="-", symbol="NPART", bounds=(0, 5), doc="effect of nitrogen stress on the fraction to leaves"
    )
    nutrient_death_rate: Tensor = parameter(
        unit="d-1",
        symbol="RDRNS",
        bounds=(0, 0.5),
        doc="largest relative death rate of leaves due to nutrient stress",
    )

    # Nutrients: uptake and translocation
    uptake_end_stage: Tensor = parameter(
        unit="-", symbol="DVSNLT", bounds=(0.2, 2.5), doc="development stage at which uptake of nutrients ends"
    )
    translocation_stage: Tensor = parameter(
        unit="-",
        symbol="DVSNT",
        bounds=(0.2, 2),
        doc="development stage from which nutrients move to the storage organs",
    )
    root_translocation: Tensor = parameter(
        unit="-",
        symbol="FNTRT",
        bounds=(0, 1),
        doc="nutrients translocated from roots, as a share of those from leaves and stems",
    )
    fixation: Tensor = parameter(
        unit="-", symbol="NFIXF", bounds=(0, 0.95), doc="share of nitrogen uptake from biological fixation"
    )

    # Nitrogen
    nitrogen_optimal_share: Tensor = parameter(
        unit="-",
        symbol="FRNX",
        bounds=(0.1, 1),
        doc="optimal over maximum nitrogen concentration",
    )
    nitrogen_roots_to_leaves: Tensor = parameter(
        unit="-", symbol="LRNR", bounds=(0.05, 2), doc="maximum nitrogen concentration of roots over that of leaves"
    )
    nitrogen_stems_to_leaves: Tensor = parameter(
        unit="-", symbol="LSNR", bounds=(0.05, 2), doc="maximum nitrogen concentration of stems over that of leaves"
    )
    nitrogen_maximum_leaves: Table = table(
        unit="g g-1",
        x="development stage",
        x_unit="-",
        symbol="NMXLV",
        bounds=(0, 0.12),
        doc="maximum nitrogen concentration of leaves",
    )
    nitrogen_maximum_storage: Tensor = parameter(
        unit="g g-1",
        symbol="NMAXSO",
        bounds=(0, 0.12),
        doc="maximum nitrogen concentration of storage organs",
    )
    nitrogen_residual_leaves: Tensor = parameter(
        unit="g g-1", symbol="RNFLV", bounds=(0, 0.06), doc="residual nitrogen concentration of leaves"
    )
    nitrogen_residual_stems: Tensor = parameter(
        unit="g g-1", symbol="RNFST", bounds=(0, 0.06), doc="residual nitrogen concentration of stems"
    )
    nitrogen_residual_roots: Tensor = parameter(
        unit="g g-1", symbol="RNFRT", bounds=(0, 0.06), doc="residual nitrogen concentration of roots"
    )
    nitrogen_translocation_time: Tensor = parameter(
        unit="d", symbol="TCNT", bounds=(1, 60), doc="time coefficient of nitrogen translocation"
    )

    # Phosphorus
    phosphorus_optimal_share: Tensor = parameter(
        unit="-",
        symbol="FRPX",
        bounds=(0.1, 1),
        doc="optimal over maximum phosphorus concentration",
    )
    phosphorus_roots_to_leaves: Tensor = parameter(
        unit="-", symbol="LRPR", bounds=(0.05, 2), doc="maximum phosphorus concentration of roots over that of leaves"
    )
    phosphorus_stems_to_leaves: Tensor = parameter(
        unit="-", symbol="LSPR", bounds=(0.05, 2), doc="maximum phosphorus concentration of stems over that of leaves"
    )
    phosphorus_maximum_leaves: Table = table(
        unit="g g-1",
        x="development stage",
        x_unit="-",
        symbol="PMXLV",
        bounds=(0, 0.03),
        doc="maximum phosphorus concentration of leaves",
    )
    phosphorus_maximum_storage: Tensor = parameter(
        unit="g g-1",
        symbol="PMAXSO",
        bounds=(0, 0.03),
        doc="maximum phosphorus concentration of storage organs",
    )
    phosphorus_residual_leaves: Tensor = parameter(
        unit="g g-1", symbol="RPFLV", bounds=(0, 0.015), doc="residual phosphorus concentration of leaves"
    )
    phosphorus_residual_stems: Tensor = parameter(
        unit="g g-1", symbol="RPFST", bounds=(0, 0.015), doc="residual phosphorus concentration of stems"
    )
    phosphorus_residual_roots: Tensor = parameter(
        unit="g g-1", symbol="RPFRT", bounds=(0, 0.015), doc="residual phosphorus concentration of roots"
    )
    phosphorus_translocation_time: Tensor = parameter(
        unit="d", symbol="TCPT", bounds=(1, 60), doc="time coefficient of phosphorus translocation"
    )

    # Potassium
    potassium_optimal_share: Tensor = parameter(
        unit="-",
        symbol="FRKX",
        bounds=(0.1, 1),
        doc="optimal over maximum potassium concentration",
    )
    potassium_roots_to_leaves: Tensor = parameter(
        unit="-", symbol="LRKR", bounds=(0.05, 2), doc="maximum potassium concentration of roots over that of leaves"
    )
    potassium_stems_to_leaves: Tensor = parameter(
        unit="-", symbol="LSKR", bounds=(0.05, 2), doc="maximum potassium concentration of stems over that of leaves"
    )
    potassium_maximum_leaves: Table = table(
        unit="g g-1",
        x="development stage",
        x_unit="-",
        symbol="KMXLV",
        bounds=(0, 0.2),
        doc="maximum potassium concentration of leaves",
    )
    potassium_maximum_storage: Tensor = parameter(
        unit="g g-1",
        symbol="KMAXSO",
        bounds=(0, 0.2),
        doc="maximum potassium concentration of storage organs",
    )
    potassium_residual_leaves: Tensor = parameter(
        unit="g g-1", symbol="RKFLV", bounds=(0, 0.1), doc="residual potassium concentration of leaves"
    )
    potassium_residual_stems: Tensor = parameter(
        unit="g g-1", symbol="RKFST", bounds=(0, 0.1), doc="residual potassium concentration of stems"
    )
    potassium_residual_roots: Tensor = parameter(
        unit="g g-1", symbol="RKFRT", bounds=(0, 0.1), doc="residual potassium concentration of roots"
    )
    potassium_translocation_time: Tensor = parameter(
        unit="d", symbol="TCKT", bounds=(1, 60), doc="time coefficient of potassium translocation"
    )


class Lintul5Soil(Record):
    """Soil of LINTUL5. Water contents must increase from air-dry to saturation."""

    air_dry: Tensor = parameter(unit="m3 m-3", symbol="SMDRY", bounds=(0, 0.5), doc="water content, air-dry")
    wilting_point: Tensor = parameter(
        unit="m3 m-3", symbol="SMW", bounds=(0.01, 0.6), doc="water content at wilting point"
    )
    field_capacity: Tensor = parameter(
        unit="m3 m-3", symbol="SMFC", bounds=(0.03, 0.8), doc="water content at field capacity"
    )
    saturation: Tensor = parameter(unit="m3 m-3", symbol="SM0", bounds=(0.1, 0.95), doc="water content at saturation")
    critical_air: Tensor = parameter(
        unit="m3 m-3", symbol="CRAIRC", bounds=(0.01, 0.3), doc="air content below which roots lack oxygen"
    )
    initial: Tensor = parameter(
        unit="m3 m-3", symbol="SMI", bounds=(0.01, 0.9), doc="water content of the rooted zone at the start"
    )
    initial_lower: Tensor = parameter(
        unit="m3 m-3", symbol="SMLOWI", bounds=(0.01, 0.9), doc="water content of the zone below at the start"
    )
    maximum_root_depth: Tensor = parameter(
        unit="m", symbol="RDMSO", bounds=(0.2, 5), doc="largest rooting depth that the soil permits"
    )
    runoff_fraction: Tensor = parameter(
        0.0, unit="-", symbol="RUNFR", bounds=(0, 0.9), doc="share of rain that runs off"
    )
    evaporation_decline: Tensor = parameter(
        2.0,
        unit="-",
        symbol="CFEV",
        bounds=(0.5, 5),
        doc="coefficient of the decline of soil evaporation after rain",
    )
    percolation: Tensor = parameter(
        unit="mm d-1", symbol="KSUB", bounds=(0.1, 1000), doc="largest percolation to the subsoil"
    )

    # Nutrients
    organic_nitrogen: Tensor = parameter(
        3.0,
        unit="g m-2",
        symbol="NMINS",
        bounds=(0, 60),
        doc="nitrogen of the soil that can be mineralised in a season",
    )
    mineralisation_nitrogen: Tensor = parameter(
        0.025,
        unit="d-1",
        symbol="RTNMINS",
        bounds=(0, 0.2),
        doc="share of that nitrogen which is mineralised a day",
    )
    organic_phosphorus: Tensor = parameter(
        0.3,
        unit="g m-2",
        symbol="PMINS",
        bounds=(0, 20),
        doc="phosphorus of the soil that can be mineralised in a season",
    )
    mineralisation_phosphorus: Tensor = parameter(
        0.025,
        unit="d-1",
        symbol="RTPMINS",
        bounds=(0, 0.2),
        doc="share of that phosphorus which is mineralised a day",
    )
    organic_potassium: Tensor = parameter(
        2.0,
        unit="g m-2",
        symbol="KMINS",
        bounds=(0, 100),
        doc="potassium of the soil that can be mineralised in a season",
    )
    mineralisation_potassium: Tensor = parameter(
        0.025,
        unit="d-1",
        symbol="RTKMINS",
        bounds=(0, 0.2),
        doc="share of that potassium which is mineralised a day",
    )


class Lintul5Management(TriggeredIrrigation, NitrogenRecovery):
    """Management of LINTUL5."""

    emergence_by_date: Tensor = parameter(
        0.0,
        unit="-",
        switch=True,
        doc="1: the crop emerges on a date, 0: by temperature sum from sowing",
    )
    emergence_day: Tensor = parameter(
        0.0,
        unit="d",
        symbol="IDEM",
        bounds=(-365, 730),
        doc="day of emergence by date; 1 = 1 January of the year of the run's first day",
    )
    automatic_irrigation: Tensor = parameter(
        0.0,
        unit="-",
        symbol="IRRI",
        switch=True,
        doc="1: irrigation of at most 30 mm on the day after the soil falls below its critical content",
    )
    phosphorus_recovery: Table = table(
        [0.0, 0.2, 366.0, 0.2],
        unit="-",
        x="day number",
        x_unit="d",
        symbol="PRFTAB",
        bounds=(0, 1),
        doc="share of applied phosphorus that becomes available to the crop",
    )
    potassium_recovery: Table = table(
        [0.0, 0.6, 366.0, 0.6],
        unit="-",
        x="day number",
        x_unit="d",
        symbol="KRFTAB",
        bounds=(0, 1),
        doc="share of applied potassium that becomes available to the crop",
    )


class Lintul5Parameters(Record):
    """All parameters of a LINTUL5 run."""

    crop: Lintul5Crop = record(Lintul5Crop, "crop")
    soil: Lintul5Soil = record(Lintul5Soil, "soil")
    site: Site = record(Site, "site")
    management: Lintul5Management = record(Lintul5Management, "management")


# --- states, outputs, drivers --------------------------------------------------------------------------


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
