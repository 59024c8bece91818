"""Derivatives are true: autograd against central differences, for every continuous parameter of every model.

Under `Smooth()` in float64: of yield, maximum LAI, the dates of anthesis and maturity, transpiration, and where
nutrients limit the uptake of nitrogen, with respect to crop, soil, site and management, each ordinate of a table for
itself. At the presets and at three random points within 2 % of them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch

import torchcrop as tc
from tests.gradients import (
    STEPS,
    TOLERANCE,
    Matrix,
    continuous,
    derivatives,
    drawn,
    entries,
    hessian_agreement,
    matrix,
    presets,
)
from tests.scans import axis
from tests.trials import ALL, trial, trials
from torchcrop.functions.tables import Table

FAST = ("lintul1-1971", "lintul2-1999", "lintul3-1995", "maize-iowa-2012")
LARGE_STEP = 1e-2

AT_CAPACITY = "the soil starts at field capacity exactly: more water drains, less does not"
FULL_AT_TIMES = "on days at field capacity exactly: a dose below 0 is none"
HARD_RAIN = "RUNFR = 0 and a day of exactly 5.0 mm, where a gate on rain alone is hard"
TWO_FORMULAS = "DEPNR = 3: one formula below, another from 3 on"
NO_GRAIN = "no storage organ before a stage, and no demand of it: less than nothing would demand nothing either"
NO_STEM = "no stem at the start, and no demand of it: less than nothing would demand"


def _zeros(*ordinates: int) -> set[str]:
    return {f"FOTB[{i}]" for i in ordinates}


# LINTUL3 starts without stems and storage organs, and forms none of the latter before anthesis.
EMPTY_STEM = {"WSTI", "FSTTB[0]", "FSTTB[1]"}
EMPTY_GRAIN = {"WSOI", *(f"FSOTB[{i}]" for i in range(5))}

TIES: dict[str, dict[str, set[str]]] = {
    "barley-1998-clay": {AT_CAPACITY: {"SMFC", "SMI", "SMLOWI"}},
    "maize-1989": {AT_CAPACITY: {"RDI", "SMLOWI"}},
    "maize-1989-failed": {AT_CAPACITY: {"RDI", "SMLOWI"}},
    "sugar-beet-1995": {HARD_RAIN: {"RUNFR"}},
    "potato-1992": {TWO_FORMULAS: {"DEPNR"}},
    "lintul3-1987": {NO_GRAIN: EMPTY_GRAIN},
    "lintul3-1987-dry": {NO_GRAIN: EMPTY_GRAIN},
    "lintul3-1995": {NO_GRAIN: EMPTY_GRAIN},
    "lintul3-pcse-1992": {NO_GRAIN: EMPTY_GRAIN, NO_STEM: EMPTY_STEM},
    "lintul3-pcse-1985": {NO_GRAIN: EMPTY_GRAIN},
    "lintul3-1976": {NO_GRAIN: EMPTY_GRAIN},
    "lintul3-pcse-1988": {NO_GRAIN: EMPTY_GRAIN, NO_STEM: EMPTY_STEM},
    "wheat-1969-nitrogen": {NO_GRAIN: _zeros(0, 1)},
    "potato-1992-nitrogen": {TWO_FORMULAS: {"DEPNR"}, NO_GRAIN: _zeros(0, 1)},
    "sunflower-1983-npk": {NO_GRAIN: _zeros(0, 1, 2, 3)},
    "barley-1985-nitrogen": {NO_GRAIN: _zeros(0, 1, 2), NO_STEM: {"FSTB[0]"}},
    "maize-1982-npk": {FULL_AT_TIMES: {"irrigation_dose"}, NO_GRAIN: _zeros(0, 1)},
    "wheat-1994-npk": {NO_GRAIN: _zeros(0, 1)},
    "sugar-beet-1988-nitrogen": {NO_GRAIN: _zeros(0, 1)},
    "maize-iowa-1996-nitrogen": {NO_GRAIN: _zeros(0, 1)},
    "soybean-iowa-2002-npk": {NO_GRAIN: _zeros(0, 1)},
}
"""Parameters whose preset stands on a kink or a jump, by trial: there the derivative is that of one side, or a mean."""


def _of(nutrient: str) -> set[str]:
    n = nutrient
    return {f"FR{n}X", f"LR{n}R", f"LS{n}R", f"{n}MXLV", f"{n}MAXSO", f"R{n}FLV", f"R{n}FST", f"R{n}FRT", f"TC{n}T"}


def _supply(*nutrients: str) -> set[str]:
    return {s for n in nutrients for s in (f"{n}MINS", f"RT{n}MINS", f"{n}RFTAB")}


NO_SITE = {"LAT", "ALT", "CO2"}
RULE = {"irrigation_trigger", "irrigation_dose", "irrigation_refill"}
# NLUE has an effect without nutrients too: the original's optimum is an index of 1.0001.
STRESS = {"NLAI", "NSLA", "NPART", "RDRNS", "DVSNLT", "DVSNT", "FNTRT", "NFIXF"}
# Roots and stems feed nothing back, but demand nutrients.
WITHOUT_NUTRIENTS = {"FSTB", "DVSDR", "RDRRTB", "RDRSTB"} | STRESS
WITHOUT_NUTRIENTS |= _of("N") | _of("P") | _of("K") | _supply("N", "P", "K")
STRUCTURAL = {
    # Roots and stems feed nothing back.
    "LINTUL1": {"FRTTB", "FSTTB"} | NO_SITE,
    # The fraction to roots does: drought raises it at the expense of the others.
    "LINTUL2": {"FSTTB"} | NO_SITE,
    # LINTUL3: its clock runs above TBASE, and the evaporative demand knows no altitude.
    "fst": {"DTSMTB", "ALT", "CO2"},
    "pcse": {"CO2"},
    "potential": WITHOUT_NUTRIENTS,
    "water": WITHOUT_NUTRIENTS,
    # Uptake of P and K is not limited.
    "nitrogen": _supply("P", "K"),
    "npk": set(),
}
"""Parameters that no output considered here depends on, by the equations of a model or level."""


def structural(name: str) -> set[str]:
    """What has no effect in a trial by the equations, or by a rule of irrigation that never irrigates."""
    model = trial(name).model
    zeros = STRUCTURAL[getattr(model, "level", getattr(model, "variant", model.name))]
    if model.name == "LINTUL1" or "irrigation_trigger" in trial(name).season.management:
        return zeros
    return zeros | RULE


SOWN, BY_DATE, INSENSITIVE = {"IDEM"}, {"TBASEM", "TEFFMX", "TSUMEM"}, {"PHOTTB"}
# The soil never wet, and no stress at all.
DRY = {"CRAIRC", "KSUB", "SM0"}
UNSTRESSED = DRY | {"CFEV", "DEPNR", "RDI", "RDMCR", "RDMSO", "RDRL", "RRI"}
UNSTRESSED |= {"RUNFR", "SMDRY", "SMFC", "SMI", "SMLOWI", "SMW"}
NEVER_WET = {"DRATE", "WCST", "WCWET"}
# The canopy never shades itself.
UNSHADED = {"LAICR", "RDRSHM"}
# The evaporative demand is read from a file.
REPLAYED = {"ALT", "LAT"}


def _ample(nutrient: str) -> set[str]:
    """Parameters of roots and storage organs: nothing depends on where a nutrient is of which there is enough."""
    return {f"R{nutrient}FRT", f"LR{nutrient}R", f"{nutrient}MAXSO", f"TC{nutrient}T"}


def _idle(nutrient: str) -> set[str]:
    """Those of leaves and stems: of another nutrient the crop is always shorter."""
    return _of(nutrient) - _ample(nutrient)


# LINTUL3. NFRSTI: no stem at the start. DVSNT: no storage organ to supply at that stage yet. LAT: PHOTTB is flat.
LINTUL3 = {"DRATE", "DVSNT", "LAIJ", "NFRSTI", "WCAD", "WCI", "WCST", "WCWET"}
IRRIGATED = {"IRRIGF", "ROOTDI", "ROOTDM", "RRDMAX", "TRANCO", "WCFC", "WCSUBS", "WCWP"}
DEATH_OF_ROOTS = {"DVSDR", "RDRRT"}
FED = DEATH_OF_ROOTS | {"NLAI", "NPART", "NRFTAB", "RNFRT", "RTMIN"}

# LAIJ: a temperature sum or a stage ends the juvenile phase first. LAICR, RDRSHM: the canopy never shades itself.
# TEFFMX: no day before emergence is so warm. DOYEM: no day after emergence is warm enough to develop.
SITUATION = {
    "lintul1-1971": {"DOYEM", "LAIJ"},
    "lintul1-1984": {"LAIJ"},
    "lintul2-1971": NEVER_WET | {"LAIJ", "ROOTDI", "ROOTDM", "RRDMAX", "TRANCO", "WCAD", "WCFC", "WCI", "WCWP"},
    "lintul2-1999": NEVER_WET | {"LAIJ"},
    "lintul2-2018": NEVER_WET | {"FRTTB", "LAIJ", "ROOTDI", "ROOTDM", "RRDMAX", "TRANCO", "WCAD", "WCWP"},
    "lintul2-1976": NEVER_WET | {"LAIJ"},
    "lintul2-1994": NEVER_WET | {"LAIJ"},
    "lintul3-1987": LINTUL3 | IRRIGATED | FED | {"LAT"},
    "lintul3-1987-dry": LINTUL3 | DEATH_OF_ROOTS | {"LAT", "NLAI", "NPART", "RNFRT", "ROOTDM", "TRANCO"},
    "lintul3-1995": LINTUL3 | IRRIGATED | {"LAT", "NLAI"},
    "lintul3-pcse-1992": LINTUL3 | UNSHADED | REPLAYED,
    "lintul3-pcse-1985": LINTUL3 | IRRIGATED | FED | REPLAYED,
    "lintul3-1976": LINTUL3 | FED | {"FNTRT", "FRNX", "LAT", "NLUE", "NMAXSO", "NSLA", "RDRNS", "RNFST", "TCNT"},
    "lintul3-pcse-1988": LINTUL3 | IRRIGATED | UNSHADED | {"NLAI"},
    "wheat-1969": UNSTRESSED | BY_DATE | INSENSITIVE | {"IDEM"},
    "wheat-1971": UNSTRESSED | BY_DATE | INSENSITIVE | {"IDEM"},
    "wheat-1969-water": DRY | BY_DATE | INSENSITIVE | {"IDEM", "RDI", "RDMSO", "RDRL", "RRI", "SMDRY", "SMI", "SMLOWI"},
    "wheat-1997": UNSTRESSED | BY_DATE | INSENSITIVE,
    "maize-1995": UNSTRESSED | SOWN | INSENSITIVE | {"TEFFMX"},
    "maize-1983": DRY | SOWN | INSENSITIVE | {"RDMCR", "SMDRY", "SMI", "SMLOWI", "TEFFMX"},
    "maize-1989": DRY | SOWN | INSENSITIVE | {"LAICR", "LAIJ", "RDMCR", "RDMSO", "RDRSHM", "TEFFMX"},
    "maize-1989-failed": DRY | SOWN | INSENSITIVE | {"LAICR", "LAIJ", "RDMCR", "RDMSO", "RDRSHM", "TEFFMX"},
    "maize-iowa-2012": DRY | SOWN | INSENSITIVE | {"RDMSO", "SMDRY", "SMI", "SMLOWI", "TEFFMX"},
    "barley-1976": DRY | SOWN | INSENSITIVE | {"LAIJ", "RDMCR", "SMDRY", "TEFFMX"},
    "barley-1998-clay": SOWN | INSENSITIVE | {"DEPNR", "LAIJ", "RDMCR", "SMDRY", "SMW", "TEFFMX"},
    "barley-1998-ducts": UNSTRESSED | SOWN | INSENSITIVE | {"LAIJ", "TEFFMX"},
    "sugar-beet-1995": DRY | SOWN | INSENSITIVE | {"LAIJ", "RDMSO", "SMDRY", "TEFFMX"},
    "sugar-beet-1996": DRY
    | SOWN
    | INSENSITIVE
    | {"LAICR", "LAIJ", "RDMSO", "RDRSHM", "SMDRY", "SMI", "SMLOWI", "TEFFMX"},
    "faba-bean-1998": DRY | SOWN | INSENSITIVE | {"LAIJ", "RDI", "RDMSO", "RDRL", "RRI", "SMDRY", "TEFFMX"},
    "potato-1992": DRY | SOWN | INSENSITIVE | {"LAIJ", "RDMCR", "RDMSO", "SMDRY", "SMI", "SMLOWI"},
    "potato-1986": UNSTRESSED | SOWN | INSENSITIVE | {"LAIJ"},
    "sunflower-1983": DRY | SOWN | INSENSITIVE | {"SMDRY", "TEFFMX"},
    "sunflower-1982": UNSTRESSED | SOWN | INSENSITIVE | {"TEFFMX"},
    "soybean-iowa-2008": UNSTRESSED | SOWN | {"LAICR", "LAIJ", "RDRSHM", "TEFFMX"},
    "wheat-1969-nitrogen": DRY
    | BY_DATE
    | INSENSITIVE
    | SOWN
    | UNSHADED
    | _ample("P")
    | _ample("K")
    | {
        "DVSDR",
        "DVSNLT",
        "DVSNT",
        "RDI",
        "RDMSO",
        "RDRL",
        "RDRRTB",
        "RNFRT",
        "RRI",
        "RTNMINS",
        "SMDRY",
        "SMI",
        "SMLOWI",
    },
    "potato-1992-nitrogen": DRY
    | INSENSITIVE
    | SOWN
    | UNSHADED
    | _idle("P")
    | _idle("K")
    | _ample("P")
    | _ample("K")
    | {"DVSNLT", "DVSNT", "LAIJ", "RDMCR", "RDMSO", "RDRRTB", "RNFRT", "SMDRY", "SMI", "SMLOWI"},
    "faba-bean-1998-npk": UNSTRESSED
    | INSENSITIVE
    | SOWN
    | UNSHADED
    | _ample("K")
    | _supply("N")
    | _supply("K")
    | {"DVSDR", "LAIJ", "RNFRT", "RPFRT", "TEFFMX"},
    "sunflower-1983-npk": DRY
    | INSENSITIVE
    | SOWN
    | UNSHADED
    | _supply("N")
    | {"DVSDR", "DVSNT", "RKFRT", "RNFRT", "RPFRT", "RTKMINS", "RTPMINS", "SMDRY", "TEFFMX"},
    "barley-1985-nitrogen": UNSTRESSED
    | INSENSITIVE
    | SOWN
    | UNSHADED
    | _idle("P")
    | _ample("P")
    | _ample("K")
    | _supply("N")
    | {"DVSDR", "DVSNT", "LAIJ", "RNFRT", "TEFFMX"},
    "maize-1982-npk": DRY
    | INSENSITIVE
    | SOWN
    | UNSHADED
    | _idle("K")
    | _ample("K")
    | _supply("K")
    | {
        "DVSDR",
        "DVSNLT",
        "DVSNT",
        "LRNR",
        "NFIXF",
        "NMAXSO",
        "RDMCR",
        "RDMSO",
        "RDRRTB",
        "RNFRT",
        "RPFRT",
        "RTNMINS",
        "SMI",
        "SMLOWI",
        "TCNT",
        "TEFFMX",
    },
    "wheat-1994-npk": UNSTRESSED
    | BY_DATE
    | INSENSITIVE
    | UNSHADED
    | _ample("P")
    | _supply("N")
    | _supply("P")
    | {"DVSDR", "DVSNT", "RKFRT", "RTKMINS"},
    "sugar-beet-1988-nitrogen": DRY
    | INSENSITIVE
    | SOWN
    | UNSHADED
    | _idle("P")
    | _idle("K")
    | _ample("P")
    | _ample("K")
    | _supply("N")
    | {"DVSDR", "DVSNT", "LAIJ", "RDMCR", "RDMSO", "SMDRY", "SMI", "SMLOWI", "TEFFMX"},
    "maize-iowa-1996-nitrogen": DRY
    | INSENSITIVE
    | SOWN
    | _idle("P")
    | _idle("K")
    | _ample("P")
    | _ample("K")
    | {
        "DVSDR",
        "DVSNLT",
        "DVSNT",
        "RDMCR",
        "RDMSO",
        "RDRL",
        "RDRRTB",
        "RNFRT",
        "RTNMINS",
        "SMDRY",
        "SMI",
        "SMLOWI",
        "TEFFMX",
    },
    "soybean-iowa-2002-npk": DRY
    | INSENSITIVE
    | SOWN
    | UNSHADED
    | _idle("K")
    | _ample("K")
    | _supply("N")
    | _supply("K")
    | {"DVSDR", "DVSNT", "LAIJ", "RDMCR", "RDMSO", "RPFRT", "RTPMINS", "SMDRY", "SMLOWI"},
}
"""Parameters without effect in a season, beside the structural ones."""

# A step of 1 % in an optimal or maximum concentration makes another nutrient the shortest on some day; rain fills up
# what 0.5 % of SMLOWI take from the subsoil before roots are there, and not what 1 % do.
NEAR = {
    "potato-1992-nitrogen": {"FRKX", "FRPX", "KMXLV[0]", "KMXLV[1]"},
    "barley-1985-nitrogen": {
        "FRPX",
        "KMXLV[0]",
        "KMXLV[1]",
        "KMXLV[4]",
        "PMXLV[0]",
        "PMXLV[1]",
        "PMXLV[2]",
        "PMXLV[3]",
    },
    "maize-1982-npk": {"FRKX", "KMXLV[0]", "KMXLV[1]", "KMXLV[2]"},
    "wheat-1994-npk": {"PMXLV[2]"},
    "sugar-beet-1988-nitrogen": {"FRKX", "FRPX", "SMLOWI"},
    "maize-iowa-1996-nitrogen": {"FRKX", "FRPX", "KMXLV[2]", "KMXLV[3]", "PMXLV[2]", "PMXLV[3]"},
    "soybean-iowa-2002-npk": {"FRKX", "KMXLV[0]", "KMXLV[1]", "KMXLV[2]"},
}
"""Entries without derivative that a step of 1 % gives an effect, beyond the next kink."""

HESSIAN_TOLERANCE, HESSIAN_SHARE = 1e-3, 0.95


@cache
def at_presets(name: str) -> Matrix:
    return matrix(trial(name), presets(trial(name)), steps=(*STEPS, LARGE_STEP))


# --- first derivatives ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", trials(ALL, FAST))
def test_at_the_presets_derivatives_are_differences_but_for_known_ties(name: str) -> None:
    failed = at_presets(name).mismatches()
    labels = {label for _, label, *_ in failed}
    ties = TIES.get(name, {})
    assert labels <= set().union(*ties.values()), failed
    for reason, tied in ties.items():
        assert labels & tied, f"no tie any more: {reason}"


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
@pytest.mark.parametrize("name", trials(ALL, FAST))
def test_near_the_presets_derivatives_are_differences(name: str, seed: int) -> None:
    failed = matrix(trial(name), drawn(trial(name), seed)).mismatches()
    assert not failed


@pytest.mark.shared
def test_with_smooth_rain_gates_the_runoff_fraction_has_a_derivative_at_a_tie_too() -> None:
    case = trial("sugar-beet-1995")
    point = presets(case)
    found = matrix(case, point, tc.Smooth(rain_gates=True), only={"RUNFR"})
    assert not found.mismatches()
    assert bool((found.exact[0] != 0).all())


# --- parameters without effect --------------------------------------------------------------------------


@pytest.mark.parametrize("name", trials(ALL, FAST))
def test_the_parameters_without_derivative_are_those_listed_and_have_no_effect(name: str) -> None:
    found = at_presets(name)
    without = found.without_effect(found.exact)
    assert not structural(name) & SITUATION[name]
    assert without == structural(name) | SITUATION[name]
    near = {label.split("[")[0] for label in NEAR.get(name, ())}
    assert without - near == found.without_effect(found.numeric[LARGE_STEP]) - near


@pytest.mark.parametrize("name", trials(ALL, FAST))
def test_no_effect_of_a_one_per_cent_step_is_hidden_from_the_derivative(name: str) -> None:
    assert set(at_presets(name).hidden(LARGE_STEP)) == NEAR.get(name, set())


@pytest.mark.parametrize("name", trials(ALL, FAST))
def test_every_continuous_parameter_is_looked_at(name: str) -> None:
    looked_at = {e.key for e in at_presets(name).entries}
    case = trial(name)
    records = {n: q.record for n, q in case.model.Parameters.quantities().items()}
    every = {(r, n): q for r, kind in records.items() if kind for n, q in kind.quantities().items()}
    assert set(every) - looked_at == {key for key, q in every.items() if q.kind == "switch"}
    assert looked_at == set(continuous(case))


@pytest.mark.parametrize("name", trials(("lintul2-1999", "maize-iowa-2012"), FAST))
def test_hard_switches_hide_what_stages_do(name: str) -> None:
    """The comparison has teeth: without smoothing it would find these zeros."""
    case = trial(name)
    point = presets(case)
    hidden = {"lintul2-1999": {"TSUMAN", "TSUMEND", "ROOTDM", "TSUMJ"}, "maize-iowa-2012": {"TSUMEM", "DVSDLT"}}[name]
    wanted = [e for e in entries(case, point) if e.symbol in hidden]
    _, hard = derivatives(case, point, wanted, tc.Hard())
    _, smooth = derivatives(case, point, wanted, tc.Smooth())
    assert bool((hard == 0).all())
    assert bool((smooth != 0).any(0).all())


# --- applications by stage ------------------------------------------------------------------------------


def test_derivatives_to_amounts_and_stages_of_fertiliser_are_differences() -> None:
    """A soil poor enough that maize takes up each dose in full, the later the dose the later."""
    case = trial("maize-iowa-1996-nitrogen")
    assert case.season.soil is not None
    season = replace(case.season, events={}, soil=case.season.soil.with_values(NMINS=2.0))

    def outputs(plan: torch.Tensor) -> torch.Tensor:
        """Yield, maximum LAI, transpiration and uptake of nitrogen, ``[4, B]``, by three stages and amounts."""
        run = tc.simulate(
            case.model,
            case.crop,
            season,
            switches=tc.Smooth(),
            events={"nitrogen": Table(plan[..., :3], plan[..., 3:])},
            outputs=["max(lai)"],
        )
        final = run.final
        return torch.stack(
            [final["wso"], run["max(lai)"], final["total_transpiration"], final["total_nitrogen_uptake"]]
        )

    plan = torch.tensor([0.25, 0.5, 0.8, 2.0, 2.0, 2.0], dtype=torch.float64)
    exact = torch.autograd.functional.jacobian(lambda x: outputs(x)[:, 0], plan)
    steps = 1e-6 * plan
    with torch.no_grad():
        values = outputs(torch.cat([plan + steps.diag(), plan - steps.diag()]))
    numeric = (values[:, :6] - values[:, 6:]) / (2 * steps)
    torch.testing.assert_close(exact[:3], numeric[:3], rtol=TOLERANCE, atol=0.0)
    assert bool((exact[:3] != 0).all())
    recovery = 0.7
    torch.testing.assert_close(exact[3], torch.tensor([0.0] * 3 + [recovery] * 3, dtype=torch.float64))
    torch.testing.assert_close(numeric[3], exact[3], rtol=TOLERANCE, atol=1e-8)


# --- second derivatives ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "event"),
    trials(("lintul1-1971", "barley-1976", "maize-iowa-2012"), ("lintul1-1971", "barley-1976"), ("tsum_anthesis",))
    + trials(("lintul1-1971", "lintul2-1971", "wheat-1969", "maize-1995"), (), ("tsum_maturity",))
    + trials(("lintul3-1995", "wheat-1969-nitrogen", "sunflower-1983-npk"), (), ("tsum_anthesis",))
    + trials(("wheat-1994-npk",), (), ("tsum_maturity",)),
)
def test_a_row_of_the_hessian_is_the_difference_of_gradients(name: str, event: str) -> None:
    case = trial(name)
    values = axis(case, event, span=60.0, points=100)
    deviation = hessian_agreement(case, ("crop", event), values, tc.Smooth())
    assert (deviation < HESSIAN_TOLERANCE).to(torch.float64).mean() >= HESSIAN_SHARE
