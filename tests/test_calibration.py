"""Calibration: names and bounds, the search, and what a fit says of itself."""

import dataclasses
import datetime as dt

import hypothesis.strategies as st
import pandas as pd
import pytest
import torch
from hypothesis import given

import torchcrop as tc
from torchcrop.calibration.objectives import Concentrated, LeastSquares
from torchcrop.calibration.parameters import free_parameters, with_parameters
from torchcrop.calibration.solvers import LBFGS
from torchcrop.calibration.transforms import Box

MODEL = tc.Lintul5(level="water")

# One process: the twin below is fitted once.
pytestmark = pytest.mark.xdist_group("calibration")


@pytest.fixture(scope="module")
def crop() -> tc.Lintul5Crop:
    return tc.load_crop("maize")


@pytest.fixture(scope="module")
def soil() -> tc.Lintul5Soil:
    return tc.load_soil("lintul5_p1")


def spring_trial(truth: tc.Lintul1Crop) -> tc.Experiment:
    """A field that grows as LINTUL1 with hard switches says, seen on a few days of one season."""
    weather = tc.load_weather("central_iowa_1990_2020", defaults={"wind": 2.0})
    management = tc.Management(emergence="2001-04-10", end="2001-08-20")
    run = tc.simulate(tc.Lintul1(), truth, weather=weather, management=management)
    rows = []
    for day in range(20, 110, 10):
        date = run.calendar.starts[0] + dt.timedelta(days=day)
        for name, unit in (("lai", "m2 m-2"), ("storage_organs", "kg ha-1")):
            value = float(run[name][0, day]) * (10 if unit == "kg ha-1" else 1)
            rows.append((date, "all", name, value, unit))
    rows.append(
        (run.calendar.starts[0] + dt.timedelta(days=int(run.dates["anthesis"][0])), "all", "anthesis", 0, "date")
    )
    table = pd.DataFrame(rows, columns=["date", "treatment", "variable", "value", "unit"])
    treatment = next(iter(tc.load_experiment("maize_lirf_2023").treatments.values()))
    return tc.Experiment(
        id="twin",
        title="twin",
        site={},
        weather=weather,
        treatments={"all": dataclasses.replace(treatment, management=management)},
        observations=table,
    )


# --- names and bounds -----------------------------------------------------------------------------------


def test_symbols_readable_names_factors_and_ordinates_are_found(crop, soil):
    free = free_parameters(
        MODEL,
        {"crop": crop, "soil": soil},
        {"TSUM1": (500, 900), "field_capacity": (0.3, 0.4), "slatb*": (0.5, 2), "RUETB[dvs=1.25]": (3, 5)},
    )
    assert [(p.record, p.field, p.part) for p in free] == [
        ("crop", "tsum_anthesis", None),
        ("soil", "field_capacity", None),
        ("crop", "specific_leaf_area", "scale"),
        ("crop", "radiation_use_efficiency", 1),
    ]
    assert [p.preset for p in free] == [695.0, 0.35, 1.0, 4.5]
    changed = with_parameters({"crop": crop, "soil": soil}, free, torch.tensor([700.0, 0.33, 2.0, 4.0]).double())
    assert float(changed["crop"].tsum_anthesis) == 700
    assert torch.equal(changed["crop"].specific_leaf_area.y, 2 * crop.specific_leaf_area.y)
    expected = crop.radiation_use_efficiency.y.clone()
    expected[1] = 4.0
    assert torch.equal(changed["crop"].radiation_use_efficiency.y, expected)
    assert float(changed["soil"].field_capacity) == pytest.approx(0.33)


def test_default_bounds_are_those_of_the_crop_file(crop, soil):
    (one,) = free_parameters(MODEL, {"crop": crop, "soil": soil}, ["tsum1"])
    assert (one.lower, one.upper) == (0.5 * 695, 2 * 695)


@pytest.mark.parametrize(
    ("free", "says"),
    [
        ({"tsumm1": (1, 2)}, "did you mean 'tsum1'"),
        ({"tsum1": (900, 500)}, "lower bound 900 is not below upper bound 500"),
        ({"slatb": (0.5, 2)}, r"slatb\* for a factor"),
        ({"ruetb[1.3]": (1, 2)}, "no breakpoint at 1.3"),
        ({"tsum1*": (0.5, 2)}, "is a number, not a table"),
        ({"iairdu": (0, 1)}, "cannot be calibrated"),
        ({"rdmcr": (0.1, 9)}, "leave the plausible range"),
        ({"tsum1": (500, 900), "tsum_anthesis": (500, 900)}, "are the same parameter"),
        ({}, "there is no free parameter"),
    ],
)
def test_a_wrong_name_or_bound_says_what_is_right(crop, soil, free, says):
    with pytest.raises(ValueError, match=says):
        free_parameters(MODEL, {"crop": crop, "soil": soil}, free)


def test_all_problems_of_the_free_parameters_come_in_one_message(crop, soil):
    with pytest.raises(ValueError, match=r"(?s)tsumm1.*lower bound"):
        free_parameters(MODEL, {"crop": crop, "soil": soil}, {"tsumm1": (1, 2), "rri": (2, 1)})


@given(st.floats(0.06, 0.94), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_the_box_is_a_bijection_inside_its_margin(share, lower, width):
    box = Box(torch.tensor([lower]).double(), torch.tensor([lower + width]).double())
    x = box.lower + share * (box.upper - box.lower)
    assert torch.allclose(box.natural(box.latent(x)), x, rtol=1e-12, atol=1e-12 * (abs(lower) + width))


# --- objectives and solver ------------------------------------------------------------------------------


def test_objectives_are_their_formulas():
    residuals = [torch.tensor([1.0, -1.0]).double(), torch.tensor([3.0]).double()]
    spreads = [torch.tensor([2.0, 2.0]).double(), torch.tensor([1.0]).double()]
    assert float(LeastSquares()(residuals, spreads)) == pytest.approx(0.25 + 9)
    expected = torch.log(torch.tensor(0.25)) + 0.5 * torch.log(torch.tensor(9.0))
    assert float(Concentrated()(residuals, spreads)) == pytest.approx(float(expected), abs=1e-5)


def test_the_solver_finds_a_minimum_and_says_so():
    target = torch.tensor([0.3, -1.2]).double()
    solution = LBFGS().minimise(lambda u: ((u - target) ** 2).sum() + 1, torch.zeros(2).double(), lambda _: None)
    assert solution.status == "converged"
    assert torch.allclose(solution.latent, target, atol=1e-4)


def test_the_solver_survives_a_region_that_is_not_finite():
    def cost(u: torch.Tensor) -> torch.Tensor:
        return torch.where(u.sum() > 1, torch.full_like(u.sum(), torch.nan), (u - 0.9).square().sum())

    solution = LBFGS().minimise(cost, torch.full((1,), -3.0).double(), lambda _: None)
    assert solution.status != "non-finite"
    assert float(solution.latent) == pytest.approx(0.9, abs=0.05)


def test_a_start_that_is_not_finite_is_reported():
    solution = LBFGS().minimise(lambda u: u.sum() * torch.nan, torch.zeros(1).double(), lambda _: None)
    assert solution.status == "non-finite"


# --- fits -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def twin() -> tuple[tc.Fit, tc.Lintul1Crop]:
    preset = tc.load_crop("spring_wheat")
    truth = preset.with_values(tsuman=1000.0, lue=2.6, laicr=5.0)
    fit = tc.calibrate(
        tc.Lintul1(),
        preset,
        [spring_trial(truth)],
        {"tsuman": (800, 1400), "lue": (2.0, 4.0), "sla": (0.015, 0.03)},
        solver=LBFGS(max_iter=25),
        progress=False,
    )
    return fit, truth


def test_a_twin_is_recovered_through_a_threshold(twin):
    fit, truth = twin
    assert float(fit.crop.tsum_anthesis) == pytest.approx(float(truth.tsum_anthesis), abs=20)
    assert float(fit.crop.light_use_efficiency) == pytest.approx(float(truth.light_use_efficiency), rel=0.05)
    assert (fit.errors["rmse_after"] < 0.35 * fit.errors["rmse_before"]).all()


def test_scores_are_those_of_a_hard_run_with_the_fitted_crop(twin):
    fit, _ = twin
    season = fit.problem.seasons[0]
    again = tc.simulate(tc.Lintul1(), fit.crop, season, switches=tc.Hard())
    lai = fit.problem.table[fit.problem.table["variable"] == "lai"]
    rows = [(pd.Timestamp(d).date() - season.start).days for d in lai["date"]]
    rmse = float((again["lai"][0, rows] - torch.tensor(lai["value"].to_numpy())).square().mean().sqrt())
    assert fit.errors["rmse_after"]["lai"] == pytest.approx(rmse, rel=1e-9)


def test_units_of_observations_are_converted(twin):
    fit, _ = twin
    matter = next(o for o in fit.problem.observed if o.variable == "storage_organs")
    assert matter.unit == "g m-2"
    assert float(matter.value.max()) < 2000


def test_the_summary_says_what_a_reader_needs(twin):
    text = twin[0].summary()
    for part in ("Errors, scored with hard switches", "TSUMAN", "degC d", "800 to 1400", "determined", "anthesis"):
        assert part in text


def test_the_fitted_crop_is_saved_with_what_changed(twin, tmp_path):
    fit, _ = twin
    path = tmp_path / "fitted.yaml"
    fit.crop.save(path)
    again = tc.load_crop(path)
    assert torch.equal(again.tsum_anthesis, fit.crop.tsum_anthesis)
    assert "fitted" in path.read_text()


def test_the_figure_shows_every_observed_variable(twin):
    figure = twin[0].plot()
    text = " ".join(axes.get_ylabel() + axes.get_xlabel() + axes.get_title() for axes in figure.axes)
    assert "leaf area index" in text


@pytest.mark.slow
def test_what_was_observed_but_not_used_is_said():
    trial = tc.load_experiment("maize_lirf_2023")
    crop = tc.load_crop("maize").with_values(rdmcr=1.1)
    fit = tc.calibrate(
        MODEL,
        crop,
        [trial],
        {"tsum1": (600, 800)},
        variables=["canopy_cover"],
        solver=LBFGS(max_iter=1),
        progress=False,
    )
    assert "soil_water_0_105cm" in fit.summary()
    assert "Yield was not observed" in fit.summary()


def test_a_variable_beyond_the_modelled_depth_names_the_limit():
    trial = tc.load_experiment("maize_lirf_2023")
    with pytest.raises(ValueError, match="largest rooting depth, 100 cm"):
        tc.calibrate(MODEL, tc.load_crop("maize"), [trial], {"tsum1": (600, 800)}, variables=["soil_water_0_105cm"])


def test_a_misspelled_variable_names_what_was_observed():
    trial = tc.load_experiment("maize_lirf_2023")
    with pytest.raises(KeyError, match="canopy_cover"):
        tc.calibrate(MODEL, tc.load_crop("maize"), [trial], {"tsum1": (600, 800)}, variables=["canopy_covr"])


@pytest.mark.slow
def test_the_demonstration_fits_the_field(tmp_path):
    from torchcrop.demo import calibrate

    fit = calibrate(tmp_path, iterations=60)
    assert fit.errors["rmse_after"]["canopy_cover"] <= 0.08
    assert fit.errors["rmse_after"]["soil_water_0_105cm"] <= 10.0
    assert fit.errors["n"].tolist() == [26, 34]
    assert {p.name for p in tmp_path.iterdir()} == {
        "fit.png",
        "season.png",
        "maize_lirf.yaml",
        "run.nc",
        "parameters.csv",
    }
