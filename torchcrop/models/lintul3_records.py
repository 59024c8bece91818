"""What LINTUL3 takes, keeps and reports: parameters, states, outputs of the day, drivers.

Shibu, Leffelaar, van Keulen & Aggarwal 2010, European Journal of Agronomy 32: 255-271.
"""

from __future__ import annotations

from torch import Tensor

from torchcrop.functions.tables import Table
from torchcrop.models.lintul2 import Lintul2Management, Lintul2Soil
from torchcrop.models.management import IrrigationDrivers, NitrogenRecovery
from torchcrop.models.model import Site
from torchcrop.quantities import Record, driver, output, parameter, record, state, table

__all__ = ["Lintul3Crop", "Lintul3Drivers", "Lintul3Management", "Lintul3Outputs", "Lintul3Soil", "Lintul3State"]


class Lintul3Crop(Record):
    """Crop parameters of LINTUL3."""

    # Development
    base_temperature: Tensor = parameter(
        unit="degC", symbol="TBASE", bounds=(-2, 15), doc="base temperature of development and leaf growth"
    )
    development_temperature: Table = table(
        [0.0, 0.0, 50.0, 50.0],
        unit="degC d d-1",
        x="mean temperature",
        x_unit="degC",
        symbol="DTSMTB",
        bounds=(0, 60),
        doc="daily increase of the temperature sum; of the variant pcse alone, in place of the base temperature",
    )
    photoperiod_factor: Table = table(
        unit="-",
        x="daylength",
        x_unit="h",
        symbol="PHOTTB",
        bounds=(0, 1),
        doc="factor of development before anthesis",
    )
    initial_tsum: Tensor = parameter(
        0.0, unit="degC d", symbol="TSUMI", bounds=(0, 1000), doc="temperature sum at the start (transplanted crops)"
    )
    tsum_anthesis: Tensor = parameter(
        unit="degC d", symbol="TSUMAN", bounds=(200, 2500), doc="temperature sum from emergence to anthesis"
    )
    tsum_maturity: Tensor = parameter(
        unit="degC d", symbol="TSUMMT", bounds=(200, 2500), doc="temperature sum from anthesis to maturity"
    )

    # Dry matter at the start
    initial_leaves: Tensor = parameter(
        unit="g m-2", symbol="WLVGI", bounds=(0.01, 200), doc="dry matter of leaves at the start"
    )
    initial_stems: Tensor = parameter(
        0.0, unit="g m-2", symbol="WSTI", bounds=(0, 200), doc="dry matter of stems at the start"
    )
    initial_roots: Tensor = parameter(
        unit="g m-2", symbol="WRTLI", bounds=(0.01, 200), doc="dry matter of roots at the start"
    )
    initial_storage: Tensor = parameter(
        0.0, unit="g m-2", symbol="WSOI", bounds=(0, 200), doc="dry matter of storage organs at the start"
    )

    # Leaf area
    specific_leaf_area: Tensor = parameter(
        unit="m2 g-1", symbol="SLAC", bounds=(0.005, 0.06), doc="specific leaf area without nitrogen stress"
    )
    specific_leaf_area_factor: Table = table(
        unit="-",
        x="development stage",
        x_unit="-",
        symbol="SLACF",
        bounds=(0, 3),
        doc="factor of the specific leaf area",
    )
    relative_lai_growth: Tensor = parameter(
        unit="(degC d)-1",
        symbol="RGRL",
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
    critical_lai: Tensor = parameter(
        unit="m2 m-2", symbol="LAICR", bounds=(1, 30), doc="leaf area index above which leaves die of shading"
    )
    shading_death_rate: Tensor = parameter(
        unit="d-1",
        symbol="RDRSHM",
        bounds=(0, 0.2),
        doc="slope of the relative death rate of leaves due to shading",
    )
    ageing_tsum: Tensor = parameter(
        unit="degC d", symbol="TSUMAG", bounds=(100, 5000), doc="temperature sum from which leaves die of age"
    )
    ageing_death_rate: Table = table(
        unit="d-1",
        x="mean temperature",
        x_unit="degC",
        symbol="RDRT",
        bounds=(0, 1),
        doc="relative death rate of leaves due to ageing",
    )

    # Growth and partitioning
    light_use_efficiency: Tensor = parameter(
        unit="g MJ-1", symbol="LUE", bounds=(0.5, 6), doc="dry matter formed per intercepted PAR"
    )
    extinction: Tensor = parameter(unit="-", symbol="K", bounds=(0.2, 1.2), doc="extinction coefficient for PAR")
    fraction_roots: Table = table(
        unit="-",
        x="development stage",
        x_unit="-",
        symbol="FRTTB",
        bounds=(0, 1),
        doc="fraction of growth to roots",
    )
    fraction_leaves: Table = table(
        unit="-",
        x="development stage",
        x_unit="-",
        symbol="FLVTB",
        bounds=(0, 1),
        doc="fraction of growth to leaves",
    )
    fraction_stems: Table = table(
        unit="-",
        x="development stage",
        x_unit="-",
        symbol="FSTTB",
        bounds=(0, 1),
        doc="fraction of growth to stems",
    )
    fraction_storage: Table = table(
        unit="-",
        x="development stage",
        x_unit="-",
        symbol="FSOTB",
        bounds=(0, 1),
        doc="fraction of growth to storage organs",
    )

    # Roots and water
    initial_root_depth: Tensor = parameter(
        unit="m", symbol="ROOTDI", bounds=(0.02, 0.5), doc="rooting depth at the start"
    )
    maximum_root_depth: Tensor = parameter(unit="m", symbol="ROOTDM", bounds=(0.2, 3), doc="largest rooting depth")
    root_growth: Tensor = parameter(unit="m d-1", symbol="RRDMAX", bounds=(0.002, 0.06), doc="growth of rooting depth")
    root_death_stage: Tensor = parameter(
        unit="-", symbol="DVSDR", bounds=(0.2, 2.5), doc="development stage from which roots die"
    )
    root_death_rate: Tensor = parameter(
        unit="d-1", symbol="RDRRT", bounds=(0, 0.5), doc="relative death rate of roots from that stage on"
    )
    transpiration_constant: Tensor = parameter(
        unit="mm d-1",
        symbol="TRANCO",
        bounds=(1, 15),
        doc="transpiration rate at which half of the available water can be extracted without stress",
    )

    # Nitrogen stress
    nitrogen_effect: Tensor = parameter(
        unit="-", symbol="NLUE", bounds=(0, 3), doc="effect of nitrogen stress on growth"
    )
    nitrogen_effect_juvenile: Tensor = parameter(
        unit="-", symbol="NLAI", bounds=(0, 5), doc="effect of nitrogen stress on juvenile growth of leaf area"
    )
    nitrogen_effect_leaves: Tensor = parameter(
        unit="-", symbol="NSLA", bounds=(0, 5), doc="effect of nitrogen stress on specific leaf area"
    )
    nitrogen_effect_partitioning: Tensor = parameter(
        unit="-", symbol="NPART", bounds=(0, 5), doc="effect of nitrogen stress on the fraction to leaves"
    )
    nitrogen_death_rate: Tensor = parameter(
        unit="d-1",
        symbol="RDRNS",
        bounds=(0, 0.5),
        doc="largest relative death rate of leaves due to nitrogen stress",
    )

    # Nitrogen in the crop
    initial_nitrogen_leaves: Tensor = parameter(
        unit="g g-1", symbol="NFRLVI", bounds=(0, 0.12), doc="nitrogen concentration of leaves at the start"
    )
    initial_nitrogen_stems: Tensor = parameter(
        unit="g g-1", symbol="NFRSTI", bounds=(0, 0.12), doc="nitrogen concentration of stems at the start"
    )
    initial_nitrogen_roots: Tensor = parameter(
        unit="g g-1", symbol="NFRRTI", bounds=(0, 0.12), doc="nitrogen concentration of roots at the start"
    )
    nitrogen_maximum_leaves: Table = table(
        unit="g g-1",
        x="development stage",
        x_unit="-",
        symbol="NMXLV",
        bounds=(0, 0.12),
        doc="maximum nitrogen concentration of leaves",
    )
    nitrogen_roots_to_leaves: Tensor = parameter(
        unit="-", symbol="LRNR", bounds=(0.05, 2), doc="maximum nitrogen concentration of roots over that of leaves"
    )
    nitrogen_stems_to_leaves: Tensor = parameter(
        unit="-", symbol="LSNR", bounds=(0.05, 2), doc="maximum nitrogen concentration of stems over that of leaves"
    )
    nitrogen_maximum_storage: Tensor = parameter(
        unit="g g-1", symbol="NMAXSO", bounds=(0, 0.12), doc="maximum nitrogen concentration of storage organs"
    )
    nitrogen_optimal_share: Tensor = parameter(
        unit="-", symbol="FRNX", bounds=(0.1, 1), doc="optimal over maximum nitrogen concentration"
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
    uptake_end_stage: Tensor = parameter(
        unit="-", symbol="DVSNLT", bounds=(0.2, 2.5), doc="development stage at which uptake of nitrogen ends"
    )
    translocation_stage: Tensor = parameter(
        unit="-",
        symbol="DVSNT",
        bounds=(0.2, 2),
        doc="development stage from which nitrogen moves to the storage organs",
    )
    nitrogen_translocation_time: Tensor = parameter(
        unit="d", symbol="TCNT", bounds=(1, 60), doc="time coefficient of nitrogen translocation"
    )
    root_translocation: Tensor = parameter(
        unit="-",
        symbol="FNTRT",
        bounds=(0, 1),
        doc="nitrogen translocated from roots, as a share of that from leaves and stems",
    )


class Lintul3Soil(Lintul2Soil):
    """Soil of LINTUL3: that of LINTUL2, water below the roots, and nitrogen."""

    subsoil: Tensor = parameter(
        unit="m3 m-3", symbol="WCSUBS", bounds=(0.01, 0.9), doc="water content of the soil below the roots"
    )
    mineralisation: Tensor = parameter(
        unit="g m-2 d-1", symbol="RTMIN", bounds=(0, 0.5), doc="nitrogen mineralised a day"
    )


class Lintul3Management(Lintul2Management, NitrogenRecovery):
    """Management of LINTUL3."""

    flooded: Tensor = parameter(
        0.0,
        unit="-",
        symbol="WMFAC",
        switch=True,
        doc="1: flooded rice; irrigation refills to saturation, and roots do not lack oxygen",
    )


class Lintul3Parameters(Record):
    """All parameters of a LINTUL3 run."""

    crop: Lintul3Crop = record(Lintul3Crop, "crop")
    soil: Lintul3Soil = record(Lintul3Soil, "soil")
    site: Site = record(Site, "site")
    management: Lintul3Management = record(Lintul3Management, "management")


class Lintul3State(Record):
    """States of LINTUL3; in the record of rates, their changes per day."""

    # Clocks
    temperature_sum: Tensor = state(unit="degC d", symbol="TSUM", doc="temperature sum since emergence")
    temperature_sum_before: Tensor = state(unit="degC d", doc="yesterday's increment of the temperature sum")
    vegetative_sum: Tensor = state(
        unit="degC d",
        doc="temperature sum that counts as development before anthesis: the hidden memory of the originals "
        "(fst: as it was yesterday or, after anthesis, on the last day before it; pcse: frozen on the first day after)",
    )
    stage_before: Tensor = state(unit="d-1", doc="yesterday's increment of the development stage")

    # Crop
    lai: Tensor = state(unit="m2 m-2", symbol="LAI", doc="leaf area index")
    leaves: Tensor = state(unit="g m-2", symbol="WLVG", doc="dry matter of green leaves")
    dead_leaves: Tensor = state(unit="g m-2", symbol="WLVD", doc="dry matter of dead leaves")
    stems: Tensor = state(unit="g m-2", symbol="WST", doc="dry matter of stems")
    storage_organs: Tensor = state(unit="g m-2", symbol="WSO", doc="dry matter of storage organs")
    roots: Tensor = state(unit="g m-2", symbol="WRT", doc="dry matter of living roots")
    dead_roots: Tensor = state(unit="g m-2", symbol="WDRT", doc="dry matter of dead roots")
    total_growth: Tensor = state(unit="g m-2", symbol="GTSUM", doc="dry matter formed so far")
    total_par: Tensor = state(unit="MJ m-2", symbol="CUMPAR", doc="PAR so far")
    root_depth: Tensor = state(unit="m", symbol="ROOTD", doc="rooting depth")

    # Nitrogen
    leaf_nitrogen: Tensor = state(unit="g m-2", symbol="ANLV", doc="nitrogen of green leaves")
    stem_nitrogen: Tensor = state(unit="g m-2", symbol="ANST", doc="nitrogen of stems")
    root_nitrogen: Tensor = state(unit="g m-2", symbol="ANRT", doc="nitrogen of living roots")
    storage_nitrogen: Tensor = state(unit="g m-2", symbol="ANSO", doc="nitrogen of storage organs")
    lost_leaf_nitrogen: Tensor = state(unit="g m-2", symbol="NLOSSL", doc="nitrogen of dead leaves")
    lost_root_nitrogen: Tensor = state(unit="g m-2", symbol="NLOSSR", doc="nitrogen of dead roots")
    total_nitrogen_uptake: Tensor = state(unit="g m-2", symbol="NUPTT", doc="nitrogen taken up from the soil so far")
    total_nitrogen_supply: Tensor = state(
        unit="g m-2", doc="nitrogen of fertiliser and mineralisation that became available so far"
    )
    mineral_nitrogen: Tensor = state(unit="g m-2", symbol="TNSOIL", doc="nitrogen of the soil available to the crop")

    # Water
    water: Tensor = state(unit="mm", symbol="WA", doc="water in the rooted soil")
    dry_days: Tensor = state(unit="d", symbol="DSLR", doc="days since rain")
    total_rain: Tensor = state(unit="mm", symbol="TRAIN", doc="rain so far")
    total_transpiration: Tensor = state(unit="mm", symbol="TTRAN", doc="transpiration so far")
    total_evaporation: Tensor = state(unit="mm", symbol="TEVAP", doc="soil evaporation so far")
    total_drainage: Tensor = state(unit="mm", symbol="TDRAIN", doc="drainage so far")
    total_runoff: Tensor = state(unit="mm", symbol="TRUNOF", doc="runoff so far")
    total_irrigation: Tensor = state(unit="mm", symbol="TIRRIG", doc="irrigation so far")
    total_explored: Tensor = state(unit="mm", symbol="TEXPLO", doc="water of newly rooted soil so far")

    # Dates
    days_to_emergence: Tensor = state(unit="d", doc="days before emergence")
    days_to_anthesis: Tensor = state(unit="d", doc="days before anthesis")
    days_to_maturity: Tensor = state(unit="d", doc="days before maturity")


class Lintul3Outputs(Record):
    """Outputs of a day of LINTUL3."""

    tmean: Tensor = output(unit="degC", symbol="DAVTMP", doc="mean temperature")
    presence: Tensor = output(unit="-", symbol="EMERG", doc="share of the day on which the crop grows")
    stage: Tensor = output(
        unit="-", symbol="DVS", held=True, doc="development stage: 0 emergence, 1 anthesis, 2 maturity"
    )

    # Growth
    intercepted_par: Tensor = output(unit="MJ m-2 d-1", symbol="PARINT", doc="intercepted PAR")
    growth: Tensor = output(unit="g m-2 d-1", symbol="GTOTAL", doc="growth of the crop")
    aboveground: Tensor = output(
        unit="g m-2", symbol="TAGBM", held=True, doc="dry matter above ground, dead leaves included"
    )
    unstressed_share_roots: Tensor = output(unit="-", symbol="FRTWET", doc="fraction of growth to roots without stress")
    unstressed_share_leaves: Tensor = output(unit="-", symbol="FLVT", doc="fraction of growth to leaves without stress")
    unstressed_share_stems: Tensor = output(unit="-", symbol="FSTT", doc="fraction of growth to stems without stress")
    unstressed_share_storage: Tensor = output(
        unit="-", symbol="FSOT", doc="fraction of growth to storage organs without stress"
    )
    share_roots: Tensor = output(unit="-", symbol="FRT", doc="fraction of growth to roots")
    share_leaves: Tensor = output(unit="-", symbol="FLV", doc="fraction of growth to leaves")
    share_stems: Tensor = output(unit="-", symbol="FST", doc="fraction of growth to stems")
    share_storage: Tensor = output(unit="-", symbol="FSO", doc="fraction of growth to storage organs")
    leaf_change: Tensor = output(unit="g m-2 d-1", symbol="RWLVG", doc="change of the dry matter of green leaves")
    stem_change: Tensor = output(unit="g m-2 d-1", symbol="RWST", doc="change of the dry matter of stems")
    root_change: Tensor = output(unit="g m-2 d-1", symbol="RWRT", doc="change of the dry matter of living roots")
    storage_change: Tensor = output(unit="g m-2 d-1", symbol="RWSO", doc="change of the dry matter of storage organs")
    specific_leaf_area: Tensor = output(unit="m2 g-1", symbol="SLA", doc="specific leaf area of new leaves")
    lai_growth: Tensor = output(unit="d-1", symbol="GLAI", doc="growth of leaf area")
    lai_death: Tensor = output(unit="d-1", symbol="DLAI", doc="death of leaf area")
    root_growth: Tensor = output(unit="m d-1", symbol="RROOTD", doc="growth of rooting depth")

    # Nitrogen
    nitrogen_index: Tensor = output(
        unit="-", symbol="NNI", doc="nitrogen nutrition index: 1 without stress, 0 before emergence"
    )
    nitrogen_demand: Tensor = output(unit="g m-2", symbol="NDEMTO", doc="nitrogen demand of leaves, stems and roots")
    nitrogen_uptake: Tensor = output(unit="g m-2 d-1", symbol="NUPTR", doc="nitrogen uptake from the soil")
    nitrogen_applied: Tensor = output(unit="g m-2 d-1", symbol="FERTN", doc="fertiliser nitrogen applied")
    nitrogen_recovered: Tensor = output(
        unit="g m-2 d-1", symbol="FERTNS", doc="fertiliser nitrogen that becomes available"
    )
    mineral_nitrogen_change: Tensor = output(
        unit="g m-2 d-1", symbol="RNSOIL", doc="change of the nitrogen of the soil available to the crop"
    )

    # Water
    water_content: Tensor = output(unit="m3 m-3", symbol="WC", held=True, doc="water content of the rooted soil")
    potential_evaporation: Tensor = output(unit="mm d-1", symbol="PEVAP", doc="potential soil evaporation")
    potential_transpiration: Tensor = output(unit="mm d-1", symbol="PTRAN", doc="potential transpiration")
    evaporation: Tensor = output(unit="mm d-1", symbol="EVAP", doc="soil evaporation")
    transpiration: Tensor = output(unit="mm d-1", symbol="TRAN", doc="transpiration")
    transpiration_ratio: Tensor = output(unit="-", symbol="TRANRF", doc="actual over potential transpiration")
    drought_factor: Tensor = output(unit="-", doc="factor of transpiration for dry soil")
    oxygen_factor: Tensor = output(unit="-", doc="factor of transpiration for wet soil")
    drainage: Tensor = output(unit="mm d-1", symbol="DRAIN", doc="drainage")
    runoff: Tensor = output(unit="mm d-1", symbol="RUNOFF", doc="runoff")
    irrigation: Tensor = output(unit="mm d-1", symbol="IRRIG", doc="irrigation, automatic and dated")
    explored: Tensor = output(unit="mm d-1", symbol="EXPLOR", doc="water of newly rooted soil")

    emergence: Tensor = output(unit="-", doc="share of the day after the date of emergence")
    anthesis: Tensor = output(unit="-", doc="share of the day after anthesis")
    maturity: Tensor = output(unit="-", doc="share of the day after maturity")


class Lintul3Drivers(IrrigationDrivers):
    """What follows from weather and parameters alone."""

    tmean: Tensor = driver(unit="degC", symbol="DAVTMP", doc="mean temperature")
    due: Tensor = driver(unit="-", doc="share of the day after the date of emergence")
    development: Tensor = driver(unit="degC d d-1", doc="daily increase of the temperature sum, photoperiod apart")
    photoperiod: Tensor = driver(unit="-", doc="factor of development before anthesis")
    effective: Tensor = driver(unit="degC", symbol="DTEFF", doc="mean temperature above the base temperature")
    juvenile_growth: Tensor = driver(unit="d-1", doc="relative growth of juvenile leaf area")
    ageing: Tensor = driver(unit="d-1", doc="relative death rate of ageing leaves")
    par: Tensor = driver(unit="MJ m-2 d-1", symbol="PAR", doc="photosynthetically active radiation")
    soil_demand: Tensor = driver(unit="mm d-1", doc="evaporation of a bare wet soil")
    canopy_demand: Tensor = driver(unit="mm d-1", doc="transpiration of a closed canopy")
    recovery: Tensor = driver(unit="-", symbol="NRF", doc="recovery of fertiliser nitrogen")
