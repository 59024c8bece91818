"""Observations and experiments: what is wrong is refused in full, what ships is what it says."""

import shutil
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.conftest import ROOT
from torchcrop.cli import main
from torchcrop.inputs import experiments
from torchcrop.inputs.experiments import ExperimentError, check_experiment, load_experiment
from torchcrop.inputs.observations import COLUMNS, ObservationError, check_observations, read_observations
from torchcrop.inputs.shipped import data_path
from torchcrop.processes.crop_nutrients import NUTRIENTS

LIRF = "maize_lirf_2023"


# --- observations ---------------------------------------------------------------------------------------


def table(*rows: str, columns: str = "date,treatment,variable,value,unit") -> pd.DataFrame:
    names = columns.split(",")
    return pd.DataFrame([dict(zip(names, row.split(","), strict=True)) for row in rows], columns=names)


def test_observations_come_out_tidy_and_in_our_units():
    data = check_observations(
        table(
            "2020-07-01,a,LAI,3.5,m2 m-2",
            "2020-07-01,a,storage_organs,5000,kg ha-1",
            "2020-06-01,a,soil_moisture_0_30cm,25,%",
            "2020-06-01,a,soil_water_0_100cm,30,cm",
            "2020-07-20,a,anthesis,,date",
            "2020-06-01,a,plant_height,1.5,m",
        ),
        variables={"plant_height": "m"},
    )
    assert tuple(data.columns) == COLUMNS
    rows = {r.variable: r for r in data.itertuples()}
    assert (rows["lai"].value, rows["lai"].unit, rows["lai"].time) == (3.5, "m2 m-2", "start")
    assert (rows["storage_organs"].value, rows["storage_organs"].unit) == (500.0, "g m-2")
    assert (rows["soil_moisture_0_30cm"].value, rows["soil_moisture_0_30cm"].unit) == (0.25, "m3 m-3")
    assert (rows["soil_water_0_100cm"].value, rows["soil_water_0_100cm"].unit) == (300.0, "mm")
    assert rows["anthesis"].date == pd.Timestamp("2020-07-20")
    assert np.isnan(rows["anthesis"].value)
    assert rows["plant_height"].value == 1.5
    assert data["sd"].isna().all()
    assert data.attrs["converted"]["storage_organs"] == "kg ha-1"
    assert list(data["variable"]) == sorted(data["variable"])


def test_a_standard_deviation_is_converted_with_its_value():
    (row,) = check_observations(
        table("2020-07-01,a,leaves,100,kg ha-1,20,end", columns="date,treatment,variable,value,unit,sd,time")
    ).itertuples()
    assert (row.value, row.sd, row.time) == (10.0, 2.0, "end")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("2020-07-32,a,lai,3,m2 m-2", "date is no date such as 2023-06-05 in row 1 (2020-07-32 a lai: '2020-07-32')"),
        ("2020-07-02,b,lai,3,m2 m-2", "treatment 'b' is unknown; there are a"),
        ("2020-07-02,a,canopy_covr,0.3,-", "variable 'canopy_covr' is unknown (did you mean 'canopy_cover'"),
        ("2020-07-02,a,lai,3,g m-2", "unit of lai is 'g m-2'; expected 'm2 m-2', as in row 1"),
        (
            "2020-07-02,a,lai,,m2 m-2",
            "value is no number in row 1 (2020-07-02 a lai: ''): leave out what was not measured",
        ),
        ("2020-07-02,a,lai,nan,m2 m-2", "value is no number in row 1"),
        ("2020-07-02,a,lai,-99,m2 m-2", "lai is outside 0 to 25 m2 m-2 in row 1 (2020-07-02 a lai: -99)"),
        ("2020-07-02,a,canopy_cover,85,-", "canopy_cover is outside 0 to 1 - in row 1"),
        ("2020-07-02,a,anthesis,184,date", "value of an observed date must be empty"),
        ("2020-07-02,a,anthesis,,d", "unit of anthesis is 'd'; expected 'date'"),
        ("2020-07-01,a,lai,3.1,m2 m-2", "given twice: row 1 (2020-07-01 a lai)"),
    ],
)
def test_a_wrong_observation_is_refused_with_its_row(row, expected):
    with pytest.raises(ObservationError) as caught:
        check_observations(table("2020-07-01,a,lai,3,m2 m-2", row), treatments=["a"])
    assert len(caught.value.problems) == 1
    assert expected in caught.value.problems[0]


def test_all_problems_of_observations_come_together():
    with pytest.raises(ObservationError) as caught:
        check_observations(
            table(
                "2020-07-32,a,lai,3,m2 m-2,0,noon",
                "2020-07-02,b,cover,x,-,,",
                columns="date,treatment,variable,value,unit,sd,time",
            ),
            treatments=["a"],
        )
    text = str(caught.value)
    for fragment in (
        "is no date",
        "treatment 'b'",
        "variable 'cover'",
        "no number",
        "sd is no number above 0",
        "neither",
    ):
        assert fragment in text


def test_columns_are_checked():
    with pytest.raises(ObservationError) as caught:
        check_observations(pd.DataFrame({"date": [], "treatment": [], "variable": [], "vlaue": [], "units": []}))
    assert "column 'vlaue' is unknown (did you mean 'value'" in str(caught.value)
    assert "column 'unit' is missing" in str(caught.value)


def test_two_dates_of_one_stage_are_refused():
    with pytest.raises(ObservationError, match="given twice"):
        check_observations(table("2020-07-02,a,anthesis,,date", "2020-07-05,a,anthesis,,date"))


def test_a_file_of_observations_names_its_lines(tmp_path):
    path = tmp_path / "o.csv"
    path.write_text(
        "# a remark\ndate,treatment,variable,value,unit\n\n2020-07-01,a,lai,3,m2 m-2\n2020-07-02,a,lai,x,m2 m-2\n"
    )
    with pytest.raises(ObservationError, match=r"value is no number in line 5 \(2020-07-02 a lai: 'x'\)"):
        read_observations(path)
    path.write_text("")
    with pytest.raises(ObservationError, match="not a table"):
        read_observations(path)


# --- the experiment that ships --------------------------------------------------------------------------


def test_the_shipped_experiment_is_in_order():
    check = check_experiment(LIRF)
    assert check.problems == []
    assert any("assumed, not from the source: site.longitude, site.co2, soil.air_dry" in note for note in check.notes)
    assert any("50.8 mm of irrigation on 2023-04-13 precede the run" in note for note in check.notes)


def test_the_shipped_experiment_is_the_field_study():
    trial = load_experiment(LIRF)
    counts = trial.observations.groupby("variable").size()
    assert counts["canopy_cover"] == 26
    assert counts["soil_water_0_105cm"] == 34
    assert len(counts) == 11
    assert len(trial.observations) == 26 + 10 * 34
    cover = trial.observations.query("variable == 'canopy_cover'").set_index("date")["value"]
    assert cover[pd.Timestamp("2023-05-15")] == 0.0
    assert cover[pd.Timestamp("2023-06-15")] == 0.2248
    assert pd.Timestamp("2023-05-16") not in cover.index  # interpolated by the source
    profile = trial.observations.query("variable == 'soil_water_0_105cm'").set_index("date")["value"]
    assert profile[pd.Timestamp("2023-06-05")] == 163.35

    (season,) = trial.seasons()
    assert (season.sowing, season.start, season.end) == (date(2023, 5, 2), date(2023, 5, 2), date(2023, 11, 1))
    assert sum(amount for _, amount in season.events["irrigation"]) == pytest.approx(367.8)
    assert trial.treatments["full"].before_start == ((date(2023, 4, 13), 50.8),)
    assert season.site == {"latitude": 40.4487, "elevation": 1427.378, "co2": 420.0}
    assert season.labels == {"experiment": LIRF, "treatment": "full"}
    assert season.soil.field_capacity.item() == 0.184
    assert season.station.days == 365
    # The sum over the layers as the source gives them, last one cut at 105 cm.
    layers = trial.attributes["soil_layers"]
    thickness = [min(layer["bottom_cm"], 105) - layer["top_cm"] for layer in layers if layer["top_cm"] < 105]
    nominal = sum(10 * t * layer["initial_water"] for t, layer in zip(thickness, layers, strict=False))
    assert nominal == pytest.approx(145.35)


def test_the_shipped_observations_are_those_of_the_source(shared):
    source = pd.read_csv(shared / "lirf/observations.csv", dtype=str)
    knots = yaml.safe_load((shared / "lirf/experiment.yaml").read_text())["canopy_cover"]["inferred_knots"]
    source = source[(source["variable"] != "canopy_cover") | source["date"].isin(knots)]
    names = source["variable"].where(
        source["variable"].str.endswith("_mm") | (source["variable"] == "canopy_cover"),
        source["variable"].str.replace("soil_water", "soil_moisture"),
    )
    expected = {(d, v.removesuffix("_mm")): x for d, v, x in zip(source["date"], names, source["value"], strict=True)}
    shipped = pd.read_csv(data_path("experiments", LIRF) / "observations.csv", dtype=str)
    assert {
        (d, v): x for d, v, x in zip(shipped["date"], shipped["variable"], shipped["value"], strict=True)
    } == expected
    weather = load_experiment(LIRF).weather.data
    given = pd.read_csv(shared / "lirf/weather.csv", index_col="date", parse_dates=True)
    assert np.array_equal(weather[given.columns].to_numpy(), given.to_numpy())


# --- experiments that are refused -----------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """A copy of the shipped experiment to spoil."""
    return Path(shutil.copytree(data_path("experiments", LIRF), tmp_path / "trial"))


def edit(folder: Path, change) -> None:
    path = folder / "experiment.yaml"
    data = yaml.safe_load(path.read_text())
    change(data)
    path.write_text(yaml.safe_dump(data, sort_keys=False))


def test_an_experiment_is_loaded_from_its_folder_or_its_file(folder):
    assert load_experiment(folder).id == LIRF
    assert load_experiment(str(folder / "experiment.yaml")).id == LIRF


def test_a_treatment_that_is_not_there_is_answered_with_the_nearest():
    with pytest.raises(KeyError, match=r"no treatment 'ful' \(did you mean 'full'\?\); it has full"):
        load_experiment(LIRF).seasons("ful")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda d: d.pop("licence"), "licence: missing"),
        (lambda d: d.update(treatment={}), "treatment: unknown key (did you mean 'treatments'"),
        (lambda d: d.update(title=7), "title: is 7; expected text"),
        (lambda d: d.update(notes="one"), "notes: expected a list of texts"),
        (lambda d: d.update(site=[1]), "site: is [1]; expected a mapping"),
        (lambda d: d["site"].pop("latitude"), "site.latitude: missing"),
        (lambda d: d["site"].update(latitude=140), "site.latitude: is 140; expected a number, -90 to 90 degree"),
        (lambda d: d["site"].update(co2="420 ppm"), "site.co2: is '420 ppm'; expected a number, 40 to 2000 ppm"),
        (lambda d: d["site"].update(elevation_m=3), "site.elevation_m: unknown key (did you mean 'elevation'"),
        (lambda d: d["site"].update(assumed=["cow"]), "site.assumed: is ['cow']; expected a list of keys"),
        (lambda d: d["weather"].update(use="central_iowa"), "weather: give either file"),
        (lambda d: d["weather"].update(file="wether.csv"), "wether.csv"),
        (lambda d: d["weather"].update(units={"srad": "furlong"}), "weather: unknown unit 'furlong'"),
        (
            lambda d: d["soil"].update(use="lirff"),
            "soil.use: no 'lirff' among the soils that ship (did you mean 'lirf'",
        ),
        (lambda d: d["soil"].update(model="lintul2"), "soil.model: is 'lintul2', but lirf is a soil of lintul5"),
        (
            lambda d: d["soil"].update(values={"SMW": {"value": 0.3, "unit": "m3 m-3"}}),
            "soil: values: wilting_point (SMW)",
        ),
        (
            lambda d: d["soil"]["layers"][1].update(top_cm=20),
            "soil.layers[1]: is 20 to 45 cm; expected a layer from 15 cm",
        ),
        (lambda d: d["soil"]["layers"][1].update(wilting_point=0.3), "soil.layers[1]: wilting_point, field_capacity"),
        (lambda d: d.update(treatments={}), "treatments: expected a mapping of names to treatments"),
        (lambda d: d["treatments"].update(dry=None), "treatments.dry: is None; expected a mapping"),
        (
            lambda d: d["treatments"]["full"].update(irigation=[]),
            "treatments.full.irigation: unknown key (did you mean",
        ),
        (
            lambda d: d["treatments"]["full"]["irrigation"].append({"date": "2023-04-13", "mm": 50.8}),
            "lies outside the season, 2023-05-02 to 2023-11-01: move start or end, or leave it out "
            "(what was given before the run goes under irrigation_before_start)",
        ),
        (
            lambda d: d["treatments"]["full"]["irrigation"].append({"date": "2023-06-13", "mm": -1}),
            "treatments.full.irrigation[13].mm: is -1; expected a number, 0 to 500 mm",
        ),
        (
            lambda d: d["treatments"]["full"]["irrigation"].append({"date": "2023-06-13", "cm": 1}),
            "treatments.full.irrigation[13].cm: unknown key",
        ),
        (
            lambda d: d["treatments"]["full"]["irrigation_before_start"].append({"date": "2023-06-13", "mm": 1}),
            "irrigation_before_start: 2023-06-13 is not before the run's first day, 2023-05-02",
        ),
        (
            lambda d: d["treatments"]["full"].update(phosphorous=[]),
            "treatments.full.phosphorous: unknown key (did you mean 'phosphorus'",
        ),
        (
            lambda d: d["treatments"]["full"].update(sulphur=[]),
            "treatments.full.sulphur: unknown key; known are title, sowing",
        ),
        (
            lambda d: d["treatments"]["full"].update(nitrogen=[{"date": "2023-06-13", "g_m2": 120}]),
            "treatments.full.nitrogen[0].g_m2: is 120; expected a number, 0 to 40 g m-2 (kg ha-1? write kg_ha)",
        ),
        (
            lambda d: d["treatments"]["full"].update(nitrogen=[{"date": "2023-06-13", "kg_ha": 1200}]),
            "treatments.full.nitrogen[0].kg_ha: is 1200; expected a number, 0 to 400 kg ha-1",
        ),
        (
            lambda d: d["treatments"]["full"].update(nitrogen=[{"date": "2023-06-13", "kg_ha": float("nan")}]),
            "treatments.full.nitrogen[0].kg_ha: is nan; expected a number",
        ),
        (
            lambda d: d["treatments"]["full"].update(nitrogen=[{"date": "2023-06-13", "kg_ha": 80, "g_m2": 8}]),
            "treatments.full.nitrogen[0]: give the amount as g_m2 or kg_ha, not both",
        ),
        (
            lambda d: d["treatments"]["full"].update(nitrogen=[{"date": "2023-06-13"}]),
            "treatments.full.nitrogen[0]: give the amount as g_m2 or kg_ha",
        ),
        (
            lambda d: d["treatments"]["full"].update(nitrogen=[{"date": "2023-06-13", "mm": 8}]),
            "treatments.full.nitrogen[0].mm: unknown key",
        ),
        (
            lambda d: d["treatments"]["full"].update(nitrogen=[{"kg_ha": 80}]),
            "treatments.full.nitrogen[0].date: missing",
        ),
        (
            lambda d: d["treatments"]["full"].update(
                nitrogen=[{"date": "2023-06-13", "kg_ha": 80, "recovery": 70}],
            ),
            "treatments.full.nitrogen[0].recovery: is 70; expected a number, 0 to 1",
        ),
        (
            lambda d: d["treatments"]["full"].update(nitrogen=[{"date": "2023-04-13", "kg_ha": 80}]),
            "nitrogen of 8 g m-2 on 2023-04-13 lies outside the season, 2023-05-02 to 2023-11-01: move start or end",
        ),
        (
            lambda d: d["treatments"]["full"].update(nitrogen_by_stage=[{"stage": 0, "kg_ha": 80}]),
            "nitrogen_by_stage has the stage 0; expected one above 0",
        ),
        (
            lambda d: d["treatments"]["full"].update(nitrogen_by_stage=[{"date": "2023-06-13", "kg_ha": 80}]),
            "treatments.full.nitrogen_by_stage[0].date: unknown key",
        ),
        (
            lambda d: d["treatments"]["full"].update(nitrogen_recovery=[{"date": "2023-06-13", "share": 0.5}]),
            "treatments.full.nitrogen_recovery[0].share: unknown key",
        ),
        (lambda d: d["treatments"]["full"].update(nitrogen_recovery=70), "nitrogen_recovery is 70; expected a share"),
        (
            lambda d: d["treatments"]["full"].update(irrigation_trigger=0.5),
            "treatments.full: irrigation_trigger without an amount",
        ),
        (lambda d: d["treatments"]["full"].update(sowing="2023-5-2"), "sowing is '2023-5-2'; expected a date"),
        (lambda d: d["treatments"]["full"].update(harvest="2024-01-02"), "LIRF, Greeley, Colorado has 2023-01-01 to"),
        (
            lambda d: d["treatments"]["full"].update(harvest="2023-09-15"),
            "lie outside its run, 2023-05-02 to 2023-09-15, such as",
        ),
        (lambda d: d["observations"].update(file="obs.csv"), "observations.file: "),
        (lambda d: d["observations"].update(variables=["a"]), "observations.variables: expected a mapping"),
    ],
)
def test_a_wrong_experiment_is_refused(folder, change, expected):
    edit(folder, change)
    with pytest.raises(ExperimentError) as caught:
        load_experiment(folder)
    assert any(expected in problem for problem in caught.value.problems), caught.value.problems
    assert check_experiment(folder).problems == list(caught.value.problems)


def test_all_problems_of_a_folder_come_in_one_error(folder):
    def spoil(data):
        data["site"]["latitude"] = 140
        data["soil"]["use"] = "lirff"
        data["treatments"]["full"]["irrigation_factor"] = 3
        data["colour"] = "green"

    edit(folder, spoil)
    weather = (folder / "weather.csv").read_text()
    (folder / "weather.csv").write_text(weather.replace("2023-01-02,-3.38,", "2023-01-02,,"))
    observations = (folder / "observations.csv").read_text()
    (folder / "observations.csv").write_text(observations.replace("0.2248", "22.48"))
    with pytest.raises(ExperimentError) as caught:
        load_experiment(folder)
    text = str(caught.value)
    for fragment in (
        "colour: unknown key",
        "site.latitude: is 140",
        "soil.use",
        "irrigation_factor is 3",
        "tmin",
        "22.48",
    ):
        assert fragment in text, text


def test_an_experiment_file_with_a_python_tag_is_refused(folder):
    (folder / "experiment.yaml").write_text("id: !!python/name:os.system\n")
    with pytest.raises(ExperimentError, match="not plain YAML in line 1"):
        load_experiment(folder)


def test_a_folder_without_experiment_says_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_experiment(tmp_path)
    with pytest.raises(ValueError, match=r"did you mean 'maize_lirf_2023'"):
        load_experiment("maize_lirf_2022")


def test_soil_and_observations_may_be_left_out(folder):
    edit(folder, lambda data: (data.pop("soil"), data.pop("observations")))
    trial = load_experiment(folder)
    assert trial.soil is None
    assert trial.observations is None
    assert trial.seasons()[0].soil is None
    assert any("soil: none is given" in note for note in check_experiment(folder).notes)


def test_treatments_share_one_station_and_the_soil_may_be_changed(folder):
    def add(data):
        data["treatments"]["dry"] = {"sowing": "2023-05-02", "harvest": "2023-11-01"}
        data["soil"]["values"] = {"field_capacity": {"value": 0.2, "unit": "m3 m-3", "assumed": True}}

    edit(folder, add)
    trial = load_experiment(folder)
    full, dry = trial.seasons()
    assert full.station is dry.station
    assert dry.events == {}
    assert trial.seasons("dry")[0].labels["treatment"] == "dry"
    assert trial.soil.field_capacity.item() == 0.2
    assert "soil.field_capacity" in trial.attributes["assumed"]


def test_fertiliser_is_read_in_the_unit_that_its_key_says(folder):
    def add(data):
        data["treatments"] = {
            "fertilised": {
                "transplanting": "2023-05-02",
                "longest": 120,
                "nitrogen": [
                    {"date": "2023-06-13", "kg_ha": 80, "recovery": 0.5},
                    {"date": "2023-05-02", "g_m2": 4.5},
                ],
                "phosphorus_by_stage": [{"stage": 0.5, "kg_ha": 20}],
                "irrigation_by_stage": [{"stage": 0.9, "mm": 30}],
                "potassium_recovery": 0.8,
                "phosphorus_recovery": [
                    {"date": "2023-05-02", "recovery": 0.1},
                    {"date": "2023-06-02", "recovery": 0.2},
                ],
                "irrigation_trigger": 0.5,
                "irrigation_dose": 25,
            }
        }
        data.pop("observations")

    edit(folder, add)
    (season,) = load_experiment(folder).seasons()
    assert (season.start, season.emergence, season.end) == (date(2023, 5, 2), date(2023, 5, 2), date(2023, 8, 30))
    assert season.events == {"nitrogen": ((date(2023, 5, 2), 4.5), (date(2023, 6, 13), 8.0))}
    assert season.by_stage == {"phosphorus": ((0.5, 2.0),), "irrigation": ((0.9, 30.0),)}
    recovery = {name: dict(season.management[f"{name}_recovery"]) for name in NUTRIENTS}
    assert recovery["nitrogen"][164.0] == 0.5
    assert recovery["phosphorus"] == {122.0: 0.1, 153.0: 0.2}
    assert set(recovery["potassium"].values()) == {0.8}
    assert season.management["irrigation_trigger"] == 0.5
    assert season.management["irrigation_dose"] == 25.0
    assert not any("lasts at most" in note for note in check_experiment(folder).notes)


def test_the_command_check_shows_what_was_applied_by_nutrient(folder, capsys):
    def add(data):
        full = data["treatments"]["full"]
        full["nitrogen"] = [{"date": "2023-06-13", "kg_ha": 80}]
        full["nitrogen_by_stage"] = [{"stage": 1.0, "kg_ha": 40}]

    edit(folder, add)
    assert main(["check", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads, row = next((a, b) for a, b in pairwise(lines) if a.startswith("treatment"))
    assert heads.endswith("irrigation [mm]  nitrogen [g m-2]")
    assert row.split("2023-11-01")[1].split() == ["367.8", "in", "13", "12", "in", "2"]


def test_weather_that_ships_can_be_used(folder):
    def change(data):
        data["weather"] = {"use": "central_iowa_1990_2020", "defaults": {"wind": 2.0}}
        data["treatments"] = {"a": {"sowing": "2010-05-02"}}
        data.pop("observations")

    edit(folder, change)
    trial = load_experiment(folder)
    (season,) = trial.seasons()
    assert season.station.first == date(1990, 1, 1)
    assert season.site["latitude"] == 40.4487  # the site's, wherever the weather is from
    assert any("wind = 2" in note for note in check_experiment(folder).notes)


def test_the_page_on_the_folder_names_every_key():
    page = (ROOT / "docs/experiment-folder.md").read_text()
    keys = {
        key
        for name, value in vars(experiments).items()
        if name.startswith("_") and isinstance(value, tuple) and all(isinstance(key, str) for key in value)
        for key in value
    }
    keys |= {key for units in experiments._UNITS.values() for key in units} | {"stage", "recovery"}
    assert {"sowing", "irrigation_before_start", "top_cm", "kg_ha"} <= keys
    assert [key for key in sorted({*keys, *COLUMNS}) if f"`{key}`" not in page] == []
