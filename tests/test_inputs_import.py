"""Files of other programs: what they say arrives in our units, what cannot be read or kept is named."""

from __future__ import annotations

import importlib.util
import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import torchcrop as tc
from tests.test_inputs_parameters import same
from torchcrop.cli import main
from torchcrop.functions.tables import Table
from torchcrop.inputs.assignments import format_of, read_assignments
from torchcrop.inputs.foreign_names import POWERS
from torchcrop.inputs.parameters import ParameterError, load_crop, load_soil, provenance_of
from torchcrop.inputs.shipped import names
from torchcrop.inputs.yaml_files import FileError
from torchcrop.models.lintul5_records import Lintul5Crop, Lintul5Soil
from torchcrop.quantities import Record

LINTUL5_CROPS = [name for name in names("crops") if type(load_crop(name)) is Lintul5Crop]

SOIL = """
* soil of a plot
SMDRY = 0.1 ; SMW = 0.15 ; SMFC = 0.30 ; SM0 = 0.45
CRAIRC = 0.05
SMI = 0.25    ! of the rooted zone
SMLOWI = 0.3
RDMSO = 120.
KSUB = 10.
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def numbers(path: Path, **choices) -> dict[str, list]:
    return {
        name: [float(item) if isinstance(item, Decimal) else item for item in assigned.items]
        for name, assigned in read_assignments(path, **choices).items()
    }


def originals(crop: Record) -> dict[str, list[str]]:
    """Values of a LINTUL5 crop in the original's units, as a person would type them."""
    found: dict[str, list[str]] = {"SPA": ["0.000"], "SSATB": ["0.0", "0.0", "2.0", "0.0"]}
    for name, quantity in crop.quantities().items():
        if quantity.symbol in ("DVSJ", "LAIJ"):
            continue
        value = getattr(crop, name)
        power = -POWERS["lintul5"].get(quantity.symbol, 0)
        pairs = value.pairs() if isinstance(value, Table) else [(value.item(),)]
        found[quantity.symbol] = [
            str(Decimal(repr(number)).scaleb(power if i else 0))
            if len(pair) == 2
            else f"{Decimal(repr(number)).scaleb(power)}"
            for pair in pairs
            for i, number in enumerate(pair)
        ]
    return found


def problems_of(call, *arguments, **choices) -> list[str]:
    with pytest.raises(ParameterError) as caught:
        call(*arguments, **choices)
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    return list(caught.value.problems)


# --- notations ------------------------------------------------------------------------------------------


def test_ttutil_is_read_with_its_comments_lists_repeats_and_several_names_on_a_line(tmp_path):
    path = write(
        tmp_path,
        "a.dat",
        "** heading, with A = 1 in it\n"
        "* B = 2\n"
        "CRPNAM = 'Wheat! it''s winter'   ! a text\n"
        "c = 3 ; D=-4.5 ; E = 1.5D-3\n"
        "TAB = 0., 1.,   ! first\n"
        "      2.  3.,\n"
        "   * a comment inside a list\n"
        "      4., 5.E1\n"
        "REP = 3*0., 2 * 1.5, 7\n"
        "FLAG = .TRUE.\n",
    )
    assert numbers(path) == {
        "CRPNAM": ["Wheat! it's winter"],
        "C": [3.0],
        "D": [-4.5],
        "E": [0.0015],
        "TAB": [0.0, 1.0, 2.0, 3.0, 4.0, 50.0],
        "REP": [0.0, 0.0, 0.0, 1.5, 1.5, 7.0],
        "FLAG": [1.0],
    }
    assert read_assignments(path)["TAB"].line == 5


def test_ini_is_read_with_headings_sections_and_comments(tmp_path):
    path = write(
        tmp_path,
        "a.ini",
        "## heading\n[emergence]\n# base temperature\nTBASEM = 0.0\n\n"
        "[a long section (-)]\nTAB= 0.00, 0.50, 2.00, 0.00\n",
    )
    assert numbers(path) == {"TBASEM": [0.0], "TAB": [0.0, 0.5, 2.0, 0.0]}


def test_assignments_of_pcse_are_parsed_and_not_executed(tmp_path):
    path = write(tmp_path, "a.crop", "'''Heading'''\nA = 1 # one\nB = [0, 1.,\n  2, -3e2]\nC = False\nD = 'text'\n")
    assert numbers(path) == {"A": [1.0], "B": [0.0, 1.0, 2.0, -300.0], "C": [0.0], "D": ["text"]}
    path = write(tmp_path, "b.crop", "import os\nA = [1]\nB = 2 * 3\nopen('x', 'w')\nC = {}\n")
    with pytest.raises(FileError) as caught:
        read_assignments(path)
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["line 1", "line 3", "line 4", "line 5"]
    assert "'import os' is no assignment of a plain value (nothing is executed" in caught.value.problems[0]
    assert "B is 2 * 3; expected a number" in caught.value.problems[1]
    assert not (tmp_path / "x").exists()


def test_the_factor_of_pcse_is_no_repeat_count(tmp_path):
    # 3*0.5 is 1.5 in Python and three numbers in TTUTIL: neither is guessed.
    with pytest.raises(FileError, match=r"TAB is \[0.0, 3 \* 0.5\]"):
        read_assignments(write(tmp_path, "a.crop", "TAB = [0., 3*0.5]\n"))


YAML = """
Version: 1.0.0
Metadata: {Title: a crop}
CropParameters:
  GenericC3: &generic
    TSUM1: [700, to anthesis, [C.d]]
    DTSMTB:
    - [0, 0, 30, 30]
    - daily increase
    - [C, C.d]
  EcoTypes:
    winter: &winter
      <<: *generic
      TBASE: [1, base, [C]]
  Varieties:
    Early:
      <<: *winter
      TSUM1: [650.5, to anthesis, [C.d]]
      Metadata: {tested: no}
    Late:
      <<: *winter
"""


def test_a_variety_of_a_yaml_crop_inherits(tmp_path):
    path = write(tmp_path, "a.yaml", YAML)
    assert numbers(path, variety="Early") == {"TSUM1": [650.5], "DTSMTB": [0, 0, 30, 30], "TBASE": [1]}
    assert numbers(path, variety="Late")["TSUM1"] == [700]
    with pytest.raises(FileError, match="holds several varieties, Early, Late: say which, with variety="):
        read_assignments(path)
    with pytest.raises(FileError, match=r"no variety 'Erly' \(did you mean 'early'"):
        read_assignments(path, variety="Erly")
    with pytest.raises(FileError, match=r"Early.TSUM1: is 650.5; expected \[value, description, \[unit"):
        read_assignments(
            write(tmp_path, "b.yaml", YAML.replace("[650.5, to anthesis, [C.d]]", "650.5")), variety="Early"
        )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("** comment\nA = 1., 2.\n", "ttutil"),
        ("## comment\n[section]\nA = 1.\n", "ini"),
        ("A = 1.  # no heading\n", "ini"),
        ("* plot #3\nA = 1. ! plot #3\nB = 'plot #3'\n", "ttutil"),
        ("# comment\nA = [1.,\n2.]\n", "pcse"),
        ("Version: 1\nCropParameters:\n  x: 1\n", "yaml"),
    ],
)
def test_the_notation_is_found_by_content(text, expected):
    assert format_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A = 1\nB = 1.2.3\n", "line 2: B: '1.2.3' is no number"),
        ("A = 1, x, 2\n", "line 1: A: 'x' is no number"),
        ("1 2 3\nA = 1\n", "line 1: '1' stands before the first NAME ="),
        ("A = \nB = 2\n", "line 1: A has no value"),
        ("A = 1\nB = 2\na = 3\n", "a: is given in line 1 and, differently, in line 3"),
        ("! nothing\n", "holds no assignment"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, text, expected):
    with pytest.raises(FileError, match=re.escape(expected)):
        read_assignments(write(tmp_path, "a.dat", text))


def test_a_name_given_twice_with_one_value_counts_once(tmp_path):
    assert numbers(write(tmp_path, "a.dat", "A = 0.03\nB = 1\nA = 0.030\n")) == {"A": [0.03], "B": [1.0]}


def test_an_unknown_notation_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"format is 'ttutl' \(did you mean 'ttutil'"):
        read_assignments(write(tmp_path, "a.dat", "A = 1\n"), format="ttutl")


# --- crops of LINTUL5 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LINTUL5_CROPS)
def test_a_crop_comes_back_from_ttutil(tmp_path, name):
    crop = load_crop(name)
    path = tc.export_ttutil(crop, tmp_path / f"{name}.dat")
    assert same(tc.import_crop(path, model="lintul5"), crop)


@pytest.mark.parametrize("name", LINTUL5_CROPS)
def test_a_crop_comes_back_from_ini_and_from_pcse(tmp_path, name):
    crop = load_crop(name)
    values = originals(crop)
    ini = "## heading\n[all]\n" + "".join(f"# what\n{key} = {', '.join(items)}\n" for key, items in values.items())
    assert same(tc.import_crop(write(tmp_path, "c.ini", ini), model="lintul5"), crop)
    python = "".join(f"{key} = [{', '.join(v)}]\n" if len(v) > 1 else f"{key} = {v[0]}\n" for key, v in values.items())
    assert same(tc.import_crop(write(tmp_path, "c.crop", python), model="lintul5"), crop)


@settings(max_examples=30)
@given(st.floats(0.01, 200), st.floats(0.002, 0.08), st.floats(0.02, 0.3))
def test_no_digit_is_lost_on_the_way_to_ttutil_and_back(tmp_path_factory, weight, area, depth):
    crop = load_crop("maize").with_values(tdwi=weight, slatb=[(0.0, area), (2.0, area)], rdi=depth)
    path = tc.export_ttutil(crop, tmp_path_factory.getbasetemp() / "digits.dat")
    assert same(tc.import_crop(path, model="lintul5"), crop)


def test_the_written_file_has_the_units_of_the_original(tmp_path):
    text = tc.export_ttutil(load_crop("wheat"), tmp_path / "w.dat").read_text()
    written = numbers(tmp_path / "w.dat")
    # Wolf 2012: 210 kg/ha, 0.00212 ha/kg, 125 cm, 1.2 cm/d, 10 cm.
    assert (written["TDWI"], written["RDMCR"], written["RRI"], written["RDI"]) == ([210], [125], [1.2], [10])
    assert written["SLATB"] == [0.0, 0.00212, 0.5, 0.00212, 2.0, 0.00212]
    assert (written["SPA"], written["SSATB"]) == ([0.0], [0.0, 0.0, 2.0, 0.0])
    assert not {"DVSJ", "LAIJ"} & set(written)
    assert all(len(line) <= 80 for line in text.splitlines() if "=" in line)
    # The program reads real numbers with a point, and whole numbers for its switches.
    assert re.search(r"^TDWI +=.*\.", text, re.MULTILINE)
    assert re.search(r"^IDSL +=\s*0$", text, re.MULTILINE)


def test_what_the_original_cannot_hold_is_not_written(tmp_path):
    crop = load_crop("wheat").with_values(dvsj=0.3, tsum1=[900.0, 1000.0])
    problems = problems_of(tc.export_ttutil, crop, tmp_path / "w.dat")
    assert problems == [
        "tsum_anthesis: is a batch of values, [2]; save one of them",
        "juvenile_stage (DVSJ): is 0.3, but the program of LINTUL5 has 0.2 built in",
    ]
    assert not list(tmp_path.iterdir())
    with pytest.raises(TypeError, match="a Lintul5Soil is no crop of LINTUL5"):
        tc.export_ttutil(load_soil("lirf"), tmp_path / "w.dat")


def test_an_imported_crop_says_where_its_values_come_from_and_what_was_left_out(tmp_path):
    path = tc.export_ttutil(load_crop("maize"), tmp_path / "CROPP1.DAT")
    path.write_text("CRPNAM = 'Grain maize, test'\nNMINS = 30.\nIOPT = 4\n" + path.read_text())
    provenance = provenance_of(tc.import_crop(path, model="lintul5"))
    assert (provenance.name, provenance.title, provenance.model) == ("cropp1", "Grain maize, test", "lintul5")
    assert provenance.source == "imported from CROPP1.DAT"
    assert provenance.entries["initial_weight"].source == "TDWI of CROPP1.DAT"
    assert provenance.notes == (
        "NMINS is no value of the crop: read it with import_soil.",
        "IOPT is no value of the crop: read it with the level of Lintul5.",
        "SPA is left out: LINTUL5 reads it but does not use it.",
        "SSATB is left out: LINTUL5 reads it but does not use it.",
    )


def test_an_imported_crop_is_saved_and_read_like_any_other(tmp_path):
    crop = tc.import_crop(tc.export_ttutil(load_crop("potato"), tmp_path / "P.DAT"), model="lintul5", name="bintje")
    back = load_crop(crop.save(tmp_path / "bintje.yaml"))
    assert same(back, crop)
    read = provenance_of(crop).entries
    assert {name: entry for name, entry in provenance_of(back).entries.items() if name in read} == read


def test_all_problems_of_an_imported_crop_come_in_one_error(tmp_path):
    path = tc.export_ttutil(load_crop("maize"), tmp_path / "m.dat")
    text = path.read_text()
    text = text.replace("TSUM1 ", "TSUN1 ").replace("TDWI     = 50.", "TDWI     = 50000.")
    text = text.replace("LAICR    = 4.0", "LAICR    = 4.0, 5.0").replace("0.0, 0.0026,", "0.0026,")
    text = text.replace("RDRL     = 0.05", "RDRL     = 'much'") + "NMXLX = 3.0\nCVL = 0.7\n"
    problems = problems_of(tc.import_crop, write(tmp_path, "n.dat", text), model="lintul5")
    shown = "\n".join(problems)
    assert len(problems) == 11
    assert "lintul5 has no such value (did you mean 'tsum1'" in shown
    assert "NMXLX (n.dat, line" in shown
    assert "leave it out with ignore=['CVL']" in shown
    assert "values.TDWI.value: is 5000 g m-2; expected 0.01 to 200" in shown
    assert re.search(r"LAICR \(n.dat, line \d+\): has 2 numbers; expected one", shown)
    assert re.search(
        r"SLATB \(n.dat, line \d+\): has 5 numbers; a table has pairs of development stage and value", shown
    )
    assert re.search(r"RDRL \(n.dat, line \d+\): is the text 'much'; expected a number", shown)
    for name in ("tsum_anthesis", "critical_lai", "specific_leaf_area", "drought_death_rate"):
        assert f"values.{name}: missing; Lintul5Crop needs it" in shown


def test_values_complete_and_replace_those_of_a_file_and_names_can_be_ignored(tmp_path):
    path = tc.export_ttutil(load_crop("maize"), tmp_path / "m.dat")
    path.write_text(path.read_text().replace("TSUM1 ", "CVL   "))
    crop = tc.import_crop(
        path, model="lintul5", values={"tsum1": 700, "RDMCR": 150, "kdiftb": [(0, 0.5), (2, 0.6)]}, ignore=["cvl"]
    )
    assert (crop.tsum_anthesis.item(), crop.maximum_root_depth.item()) == (700.0, 1.5)
    assert crop.extinction.pairs() == [(0.0, 0.5), (2.0, 0.6)]
    assert provenance_of(crop).notes[0] == "Left out on request: CVL."
    assert problems_of(tc.import_crop, path, model="lintul5", values={"TSUM1": 700}, ignore=["CVL", "CVO"]) == [
        "ignore: CVO is not in the file (did you mean 'cvl'?)"
    ]


def test_several_files_complement_each_other_and_may_not_differ(tmp_path):
    whole = tc.export_ttutil(load_crop("maize"), tmp_path / "m.dat").read_text()
    first, second = whole.split("RDRL  ")
    paths = write(tmp_path, "a.dat", first), write(tmp_path, "b.dat", f"RDRL  {second}TSUM1 = 695.\n")
    assert same(tc.import_crop(*paths, model="lintul5"), load_crop("maize"))
    paths[1].write_text(f"RDRL  {second}TSUM1 = 700.\n")
    (problem,) = problems_of(tc.import_crop, *paths, model="lintul5")
    assert re.fullmatch(r"TSUM1: is given in a.dat, line \d+ and, differently, in b.dat, line \d+", problem)


def test_an_unknown_model_and_a_soil_taken_for_a_crop_are_refused(tmp_path):
    path = write(tmp_path, "s.dat", SOIL)
    with pytest.raises(ValueError, match=r"model 'lintul55' has no crop \(did you mean 'lintul5'"):
        tc.import_crop(path, model="lintul55")
    assert problems_of(tc.import_crop, path, model="lintul5") == [
        "holds no value of a crop of lintul5, but SMDRY, SMW, SMFC, SM0, CRAIRC"
    ]
    with pytest.raises(TypeError, match="give at least one file"):
        tc.import_crop(model="lintul5")


# --- soils ----------------------------------------------------------------------------------------------


def test_a_soil_of_lintul5_in_our_units(tmp_path):
    soil = tc.import_soil(write(tmp_path, "s.dat", SOIL), model="lintul5", values={"NMINS": 45})
    assert isinstance(soil, Lintul5Soil)
    assert (soil.maximum_root_depth.item(), soil.percolation.item()) == (1.2, 100.0)
    assert (soil.organic_nitrogen.item(), soil.organic_phosphorus.item()) == (4.5, 0.3)
    assert provenance_of(soil).kind == "soil"
    assert same(load_soil(soil.save(tmp_path / "s.yaml")), soil)


def test_a_soil_is_checked_like_any_other(tmp_path):
    (problem,) = problems_of(tc.import_soil, write(tmp_path, "s.dat", SOIL.replace("0.15", "0.35")), model="lintul5")
    assert "wilting_point (SMW) is 0.35 and field_capacity (SMFC) is 0.3" in problem


# --- management by day number ---------------------------------------------------------------------------

MANAGEMENT = """
** fertiliser
FERNTAB = 0., 0., 99., 0., 100., 40., 101., 0., 119., 0., 120., 60., 122., 0., 365., 0.
FERPTAB = 0., 0., 99., 0., 100., 10., 101., 0., 365., 0.
NRFTAB = 0., 0.5, 200., 0.9
NMINS = 30. ; RTNMINS = 0.025
IRRTAB = 0., 0., 164., 0., 165., 2., 166., 0.
"""


def test_tables_by_day_number_become_applications(tmp_path):
    path = write(tmp_path, "m.dat", MANAGEMENT)
    values = {"IYEAR": 1969, "IDEM": 1, "IRRI": 2, "IFINIT": 300}
    (management,) = tc.import_management(path, model="lintul5", values=values)
    assert (management.emergence, management.start, management.end) == (
        date(1969, 1, 1),
        date(1969, 1, 1),
        date(1969, 10, 27),
    )
    # 40 kg/ha on day 100; 60 on day 120 and, half-way down to 0, 30 on day 121; recovery 0.5 + 0.4 day / 200.
    days = [date(1969, 4, 10), date(1969, 4, 30), date(1969, 5, 1)]
    assert [item[0] for item in management.nitrogen] == days
    assert [item[1] for item in management.nitrogen] == [4.0, 6.0, 3.0]
    assert [item[2] for item in management.nitrogen] == pytest.approx([0.7, 0.74, 0.742], rel=1e-12)
    assert management.phosphorus == ((days[0], 1.0),)
    assert management.irrigation_table == ((date(1969, 6, 14), 20.0),)


@pytest.mark.parametrize(("irri", "automatic", "table"), [(0, False, 0), (1, True, 0), (2, False, 1)])
def test_irri_chooses_the_irrigation(tmp_path, irri, automatic, table):
    path = write(tmp_path, "m.dat", MANAGEMENT)
    (management,) = tc.import_management(path, model="lintul5", values={"IYEAR": 1969, "IDEM": 1, "IRRI": irri})
    assert (management.automatic_irrigation, len(management.irrigation_table)) == (automatic, table)


def test_day_numbers_before_the_start_are_of_the_next_year(tmp_path):
    path = write(tmp_path, "m.dat", MANAGEMENT)
    (management,) = tc.import_management(path, model="lintul5", values={"IYEAR": 1969, "IDPL": 280, "IRRI": 0})
    assert (management.sowing, management.emergence) == (date(1969, 10, 7), None)
    assert management.nitrogen[0][:2] == (date(1970, 4, 10), 4.0)


def test_what_is_missing_or_unclear_in_management_is_named(tmp_path):
    text = MANAGEMENT.replace("165., 2., 166., 0.", "165., 2., 166., 1.").replace(
        "\nNMINS =", "\nIOPT = 4 ; NMINX = 2 ; NMINS ="
    )
    problems = problems_of(tc.import_management, write(tmp_path, "m.dat", text), model="lintul5")
    assert len(problems) == 4
    assert re.search(
        r"IOPT \(m.dat, line \d+\): it is the level of the model; leave it out with ignore=\['IOPT'\]", problems[0]
    )
    assert "NMINX (m.dat, line" in problems[1]
    assert problems[2] == "IYEAR: missing; give it with values={'IYEAR': ...}"
    assert problems[3].startswith("IDEM: missing")
    chosen = {"values": {"IYEAR": 1969, "IDEM": 1, "IRRI": 2}, "ignore": ["IOPT", "NMINX"], "model": "lintul5"}
    (problem,) = problems_of(tc.import_management, tmp_path / "m.dat", **chosen)
    assert re.search(r"IRRTAB \(m.dat, line \d+\): does not begin and end with 0", problem)
    (problem,) = problems_of(
        tc.import_management, write(tmp_path, "n.dat", MANAGEMENT), model="lintul5", values={"IYEAR": 1969, "IDEM": 1}
    )
    assert problem.startswith("IRRI: missing; it says what IRRTAB is for")


def test_imported_files_run_as_the_original_cases_do(shared, tmp_path):
    """Crop, soil and management of a published run, each from a file, give the run that the records give."""
    case = yaml.safe_load((shared / "reference/lintul5_fortran_wagn3_1969/params.yaml").read_text())

    def text(section: str) -> str:
        rows = ((key, v if isinstance(v, list) else [v]) for key, v in case[section].items())
        return "".join(f"{key} = {', '.join(map(str, v))}\n" for key, v in rows)

    crop_file = write(tmp_path, "crop.dat", text("crop"))
    management_file = write(tmp_path, "manag.dat", text("management"))
    crop = tc.import_crop(crop_file, model="lintul5")
    assert same(crop, load_crop("wheat"))
    soil = tc.import_soil(write(tmp_path, "soil.dat", text("soil")), management_file, model="lintul5")
    assert same(soil, load_soil("lintul5_p1"))
    (management,) = tc.import_management(management_file, model="lintul5", values={"IYEAR": 1969, "IDEM": 1, "IRRI": 0})
    assert [(day, amount) for day, amount, _ in management.nitrogen] == [(date(1969, 5, 5), 5.0)]


# --- PCSE's LINTUL3 -------------------------------------------------------------------------------------

CROP3 = """# Spring wheat, as PCSE writes it
DVSI = 0.
WLVGI = 2.4
WRTLI = 3.6
ROOTDI = 0.10
ROOTDM = 1.2
RRDMAX = 0.012 # m d-1
SLAC = 0.022
SLACF = [
    0.0, 1.0,
    2.0, 0.9 ]
RGRL = 0.009
LAICR = 4.0
RDRSHM = 0.03
TSUMAG = 800.
RDRT = [-10., 0., 10., 0.02, 50., 0.09]
LUE = 2.8
K = 0.6
FRTTB = [0.0, 0.6, 1.0, 0.0, 2.0, 0.0]
FLVTB = [0.0, 0.4, 1.0, 0.1, 2.0, 0.0]
FSTTB = [0.0, 0.0, 1.0, 0.9, 2.0, 0.0]
FSOTB = [0.0, 0.0, 1.0, 0.0, 2.0, 1.0]
DVSDR = 1.0
RDRRT = 0.03
TRANCO = 8.
NLUE = 0.20
NLAI = 1.0
NSLA = 1.0
NPART = 1.0
RDRNS = 0.03
NFRLVI = 0.06
NFRSTI = 0.03
NFRRTI = 0.03
NMXLV = [0.0, 0.06, 1.0, 0.02, 2.0, 0.014]
LRNR = 0.50
LSNR = 0.50
NMAXSO = 0.0165
FRNX = 0.5
RNFLV = 0.004
RNFST = 0.002
RNFRT = 0.002
DVSNLT = 1.0
DVSNT = 0.8
TCNT = 10.
FNTRT = 0.15
TBASE = 1.
TBASEM = 0.0
TEFFMX = 30.
TSUMEM = 90.
IDSL = 1
DLO = 16.5
DLC = 8.0
TSUM1 = 810.
TSUM2 = 1030.
DTSMTB = [0.00, 0.00,
          50.00, 50.00]
DVSEND = 2.00
"""
SOIL3 = """# soil
WCAD = 0.10
WCWP = 0.20
WCFC = 0.40
WCWET = 0.45
WCST = 0.50
DRATE = 30.
RNMIN = 0.10
"""
SITE3 = """# site
WCI = 0.38
WCSUBS = 0.30
WMFAC = False
IRRIGF = True
"""


def as_variety(text: str) -> str:
    """A file of PCSE's assignments as a YAML crop."""
    body = {
        name: [float(items[0]) if len(items) == 1 else [float(item) for item in items], "meaning", ["unit"]]
        for name, items in re.findall(r"^(\w+) = ([^#=]+?)(?=\s*(?:#|^\w+ =|\Z))", text, re.MULTILINE | re.DOTALL)
        for items in [re.findall(r"[-+\d.]+", items)]
    }
    return yaml.safe_dump({"Version": "1.0.0", "CropParameters": {"Varieties": {"Spring": body}}})


def test_a_crop_of_pcse_becomes_one_of_lintul3(tmp_path):
    crop = tc.import_crop(write(tmp_path, "wheat.crop", CROP3), model="lintul3")
    assert isinstance(crop, tc.Lintul3Crop)
    assert (crop.tsum_anthesis.item(), crop.tsum_maturity.item(), crop.ageing_tsum.item()) == (810.0, 1030.0, 800.0)
    assert crop.photoperiod_factor.pairs() == [(8.0, 0.0), (16.5, 1.0)]
    assert crop.specific_leaf_area_factor.pairs() == [(0.0, 1.0), (2.0, 0.9)]
    assert (crop.initial_stems.item(), crop.initial_tsum.item()) == (0.0, 0.0)  # not in the file: defaults
    provenance = provenance_of(crop)
    assert provenance.entries["tsum_anthesis"].source == "TSUM1 of wheat.crop"
    assert provenance.entries["photoperiod_factor"].source == "DLC and DLO of wheat.crop"
    assert provenance.notes == (
        "TBASEM is left out: a crop of LINTUL3 emerges on a date.",
        "TEFFMX is left out: a crop of LINTUL3 emerges on a date.",
        "TSUMEM is left out: a crop of LINTUL3 emerges on a date.",
        "DTSMTB counts with Lintul3(variant='pcse'); the original counts temperatures above TBASE.",
    )
    assert same(load_crop(crop.save(tmp_path / "wheat.yaml")), crop)
    assert same(tc.import_crop(write(tmp_path, "w.yaml", as_variety(CROP3)), model="lintul3"), crop)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("IDSL = 1", "IDSL = 2", "IDSL (w.crop, line 50): is 2; expected 0 or 1: LINTUL3 has no vernalisation (2)"),
        (
            "DLO = 16.5\n",
            "",
            "DLO, DLC: missing; with IDSL 1 the crop needs its optimal and its critical daylength [h]",
        ),
        ("DLC = 8.0", "DLC = 18.0", "values.PHOTTB.value: x must increase, but 16.5 follows 18"),
        ("IDSL = 1", "IDSL = 1\nPHOTTB = [0., 1., 24., 1.]", "IDSL and PHOTTB (w.crop, line 50): both say how"),
        ("DVSI = 0.", "DVSI = 0.2", "DVSI (w.crop, line 2): is 0.2; expected 0: the start is a temperature sum"),
        ("DVSEND = 2.00", "DVSEND = 1.5", "DVSEND (w.crop, line 57): is 1.5; expected 2: LINTUL3 ends at stage 2"),
        ("TSUM1 = 810.", "TSUM1 = 810.\nTSUMAN = 810.", "TSUM1 and TSUMAN: both are given, and are the same"),
        ("LUE = 2.8", "EFF = 2.8", "EFF (w.crop, line 17): lintul3 has no such value"),
    ],
)
def test_what_lintul3_does_not_have_is_named_with_what_to_do(tmp_path, old, new, expected):
    assert old in CROP3
    path = write(tmp_path, "w.crop", CROP3.replace(old, new))
    problems = problems_of(tc.import_crop, path, model="lintul3")
    assert any(problem.startswith(expected) for problem in problems), problems


def test_a_crop_without_photoperiod_has_a_flat_factor(tmp_path):
    crop = tc.import_crop(write(tmp_path, "w.crop", CROP3.replace("IDSL = 1", "IDSL = 0")), model="lintul3")
    assert crop.photoperiod_factor.pairs() == [(0.0, 1.0), (24.0, 1.0)]


def test_soil_and_site_of_pcse_become_one_soil(tmp_path):
    paths = write(tmp_path, "w.soil", SOIL3), write(tmp_path, "w.site", SITE3)
    soil = tc.import_soil(*paths, model="lintul3")
    assert isinstance(soil, tc.Lintul3Soil)
    assert (soil.mineralisation.item(), soil.initial.item(), soil.subsoil.item()) == (0.1, 0.38, 0.3)
    assert provenance_of(soil).notes == (
        "WMFAC is no value of the soil: read it with import_management.",
        "IRRIGF is no value of the soil: read it with import_management.",
    )
    problems = problems_of(tc.import_soil, paths[0], model="lintul3")
    assert [problem.split(":")[0] for problem in problems] == ["values.initial", "values.subsoil"]


def test_tables_of_the_original_lintul3_become_applications(tmp_path):
    path = write(
        tmp_path, "m.dat", "FERNTAB = 0., 0., 99., 0., 100., 10., 101., 0.\nNRFTAB = 0., 0.7, 366., 0.7\nIRRIGF = 1.\n"
    )
    values = {"IYEAR": 1987, "DOYEM": 90, "STTIME": 58, "FINTIM": 300}
    (management,) = tc.import_management(path, model="lintul3", values=values)
    dates = (management.start, management.emergence, management.end)
    assert dates == (date(1987, 2, 27), date(1987, 3, 31), date(1987, 10, 27))
    assert management.nitrogen == ((date(1987, 4, 10), 10.0, 0.7),)
    assert management.irrigation_factor == 1.0


@pytest.fixture(scope="module")
def pcse_files() -> Path:
    """Test data of the installed pcse, read where they are."""
    found = importlib.util.find_spec("pcse")
    if found is None or found.origin is None:
        pytest.skip("needs pcse (pip install .[test])")
    return Path(found.origin).parent / "tests" / "test_data"


def test_the_files_of_pcse_itself_are_read(pcse_files, tmp_path):
    """Values of pcse 6.0.13, its spring wheat of LINTUL3."""
    wheat = pcse_files / "lintul3_springwheat"
    crop = tc.import_crop(wheat.with_suffix(".crop"), model="lintul3")
    assert (crop.tsum_anthesis.item(), crop.light_use_efficiency.item(), crop.nitrogen_effect.item()) == (800, 2.8, 0.2)
    assert crop.photoperiod_factor.pairs() == [(0.0, 0.0), (8.0, 1.0)]
    assert crop.fraction_storage.pairs()[-2:] == [(1.01, 0.75), (2.0, 1.0)]
    assert same(load_crop(crop.save(tmp_path / "wheat.yaml")), crop)
    soil = tc.import_soil(wheat.with_suffix(".soil"), wheat.with_suffix(".site"), model="lintul3")
    assert (soil.mineralisation.item(), soil.maximum_drainage.item(), soil.initial.item()) == (0.01, 30.0, 0.4)
    (management,) = tc.import_management(wheat.with_suffix(".agro"), wheat.with_suffix(".site"), model="lintul3")
    assert management.nitrogen == ((date(1997, 4, 10), 10.0, 0.7), (date(1997, 5, 5), 5.0, 0.7))
    assert (management.emergence, management.irrigation_factor) == (date(1997, 3, 31), 1.0)


def test_files_of_pcse_give_the_run_of_pcse(pcse_files):
    """The test of LINTUL3 that pcse ships, 15 g N m-2 in 1997, with the mineralisation its reference values are of."""
    wheat = pcse_files / "lintul3_springwheat"
    crop = tc.import_crop(wheat.with_suffix(".crop"), model="lintul3")
    parts = [wheat.with_suffix(".soil"), wheat.with_suffix(".site")]
    soil = tc.import_soil(*parts, model="lintul3", values={"RNMIN": 0.10})
    (management,) = tc.import_management(wheat.with_suffix(".agro"), parts[1], model="lintul3")
    season = management.season(tc.read_cabo(pcse_files / "NL1.997"), soil)
    final = tc.simulate(tc.Lintul3(variant="pcse"), crop, season).final
    # Last day of pcse 6.0.13, 13 August.
    expected = {
        "WSO": 827.164807059,
        "WST": 521.800663912,
        "WLVG": 23.1601584765,
        "WRT": 32.7347662208,
        "LAI": 0.617342008216,
        "TSUM": 1855.1,
        "NUPTT": 11.9790178726,
        "TNSOIL": 12.0209821274,
    }
    assert {name: final[name].item() for name in expected} == pytest.approx(expected, rel=1e-9)
    # Irrigated every day, growth does not depend on evaporation; water does, of which pcse's weather has its own sums.
    assert final["TTRAN"].item() == pytest.approx(228.586561187, rel=0.05)


def test_the_files_of_pcse_hold_the_parameters_of_the_reference_run(pcse_files, shared):
    case = yaml.safe_load((shared / "reference/pcse_lintul3_ref1997_rnmin010/params.yaml").read_text())
    wheat = pcse_files / "lintul3_springwheat"
    for kind, suffixes in {"crop": ["crop"], "soil": ["soil", "site"]}.items():
        held = {n: a.items for s in suffixes for n, a in read_assignments(wheat.with_suffix(f".{s}")).items()}
        expected = {name: value for suffix in suffixes for name, value in case[suffix].items()}
        assert set(held) == set(expected), kind
        for name, value in expected.items():
            if name != "RNMIN":  # the run that pcse's own reference values come from had 0.10, its file has 0.01
                assert [float(item) for item in held[name]] == (value if isinstance(value, list) else [float(value)])


AGRO = """
Version: 1.0
AgroManagement:
- 1997-01-01:
    CropCalendar:
        crop_name: wheat
        variety_name: spring
        crop_start_date: 1997-03-31
        crop_start_type: emergence
        crop_end_date: 1997-10-20
        crop_end_type: earliest
        max_duration: 300
    TimedEvents:
    -   event_signal: apply_n
        name: nitrogen
        comment: in g m-2
        events_table:
        - 1997-04-10: {amount: 10, recovery: 0.7}
        - 1997-05-05: {amount: 5, recovery: 0.8}
    -   event_signal: irrigate
        events_table:
        - 1997-06-01: {amount: 2.5, efficiency: 0.8}
    StateEvents:
    -   event_signal: apply_n
        event_state: DVS
        zero_condition: rising
        events_table:
        - 0.3: {amount: 4, recovery: 0.6}
        - 1.0: {amount: 2, recovery: 0.6}
- 1997-11-01: null
- 1998-01-01:
    CropCalendar:
        crop_start_date: 1998-04-02
        crop_start_type: sowing
        crop_end_type: maturity
        max_duration: 250
    TimedEvents: null
    StateEvents: null
- 1999-01-01:
"""


def agro(folder: Path, *changes: tuple[str, str]) -> Path:
    text = AGRO
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return write(folder, "wheat.agro", text)


def test_campaigns_become_management(tmp_path):
    first, second = tc.import_management(agro(tmp_path), model="lintul3")
    assert (first.start, first.emergence, first.sowing) == (date(1997, 1, 1), date(1997, 3, 31), None)
    assert (first.harvest, first.longest, first.last_day) == (date(1997, 10, 20), 300, date(1997, 10, 20))
    assert first.nitrogen == ((date(1997, 4, 10), 10.0, 0.7), (date(1997, 5, 5), 5.0, 0.8))
    assert first.irrigation == ((date(1997, 6, 1), 20.0),)  # 2.5 cm, of which 80 % arrive
    assert first.nitrogen_by_stage == ((0.3, 4.0), (1.0, 2.0))
    assert first.nitrogen_recovery == 0.6
    assert (second.sowing, second.emergence, second.harvest) == (date(1998, 4, 2), None, None)
    assert second.last_day == date(1998, 12, 8)
    assert second.nitrogen == ()


def test_the_site_file_beside_an_agro_file_says_how_is_irrigated(tmp_path):
    site = write(tmp_path, "w.site", "WCI = 0.4\nWMFAC = False\nIRRIGF = True # refill\n")
    managements = tc.import_management(agro(tmp_path), site, model="lintul3")
    assert [management.irrigation_factor for management in managements] == [1.0, 1.0]
    site.write_text("WMFAC = True\nIRRIGF = True\n")
    managements = tc.import_management(agro(tmp_path), site, model="lintul3")
    assert [management.flooded for management in managements] == [True, True]


def test_fertiliser_in_the_units_of_wofost(tmp_path):
    path = agro(
        tmp_path,
        ("{amount: 10, recovery: 0.7}", "{N_amount: 100, N_recovery: 0.7}"),
        ("- 1997-05-05: {amount: 5, recovery: 0.8}", "- 1997-05-05: {N_amount: 30, N_recovery: 0.8}"),
        ("{amount: 4, recovery: 0.6}", "{N_amount: 40, N_recovery: 0.6, P_amount: 8, P_recovery: 0.2, K_amount: 60}"),
        ("{amount: 2, recovery: 0.6}", "{N_amount: 20, N_recovery: 0.6}"),
    )
    first, _ = tc.import_management(path, model="lintul5")
    assert first.nitrogen == ((date(1997, 4, 10), 10.0, 0.7), (date(1997, 5, 5), 3.0, 0.8))
    assert first.nitrogen_by_stage == ((0.3, 4.0), (1.0, 2.0))
    assert (first.phosphorus_by_stage, first.phosphorus_recovery) == (((0.3, 0.8),), 0.2)
    assert first.potassium_by_stage == ((0.3, 6.0),)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("irrigate", "mowing", "campaign 1997-01-01: the event 'mowing' has no counterpart; expected one of apply_n"),
        ("irrigate", "iirrigate", "(did you mean 'irrigate'?)"),
        ("event_state: DVS", "event_state: SM", "an event at SM rising has no counterpart; expected DVS rising"),
        ("zero_condition: rising", "zero_condition: falling", "an event at DVS falling has no counterpart"),
        ("2, recovery: 0.6", "2, recovery: 0.5", "have the recoveries 0.5, 0.6; expected one"),
        ("amount: 10,", "amonut: 10,", "apply_n at 1997-04-10: no amount is given"),
        ("amount: 10,", "amount: much,", "apply_n at 1997-04-10: amount is 'much'; expected a number"),
        (
            "amount: 10,",
            "amount: 100,",
            "nitrogen on 1997-04-10 is 100.0 g m-2; expected 0 to 40 (kg ha-1? divide by 10)",
        ),
        ("1997-04-10: {", "soon: {", "TimedEvents: 'soon' is no date"),
        (
            "start_type: emergence",
            "start_type: planting",
            "crop_start_type: is 'planting'; expected sowing or emergence",
        ),
        ("crop_end_date: 1997-10-20", "crop_end: 1997-10-20", "CropCalendar.crop_end: unknown key (did you mean"),
        ("crop_start_date: 1997-03-31", "crop_start_date: 1996-03-31", "emergence on 1996-03-31 is before start"),
        ("TimedEvents: null", "TimedEvent: null", "campaign 1998-01-01: TimedEvent: unknown key"),
        ("- 1997-11-01: null", "- 1997-11-01: {TimedEvents: [1]}", "has events and no crop"),
    ],
)
def test_what_an_agro_file_says_wrongly_or_has_no_counterpart_is_named(tmp_path, old, new, expected):
    problems = problems_of(tc.import_management, agro(tmp_path, (old, new)), model="lintul3")
    assert any(expected in problem for problem in problems), problems


def test_an_amount_without_unit_is_refused_for_other_models(tmp_path):
    problems = problems_of(tc.import_management, agro(tmp_path), model="lintul5")
    assert len(problems) == 4
    assert "apply_n at 1997-04-10: the amount has a unit that depends on PCSE's model; write N_amount" in problems[0]


# --- the command ----------------------------------------------------------------------------------------


def test_the_command_writes_a_parameter_file_and_says_what_it_left_out(tmp_path, capsys):
    source = tc.export_ttutil(load_crop("maize"), tmp_path / "CROPP1.DAT")
    out = tmp_path / "mine.yaml"
    assert main(["import", str(source), "--model", "lintul5", "-o", str(out), "--set", "RDMCR=150"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == f"wrote {out}"
    assert "- SPA is left out: LINTUL5 reads it but does not use it." in printed
    crop = load_crop(out)
    assert crop.maximum_root_depth.item() == 1.5
    assert same(crop.with_values(rdmcr=1.0), load_crop("maize"))


def test_the_command_imports_soils_and_refuses_what_it_cannot_read(tmp_path, capsys):
    source, out = write(tmp_path, "s.dat", SOIL + "EXTRA = 1\n"), tmp_path / "s.yaml"
    arguments = ["import", str(source), "--model", "lintul5", "--kind", "soil", "-o", str(out)]
    assert main(arguments) == 1
    assert "EXTRA (s.dat, line 9): lintul5 has no such value" in capsys.readouterr().out
    assert not out.exists()
    assert main([*arguments, "--ignore", "EXTRA"]) == 0
    assert load_soil(out).percolation.item() == 100.0
