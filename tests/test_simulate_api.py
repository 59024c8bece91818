"""What a user may ask of `simulate`, what a `Run` gives back, and what is refused with a helpful text."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from torch import Tensor

import torchcrop as tc
from tests.seasons import CASES, Case, cases, maize, quick_cases, season, soil5, station, wheat1, wheat2
from torchcrop.quantities import is_wrapped
from torchcrop.simulation.run import Run
from torchcrop.simulation.seasons import Season, Station


def simulate(name: str, **more: Any) -> Run:
    """The first season of a case."""
    case = cases()[name]
    return tc.simulate(case.model, more.pop("crop", case.crop), more.pop("season", case.season), **more)


@pytest.fixture(scope="module")
def two() -> Run:
    """Two seasons of maize, the second of which is cut short."""
    case = cases()["lintul5-water"]
    return tc.simulate(case.model, case.crop, [case.seasons[2], case.seasons[5]])


# --- outputs --------------------------------------------------------------------------------------------


def test_by_default_all_states_and_outputs_are_kept(two: Run) -> None:
    assert {"lai", "storage_organs", "transpiration", "root_growth_before"} - set(two.daily) == {"root_growth_before"}
    assert two["LAI"].shape == (2, 130)
    assert two["lai"] is not None
    assert torch.equal(two["LAI"], two["lai"])
    assert torch.equal(two["WSO"], two["storage_organs"])


def test_outputs_are_named_by_symbol_name_or_observable() -> None:
    full = simulate("lintul2")
    asked = simulate("lintul2", outputs=["LAI", "storage_organs", "tran", "aboveground"])
    needed = {"lai", "storage_organs", "transpiration", "leaves", "dead_leaves", "stems"}
    assert set(asked.daily) == needed
    for name in ("LAI", "WSO", "transpiration", "aboveground"):
        assert torch.equal(asked[name], full[name])
    with pytest.raises(KeyError, match=r"did not keep 'WRT': ask for it with outputs=\['WRT', \.\.\.\]"):
        asked["WRT"]


def test_a_reduction_is_found_by_any_spelling() -> None:
    full = simulate("lintul2")
    asked = simulate("lintul2", outputs=["max(LAI)", "sum(growth)", "max(WSO)", "min(wa)"])
    assert not asked.daily
    rows = int(full.rows[0])
    for name in ("max(LAI)", "max(lai)"):
        assert asked[name].tolist() == [float(full["LAI"].max())]
    for name in ("max(WSO)", "max(storage_organs)", "max(wso)"):
        assert asked[name].tolist() == [float(full["WSO"].max())]
    assert asked["min(WA)"].tolist() == [float(full["WA"][:, :rows].min())]
    assert float(asked["sum(GTOTAL)"]) == pytest.approx(float(full.final["GTSUM"] + full["GTOTAL"][0, rows - 1]))
    with pytest.raises(KeyError, match=r"did not keep 'sum\(LAI\)'"):
        asked["sum(LAI)"]
    with pytest.raises(KeyError, match="no state, output or observable 'laj'"):
        asked["max(laj)"]


def test_an_empty_list_keeps_final_states_and_dates() -> None:
    full, none = simulate("lintul5-water"), simulate("lintul5-water", outputs=[])
    assert not none.daily
    for name in full.final:
        assert torch.equal(full.final[name], none.final[name])
    assert none.dates == full.dates or all(torch.equal(none.dates[k], full.dates[k]) for k in full.dates)


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        (["storage_organ"], r"LINTUL2 has no state, output or observable 'storage_organ' \(did you mean 'storage_o"),
        (["canopy_cove"], r"did you mean 'canopy_cover'"),
        (["max(LAJ)"], r"'LAJ' \(did you mean"),
        (["max(canopy_cover)"], r"only states and outputs can be reduced, canopy_cover is an observable"),
        (["mean(LAI)"], r"no state, output or observable 'mean\(LAI\)'"),
    ],
)  # fmt: skip
def test_an_unknown_output_is_an_error_with_the_nearest_name(outputs: list[str], text: str) -> None:
    with pytest.raises(KeyError, match=text):
        simulate("lintul2", outputs=outputs)


def test_outputs_is_a_list() -> None:
    with pytest.raises(TypeError, match=r"outputs is the text 'LAI'; give a list of names, \['LAI'\]"):
        simulate("lintul1", outputs="LAI")


def test_final_states_have_the_nearest_name_too(two: Run) -> None:
    assert torch.equal(two.final["wso"], two.final["storage_organs"])
    assert "WSO" in two.final
    assert "nothing" not in two.final
    with pytest.raises(KeyError, match=r"no state 'watr' \(did you mean 'water'"):
        two.final["watr"]


@pytest.mark.parametrize("name", CASES)
def test_every_spelling_means_one_quantity(name: str) -> None:
    model = cases()[name].model
    outputs = [*model.State.quantities().values(), *model.Outputs.quantities().values()]
    spelled = [s for q in outputs for s in set(q.spellings())] + list(model.observables)
    assert sorted(spelled) == sorted(set(spelled))
    for kind in (q.record for q in model.Parameters.quantities().values()):
        assert kind is not None
        spelled = [s for q in kind.quantities().values() for s in set(q.spellings())]
        assert sorted(spelled) == sorted(set(spelled)), kind


# --- observables ----------------------------------------------------------------------------------------


def test_canopy_cover_is_the_intercepted_share_of_light(two: Run) -> None:
    expected = 1 - torch.exp(-0.6 * two["LAI"])
    torch.testing.assert_close(two["canopy_cover"], expected)
    assert two.describe("canopy_cover")[0] == "-"


def test_water_of_the_soil_by_depth(two: Run) -> None:
    whole = two["WTOT"] + two["WTOTL"]  # maize roots as deep as 1 m
    torch.testing.assert_close(two["soil_water_0_100cm"], whole)
    layers = two["soil_water_0_15cm"] + two["soil_water_15_40cm"] + two["soil_water_40_100cm"]
    torch.testing.assert_close(layers, whole)
    torch.testing.assert_close(two["soil_moisture_15_40cm"], two["soil_water_15_40cm"] / 250)
    assert two.describe("soil_water_0_100cm")[0] == "mm"
    assert two.describe("soil_moisture_15_40cm")[0] == "m3 m-3"
    rooted = two["rooted_depth"] >= 0.15
    content = (two["WTOT"] / (1000 * two["rooted_depth"]))[rooted]
    torch.testing.assert_close(two["soil_moisture_0_15cm"][rooted], content)


def test_water_of_the_soil_to_105_cm_needs_roots_as_deep() -> None:
    deep = simulate("lintul5-water", crop=maize(RDMCR=1.2), outputs=["soil_water_0_105cm"])
    assert set(deep.daily) == {"water", "water_lower", "rooted_depth"}
    assert float(deep["soil_water_0_105cm"][0, 0]) == pytest.approx(1050 * 0.3)
    text = r"soil water to 105 cm .* largest rooting depth, 100 cm here: raise maximum_root_depth of crop \(RDMCR\)"
    with pytest.raises(ValueError, match=text):
        simulate("lintul5-water", outputs=["soil_water_0_105cm"])
    with pytest.raises(ValueError, match=text):
        simulate("lintul5-water")["soil_water_0_105cm"]
    with pytest.raises(ValueError, match="100 cm here"):
        simulate("lintul5-water", crop=maize(RDMCR=[1.2, 1.0]), outputs=["soil_water_0_105cm"])
    with pytest.raises(ValueError, match="the layer 40-40 cm is empty"):
        simulate("lintul5-water", outputs=["soil_water_40_40cm"])
    with pytest.raises(KeyError, match="no state, output or observable 'soil_water_0_105'"):
        simulate("lintul5-water", outputs=["soil_water_0_105"])


# --- dates ----------------------------------------------------------------------------------------------


def test_a_date_that_is_not_reached_is_nan(two: Run) -> None:
    for name in ("emergence", "anthesis", "maturity"):
        assert two.dates[name].shape == (2,)
    assert torch.isfinite(torch.stack([two.dates[n][0] for n in two.dates])).all()
    assert torch.isnan(two.dates["anthesis"][1])
    assert torch.isnan(two.dates["maturity"][1])


@pytest.mark.parametrize("name", CASES)
def test_hard_dates_are_days_and_smooth_ones_lie_within_a_day(name: str) -> None:
    case = cases()[name]
    hard = tc.simulate(case.model, case.crop, case.seasons, outputs=["anthesis", "maturity"])
    smooth = tc.simulate(case.model, case.crop, case.seasons, switches=tc.Smooth(), outputs=[])
    for event in hard.dates:
        ours = hard.dates[event]
        reached = torch.isfinite(ours) & torch.isfinite(smooth.dates[event])
        if name == "lintul2":
            reached[4] = False  # emergence waits for rain there: a gate, not an event
        assert int(reached.sum()) >= 2
        assert torch.equal(ours[reached], ours[reached].round())
        # The first whole day comes half a day after the crossing on average; cold days blur it a little.
        gap = (ours - smooth.dates[event])[reached]
        assert float((gap - 0.5).abs().max()) < 0.8, gap
    for b, day in enumerate(hard.dates["anthesis"].tolist()):
        if np.isfinite(day):  # the first whole day
            assert hard["anthesis"][b, int(day) - 1 : int(day) + 1].tolist() == [0.0, 1.0]


# --- scenarios and sites --------------------------------------------------------------------------------


def changed(place: Station, **changes: Callable[[np.ndarray], np.ndarray]) -> Station:
    return dataclasses.replace(place, values={n: changes.get(n, lambda v: v)(v) for n, v in place.values.items()})


def times(factor: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: values * factor


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    ("scenario", "changes"),
    [
        ({"temperature": 2.0}, {"tmin": lambda v: v + 2, "tmax": lambda v: v + 2}),
        (
            {"rain": 0.8, "radiation": 0.9, "wind": 1.2, "vapour_pressure": 0.95},
            {"rain": times(0.8), "srad": times(0.9), "wind": times(1.2), "vap": times(0.95)},
        ),
    ],
    ids=["temperature", "factors"],
)
def test_a_scenario_is_the_same_as_other_weather(name: str, scenario: dict, changes: dict) -> None:
    case = cases()[name]
    other = dataclasses.replace(case.short, station=changed(case.short.station, **changes))
    asked = tc.simulate(case.model, case.crop, case.short, scenario=scenario)
    expected = tc.simulate(case.model, case.crop, other)
    unchanged = tc.simulate(case.model, case.crop, case.short, outputs=[])
    assert float(asked.final["WSO"]) != float(unchanged.final["WSO"])
    for key in asked.daily:
        torch.testing.assert_close(asked[key], expected[key], rtol=1e-12, atol=1e-12)


def test_co2_of_a_scenario_is_the_site_s() -> None:
    season_ = cases()["lintul5-water"].season
    other = dataclasses.replace(season_, site={"co2": 550.0})
    runs = [
        simulate("lintul5-water", scenario={"co2": 550.0}),
        simulate("lintul5-water", site={"co2": 550.0}),
        simulate("lintul5-water", site={"CO2": 550.0}),
        simulate("lintul5-water", season=other),
    ]
    for run in runs[1:]:
        assert torch.equal(run["WSO"], runs[0]["WSO"])
    assert float(runs[0].final["WSO"]) > 1.01 * float(simulate("lintul5-water").final["WSO"])


def test_a_site_differs_from_its_station_where_asked() -> None:
    case = cases()["lintul5-water"]
    place = dataclasses.replace(case.season.station, latitude=40.0, elevation=900.0)
    moved = dataclasses.replace(case.season, station=place)
    asked = simulate("lintul5-water", site={"latitude": 40.0, "elevation": 900.0})
    expected = tc.simulate(case.model, case.crop, moved)
    assert torch.equal(asked["WSO"], expected["WSO"])
    assert not torch.equal(asked["WSO"], simulate("lintul5-water")["WSO"])
    with pytest.raises(KeyError, match=r"Site has no quantity 'latitute' \(did you mean 'latitude'"):
        simulate("lintul5-water", site={"latitute": 40.0})


def test_scenarios_come_in_batches() -> None:
    warmer = torch.tensor([0.0, 1.0, 2.5], dtype=torch.float64)
    co2 = [370.0, 450.0, 600.0]
    batch = simulate("lintul5-water", scenario={"temperature": warmer, "co2": co2})
    assert len(batch) == 3
    for b in range(3):
        one = simulate("lintul5-water", scenario={"temperature": float(warmer[b]), "co2": co2[b]})
        assert torch.equal(batch["WSO"][b], one["WSO"][0])
    assert batch.attributes["scenario_temperature"] == [0.0, 1.0, 2.5]
    assert simulate("lintul1", scenario={"temperature": 0.1}).attributes["scenario_temperature"] == 0.1


def test_a_scenario_has_a_gradient() -> None:
    warmer = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)

    def anthesis(shift: Tensor) -> Tensor:
        run = simulate("lintul1", scenario={"temperature": shift}, switches=tc.Smooth(), outputs=[])
        return run.dates["anthesis"].sum()

    (gradient,) = torch.autograd.grad(anthesis(warmer), warmer)
    step = 1e-3
    difference = (anthesis(warmer.detach() + step) - anthesis(warmer.detach() - step)) / (2 * step)
    assert float(gradient) == pytest.approx(float(difference), rel=1e-3)
    assert float(gradient) < -1


def test_an_unknown_scenario_is_an_error() -> None:
    text = r"scenario has no 'temprature' \(did you mean 'temperature'\?\); it has temperature: tmin and tmax, added"
    with pytest.raises(KeyError, match=text):
        simulate("lintul1", scenario={"temprature": 2})


# --- events ---------------------------------------------------------------------------------------------


def irrigated(case: Case, day: int, amount: float) -> Season:
    when = case.season.start + timedelta(days=day)
    return dataclasses.replace(case.season, events={"irrigation": [(when, amount)]})


@pytest.mark.parametrize("name", ["lintul2", "lintul5-water"])
def test_amounts_by_day_are_the_same_as_dated_ones(name: str) -> None:
    case = cases()[name]
    days = (case.season.end - case.season.start).days + 1
    dated = tc.simulate(case.model, case.crop, irrigated(case, 60, 25.0))
    amounts = torch.zeros(days, dtype=torch.float64)
    amounts[60] = 25.0
    for given in (amounts, amounts[None], amounts.tolist()):
        assert torch.equal(simulate(name, events={"irrigation": given})["WSO"], dated["WSO"])
    assert float(dated["irrigation"][0, 60] - simulate(name)["irrigation"][0, 60]) == pytest.approx(25.0)
    # Both add up.
    both = tc.simulate(case.model, case.crop, irrigated(case, 60, 15.0), events={"irrigation": amounts * 0.4})
    torch.testing.assert_close(both["WSO"], dated["WSO"], rtol=1e-13, atol=0.0)
    batch = simulate(name, events={"irrigation": torch.stack([amounts, 2 * amounts])})
    assert torch.equal(batch["WSO"][0], dated["WSO"][0])
    assert float(batch["irrigation"][1, 60]) == pytest.approx(50.0 + float(simulate(name)["irrigation"][0, 60]))


@pytest.mark.parametrize(("name", "which"), [("lintul2", 4), ("lintul5-water", 2)])
def test_amounts_have_a_gradient(name: str, which: int) -> None:
    case = cases()[name]
    dry = dataclasses.replace(case.seasons[which], events={})
    days = (dry.end - dry.start).days + 1

    def grain(amounts: Tensor) -> Tensor:
        smooth, less_rain = tc.Smooth(rain_gates=True), {"rain": 0.5}
        run = simulate(
            name, season=dry, switches=smooth, scenario=less_rain, events={"irrigation": amounts}, outputs=[]
        )
        return run.final["WSO"].sum()

    amounts = torch.zeros(days, dtype=torch.float64)
    amounts[[40, 55, 70]] = 12.0
    amounts.requires_grad_()
    (gradient,) = torch.autograd.grad(grain(amounts), amounts)
    assert gradient.shape == (days,)
    for day in (55, 70):
        step = torch.zeros(days, dtype=torch.float64)
        step[day] = 1e-4
        difference = (grain(amounts.detach() + step) - grain(amounts.detach() - step)) / 2e-4
        assert float(gradient[day]) == pytest.approx(float(difference), rel=1e-3)
        assert float(gradient[day]) > 0.01


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("lintul1", "irrigation", r"Lintul1\(\) does not act on 'irrigation'; it acts on no events"),
        ("lintul2", "irrigation_table", r"Lintul2\(\) does not act on 'irrigation_table'.*; it acts on irrigation"),
        ("lintul5-water", "irigation", r"does not act on 'irigation' \(did you mean 'irrigation'"),
        ("lintul5-water", "nitrogen", r"does not act on 'nitrogen'; it acts on irrigation, irrigation_table"),
    ],
)
def test_an_event_that_nothing_acts_on_is_an_error(name: str, kind: str, text: str) -> None:
    case = cases()[name]
    days = (case.season.end - case.season.start).days + 1
    dated = dataclasses.replace(case.season, events={kind: [(case.season.start, 10.0)]})
    with pytest.raises(ValueError, match=text):
        simulate(name, season=dated)
    with pytest.raises(ValueError, match=text):
        simulate(name, events={kind: torch.zeros(days)})


@pytest.mark.parametrize("day", [-1, 165])
def test_an_event_outside_the_run_is_an_error(day: int) -> None:
    case = cases()["lintul2"]
    with pytest.raises(
        ValueError, match=r"irrigation on 2019-\d\d-\d\d lies outside the run, 2019-03-05 to 2019-08-16"
    ):
        simulate("lintul2", season=irrigated(case, day, 5.0))


# --- initial states -------------------------------------------------------------------------------------


def test_initial_states_are_given_by_name_or_symbol() -> None:
    run = simulate("lintul2", initial={"WA": 20.0, "root_depth": 0.2})
    assert float(run["WA"][0, 0]) == 20.0
    assert float(run["ROOTD"][0, 0]) == 0.2
    batch = simulate("lintul2", initial={"water": [20.0, 30.0]})
    assert batch["WA"][:, 0].tolist() == [20.0, 30.0]
    assert float(simulate("lintul2", initial={"wa": 0.1})["WA"][0, 0]) == 0.1, "in the run's precision"


def test_initial_states_have_a_gradient() -> None:
    def grain(water: Tensor) -> Tensor:
        run = simulate("lintul2", initial={"WA": water}, switches=tc.Smooth(), scenario={"rain": 0.3}, outputs=[])
        return run.final["WSO"].sum()

    water = torch.tensor(30.0, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(grain(water), water)
    difference = (grain(water.detach() + 1e-4) - grain(water.detach() - 1e-4)) / 2e-4
    assert float(gradient) == pytest.approx(float(difference), rel=1e-4)
    assert float(gradient) != 0


@pytest.mark.parametrize(
    ("initial", "error", "text"),
    [
        ({"watr": 1.0}, KeyError, "LINTUL2 has no state 'watr' .did you mean 'water'"),
        ({"GTOTAL": 1.0}, KeyError, "LINTUL2 has no state 'GTOTAL'"),
        ({"WA": 1.0, "water": 2.0}, ValueError, "'water' gives the state water a second time"),
    ],
)
def test_initial_states_are_named_strictly(initial: dict, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        simulate("lintul2", initial=initial)


@pytest.mark.parametrize("name", CASES)
def test_a_run_goes_on_from_its_final_states(name: str) -> None:
    case = cases()[name]
    whole = tc.simulate(case.model, case.crop, case.season)
    cut = case.season.start + timedelta(days=70)
    first = tc.simulate(case.model, case.crop, dataclasses.replace(case.season, end=cut))
    later = {k: [(day, amount) for day, amount in v if day >= cut] for k, v in case.season.events.items()}
    rest = dataclasses.replace(case.season, start=cut, events=later)
    second = tc.simulate(case.model, case.crop, rest, initial=first.final)
    assert torch.equal(first["LAI"], whole["LAI"][:, :71])
    for key in whole.daily:
        torch.testing.assert_close(second[key], whole[key][:, 70:], rtol=1e-13, atol=1e-13)


# --- tables and files -----------------------------------------------------------------------------------


def test_to_xarray_has_dates_units_meanings_and_ends(two: Run) -> None:
    data = two.to_xarray()
    assert dict(data.sizes) == {"sim": 2, "day": 130}
    assert data["lai"].dims == ("sim", "day")
    assert data["lai"].attrs == {"units": "m2 m-2", "long_name": "leaf area index", "symbol": "LAI"}
    for name, variable in data.data_vars.items():
        assert variable.attrs["long_name"], name
        assert variable.attrs["units"], name
    assert list(data["experiment"].values) == ["e2", "e5"]
    assert data["date"].dims == ("sim", "day")
    assert pd.Timestamp(data["date"].values[0, 0]) == pd.Timestamp("2020-11-20")
    assert pd.Timestamp(data["date"].values[0, 42]) == pd.Timestamp("2021-01-01")
    assert pd.Timestamp(data["date"].values[1, 0]) == pd.Timestamp("2022-05-10")
    rows = two.rows.int().tolist()
    assert rows[0] != rows[1]
    for b, n in enumerate(rows):
        for name in two.daily:
            values = data[name].values[b]
            assert np.isfinite(values[:n]).all(), name
            assert np.isnan(values[n:]).all(), name
    assert data["final_storage_organs"].values.tolist() == two.final["WSO"].tolist()
    assert data["anthesis_day"].values[0] == float(two.dates["anthesis"][0])
    assert np.isnan(data["anthesis_day"].values[1])
    assert data.attrs["model"].startswith("Lintul5(")
    assert data.attrs["weather"] == "south; north"
    assert data.attrs["weather_source"] == "made up"


def test_a_reduction_and_a_batch_of_parameters_reach_xarray() -> None:
    run = simulate("lintul1", crop=wheat1(LUE=[2.8, 3.0, 3.2]), outputs=["max(LAI)", "WSO"])
    data = run.to_xarray()
    assert data["max_lai"].dims == ("sim",)
    assert data["max_lai"].attrs["long_name"] == "max of leaf area index"
    assert data["max_lai"].values.tolist() == run["max(LAI)"].tolist()
    assert list(data["experiment"].values) == ["e0"] * 3
    assert (data["date"].values[0] == data["date"].values[2]).all()
    assert list(run.summary()["experiment"]) == ["e0"] * 3
    assert list(run.summary()["start"]) == [date(2019, 3, 5)] * 3


def test_observables_that_were_asked_for_are_in_every_table() -> None:
    case = cases()["lintul5-water"]
    asked = ["soil_water_0_40cm", "canopy_cover"]
    run = tc.simulate(case.model, case.crop, [case.seasons[2], case.seasons[5]], outputs=asked)
    data, rows = run.to_xarray(), run.rows.int().tolist()
    assert data["soil_water_0_40cm"].attrs == {"units": "mm", "long_name": "water of the soil from 0 to 40 cm"}
    for name in asked:
        for b, n in enumerate(rows):
            assert data[name].values[b, :n].tolist() == run[name][b, :n].tolist()
            assert np.isnan(data[name].values[b, n:]).all()
        assert name in run.to_pandas()


def test_to_pandas_has_a_row_per_simulation_and_day_lived(two: Run) -> None:
    table = two.to_pandas()
    assert table.index.names == ["sim", "date"]
    assert len(table) == int(two.rows.sum())
    assert table["experiment"].iloc[0] == "e2"
    assert not table.isna().any().any()
    day = table.loc[(0, pd.Timestamp("2021-01-01"))]
    assert day["storage_organs"] == float(two["WSO"][0, 42])
    assert day["transpiration"] == float(two["TRA"][0, 42])


def test_summary_has_a_row_per_simulation(two: Run) -> None:
    table = two.summary()
    assert list(table["experiment"]) == ["e2", "e5"]
    assert list(table["days"]) == two.rows.int().tolist()
    assert list(table["start"]) == [date(2020, 11, 20), date(2022, 5, 10)]
    assert table["storage_organs"].tolist() == two.final["WSO"].tolist()
    assert np.isnan(table["maturity"][1])


def test_a_run_survives_its_file(two: Run, tmp_path: Path) -> None:
    path = two.save(tmp_path / "run.nc")
    assert path == tmp_path / "run.nc"
    read, written = tc.open_run(path), two.to_xarray()
    assert set(read.variables) == set(written.variables)
    for name in written.variables:
        expected = written[name].values
        if expected.dtype.kind == "f":
            np.testing.assert_array_equal(read[name].values, expected, err_msg=str(name))
            assert read[name].dtype == expected.dtype, name
        else:
            assert read[name].values.tolist() == expected.tolist(), name
    for name in written.data_vars:
        assert read[name].attrs == written[name].attrs, name
    assert read.attrs["torchcrop_version"] == tc.__version__
    assert read.attrs["scenario" if "scenario" in written.attrs else "model"] == written.attrs["model"]


def test_a_batch_of_scenarios_survives_its_file(tmp_path: Path) -> None:
    run = simulate("lintul1", scenario={"temperature": [0.0, 2.0]}, outputs=["max(LAI)"])
    read = tc.open_run(run.save(tmp_path / "run.nc"))
    assert read["max_lai"].values.tolist() == run["max(LAI)"].tolist()
    assert read.attrs["scenario_temperature"] == "[0.0, 2.0]"


def test_a_file_that_is_no_run_is_refused(tmp_path: Path) -> None:
    xr.Dataset({"x": ("day", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match=r"other\.nc is not a run saved by torchcrop"):
        tc.open_run(tmp_path / "other.nc")


def test_compare_puts_runs_side_by_side() -> None:
    low, high = simulate("lintul1", crop=wheat1(LUE=2.5)), simulate("lintul1", crop=wheat1(LUE=3.5))
    table = tc.compare({"low": low, "high": high})
    assert list(table.columns) == ["low", "high"]
    assert table.index.names == ["sim", "quantity"]
    assert table.loc[(0, "storage_organs"), "high"] == float(high.final["WSO"])
    assert table.loc[(0, "anthesis"), "low"] == float(low.dates["anthesis"])
    # A date that one of them does not reach is a gap, not a lost row.
    short = dataclasses.replace(cases()["lintul1"].season, end=date(2019, 5, 1))
    table = tc.compare({"low": low, "short": simulate("lintul1", season=short)})
    assert np.isnan(table.loc[(0, "anthesis"), "short"])
    with pytest.raises(ValueError, match="at least one run"):
        tc.compare({})


def test_a_run_says_what_it_is(two: Run) -> None:
    assert repr(two).startswith("<Run of Lintul5(")
    assert "2 simulations, 130 days" in repr(two)
    assert len(two) == 2


# --- precision, memory, checkpoints ---------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_single_precision_all_the_way(name: str) -> None:
    single, double = simulate(name, dtype=torch.float32), simulate(name)
    for value in (*single.daily.values(), *single.final.values(), *single.dates.values(), single.rows):
        assert value.dtype == torch.float32
    for event in single.dates:
        assert float(single.dates[event]) == pytest.approx(float(double.dates[event]), abs=1)
    assert float(single.final["WSO"]) == pytest.approx(float(double.final["WSO"]), rel=0.02)
    assert simulate(name, dtype=torch.float32, device="cpu", switches=tc.Smooth())["LAI"].dtype == torch.float32


@pytest.mark.parametrize("name", CASES)
def test_a_run_is_on_its_device_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the device without data every operator that mixes devices fails, as it would on a GPU."""
    from torchcrop.simulation import engine

    monkeypatch.setattr(engine, "transforms", lambda: {"Vmap"})  # whether all have ended cannot be asked there
    case = cases()[name]
    young = [dataclasses.replace(s, end=s.start + timedelta(days=9), events={}) for s in case.seasons[1:4]]
    amounts = None if name == "lintul1" else {"irrigation": torch.zeros(10)}
    for switches in (tc.Hard(), tc.Smooth(kinks=0.02)):
        options: dict[str, Any] = {"switches": switches, "events": amounts, "initial": {"LAI": [0.1, 0.1, 0.2]}}
        run = tc.simulate(case.model, case.crop, young, device="meta", **options)
        for value in (*run.daily.values(), *run.final.values(), *run.dates.values(), run.rows):
            assert value.device.type == "meta"


@pytest.mark.gpu
@pytest.mark.parametrize("name", CASES)
def test_the_gpu_gives_what_the_cpu_gives(name: str) -> None:
    case = cases()[name]
    for switches in (tc.Hard(), tc.Smooth()):
        here = tc.simulate(case.model, case.crop, case.seasons, switches=switches)
        there = tc.simulate(case.model, case.crop, case.seasons, switches=switches, device="cuda")
        assert there["WSO"].device.type == "cuda"
        for key in here.daily:
            torch.testing.assert_close(there[key].cpu(), here[key], rtol=1e-9, atol=1e-9)
        assert there.to_pandas().shape == here.to_pandas().shape


def live_bytes() -> int:
    """Memory of all tensors that Python knows."""
    sizes = {}
    for thing in gc.get_objects():
        # What stands for another tensor in a transform has no memory of its own.
        if type(thing) is Tensor and not is_wrapped(thing):
            storage = thing.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
    return sum(sizes.values())


@pytest.mark.parametrize("outputs", [[], ["max(LAI)", "sum(growth)"]], ids=["nothing", "reductions"])
def test_without_daily_outputs_memory_does_not_grow_with_days(outputs: list[str]) -> None:
    case, held = cases()["lintul1"], []

    def probe(efficiency: Tensor, par: Tensor) -> Tensor:
        if len(held) in (40, 136):  # the same place of two blocks of days
            gc.collect()
            held.append(live_bytes())
        else:
            held.append(0)
        return efficiency * par

    model = tc.Lintul1(processes={"potential_growth": probe})
    crop = wheat1(LUE=torch.full((1000,), 3.0, dtype=torch.float64))
    with torch.no_grad():
        tc.simulate(model, crop, case.season, outputs=outputs, backend="eager")
        early, late = held[40], held[136]
        assert abs(late - early) < 8 * 1000, "less than one value per simulation"
        held.clear()
        tc.simulate(model, crop, case.season, outputs=["LAI"], backend="eager")
        assert held[136] - held[40] > 90 * 8 * 1000, "kept values would be seen"


def saved_bytes(work: Callable[[], Tensor]) -> tuple[Tensor, int]:
    """A result, and the memory that its backward pass keeps until then."""
    kept: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        result = work()
    return result, sum(kept.values())


@pytest.mark.parametrize("name", ["lintul1", "lintul5-water"])
@pytest.mark.parametrize("every", [1, 20])
def test_checkpoints_give_the_same_gradient_with_less_memory(name: str, every: int) -> None:
    case = quick_cases()[name]
    crop = case.crop
    rate = torch.full((3,), float(crop.relative_lai_growth), dtype=torch.float64, requires_grad=True)
    leaf = {"relative_lai_growth": rate}

    def work(checkpoint: int | None) -> Tensor:
        run = tc.simulate(
            case.model,
            crop.replace(**leaf),
            case.season,
            switches=tc.Smooth(),
            outputs=["max(LAI)", "LAI"],
            checkpoint=checkpoint,
            backend="eager",
        )
        return run.final["WSO"].sum() + run["max(LAI)"].sum() + run["LAI"].mean() + run.dates["maturity"].sum()

    plain, much = saved_bytes(lambda: work(None))
    saving, little = saved_bytes(lambda: work(every))
    assert torch.equal(plain, saving)
    (expected,) = torch.autograd.grad(plain, rate)
    (gradient,) = torch.autograd.grad(saving, rate)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=0.0)
    assert little < much / 5


def test_a_checkpoint_is_a_number_of_days() -> None:
    for wrong in (0, -8):
        with pytest.raises(ValueError, match=f"checkpoint is {wrong}; expected a number of days, at least 1"):
            simulate("lintul1", checkpoint=wrong)


# --- what does not fit together -------------------------------------------------------------------------


def test_what_is_simulated_is_a_model() -> None:
    with pytest.raises(TypeError, match=r"expected a model value such as Lintul5\(level='water'\)"):
        tc.simulate(tc.Lintul1, wheat1(), cases()["lintul1"].season)  # type: ignore[arg-type]


def test_crop_and_soil_are_of_the_model_s_kind() -> None:
    with pytest.raises(TypeError, match="LINTUL1 needs a Lintul1Crop, got a Lintul5Crop: choose a crop made for it"):
        simulate("lintul1", crop=maize())
    with pytest.raises(TypeError, match="LINTUL2 needs a Lintul2Soil, got a Lintul5Soil"):
        simulate("lintul2", soil=soil5())
    with pytest.raises(TypeError, match="LINTUL1 has no soil: leave `soil=` out"):
        simulate("lintul1", soil=soil5())
    with pytest.raises(ValueError, match=r"LINTUL2 needs a soil, and the season at north from 2019-03-05 .* has none"):
        simulate("lintul2", season=cases()["lintul1"].season)


def test_a_season_lies_within_its_weather() -> None:
    case = cases()["lintul1"]
    for start, end in [(date(2018, 12, 31), date(2019, 5, 1)), (date(2023, 12, 1), date(2024, 1, 1))]:
        with pytest.raises(ValueError, match="the weather of north covers 2019-01-01 to 2023-12-31"):
            simulate("lintul1", season=dataclasses.replace(case.season, start=start, end=end))
    with pytest.raises(ValueError, match="ends on 2019-03-01, before it starts"):
        simulate("lintul1", season=dataclasses.replace(case.season, end=date(2019, 3, 1)))


def test_a_season_says_when_the_crop_begins() -> None:
    case = cases()["lintul1"]
    with pytest.raises(ValueError, match="LINTUL1 starts from a date of emergence and the season has none"):
        simulate("lintul1", season=dataclasses.replace(case.season, emergence=None))
    sown = dataclasses.replace(case.season, emergence=None, sowing=case.season.start)
    with pytest.raises(ValueError, match="a sowing date alone does not say when the crop emerges"):
        simulate("lintul1", season=sown)
    case = cases()["lintul5-water"]
    with pytest.raises(ValueError, match="LINTUL5 starts from a sowing date"):
        simulate("lintul5-water", season=dataclasses.replace(case.season, sowing=None))


def test_management_is_the_model_s() -> None:
    case = cases()["lintul2"]
    odd = dataclasses.replace(case.season, management={"irrigation_facto": 1.0})
    with pytest.raises(
        KeyError, match=r"LINTUL2 has no management 'irrigation_facto' \(did you mean 'irrigation_factor'"
    ):
        simulate("lintul2", season=odd)
    named = [dataclasses.replace(case.season, management={key: 0.7}) for key in ("IRRIGF", "irrigation_factor")]
    batch = tc.simulate(case.model, case.crop, named)
    assert torch.equal(batch["WA"][0], batch["WA"][1])
    assert float(batch.final["TIRRIG"][0]) > 10


def test_either_an_experiment_or_weather_with_management() -> None:
    season_ = cases()["lintul1"].season
    with pytest.raises(TypeError, match="either an experiment"):
        tc.simulate(tc.Lintul1(), wheat1())
    with pytest.raises(TypeError, match="either an experiment"):
        tc.simulate(tc.Lintul1(), wheat1(), season_, weather=station())
    with pytest.raises(TypeError, match="weather alone is not a season"):
        tc.simulate(tc.Lintul1(), wheat1(), weather=station())
    with pytest.raises(TypeError, match="is neither an experiment nor a season"):
        tc.simulate(tc.Lintul1(), wheat1(), "maize_2023")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there is no season"):
        tc.simulate(tc.Lintul1(), wheat1(), [])


def test_anything_with_seasons_is_an_experiment() -> None:
    class Trial:
        def seasons(self) -> list[Season]:
            return cases()["lintul1"].seasons[:2]

    mixed = tc.simulate(tc.Lintul1(), wheat1(), [Trial(), cases()["lintul1"].seasons[3]], outputs=[])
    assert len(mixed) == 3
    assert len(tc.simulate(tc.Lintul1(), wheat1(), Trial(), outputs=[])) == 2


def test_anything_that_makes_a_season_is_a_management() -> None:
    class Management:
        def __init__(self, start: date) -> None:
            self.start = start

        def season(self, weather: Station) -> Season:
            return season(self.start, 60, where=weather.name, emergence=self.start)

    one, other = Management(date(2019, 3, 1)), Management(date(2020, 3, 1))
    run = tc.simulate(tc.Lintul1(), wheat1(), weather=station(), management=[one, other], outputs=[])
    assert [s.isoformat() for s in run.calendar.starts] == ["2019-03-01", "2020-03-01"]
    assert len(tc.simulate(tc.Lintul1(), wheat1(), weather=station(), management=one, outputs=[])) == 1
    with pytest.raises(TypeError, match="an experiment has its own management"):
        tc.simulate(tc.Lintul1(), wheat1(), one.season(station()), management=one)


def test_a_level_or_a_process_that_does_not_exist() -> None:
    with pytest.raises(
        ValueError, match=r"LINTUL5 has no level 'watr' \(did you mean 'water'\?\); it has potential, water"
    ):
        tc.Lintul5(level="watr")
    with pytest.raises(KeyError, match=r"Lintul2 has no replaceable process 'growth'.*; it has potential_growth"):
        tc.Lintul2(processes={"growth": lambda *_: torch.zeros(())})


def test_crop_values_are_changed_by_any_spelling() -> None:
    crop = wheat2(LUE=2.0)
    assert float(crop.light_use_efficiency) == 2.0
    assert float(crop.with_values(light_use_efficiency=2.5).light_use_efficiency) == 2.5
    assert crop.with_values(fsotb=[[0, 0], [2000, 1]]).fraction_storage.pairs() == [(0.0, 0.0), (2000.0, 1.0)]
    with pytest.raises(KeyError, match="Lintul2Crop has no quantity 'lux'"):
        crop.with_values(lux=1)
    parameters = simulate("lintul2").params
    assert float(parameters.with_values(WCFC=0.3).soil.field_capacity) == 0.3
    assert float(parameters.with_values(**{"soil.wcfc": 0.31}).soil.field_capacity) == 0.31


# --- values that are no numbers, and what would be ignored ----------------------------------------------


def test_values_that_are_no_numbers_are_refused_wherever_they_come_from() -> None:
    case = cases()["lintul5-npk"]
    ground = soil5(SMW=float("nan"))
    with pytest.raises(ValueError, match=r"LINTUL5.soil.wilting_point is nan; expected finite numbers"):
        tc.simulate(case.model, case.crop, case.season, soil=ground)
    hollow = case.crop.replace(fraction_leaves=case.crop.fraction_leaves.scaled(float("nan")))
    with pytest.raises(ValueError, match=r"LINTUL5.crop.fraction_leaves is .*nan.*; expected finite numbers"):
        tc.simulate(case.model, hollow, case.season)
    days = (case.season.end - case.season.start).days + 1
    for wrong in (float("nan"), -1.0):
        with pytest.raises(ValueError, match=rf"events: nitrogen has an amount of {wrong:g}"):
            tc.simulate(case.model, case.crop, case.season, events={"nitrogen": torch.full((days,), wrong)})
        stages = tc.Table.from_pairs([(0.2, 1.0), (0.5, 1.0)]).replace(y=torch.tensor([1.0, wrong]))
        with pytest.raises(ValueError, match=rf"events: nitrogen has an amount of {wrong:g}"):
            tc.simulate(case.model, case.crop, case.season, events={"nitrogen": stages})


def test_what_would_have_no_effect_is_refused() -> None:
    case = cases()["lintul5-water"]
    recovered = dataclasses.replace(case.season, management={"nitrogen_recovery": [0.0, 0.5, 366.0, 0.5]})
    with pytest.raises(ValueError, match=r"nitrogen_recovery is given, but Lintul5\(level='water'\) does not use it"):
        tc.simulate(case.model, case.crop, recovered)
    late = dataclasses.replace(case.season, events={"irrigation": [(case.season.end, 20.0)]})
    with pytest.raises(ValueError, match=r"irrigation on .*, the last day of the run, would not be given"):
        tc.simulate(case.model, case.crop, late)


def test_a_trigger_is_vectorised() -> None:
    case = cases()["lintul5-water"]

    def grain(dose: Tensor) -> Tensor:
        chosen = {"irrigation_trigger": torch.tensor(0.5), "irrigation_dose": dose}
        one = dataclasses.replace(case.season, management=chosen)
        return tc.simulate(case.model, case.crop, one, switches=tc.Smooth(), outputs=[]).final["WSO"][0]

    doses = torch.tensor([10.0, 25.0], dtype=torch.float64)
    torch.testing.assert_close(torch.func.vmap(grain)(doses), torch.stack([grain(d) for d in doses]))
