"""The command: what it prints and writes, its exit codes, and errors of one line that name the nearest match."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import torchcrop as tc
from torchcrop.cli import _parser, main
from torchcrop.inputs.experiments import load_experiment
from torchcrop.inputs.parameters import load_crop
from torchcrop.inputs.shipped import data_path, names
from torchcrop.simulation.observed import pair

LIRF = "maize_lirf_2023"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the experiment that ships, to be changed."""
    return Path(shutil.copytree(data_path("experiments", LIRF), tmp_path / "trial"))


def change(folder: Path, **sections: object) -> None:
    file = folder / "experiment.yaml"
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump(data | sections), encoding="utf-8")


def printed(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    """What a command that goes well prints."""
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    return out


def refused(capsys: pytest.CaptureFixture, *arguments: object, code: int) -> str:
    """The one line of a command that is refused."""
    assert main([str(argument) for argument in arguments]) == code
    err = capsys.readouterr().err
    assert err.startswith("torchcrop: error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1, "an error is one line"
    return err.removeprefix("torchcrop: error: ").rstrip("\n")


def row(text: str, name: str) -> list[str]:
    """The cells of the printed row of that name."""
    return next(line.split() for line in text.splitlines() if line.split()[:1] == [name])


# --- simulate -------------------------------------------------------------------------------------------


def test_simulate_prints_dates_and_last_states_with_units(capsys):
    out = printed(capsys, "simulate", LIRF, "--crop", "maize", "--level", "water")
    run = tc.simulate(tc.Lintul5(level="water"), load_crop("maize"), load_experiment(LIRF))
    assert "LINTUL5, level water; crop maize; Hard()" in out
    assert row(out, "at")[-1] == "full"
    assert row(out, "maturity") == ["maturity", "date", "2023-09-03"]
    assert row(out, "storage_organs") == ["storage_organs", "WSO", "g", "m-2", f"{run.final['wso'].item():.0f}"]


def test_simulate_prints_the_error_of_every_observed_variable(capsys):
    out = printed(capsys, "simulate", LIRF, "--crop", "maize")
    experiment = load_experiment(LIRF)
    run = tc.simulate(tc.Lintul5(), load_crop("maize"), experiment)
    found = pair(run, experiment.observations, "canopy_cover")
    rmse = np.sqrt(np.mean((found["simulated"] - found["observed"]) ** 2))
    cells = row(out, "canopy_cover")
    assert cells[1:3] == ["-", str(len(found))]
    assert float(cells[4]) == pytest.approx(rmse, rel=1e-3)
    assert row(out, "soil_moisture_0_15cm")[3:5] == ["34", "6"]
    assert "not compared: soil_water_0_200cm, soil_water_105_200cm: soil water to 200 cm is asked for" in out


def test_simulate_takes_the_crop_of_the_experiment_and_its_model(capsys):
    assert printed(capsys, "simulate", LIRF) == printed(
        capsys, "simulate", LIRF, "--crop", "maize", "--model", "lintul5", "--switches", "hard"
    )


def test_simulate_with_other_values_says_so(capsys):
    out = printed(capsys, "simulate", LIRF, "--set", "TSUM1=800", "rgrlai=0.03", "--level", "potential")
    assert "tsum_anthesis = 800.0 degC d" in out
    run = tc.simulate(
        tc.Lintul5(level="potential"), load_crop("maize", {"tsum1": 800.0, "rgrlai": 0.03}), load_experiment(LIRF)
    )
    assert row(out, "storage_organs")[-1] == f"{run.final['wso'].item():.0f}"


def test_simulate_with_smooth_switches(capsys):
    out = printed(capsys, "simulate", LIRF, "--switches", "smooth", "--softness", "0.05")
    assert "Smooth(softness=0.05" in out


def test_simulate_writes_the_run_its_summary_and_a_picture(capsys, tmp_path):
    out = printed(capsys, "simulate", LIRF, "--outputs", "lai,WSO,max(lai)", "--out", tmp_path / "new" / "out")
    assert "run.nc, summary.csv, run.png" in out
    saved = tc.open_run(tmp_path / "new" / "out" / "run.nc")
    assert saved["lai"].attrs["units"] == "m2 m-2"
    assert saved["lai"].dims == ("sim", "day")
    assert float(row(out, "max(lai)")[-1]) == pytest.approx(saved["max_lai"].item(), rel=1e-3)
    summary = pd.read_csv(tmp_path / "new" / "out" / "summary.csv")
    assert summary["storage_organs [g m-2]"].item() == pytest.approx(saved["final_storage_organs"].item())
    assert (tmp_path / "new" / "out" / "run.png").read_bytes().startswith(b"\x89PNG")


def test_simulate_shows_all_treatments_side_by_side(capsys, folder, monkeypatch):
    treatments = {f"t{i}": {"sowing": f"2023-05-{i + 1:02d}", "harvest": "2023-11-01"} for i in range(8)}
    table = pd.read_csv(folder / "observations.csv").assign(treatment="t1")
    table.to_csv(folder / "observations.csv", index=False)
    change(folder, treatments=treatments)
    monkeypatch.setenv("COLUMNS", "80")
    out = printed(capsys, "simulate", folder)
    assert "not reached" not in out
    headers = [line.split()[5:] for line in out.splitlines() if line.startswith("at the end")]
    assert [name for header in headers for name in header] == list(treatments)
    assert len(headers) > 1, "eight treatments are wider than the terminal"
    assert max(len(line) for line in out.splitlines() if not line.startswith(("Maize", "not compared"))) <= 80


# --- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["simulate", "maize_lirf_203"], "no 'maize_lirf_203' among the experiments that ship (did you mean 'maize_li"),
        (["check", "maize_lirf_203"], "(did you mean 'maize_lirf_2023'?)"),
        (["simulate", "no/such/folder"], "there is no folder no/such/folder"),
        (["simulate", LIRF, "--crop", "maise"], "no 'maise' among the crops that ship (did you mean 'maize'?)"),
        (["simulate", LIRF, "--crop", "own.yaml"], "there is no file own.yaml"),
        (["simulate", LIRF, "--model", "lintull5"], "there is no model 'lintull5' (did you mean 'lintul5'"),
        (["simulate", LIRF, "--model", "lintul2"], "LINTUL2 needs a Lintul2Crop, but the crop is a Lintul5Crop"),
        (["simulate", LIRF, "--level", "wter"], "LINTUL5 has no level 'wter' (did you mean 'water'?)"),
        (["simulate", LIRF, "--crop", "spring_wheat", "--level", "water"], "--level: LINTUL2 has no levels"),
        (["simulate", LIRF, "--switches", "smoth"], "there are no switches 'smoth' (did you mean 'smooth'?)"),
        (["simulate", LIRF, "--softness", "0.1"], "--softness goes with --switches smooth or straight-through"),
        (["simulate", LIRF, "--switches", "smooth", "--softness", "0"], "--softness: softness is 0.0; it must be > 0"),
        (["simulate", LIRF, "--set", "tsm1=800"], "crop maize has no value 'tsm1' (did you mean 'tsum1'"),
        (["simulate", LIRF, "--set", "tsum1"], "'tsum1' is not NAME=NUMBER, such as tsum1=800"),
        (["simulate", LIRF, "--set", "tsum1=-5"], "-5 degC d; expected 25 to 7200"),
        (
            ["simulate", LIRF, "--outputs", "lia"],
            "--outputs: LINTUL5 has no state, output or observable 'lia' (did you",
        ),
        (["simulate", LIRF, "--output", "lai"], "unrecognized arguments: --output lai"),
        (["simulate"], "the following arguments are required: EXPERIMENT (see torchcrop simulate --help)"),
        (["calibrate", LIRF], "the following arguments are required: --free (see torchcrop calibrate --help)"),
        (["calibrate", LIRF, "--free", "tsum1=5"], "'tsum1=5' is not NAME=LOW:HIGH, such as tsum1=500:1100"),
        (["calibrate", LIRF, "--free", "tsum1=9:5"], "'tsum1=9:5': the lower bound must be below the upper"),
        (["calibrate", LIRF, "--free", "tsm1=5:9"], "has no quantity 'tsm1' (did you mean 'tsum1'"),
        (["calibrate", LIRF, "--free", "tsum1=5:9", "--free", "tsum1=5:9"], "--free: tsum1 is given twice"),
        (["calibrate", LIRF, "--free", "tsum1=5:9", "--starts", "0"], "'0' is no number of 1 or more"),
        (
            ["calibrate", LIRF, "--free", "tsum1=500:900", "--variables", "canopy_covr"],
            "--variables: 'canopy_covr' was not observed (did you mean 'canopy_cover'?)",
        ),
        (["plot"], "'plot'"),
        ([], "the following arguments are required: COMMAND"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_line_is_refused_with_code_2(capsys, arguments, text):
    assert text in refused(capsys, *arguments, code=2)


def test_a_crop_must_be_named_where_the_experiment_names_none_that_ships(capsys, folder):
    change(folder, crop="corn")
    assert "does not name a crop that ships: say which with --crop" in refused(capsys, "simulate", folder, code=2)


def test_wrong_data_are_refused_with_code_1(capsys, folder):
    change(folder, crop=3, titel="?")
    message = refused(capsys, "simulate", folder, "--crop", "maize", code=1)
    assert "has 2 problems; the first: " in message
    assert message.endswith("(torchcrop check lists all)")


def test_a_single_problem_is_told_in_full(capsys, folder):
    change(folder, titel="?")
    message = refused(capsys, "simulate", folder, "--crop", "maize", code=1)
    assert message.startswith(f"{folder}/experiment.yaml: titel: unknown key (did you mean 'title'")


def test_a_folder_without_an_experiment_is_refused(capsys, tmp_path):
    assert "experiment.yaml" in refused(capsys, "simulate", tmp_path, "--crop", "maize", code=1)


def test_a_run_that_cannot_start_is_refused_with_code_1(capsys):
    message = refused(capsys, "simulate", LIRF, "--crop", "spring_wheat", "--model", "lintul1", code=1)
    assert message.startswith("LINTUL1 starts from a date of emergence and the season has none")


def test_an_error_of_several_lines_becomes_one(capsys, monkeypatch):
    def fails(name):
        raise RuntimeError("first line\n  - second line\n")

    monkeypatch.setattr("torchcrop.cli.load_experiment", fails)
    assert refused(capsys, "simulate", LIRF, code=1) == "first line - second line"


def test_debug_shows_where_an_error_came_from(folder):
    change(folder, titel="?")
    with pytest.raises(ValueError, match="titel: unknown key"):
        main(["simulate", str(folder), "--crop", "maize", "--debug"])


# --- crops and check ------------------------------------------------------------------------------------


def test_crops_lists_what_ships(capsys):
    out = printed(capsys, "crops")
    assert out.splitlines()[0].split() == ["name", "title", "model"]
    assert row(out, "maize") == ["maize", "Grain", "maize", "lintul5"]
    assert len(out.splitlines()) == 1 + len(names("crops"))


def test_crops_as_json(capsys):
    rows = json.loads(printed(capsys, "crops", "--json"))
    assert [each["name"] for each in rows] == names("crops")
    assert {"name": "maize", "title": "Grain maize", "model": "lintul5"} in rows


def test_check_says_what_it_found(capsys):
    out = printed(capsys, "check", LIRF)
    assert out.startswith(f"ok: {LIRF}: Maize")
    assert "weather from 2023-01-01 to 2023-12-31, 365 days" in out
    assert row(out, "full") == ["full", "2023-05-02", "-", "2023-05-02", "2023-11-01", "367.8", "in", "13"]
    assert row(out, "canopy_cover") == ["canopy_cover", "full", "-", "26", "2023-05-15", "2023-08-25"]
    assert "- treatments.full: 50.8 mm of irrigation on 2023-04-13 precede the run and are left out" in out


def test_check_lists_every_problem_with_code_1(capsys, folder):
    change(folder, titel="?", crop=3)
    (folder / "observations.csv").write_text("date,treatment,variable,value,unit\n2023-06-01,ful,lai,x,m2 m-2\n")
    assert main(["check", str(folder)]) == 1
    out, err = capsys.readouterr()
    problems = [line for line in out.splitlines() if line.startswith("- ")]
    assert out.splitlines()[0] == f"{folder} has {len(problems)} problems:"
    for text in ("titel: unknown key", "crop: is 3", "did you mean 'full'", "value is no number"):
        assert sum(text in problem for problem in problems) == 1, text
    assert err == ""


# --- calibrate ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_calibrate_lowers_the_errors_and_writes_a_crop_that_loads(capsys, tmp_path):
    code = main(
        ["calibrate", LIRF, "--crop", "maize", "--free", "tsum1=500:1100", "--free", "rgrlai=0.005:0.05"]
        + ["--variables", "canopy_cover", "--starts", "2", "--out", str(tmp_path)]
    )
    out, _ = capsys.readouterr()
    assert code == 0
    assert (tmp_path / "summary.txt").read_text(encoding="utf-8").strip() in out
    parameters = pd.read_csv(tmp_path / "parameters.csv")
    assert list(parameters["symbol"]) == ["TSUM1", "RGRLAI"]
    assert parameters["after"].between(parameters["lower"], parameters["upper"]).all()
    crop = load_crop(tmp_path / "maize_fitted.yaml")
    assert crop.tsum_anthesis.item() == pytest.approx(parameters["after"][0])
    errors = pd.read_csv(tmp_path / "errors.csv").set_index("variable")
    before, after = (
        pair(
            tc.simulate(tc.Lintul5(), values, load_experiment(LIRF)), load_experiment(LIRF).observations, "canopy_cover"
        )
        for values in (load_crop("maize"), crop)
    )
    scores = [np.sqrt(np.mean((p["simulated"] - p["observed"]) ** 2)) for p in (before, after)]
    assert scores[1] < 0.7 * scores[0], "the fit is better with hard switches too"
    assert errors.index.tolist() == ["canopy_cover"]
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")


# --- help -----------------------------------------------------------------------------------------------


def test_version(capsys):
    assert printed(capsys, "--version") == f"torchcrop {tc.__version__}\n"


@pytest.mark.parametrize("command", ["simulate", "calibrate", "crops", "check"])
def test_help_has_an_example_that_parses(capsys, command):
    out = printed(capsys, command, "--help")
    program, *arguments = out.split("example:")[1].replace("\\\n", " ").split()
    assert program == "torchcrop"
    assert arguments[0] == command
    assert _parser().parse_args(arguments).debug is False
    assert f"torchcrop {command}" in printed(capsys, "--help")
