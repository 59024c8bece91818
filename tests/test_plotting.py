"""Pictures say what they show: panels, labels with units, legends, and points where they were observed."""

import subprocess
import sys
from datetime import date, timedelta

import matplotlib as mpl
import matplotlib.dates as mdates
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from matplotlib.figure import Figure

import torchcrop as tc
from tests.conftest import ROOT
from tests.seasons import maize, season, soil5, wheat1
from torchcrop.plotting import plot_ensemble, plot_fit_comparison, plot_run
from torchcrop.simulation.run import Run

START = date(2019, 4, 25)
CROP = maize(TSUM1=500.0, TSUM2=400.0)


def simulated(starts: list[date], crop=CROP, **more) -> Run:
    """One treatment per start, t0, t1, ..."""
    seasons = [
        season(start, 200, soil=soil5(), sowing=start, labels={"experiment": "trial", "treatment": f"t{i}"})
        for i, start in enumerate(starts)
    ]
    return tc.simulate(tc.Lintul5(level="water"), crop, seasons, **more)


@pytest.fixture(scope="module")
def one() -> Run:
    return simulated([START])


@pytest.fixture(scope="module")
def three() -> Run:
    return simulated([START + timedelta(days=10 * i) for i in range(3)])


@pytest.fixture(scope="module")
def many() -> Run:
    return simulated([date(year, month, 1) for year in (2019, 2020, 2021) for month in (4, 5, 6)])


@pytest.fixture(scope="module")
def observations() -> pd.DataFrame:
    """Leaf area twice and storage organs once in treatment t0, leaf area once in t1, and anthesis of t0."""
    rows = [
        (50, "t0", "lai", 1.5, "m2 m-2"),
        (80, "t0", "lai", 3.0, "m2 m-2"),
        (70, "t1", "lai", 2.5, "m2 m-2"),
        (150, "t0", "WSO", 700.0, "g m-2"),
        (75, "t0", "anthesis", np.nan, "date"),
    ]
    table = pd.DataFrame(rows, columns=["date", "treatment", "variable", "value", "unit"])
    return table.assign(date=[START + timedelta(days=int(day)) for day in table["date"]])


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for drawn in figure.legends for text in drawn.get_texts()]


def axis_text(figure: Figure) -> list[str]:
    return [axes.get_ylabel().replace("\n", " ") for axes in figure.axes]


def drawn(axes, label: str) -> list[list[float]]:
    """x and y of the points or line of that label, dates as days since `START`."""
    line = next(line for line in axes.get_lines() if line.get_label() == label)
    return [(mdates.date2num(line.get_xdata()) - mdates.date2num(START)).tolist(), list(line.get_ydata())]


# --- runs -----------------------------------------------------------------------------------------------


def test_a_panel_per_variable_with_its_meaning_and_unit(one):
    figure = plot_run(one, ["lai", "WSO", "canopy_cover", "water_content"])
    assert axis_text(figure) == [
        "leaf area index [m² m⁻²]",
        "dry matter of storage organs [g m⁻²]",
        "share of light intercepted [–]",
        "water content of the rooted zone [m³ m⁻³]",
    ]
    assert figure.get_suptitle() == "LINTUL5, water · trial · t0"


def test_the_curve_is_the_run_while_it_lived(one):
    x, y = drawn(plot_run(one, ["lai"]).axes[0], "simulated")
    rows = int(one.rows[0])
    assert rows < one["lai"].shape[1]
    np.testing.assert_allclose(x, np.arange(rows), atol=1e-9)
    assert y == one["lai"][0, :rows].tolist()


def test_nobody_chooses_variables_and_the_usual_ones_appear(one):
    assert "leaf area index [m² m⁻²]" in axis_text(plot_run(one))
    wheat = tc.simulate(tc.Lintul1(), wheat1(), season(date(2019, 3, 5), 165, emergence=date(2019, 3, 9)))
    assert "dry matter of storage organs [g m⁻²]" in axis_text(plot_run(wheat))
    only = simulated([START], outputs=["evaporation"])
    assert axis_text(plot_run(only)) == ["soil evaporation [mm d⁻¹]"]


def test_run_plot_is_plot_run(one):
    assert axis_text(one.plot(["lai"])) == ["leaf area index [m² m⁻²]"]


def test_few_simulations_have_a_legend_of_what_distinguishes_them(three):
    figure = plot_run(three, ["lai"])
    assert legend(figure) == ["t0", "t1", "t2", "anthesis", "maturity"]
    assert figure.get_suptitle().endswith("trial"), "what they share is in the title"
    assert legend(plot_run(three, ["lai"], sims=[2, 1], events=False)) == ["t2", "t1"]


def test_simulations_of_one_season_are_numbered():
    run = tc.simulate(
        tc.Lintul5(level="potential"),
        CROP.with_values(tsum1=torch.tensor([450.0, 550.0], dtype=torch.float64, requires_grad=True)),
        season(START, 200, soil=soil5(), sowing=START),
    )
    assert legend(plot_run(run, ["lai"], events=False)) == ["simulation 0", "simulation 1"]


def test_dates_where_the_calendar_is_shared_days_where_it_is_not(three, many):
    shared = plot_run(three, ["lai"]).axes[0]
    assert shared.get_xlabel() == ""
    assert isinstance(shared.xaxis.get_major_formatter(), mdates.ConciseDateFormatter)
    assert drawn(shared, "t2")[0][0] == 20.0
    apart = plot_run(many, ["lai"]).axes[0]
    assert apart.get_xlabel() == "days since the first day of the run [d]"
    years = plot_run(many, ["lai"], sims=[0, 3, 6]).axes[0]
    assert years.get_xlabel() == "days since 1 April [d]"


def test_many_simulations_are_a_spread(many):
    figure = plot_run(many, ["storage_organs"])
    assert legend(figure) == ["90 % of 9 simulations", "50 %", "median"]
    line = next(line for line in figure.axes[0].get_lines() if line.get_label() == "median")
    x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    assert len(x) == int(many.rows.max()), "dry matter stays after the end"
    np.testing.assert_allclose(y[100], np.median(many["storage_organs"][:, 100]))
    np.testing.assert_allclose(y[-1], np.median(many.final["storage_organs"]), rtol=1e-3)


def test_events_are_marked_on_their_day(one, three):
    texts = {text.get_text(): text.xy[0] for text in plot_run(one, ["lai"]).axes[0].texts}
    for name in ("anthesis", "maturity"):
        days = mdates.date2num(texts[name]) - mdates.date2num(START)
        assert days == pytest.approx(one.dates[name][0].item(), abs=1e-4)
    marks = [line for line in plot_run(three, ["lai"]).axes[0].get_lines() if line.get_gid() == "anthesis"]
    days = [(mdates.date2num(mark.get_xdata()) - mdates.date2num(START)).item() for mark in marks]
    assert days == pytest.approx([10 * i + three.dates["anthesis"][i].item() for i in range(3)], abs=1e-4)
    assert not plot_run(one, ["lai"], events=False).axes[0].texts


def test_an_event_that_was_not_reached_is_not_marked():
    young = [season(START, days, soil=soil5(), sowing=START) for days in (60, 70)]
    run = tc.simulate(tc.Lintul5(level="water"), CROP, young)
    assert not plot_run(run, ["lai"], sims=[0]).axes[0].texts
    assert "maturity" not in legend(plot_run(run, ["lai"]))


def test_observations_are_points_in_the_panel_of_their_variable(one, observations):
    figure = plot_run(one, ["lai", "storage_organs", "root_depth"], observations=observations)
    assert legend(figure) == ["simulated", "observed", "observed anthesis"]
    leaves, stored, roots = figure.axes
    assert drawn(leaves, "observed") == [[50.0, 80.0], [1.5, 3.0]], "that of t1 is not of this simulation"
    assert drawn(stored, "observed") == [[150.0], [700.0]]
    assert "observed" not in [line.get_label() for line in roots.get_lines()]
    (mark,) = (line for line in leaves.get_lines() if line.get_gid() == "observed anthesis")
    assert mdates.date2num(mark.get_xdata()) - mdates.date2num(START) == [75.0]


def test_observed_variables_come_first_when_nobody_chooses(one, observations):
    first = axis_text(plot_run(one, observations=observations[observations["variable"] == "WSO"]))[0]
    assert first == "dry matter of storage organs [g m⁻²]"


def test_a_point_has_the_colour_of_its_simulation(three, observations):
    axes = plot_run(three, ["lai"], observations=observations, events=False).axes[0]
    lines = {line.get_label(): line.get_color() for line in axes.get_lines()}
    points = [line.get_color() for line in axes.get_lines() if line.get_linestyle() == "None"]
    assert points == [lines["t0"], lines["t1"]]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"variables": ["lia"]}, KeyError, "LINTUL5 has no state, output or observable 'lia' .did you mean 'lai'"),
        ({"variables": "lai"}, TypeError, r"give a list of names, \['lai'\]"),
        ({"variables": []}, ValueError, "variables is empty"),
        ({"sims": [1]}, IndexError, "no simulation 1; the run has 1, numbered from 0"),
        ({"sims": []}, ValueError, "sims is empty"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(one, options, error, text):
    with pytest.raises(error, match=text):
        plot_run(one, **options)


def test_a_run_that_kept_no_days_cannot_be_drawn():
    with pytest.raises(ValueError, match=r"no daily values.*outputs="):
        plot_run(simulated([START], outputs=[]))
    with pytest.raises(KeyError, match=r"did not keep 'lai': ask for it with outputs=\['lai'"):
        plot_run(simulated([START], outputs=["storage_organs"]), ["lai"])
    with pytest.raises(KeyError, match="one number per simulation"):
        plot_run(simulated([START], outputs=["lai", "max(lai)"]), ["max(lai)"])


# --- fits -----------------------------------------------------------------------------------------------


def test_a_fit_shows_both_runs_the_points_and_the_errors(one, observations):
    after = simulated([START], maize(TSUM1=600.0, TSUM2=400.0))
    figure = plot_fit_comparison(one, after, observations, title="a fit")
    assert figure.get_suptitle() == "a fit"
    assert axis_text(figure) == ["leaf area index [m² m⁻²]", "dry matter of storage organs [g m⁻²]"]
    assert legend(figure)[:3] == ["before", "after", "observed"]
    errors = [(run["lai"][0, [50, 80]] - torch.tensor([1.5, 3.0])).square().mean().sqrt() for run in (one, after)]
    assert figure.axes[0].get_title(loc="left") == f"RMSE {errors[0]:.3g} → {errors[1]:.3g} m² m⁻²"
    assert drawn(figure.axes[0], "after")[1] == after["lai"][0, : int(after.rows[0])].tolist()
    assert drawn(figure.axes[0], "observed")[1] == [1.5, 3.0]


def test_a_fit_of_few_treatments_has_a_column_for_each(three, observations):
    figure = plot_fit_comparison(three, three, observations, ["lai", "storage_organs"])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert len(titles) == 6
    assert [title.split("\n")[0] for title in titles[:3]] == ["t0", "t1", "t2"]
    assert titles[2].endswith("not observed")
    assert titles[4] == "not observed", "storage organs of t1"


def test_a_fit_of_many_simulations_is_simulated_against_observed(many, observations):
    figure = plot_fit_comparison(many, many, observations)
    assert axis_text(figure)[0] == "simulated leaf area index [m² m⁻²]"
    assert figure.axes[0].get_xlabel() == "observed [m² m⁻²]"
    assert legend(figure) == ["before", "after", "1 : 1"]


def test_a_fit_of_dates_alone_compares_days(one, observations):
    figure = plot_fit_comparison(one, one, observations, ["anthesis"])
    (axes,) = figure.axes
    assert axes.get_ylabel().replace("\n", " ") == "simulated day of anthesis, counted from the first of the run [d]"
    (x, y) = next((line.get_xdata(), line.get_ydata()) for line in axes.get_lines() if line.get_label() == "after")
    assert (list(x), list(y)) == ([75.0], [one.dates["anthesis"][0].item()])


def test_a_fit_without_common_ground_is_an_error(one, three, observations):
    with pytest.raises(ValueError, match="different seasons"):
        plot_fit_comparison(one, three, observations)
    with pytest.raises(ValueError, match="no observation of lai belongs to"):
        plot_fit_comparison(one, one, observations.assign(treatment="other"), ["lai"])
    with pytest.raises(KeyError, match="'leaves' was not observed"):
        plot_fit_comparison(one, one, observations, ["leaves"])
    with pytest.raises(ValueError, match="none of the observed variables: tillers"):
        plot_fit_comparison(one, one, observations.assign(variable="tillers", unit="m-2"))


# --- ensembles ------------------------------------------------------------------------------------------


def test_an_ensemble_has_a_box_and_all_points_per_group():
    values = np.array([900.0, 1000.0, 1100.0, 500.0, np.nan, 600.0])
    figure = plot_ensemble(values, ["early"] * 3 + ["late"] * 3, label="grain", unit="g m-2", by_label="sowing")
    (axes,) = figure.axes
    assert axis_text(figure) == ["grain [g m⁻²]"]
    assert axes.get_xlabel() == "sowing"
    ticks = [tick.get_text() for tick in axes.get_xticklabels()]
    assert ticks == ["early\nn = 3", "late\nn = 2\n1 without value"]
    points = [sorted(line.get_ydata()) for line in axes.get_lines() if line.get_marker() == "o"]
    assert points == [[900.0, 1000.0, 1100.0], [500.0, 600.0]]


def test_an_ensemble_takes_tensors_and_labelled_arrays():
    tensor = torch.tensor([1.0, 2.0], requires_grad=True)
    assert axis_text(plot_ensemble(tensor, [1990, 1991], label="grain", unit="g m-2")) == ["grain [g m⁻²]"]
    array = xr.DataArray([1.0, 2.0], dims="sim", attrs={"units": "mm", "long_name": "transpiration so far"})
    assert axis_text(plot_ensemble(array, ["a", "b"])) == ["transpiration so far [mm]"]


def test_an_ensemble_without_unit_or_groups_is_an_error():
    with pytest.raises(ValueError, match="do not say their unit: give unit="):
        plot_ensemble([1.0], ["a"], label="grain")
    with pytest.raises(ValueError, match=r"shape \(2,\) and by has length 1"):
        plot_ensemble([1.0, 2.0], ["a"], label="grain", unit="g m-2")


# --- the house ------------------------------------------------------------------------------------------


def test_the_settings_of_matplotlib_stay_as_they_are(one, observations):
    with mpl.rc_context():
        mpl.rcdefaults()
        before = dict(mpl.rcParams)
        plot_run(one)
        plot_fit_comparison(one, one, observations)
        plot_ensemble([1.0], ["a"], label="grain", unit="g m-2")
        assert dict(mpl.rcParams) == before


def test_a_figure_shows_itself_in_a_notebook(one):
    assert plot_run(one, ["lai"])._repr_png_().startswith(b"\x89PNG")


def test_plotting_needs_neither_pyplot_nor_a_display():
    code = (
        "import sys; from torchcrop.plotting import plot_ensemble;"
        "plot_ensemble([1.0, 2.0], ['a', 'b'], label='grain', unit='g m-2').savefig(sys.argv[1]);"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "/dev/null"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "MPLBACKEND": "tkagg", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_figures_are_drawn_without_warnings(tmp_path, one, three, many, observations):
    for name, figure in {
        "one": plot_run(one, observations=observations),
        "three": plot_run(three, observations=observations),
        "many": plot_run(many, observations=observations),
        "fit": plot_fit_comparison(three, three, observations),
        "fits": plot_fit_comparison(many, many, observations),
    }.items():
        figure.savefig(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
