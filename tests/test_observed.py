"""Observations meet the simulation, the day and the unit that they belong to, and no other."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

import torchcrop as tc
from tests.seasons import maize, season, soil5
from torchcrop.simulation.observed import observed_events, observed_variables, pair
from torchcrop.simulation.run import Run

START = date(2019, 4, 25)
SEASON = 200


@pytest.fixture(scope="module")
def run() -> Run:
    """Two treatments; the crop matures well before the season's end."""
    both = [
        season(START, SEASON, soil=soil5(), sowing=START, labels={"experiment": "e", "treatment": name})
        for name in ("a", "b")
    ]
    return tc.simulate(tc.Lintul5(level="water"), maize(TSUM1=500.0, TSUM2=400.0), both)


def observed(*rows: tuple) -> pd.DataFrame:
    """Rows of (day of the run, treatment, variable, value, unit)."""
    table = pd.DataFrame(rows, columns=["date", "treatment", "variable", "value", "unit"])
    return table.assign(date=[START + timedelta(days=int(day)) for day in table["date"]])


def test_an_observation_is_compared_with_its_own_day_and_treatment(run):
    found = pair(run, observed((40, "b", "lai", 1.5, "m2 m-2")), "lai")
    assert found[["sim", "row", "observed", "unit"]].values.tolist() == [[1, 40, 1.5, "m2 m-2"]]
    assert found["simulated"].item() == run["lai"][1, 40].item()


def test_an_observation_of_the_end_of_a_day_is_compared_with_the_next_row(run):
    table = observed((40, "a", "lai", 1.5, "m2 m-2"), (50, "a", "lai", 2.5, "m2 m-2")).assign(time=["end", "start"])
    assert pair(run, table, "lai")["row"].tolist() == [41, 50]


def test_a_symbol_and_a_name_mean_the_same_variable(run):
    table = observed((100, "a", "WSO", 100.0, "g m-2"), (101, "a", "storage_organs", 101.0, "g m-2"))
    assert observed_variables(run, table) == {"storage_organs": ["WSO", "storage_organs"]}
    for name in ("wso", "storage_organs"):
        assert pair(run, table, name)["observed"].tolist() == [100.0, 101.0]


def test_without_treatments_an_observation_belongs_to_every_simulation(run):
    table = observed((40, "a", "lai", 1.5, "m2 m-2")).drop(columns="treatment")
    assert pair(run, table, "lai")["sim"].tolist() == [0, 1]


def test_another_experiment_is_another_field(run):
    table = observed((40, "a", "lai", 1.5, "m2 m-2"))
    assert len(pair(run, table.assign(experiment="e"), "lai")) == 1
    assert pair(run, table.assign(experiment="f"), "lai").empty


def test_after_the_end_an_observation_is_compared_with_the_last_value_and_marked(run):
    rows = int(run.rows[0])
    assert rows < SEASON - 10
    table = observed(
        (rows + 5, "a", "storage_organs", 500.0, "g m-2"),
        (rows - 1, "a", "storage_organs", 500.0, "g m-2"),
        (rows + 5, "a", "aboveground", 900.0, "g m-2"),
        (SEASON + 1, "a", "storage_organs", 500.0, "g m-2"),
        (-1, "a", "storage_organs", 0.0, "g m-2"),
    )
    stored = pair(run, table, "storage_organs")
    expected = [run.final["storage_organs"][0].item(), run["storage_organs"][0, rows - 1].item()]
    assert stored["simulated"].tolist() == expected, "two lie outside the season"
    assert stored["after_end"].tolist() == [True, False]
    above = pair(run, table, "aboveground")
    assert above["simulated"].item() == run["aboveground"][0, rows - 1].item() > 0, "an output of the day"


def test_dates_of_events_are_days_since_the_first(run):
    table = observed((70, "a", "anthesis", np.nan, "date"), (40, "a", "lai", 1.0, "m2 m-2"))
    assert observed_events(run, table) == ["anthesis"]
    assert list(observed_variables(run, table)) == ["lai"], "the share of the day after anthesis was not observed"
    found = pair(run, table, "anthesis")
    assert found[["observed", "unit"]].values.tolist() == [[70.0, "d"]]
    assert found["simulated"].item() == run.dates["anthesis"][0].item()
    pd.testing.assert_frame_equal(found, pair(run, table.replace({"unit": {"date": "d"}}), "anthesis"))


def test_a_missing_value_is_no_observation(run):
    assert pair(run, observed((40, "a", "lai", np.nan, "m2 m-2")), "lai").empty


def test_another_unit_is_an_error(run):
    with pytest.raises(ValueError, match="storage_organs is observed in 'kg ha-1' but simulated in 'g m-2'"):
        pair(run, observed((100, "a", "storage_organs", 5000.0, "kg ha-1")), "storage_organs")


def test_what_was_not_observed_is_an_error_that_names_what_was(run):
    table = observed((40, "a", "lai", 1.5, "m2 m-2"), (40, "a", "tiller_number", 3.0, "m-2"))
    with pytest.raises(KeyError, match="'storage_organs' was not observed; observed are lai, tiller_number"):
        pair(run, table, "storage_organs")
    with pytest.raises(ValueError, match="observations have no column 'value'"):
        pair(run, table.drop(columns="value"), "lai")
