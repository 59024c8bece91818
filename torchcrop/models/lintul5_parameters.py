"""Parameters of LINTUL5: crop, soil and management.

J. Wolf 2012, User guide for LINTUL5, Wageningen UR.
"""

from __future__ import annotations

from torch import Tensor

from torchcrop.functions.tables import Table
from torchcrop.models.irrigation import TriggeredIrrigation
from torchcrop.models.model import Site
from torchcrop.quantities import Record, parameter, record, table

__all__ = ["Lintul5Crop", "Lintul5Management", "Lintul5Parameters", "Lintul5Soil"]


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


class Lintul5Management(TriggeredIrrigation):
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
    nitrogen_recovery: Table = table(
        [0.0, 0.7, 366.0, 0.7],
        unit="-",
        x="day number",
        x_unit="d",
        symbol="NRFTAB",
        bounds=(0, 1),
        doc="share of applied nitrogen that becomes available to the crop",
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
