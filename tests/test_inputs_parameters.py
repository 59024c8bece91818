"""Parameter files: what ships is right, what is wrong is refused in one error, what is saved comes back."""

import dataclasses
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from torchcrop.functions.tables import Table
from torchcrop.inputs.parameter_checks import cross_checks
from torchcrop.inputs.parameters import (
    ParameterError,
    attributed,
    load_crop,
    load_soil,
    provenance_of,
    read_parameters,
    save_parameters,
)
from torchcrop.inputs.shipped import data_path, names
from torchcrop.models.lintul1 import Lintul1Crop
from torchcrop.models.lintul2 import Lintul2Crop, Lintul2Soil
from torchcrop.models.lintul3 import Lintul3Crop, Lintul3Soil
from torchcrop.models.lintul5 import Lintul5Crop, Lintul5Soil
from torchcrop.quantities import Record

CROPS, SOILS = names("crops"), names("soils")
# All others that ship are of LINTUL5.
OTHER_CROPS: dict[str, type[Record]] = {"spring_wheat": Lintul2Crop, "spring_wheat_lintul3": Lintul3Crop}
OTHER_SOILS: dict[str, type[Record]] = {"lintul2_wageningen": Lintul2Soil, "lintul3_wageningen": Lintul3Soil}
# Original units to ours; the symbols not named here have the same unit.
FACTORS = {"TDWI": 0.1, "SLATB": 10.0, "RDI": 0.01, "RRI": 0.01, "RDMCR": 0.01, "RDMSO": 0.01, "KSUB": 10.0}
# Wolf 2012, the published runs: kg ha-1 that can be mineralised, and share of it a day.
NUTRIENT_RESERVES = {"NMINS": 30.0, "PMINS": 3.0, "KMINS": 20.0, "RTNMINS": 0.025, "RTPMINS": 0.025, "RTKMINS": 0.025}


def same(a: Record, b: Record) -> bool:
    """Whether two records hold exactly the same numbers."""

    def tensors(record: Record) -> list[torch.Tensor]:
        return [t for _, v in record.items() for t in ((v.x, v.y) if isinstance(v, Table) else (v,))]

    pairs = zip(tensors(a), tensors(b), strict=True)
    return type(a) is type(b) and all(torch.equal(x, y) for x, y in pairs)


def points(values: list) -> list[tuple[float, float]]:
    pairs = values if isinstance(values[0], list) else zip(values[::2], values[1::2], strict=True)
    return [tuple(p) for p in pairs]


def edited(source: Path, target: Path, edit) -> Path:
    """A shipped file, changed."""
    data = yaml.safe_load(source.read_text())
    edit(data)
    target.write_text(yaml.safe_dump(data, sort_keys=False))
    return target


@pytest.fixture
def maize(tmp_path):
    """Give a function that writes a changed maize file and the sentences of its refusal."""

    def refused(edit) -> list[str]:
        path = edited(data_path("crops", "maize"), tmp_path / "maize.yaml", edit)
        with pytest.raises(ParameterError) as caught:
            load_crop(path)
        assert str(path) in str(caught.value)
        assert all(problem in str(caught.value) for problem in caught.value.problems)
        return list(caught.value.problems)

    return refused


# --- what ships -----------------------------------------------------------------------------------------


def test_the_crops_of_lintul5_and_the_spring_wheats_ship():
    assert len(CROPS) == 24
    assert {"wheat", "maize", "barley", "sugar_beet", "potato", *OTHER_CROPS} <= set(CROPS)
    assert {"lintul5_p1", "lirf", "sandy_loam", *OTHER_SOILS} <= set(SOILS)


@pytest.mark.parametrize("name", CROPS)
def test_a_shipped_crop_loads_as_float64_with_source_and_bounds(name):
    crop = load_crop(name)
    assert type(crop) is OTHER_CROPS.get(name, Lintul5Crop)
    provenance = provenance_of(crop)
    assert provenance.name == name
    assert provenance.source
    assert provenance.licence
    for key, value in crop.items():
        assert (value.y if isinstance(value, Table) else value).dtype == torch.float64
        quantity = crop.quantities()[key]
        if key in provenance.bounds():
            low, high = provenance.bounds()[key]
            if quantity.kind == "table":
                scaled = value.y * torch.tensor([[low], [high]], dtype=torch.float64)
                held = scaled[:, value.y > 0]
                assert low <= 1 <= high
                assert held.min() >= quantity.bounds[0] - 1e-12
                assert held.max() <= quantity.bounds[1] + 1e-12
            else:
                assert quantity.bounds[0] <= low <= value <= high <= quantity.bounds[1]


@pytest.mark.parametrize("name", SOILS)
def test_a_shipped_soil_loads(name):
    assert type(load_soil(name)) is OTHER_SOILS.get(name, Lintul5Soil)


def test_published_values_in_our_units():
    # Wolf 2012: wheat TDWI 210 kg/ha, SLATB 0.00212 ha/kg, RDMCR 125 cm, RRI 1.2 cm/d; maize RUETB 4.5 g/MJ.
    wheat, maize = load_crop("wheat"), load_crop("maize")
    assert wheat.initial_weight.item() == 21.0
    assert wheat.specific_leaf_area.y.tolist() == [0.0212] * 3
    assert wheat.maximum_root_depth.item() == 1.25
    assert wheat.root_growth.item() == 0.012
    assert maize.radiation_use_efficiency.pairs()[0] == (0.0, 4.5)
    # FST listing of LINTUL1: 1110 and 2080 degC d, 3 g/MJ.
    spring = load_crop("spring_wheat")
    assert (spring.tsum_anthesis.item(), spring.tsum_maturity.item()) == (1110.0, 2080.0)
    assert spring.light_use_efficiency.item() == 3.0
    assert isinstance(spring, Lintul1Crop)
    assert load_soil("lintul5_p1").percolation.item() == 100.0


def test_the_crops_equal_the_transcription(shared):
    source = yaml.safe_load((shared / "models/lintul5_crops.yaml").read_text())["crops"]
    assert set(source) == set(CROPS) - set(OTHER_CROPS)
    longer = {("cowpea", "TMNFTB"), ("rice", "TMNFTB"), ("sorghum", "TMNFTB"), ("sorghum", "TMPFTB")}
    for name, body in source.items():
        crop = load_crop(name)
        for key, quantity in crop.quantities().items():
            given = body["parameters"].get(quantity.symbol)
            factor = FACTORS.get(quantity.symbol, 1.0)
            if given is None:
                assert quantity.symbol in ("DVSJ", "LAIJ")
            elif quantity.kind == "table":
                expected = [(x, pytest.approx(factor * y, rel=1e-12)) for x, y in points(given)]
                held = getattr(crop, key).pairs()
                assert held[: len(expected)] == expected, (name, key)
                assert len(held) - len(expected) == ((name, quantity.symbol) in longer)
            else:
                assert getattr(crop, key).item() == pytest.approx(factor * given, rel=1e-12), (name, key)


def test_spring_wheat_and_soils_equal_the_transcription(shared):
    wheat = yaml.safe_load((shared / "models/spring_wheat.yaml").read_text())["lintul1_2"]
    crop = load_crop("spring_wheat")
    for key, quantity in crop.quantities().items():
        if quantity.symbol in wheat:
            value = getattr(crop, key)
            held = value.pairs() if quantity.kind == "table" else value.item()
            assert held == (points(wheat[quantity.symbol]) if quantity.kind == "table" else wheat[quantity.symbol])
    soils = yaml.safe_load((shared / "models/soils.yaml").read_text())
    for name in ("lintul2_wageningen", "lintul5_p1"):
        soil = load_soil(name)
        for key, quantity in soil.quantities().items():
            if quantity.symbol in NUTRIENT_RESERVES:
                continue  # not in the transcription of the soils; see the test of them
            expected = soils[name]["values"][quantity.symbol] * FACTORS.get(quantity.symbol, 1.0)
            assert getattr(soil, key).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", sorted(set(SOILS) - set(OTHER_SOILS)))
def test_the_nutrient_reserves_of_soils_are_those_of_the_published_runs_and_assumed(name):
    soil = load_soil(name)
    for key, quantity in soil.quantities().items():
        if quantity.symbol in NUTRIENT_RESERVES:
            factor = 0.1 if quantity.unit == "g m-2" else 1.0
            assert getattr(soil, key).item() == pytest.approx(factor * NUTRIENT_RESERVES[quantity.symbol], rel=1e-12)
            assert provenance_of(soil).entries[key].assumed


def test_the_soil_of_lirf_says_what_is_assumed():
    soil = load_soil("lirf")
    provenance = provenance_of(soil)
    assert set(soil.quantities()) - set(provenance.assumed) == {"field_capacity", "wilting_point"}
    # The nominal start of the source: 145.35 mm in 0-105 cm, of which 0-10 cm are the rooted zone.
    assert 100 * soil.initial.item() + 950 * soil.initial_lower.item() == pytest.approx(145.35, abs=0.05)


def saxton_rawls(sand: float, clay: float, organic: float = 2.5) -> tuple[float, float, float]:
    """Saxton & Rawls 2006, table 1: water contents at 1500 kPa, 33 kPa and saturation."""
    t = -0.024 * sand + 0.487 * clay + 0.006 * organic
    t += 0.005 * sand * organic - 0.013 * clay * organic + 0.068 * sand * clay + 0.031
    wilting = t + 0.14 * t - 0.02
    t = -0.251 * sand + 0.195 * clay + 0.011 * organic
    t += 0.006 * sand * organic - 0.027 * clay * organic + 0.452 * sand * clay + 0.299
    capacity = t + 1.283 * t**2 - 0.374 * t - 0.015
    t = 0.278 * sand + 0.034 * clay + 0.022 * organic
    t += -0.018 * sand * organic - 0.027 * clay * organic - 0.584 * sand * clay + 0.078
    return wilting, capacity, capacity + t + 0.636 * t - 0.107 - 0.097 * sand + 0.043


@pytest.mark.parametrize(
    ("name", "sand", "clay"),
    [
        ("sand", 0.88, 0.05),
        ("loamy_sand", 0.80, 0.05),
        ("sandy_loam", 0.65, 0.10),
        ("loam", 0.40, 0.20),
        ("silt_loam", 0.20, 0.15),
        ("silt", 0.10, 0.05),
        ("sandy_clay_loam", 0.60, 0.25),
        ("clay_loam", 0.30, 0.35),
        ("silty_clay_loam", 0.10, 0.35),
        ("silty_clay", 0.10, 0.45),
        ("sandy_clay", 0.50, 0.40),
        ("clay", 0.25, 0.50),
    ],
)
def test_texture_classes_follow_the_regression_of_saxton_and_rawls(name, sand, clay):
    soil = load_soil(name)
    held = (soil.wilting_point.item(), soil.field_capacity.item(), soil.saturation.item())
    assert held == pytest.approx(saxton_rawls(sand, clay), abs=0.005)  # the table is rounded to 0.01


def test_an_unknown_name_is_answered_with_the_nearest_and_the_list():
    with pytest.raises(ValueError, match=r"no 'maise' among the crops .*did you mean 'maize'.*there are barley"):
        load_crop("maise")
    with pytest.raises(ValueError, match=r"unknown kind of data 'crop'.*did you mean 'crops'"):
        names("crop")
    with pytest.raises(FileNotFoundError):
        load_crop("./maize.yaml")


# --- what is refused ------------------------------------------------------------------------------------


def test_all_problems_of_a_file_come_in_one_error(maize):
    def edit(data):
        values = data["values"]
        values["tsum_anthesis"]["value"] = 99999.0
        values["maximum_root_depth"]["unit"] = "cm"
        values["rgrlia"] = values.pop("relative_lai_growth")
        values["critical_lai"]["value"] = float("nan")
        data["colour"] = "green"

    problems = maize(edit)
    assert len(problems) == 6
    text = "\n".join(problems)
    assert "values.tsum_anthesis.value: is 99999 degC d; expected 25 to 7200" in text
    assert "unit: is 'cm', but maximum_root_depth is in 'm': multiply the value by 0.01" in text
    assert "values.rgrlia: Lintul5Crop has no such value (did you mean 'rgrlai'" in text
    assert "values.relative_lai_growth: missing; Lintul5Crop needs it (RGRLAI [(degC d)-1]" in text
    assert "critical_lai.value: is nan; expected a finite number" in text
    assert "colour: unknown key" in text


@pytest.mark.parametrize(
    ("key", "entry", "expected"),
    [
        ("tsum_anthesis", {"symbol": "TSUM2"}, "symbol: is 'TSUM2', but the symbol of tsum_anthesis is TSUM1"),
        ("initial_weight", {"unit": "kg ha-1"}, "but initial_weight is in 'g m-2': multiply the value by 0.1"),
        ("specific_leaf_area", {"unit": "ha kg-1"}, "multiply the value by 10"),
        ("tsum_anthesis", {"unit": "hours"}, "unit: is 'hours', but tsum_anthesis is in 'degC d'"),
        ("tsum_anthesis", {"value": float("inf")}, "is inf; expected a finite number"),
        ("tsum_anthesis", {"value": "1e3"}, "is the text '1e3'; write a number without quotes"),
        ("tsum_anthesis", {"value": True}, "is True; expected a number"),
        ("tsum_anthesis", {"value": [1, 2]}, "expected a number"),
        ("photoperiod_sensitive", {"value": 0.5}, "a switch is 0 or 1"),
        ("specific_leaf_area", {"value": 0.02}, "expected a list of points [[x, y], ...], x being development stage"),
        ("specific_leaf_area", {"value": [[0, 0.02]]}, "has 1 point; a table needs at least two"),
        (
            "specific_leaf_area",
            {"value": [[0, 0.02], [1, 0.02], [0.5, 0.02]]},
            "x must increase, but 0.5 follows 1 (point 3",
        ),
        (
            "specific_leaf_area",
            {"value": [[0, 0.02], [1, 20]]},
            "is 20 m2 g-1 at development stage 1; expected 0.002 to 0.08",
        ),
        ("specific_leaf_area", {"value": [[0, 0.02], [1, None]]}, "value[1]: is None; expected a number"),
        ("specific_leaf_area", {"bounds": [0.01, 0.02]}, "bounds: a table takes scale_bounds"),
        ("specific_leaf_area", {"ends": "clip"}, "ends: is 'clip'; expected hold or extrapolate"),
        ("tsum_anthesis", {"bounds": [900, 100]}, "are 900 to 100; expected low < high"),
        ("tsum_anthesis", {"bounds": [1, 100]}, "expected low < high, within 25 to 7200"),
        ("tsum_anthesis", {"assumed": "perhaps"}, "assumed: is 'perhaps'; expected true or false"),
        ("tsum_anthesis", {"vlaue": 3}, "vlaue: unknown key (did you mean 'value'"),
        ("tsum_anthesis", {"source": 2012}, "source: is 2012; expected text"),
    ],
)
def test_a_wrong_entry_is_refused(maize, key, entry, expected):
    problems = maize(lambda data: data["values"][key].update(entry))
    assert len(problems) == 1
    assert expected in problems[0]
    assert problems[0].startswith(f"values.{key}")


def test_an_entry_needs_value_and_unit(maize):
    problems = maize(lambda data: data["values"].update(tsum_anthesis={"symbol": "TSUM1"}, tsum_maturity=800))
    assert "values.tsum_anthesis.value: missing" in problems
    assert "values.tsum_anthesis.unit: missing" in problems
    assert any("values.tsum_maturity: expected a mapping with value and unit" in p for p in problems)


def test_fractions_that_do_not_sum_to_one_are_named_with_their_stage(maize):
    (problem,) = maize(lambda data: data["values"]["fraction_leaves"]["value"][2].__setitem__(1, 0.25))
    assert problem.startswith("values: FLTB + FSTB + FOTB must be 1 and is not at DVS 0.88 (1.1)")


def test_fractions_are_checked_at_the_points_of_every_table(maize):
    # Only FLTB has a point at 0.5.
    (problem,) = maize(lambda data: data["values"]["fraction_leaves"]["value"].insert(2, [0.5, 0.6]))
    assert problem.startswith("values: FLTB + FSTB + FOTB must be 1 and is not at DVS 0.5 (1.12")


def test_fractions_of_spring_wheat_count_the_roots(tmp_path):
    def edit(data):
        data["values"]["fraction_roots"]["value"][0][1] = 0.6

    with pytest.raises(
        ParameterError, match=r"FRTTB \+ FLVTB \+ FSTTB \+ FSOTB must be 1 and is not at TSUM 0 \(1.1\)"
    ):
        load_crop(edited(data_path("crops", "spring_wheat"), tmp_path / "w.yaml", edit))


@pytest.mark.parametrize(
    ("soil", "changes", "expected"),
    [
        ("lirf", {"SMW": 0.3}, r"wilting_point \(SMW\) is 0.3 and field_capacity \(SMFC\) is 0.184"),
        ("lirf", {"SMFC": 0.45}, r"field_capacity \(SMFC\) is 0.45 and saturation \(SM0\) is 0.4"),
        ("lirf", {"SMI": 0.45}, r"initial \(SMI\) is 0.45 and saturation \(SM0\) is 0.4"),
        ("lirf", {"SMLOWI": 0.02}, r"air_dry \(SMDRY\) is 0.046 and initial_lower \(SMLOWI\) is 0.02"),
        ("lintul2_wageningen", {"WCWP": 0.36}, r"wilting_point \(WCWP\) is 0.36 and field_capacity \(WCFC\) is 0.36"),
        ("lintul2_wageningen", {"WCWET": 0.3}, r"field_capacity \(WCFC\) is 0.36 and wet \(WCWET\) is 0.3"),
    ],
)
def test_water_contents_out_of_order_are_both_named(soil, changes, expected):
    with pytest.raises(ParameterError, match=expected):
        load_soil(soil, changes)


def test_other_values_out_of_order_are_refused():
    with pytest.raises(ParameterError, match=r"TSUMAN\) is 2200 and .*TSUMEND\) is 2080"):
        load_crop("spring_wheat", {"tsuman": 2200})
    with pytest.raises(ParameterError, match=r"RDI\) is 0.4 and .*RDMCR\) is 0.3"):
        load_crop("maize", {"rdi": 0.4, "rdmcr": 0.3})


# Maize: the lowest NMXLV is 0.0167, PMXLV 0.004, KMXLV 0.027 g g-1; LS.R and LR.R are 0.5.
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rnflv": 0.02}, r"RNFLV\) is 0.02 and FRNX \* NMXLV falls to 0.0167 g g-1 at DVS 2, but the residual"),
        ({"rnfst": 0.0084}, r"RNFST\) is 0.0084 and FRNX \* LSNR \* NMXLV falls to 0.00835 g g-1 at DVS 2"),
        ({"rnfrt": 0.0084}, r"RNFRT\) is 0.0084 and LRNR \* NMXLV falls to 0.00835"),
        ({"frnx": 0.3}, r"RNFLV\) is 0.0053 and FRNX \* NMXLV falls to 0.00501.*\n.*RNFST\) is 0.0027"),
        ({"rpflv": 0.005}, r"RPFLV\) is 0.005 and FRPX \* PMXLV falls to 0.004"),
        ({"lrkr": 0.1}, r"RKFRT\) is 0.0033 and LRKR \* KMXLV falls to 0.0027 .*lower RKFRT or raise KMXLV"),
        ({"dvsnt": 2.0}, r"DVSNT\) is 2 and .*DVSEND\) is 2 -, but nutrients move .* before maturity"),
        ({"dvsi": 0.9, "dvsnlt": 0.9}, r"DVSI\) is 0.9 and .*DVSNLT\) is 0.9 -, but uptake of nutrients needs time"),
    ],
)
def test_nutrient_values_that_contradict_each_other_are_refused(changes, expected):
    with pytest.raises(ParameterError, match=expected):
        load_crop("maize", changes)


def test_roots_need_no_optimal_concentration():
    # FRNX 0.65 leaves 0.0054 g g-1 in stems, above RNFST; roots with 0.0060 stay below their maximum of 0.0083.
    assert load_crop("maize", {"frnx": 0.65, "rnfrt": 0.006}).nitrogen_optimal_share.item() == 0.65


@pytest.mark.parametrize(
    "changes",
    [
        {"frtb": [(0.0, 1.0), (2.0, 0.0)]},
        {"fltb": [(0.0, 0.0), (2.0, 0.0)], "fstb": [(0.0, 1.0), (2.0, 1.0)], "fotb": [(0.0, 0.0), (2.0, 0.0)]},
    ],
)
def test_a_crop_without_leaves_at_the_start_is_refused(changes):
    with pytest.raises(ParameterError, match=r"at the initial stage, DVS 0, FRTB is .*: the crop has no leaves"):
        load_crop("maize", changes)


def test_nan_in_any_field_of_a_crop_is_named(maize):
    def edit(data):
        for entry in data["values"].values():
            if isinstance(entry["value"], list):
                entry["value"][0][1] = float("nan")
            else:
                entry["value"] = float("nan")

    problems = maize(edit)
    assert len(problems) == len(Lintul5Crop.quantities())
    assert all("is nan; expected a finite number" in problem for problem in problems)


def test_a_nutrient_that_is_none_of_the_three_is_named_with_the_nearest(maize):
    def edit(data):
        data["values"]["nitrogn_residual_leaves"] = data["values"].pop("nitrogen_residual_leaves")
        data["values"]["sulphur_residual_leaves"] = {"value": 0.001, "unit": "g g-1"}

    problems = maize(edit)
    assert len(problems) == 3
    assert (
        "nitrogn_residual_leaves: Lintul5Crop has no such value (did you mean 'nitrogen_residual_leaves'" in problems[0]
    )
    assert "sulphur_residual_leaves: Lintul5Crop has no such value" in problems[1]
    assert "nitrogen_residual_leaves: missing; Lintul5Crop needs it (RNFLV [g g-1]" in problems[2]


@pytest.mark.parametrize("name", sorted(set(CROPS) - {"spring_wheat"}))
def test_no_single_value_at_its_default_bounds_makes_the_nutrients_contradict(name):
    crop = load_crop(name)
    entries = provenance_of(crop).entries
    for key, bounds in provenance_of(crop).bounds().items():
        if key.startswith(("nitrogen_", "phosphorus_", "potassium_")):
            value = entries[key].value
            for bound in bounds:
                new = tuple((x, bound * y) for x, y in value) if isinstance(value, tuple) else bound
                changed = {**entries, key: dataclasses.replace(entries[key], value=new)}
                assert cross_checks(type(crop), changed) == [], (key, bound)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: !!python/object/apply:os.system ['true']", "not plain YAML in line 1: could not determine a constructor"),
        ("a: [1, 2", "not plain YAML"),
        ("name: a\nname: b", "not plain YAML in line 2: the key 'name' stands twice"),
        ("? [a]\n: 1", "not plain YAML in line 1"),
        ("- a\n- b", "holds a list; expected a mapping"),
        ("name: a\nmodel: lintul9\nvalues: {}", "model: 'lintul9' has no crop (did you mean 'lintul"),
        ("model: [lintul5]", "model: ['lintul5'] has no crop"),
    ],
)
def test_what_is_no_plain_parameter_file_is_refused(tmp_path, text, expected):
    path = tmp_path / "crop.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError) as caught:
        load_crop(path)
    assert expected in str(caught.value)


def test_a_soil_read_as_a_crop_is_recognised():
    with pytest.raises(ParameterError) as caught:
        load_crop(data_path("soils", "lirf"))
    assert caught.value.problems == ("values: these are the values of a soil; read the file with load_soil",)


def test_symbols_and_readable_names_are_both_accepted_but_not_twice(tmp_path, maize):
    def rename(data):
        data["values"] = {entry["symbol"].lower(): entry for entry in data["values"].values()}

    renamed = load_crop(edited(data_path("crops", "maize"), tmp_path / "symbols.yaml", rename))
    assert same(renamed, load_crop("maize"))
    (problem,) = maize(lambda data: data["values"].update(TSUM1=data["values"]["tsum_anthesis"]))
    assert problem == "values.TSUM1: tsum_anthesis is given twice, by name and by symbol"


def test_a_value_with_a_default_may_be_left_out(tmp_path):
    path = edited(data_path("crops", "maize"), tmp_path / "m.yaml", lambda data: data["values"].pop("juvenile_lai"))
    assert load_crop(path).juvenile_lai.item() == 0.75


# --- overlays, provenance, saving -----------------------------------------------------------------------


def test_an_overlay_changes_only_its_values_and_is_on_record(tmp_path):
    crop = load_crop("maize", {"tsum1": 720, "slatb": [[0.0, 0.03], [2.0, 0.01]]})
    assert crop.tsum_anthesis.item() == 720.0
    assert crop.specific_leaf_area.pairs() == [(0.0, 0.03), (2.0, 0.01)]
    assert same(crop.with_values(tsum1=695.0, slatb=load_crop("maize").specific_leaf_area), load_crop("maize"))
    entry = provenance_of(crop).entries["tsum_anthesis"]
    assert (entry.preset, entry.changed_by, entry.bounds) == (695.0, "user", (347.5, 1390.0))

    file = tmp_path / "cultivar.yaml"
    file.write_text("name: early\nmodel: lintul5\nvalues:\n  tsum1: {value: 600, unit: degC d, source: trial}\n")
    early = load_crop("maize", file)
    provenance = provenance_of(early)
    assert (provenance.name, provenance.based_on) == ("early", "maize")
    assert provenance.entries["tsum_anthesis"].changed_by == "overlay early"
    assert provenance.entries["tsum_anthesis"].source == "trial"


def test_an_overlay_is_checked_like_a_file(tmp_path):
    with pytest.raises(ParameterError, match=r"overlay .*\n.*rdmcrr: Lintul5Crop has no such value"):
        load_crop("maize", {"rdmcrr": 1.0})
    file = tmp_path / "o.yaml"
    file.write_text("name: o\nmodel: lintul2\nvalues: {}\n")
    with pytest.raises(ParameterError, match="model: is 'lintul2', but maize is a crop of lintul5"):
        load_crop("maize", file)


def test_provenance_survives_replacing_and_conversion():
    crop = load_crop("maize")
    changed = crop.with_values(tsum1=700.0).replace(critical_lai=torch.tensor(5.0)).to(dtype=torch.float32)
    assert provenance_of(changed) is provenance_of(crop)
    assert provenance_of(load_crop("maize")) == provenance_of(crop)
    assert hash(provenance_of(load_crop("maize"))) == hash(provenance_of(crop))


def test_a_saved_crop_says_what_was_changed_and_by_whom(tmp_path):
    fitted = load_crop("maize").with_values(tsum1=720.5, rdmcr=1.5, slatb=[(0.0, 0.03), (2.0, 0.012)])
    fitted = attributed(fitted, "fitted", ["tsum_anthesis", "specific_leaf_area"])
    path = fitted.save(tmp_path / "maize_lirf.yaml", notes=["Fitted to LIRF."])
    back = load_crop(path)
    assert same(back, fitted)
    provenance = provenance_of(back)
    assert (provenance.name, provenance.based_on, provenance.notes[-1]) == ("maize_lirf", "maize", "Fitted to LIRF.")
    assert provenance.source == provenance_of(fitted).source
    changed = {name: (e.preset, e.changed_by) for name, e in provenance.entries.items() if e.changed_by}
    assert changed["tsum_anthesis"] == (695.0, "fitted")
    assert changed["maximum_root_depth"] == (1.0, "user")
    assert changed["specific_leaf_area"] == (((0.0, 0.026), (0.78, 0.012), (2.0, 0.012)), "fitted")
    assert len(changed) == 3


def test_later_changes_keep_the_first_preset(tmp_path):
    first = load_crop("maize").with_values(tsum1=720.0)
    first = load_crop(attributed(first, "fitted", ["tsum_anthesis"]).save(tmp_path / "first.yaml"))
    second = load_crop(first.with_values(tsum1=730.0, tsum2=900.0).save(tmp_path / "second.yaml"))
    entries = provenance_of(second).entries
    assert (entries["tsum_anthesis"].preset, entries["tsum_anthesis"].changed_by) == (695.0, "user")
    assert entries["tsum_maturity"].changed_by == "user"
    assert provenance_of(second).based_on == "maize"
    third = load_crop(second.with_values(tsum1=695.0).save(tmp_path / "third.yaml"))
    assert provenance_of(third).entries["tsum_anthesis"].changed_by == ""


def test_a_value_changed_after_the_fit_is_no_longer_fitted(tmp_path):
    fitted = attributed(
        load_crop("maize").with_values(tsum1=720.0, tsum2=900.0), "fitted", ["tsum_anthesis", "tsum_maturity"]
    )
    entries = provenance_of(load_crop(fitted.with_values(tsum1=725.0).save(tmp_path / "m.yaml"))).entries
    assert entries["tsum_anthesis"].changed_by == "user"
    assert entries["tsum_maturity"].changed_by == "fitted"


def test_a_remark_on_the_preset_does_not_pass_for_one_on_the_new_value(tmp_path):
    soil = load_soil("lirf").with_values(smdry=0.03)
    entry = provenance_of(load_soil(soil.save(tmp_path / "soil.yaml"))).entries["air_dry"]
    assert entry.comment == "of the preset: half the wilting point"
    assert not entry.assumed


@pytest.mark.parametrize("kind", ["crop", "soil"])
def test_every_shipped_file_is_what_saving_it_writes(tmp_path, kind):
    for name in CROPS if kind == "crop" else SOILS:
        source = data_path(f"{kind}s", name)
        saved = save_parameters(read_parameters(source, kind), tmp_path / f"{name}.yaml")
        assert saved.read_text() == source.read_text()


def test_a_record_at_lower_precision_saves_the_values_it_was_read_from(tmp_path):
    crop = load_crop("maize")
    assert same(load_crop(crop.to(dtype=torch.float32).save(tmp_path / "m.yaml")), crop)


def test_a_record_built_by_hand_is_saved_too(tmp_path):
    values = dict(load_soil("lirf").items())
    soil = Lintul5Soil(**values)
    back = load_soil(save_parameters(soil, tmp_path / "field.yaml", title="My field", source="sampled"))
    assert same(back, soil)
    assert (provenance_of(back).name, provenance_of(back).title) == ("field", "My field")


def test_tables_that_extrapolate_come_back_so(tmp_path):
    crop = load_crop("maize")
    table = Table(crop.co2_factor.x, crop.co2_factor.y, "extrapolate")
    back = load_crop(crop.replace(co2_factor=table).save(tmp_path / "m.yaml"))
    assert back.co2_factor.ends == "extrapolate"
    assert back.specific_leaf_area.ends == "hold"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tsum1": [700.0, 800.0]}, r"tsum_anthesis: is a batch of values, \[2\]; save one of them"),
        ({"tsum1": 9000.0}, "is 9000 degC d; expected 25 to 7200"),
        ({"fltb": [(0.0, 0.5), (2.0, 0.0)]}, "FLTB .* must be 1"),
        ({"tsum1": float("nan")}, "is nan; expected a finite number"),
    ],
)
def test_nothing_is_written_that_could_not_be_read_back(tmp_path, changes, expected):
    target = tmp_path / "m.yaml"
    target.write_text("precious")
    with pytest.raises(ParameterError, match=expected):
        load_crop("maize").with_values(**changes).save(target)
    assert target.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [target]


def test_only_crops_and_soils_have_files(tmp_path):
    class Other(Record):
        """Nothing."""

    with pytest.raises(TypeError, match="a Other is neither crop nor soil"):
        Other().save(tmp_path / "o.yaml")


@st.composite
def changes(draw) -> dict:
    """New values of a LINTUL5 crop, within their bounds: scalars, a table, and fractions that sum to one."""
    scalars = {}
    for symbol in draw(st.sets(st.sampled_from(["tsum1", "tsum2", "rgrlai", "laicr", "rri", "cfet", "tdwi"]))):
        quantity = next(q for q in Lintul5Crop.quantities().values() if q.symbol == symbol.upper())
        scalars[symbol] = draw(st.floats(*quantity.bounds, allow_subnormal=False))
    knots = sorted(draw(st.sets(st.floats(0.0, 2.0, allow_subnormal=False), min_size=2, max_size=6)))
    ordinates = draw(st.lists(st.floats(0.0, 8.0), min_size=len(knots), max_size=len(knots)))
    # Some growth goes to leaves: a crop without leaves at the start is refused.
    cuts = [sorted(draw(st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)))) for _ in knots]
    return scalars | {
        "ruetb": list(zip(knots, ordinates, strict=True)),
        "fltb": [(x, a) for x, (a, _) in zip(knots, cuts, strict=True)],
        "fstb": [(x, b - a) for x, (a, b) in zip(knots, cuts, strict=True)],
        "fotb": [(x, 1 - b) for x, (_, b) in zip(knots, cuts, strict=True)],
    }


@settings(max_examples=20)
@given(changes())
def test_saved_values_come_back_exactly(tmp_path_factory, new):
    crop = load_crop("maize").with_values(**new)
    path = tmp_path_factory.getbasetemp() / "round_trip.yaml"
    back = load_crop(crop.save(path))
    assert same(back, crop)
    again = load_crop(back.save(path))
    assert same(again, crop)
    assert provenance_of(again).entries == provenance_of(back).entries
