"""Management, observations and experiments: what is wrong is refused in full, what ships is what it says."""

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.conftest import ROOT
from torchcrop.inputs import experiments
from torchcrop.inputs.experiments import ExperimentError, check_experiment, load_experiment
from torchcrop.inputs.management import Management, ManagementError, seasons
from torchcrop.inputs.observations import COLUMNS, ObservationError, check_observations, read_observations
from torchcrop.inputs.parameters import load_soil
from torchcrop.inputs.shipped import data_path
from torchcrop.simulation.seasons import Station

LIRF = "maize_lirf_2023"


def station(first: date = date(2020, 1, 1), days: int = 1096) -> Station:
    return Station("here", 40.0, -100.0, 1000.0, first, {"tmin": np.zeros(days)})


# --- management -----------------------------------------------------------------------------------------


def test_management_becomes_a_season():
    management = Management(
        sowing="2020-04-20",
        harvest=date(2020, 10, 1),
        irrigation=[("2020-07-01", 30), (date(2020, 6, 1), 20.0)],
        automatic_irrigation=True,
        irrigation_factor=0.5,
    )
    soil = load_soil("lirf")
    season = management.season(station(), soil, {"co2": 420.0}, {"treatment": "a"})
    assert (season.start, season.end) == (date(2020, 4, 20), date(2020, 10, 1))
    assert season.sowing == date(2020, 4, 20)
    assert season.emergence is None
    assert season.events == {"irrigation": ((date(2020, 6, 1), 20.0), (date(2020, 7, 1), 30.0))}
    assert season.management == {"automatic_irrigation": 1.0, "irrigation_factor": 0.5}
    assert (season.soil, season.site, season.labels) == (soil, {"co2": 420.0}, {"treatment": "a"})


def test_choices_that_are_off_are_not_named():
    # A model without them would refuse their names.
    season = Management(sowing="2020-04-20").season(station())
    assert season.management == {}
    assert season.events == {}


@pytest.mark.parametrize(
    ("given", "start", "end"),
    [
        ({"sowing": "2020-04-20"}, "2020-04-20", "2021-02-13"),  # 300 days
        ({"emergence": "2020-05-01"}, "2020-04-29", "2021-02-22"),
        ({"sowing": "2020-04-20", "emergence": "2020-05-01"}, "2020-04-20", "2021-02-13"),
        ({"sowing": "2022-04-20"}, "2022-04-20", "2022-12-31"),  # the weather's end
        ({"sowing": "2020-04-20", "harvest": "2020-09-01"}, "2020-04-20", "2020-09-01"),
        ({"sowing": "2020-04-20", "harvest": "2021-06-01"}, "2020-04-20", "2021-06-01"),
        ({"sowing": "2020-04-20", "end": "2020-08-01", "harvest": "2020-09-01"}, "2020-04-20", "2020-08-01"),
        ({"sowing": "2020-04-20", "start": "2020-03-01", "end": "2020-08-01"}, "2020-03-01", "2020-08-01"),
    ],
)
def test_start_and_end_have_defaults(given, start, end):
    season = Management(**given).season(station())
    assert (f"{season.start}", f"{season.end}") == (start, end)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "neither sowing nor emergence is given"),
        ({"sowing": "2020-13-01"}, "sowing is '2020-13-01'; expected a date such as 2023-05-02"),
        ({"sowing": 20200420}, "sowing is 20200420; expected a date"),
        ({"sowing": pd.Timestamp("2020-04-20 12:00")}, "expected a date"),
        ({"sowing": "2020-04-20", "harvest": "2020-04-01"}, "harvest on 2020-04-01 is before sowing on 2020-04-20"),
        ({"sowing": "2020-04-20", "start": "2020-05-01"}, "sowing on 2020-04-20 is before start on 2020-05-01"),
        ({"sowing": "2020-04-20", "emergence": "2020-04-01"}, "emergence on 2020-04-01 is before sowing"),
        ({"sowing": "2020-04-20", "end": "2020-09-01", "harvest": "2020-08-01"}, "harvest on 2020-08-01 is before end"),
        (
            {"sowing": "2020-04-20", "irrigation": [("2020-04-13", 50.8)]},
            "irrigation of 50.8 mm on 2020-04-13 lies outside the season, 2020-04-20 to its end: move start or end",
        ),
        (
            {"sowing": "2020-04-20", "harvest": "2020-09-01", "irrigation_table": [("2020-09-02", 5)]},
            "irrigation_table of 5 mm on 2020-09-02 lies outside the season, 2020-04-20 to 2020-09-01",
        ),
        (
            {"sowing": "2020-04-20", "irrigation": [("2020-05-01", -3)]},
            "irrigation on 2020-05-01 is -3 mm; expected 0 to",
        ),
        ({"sowing": "2020-04-20", "irrigation": [("2020-05-01", float("nan"))]}, "is nan mm"),
        ({"sowing": "2020-04-20", "irrigation": [("2020-05-01", "30")]}, "is '30' mm"),
        ({"sowing": "2020-04-20", "irrigation": 30}, "irrigation is 30; expected pairs"),
        ({"sowing": "2020-04-20", "irrigation_factor": 2}, "irrigation_factor is 2; expected a number, 0 to 1"),
        (
            {"sowing": "2020-04-20", "automatic_irrigation": "yes"},
            "automatic_irrigation is 'yes'; expected true or false",
        ),
    ],
)
def test_management_that_contradicts_itself_is_refused(given, expected):
    with pytest.raises(ManagementError) as caught:
        Management(**given)
    assert len(caught.value.problems) == 1
    assert expected in caught.value.problems[0]


def test_all_contradictions_of_management_come_together():
    with pytest.raises(ManagementError) as caught:
        Management(sowing="yesterday", irrigation=[("2020-05-01", -3)], irrigation_factor=7)
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize("given", [{"sowing": "2019-12-31"}, {"sowing": "2022-12-01", "harvest": "2023-01-05"}])
def test_a_season_outside_the_weather_says_which_days_there_are(given):
    with pytest.raises(ManagementError, match="here has 2020-01-01 to 2022-12-31"):
        Management(**given).season(station())


def test_an_application_after_the_default_end_is_refused():
    with pytest.raises(ManagementError, match="on 2021-03-01 lies outside the season, 2020-04-20 to 2021-02-13"):
        Management(sowing="2020-04-20", irrigation=[("2021-03-01", 10)]).season(station())


def test_seasons_of_many_years_share_one_station():
    found = seasons(station(), sowing=["05-10", "04-20"], years=range(2020, 2023), length=120)
    assert [f"{s.start}" for s in found] == [f"{y}-{d}" for y in (2020, 2021, 2022) for d in ("04-20", "05-10")]
    assert all(s.station is found[0].station for s in found)
    assert all((s.end - s.start).days == 119 for s in found)
    assert found[3].labels == {"year": "2021", "sowing": "05-10"}


def test_seasons_take_full_dates_and_dates_of_emergence():
    (one,) = seasons(station(), sowing="2020-04-20", length=100)
    assert one.start == date(2020, 4, 20)
    (one,) = seasons(station(), emergence=["05-01"], years=[2021], length=100)
    assert (one.start, one.emergence, one.labels) == (
        date(2021, 4, 29),
        date(2021, 5, 1),
        {"year": "2021", "emergence": "05-01"},
    )


def test_irrigation_by_day_of_the_year_falls_in_every_season():
    found = seasons(station(), sowing="10-10", years=[2020, 2021], length=250, irrigation=[("03-01", 20), ("11-01", 5)])
    assert [[f"{day}" for day, _ in s.events["irrigation"]] for s in found] == [
        ["2020-11-01", "2021-03-01"],
        ["2021-11-01", "2022-03-01"],
    ]


def test_seasons_beyond_the_weather_are_refused_or_dropped():
    with pytest.raises(ManagementError, match=r"not of the season of 2022-04-20 to 2023-02-13: shorten `length`"):
        seasons(station(), sowing="04-20", years=range(2020, 2023))
    assert len(seasons(station(), sowing="04-20", years=range(2020, 2023), incomplete="drop")) == 2
    with pytest.raises(ManagementError, match="here has weather of"):
        seasons(station(), sowing="04-20", years=[1999], incomplete="drop")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "either sowing or emergence"),
        ({"sowing": "04-20", "emergence": "05-01", "years": [2020]}, "either sowing or emergence"),
        ({"sowing": "04-20"}, "say which `years`"),
        ({"sowing": "2020-04-20", "years": [2020]}, "`years` goes with days such as '04-20' only"),
        ({"sowing": "02-30", "years": [2020]}, "sowing is '2020-02-30'; expected a date"),
        ({"sowing": "04-20", "years": [2020], "length": 0}, "length is 0 d"),
        ({"sowing": "04-20", "years": [2020], "incomplete": "skip"}, "incomplete is 'skip'"),
    ],
)
def test_seasons_asked_for_wrongly_are_refused(given, expected):
    with pytest.raises(ManagementError, match=expected):
        seasons(station(), **given)


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
    assert {"sowing", "irrigation_before_start", "top_cm"} <= keys
    assert [key for key in sorted({*keys, *COLUMNS}) if f"`{key}`" not in page] == []
