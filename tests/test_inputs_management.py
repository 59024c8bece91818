"""Management: what contradicts itself is refused in full, what is given becomes a season."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from torchcrop.inputs.management import Management, ManagementError, seasons
from torchcrop.inputs.parameters import load_soil
from torchcrop.simulation.seasons import Station


def station(first: date = date(2020, 1, 1), days: int = 1096) -> Station:
    return Station("here", 40.0, -100.0, 1000.0, first, {"tmin": np.zeros(days)})


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
        ({"sowing": "2020-04-20", "start": "2020-04-10", "longest": 100}, "2020-04-10", "2020-07-29"),
        ({"emergence": "2020-05-01", "longest": 100}, "2020-04-29", "2020-08-09"),
        ({"transplanting": "2020-04-20", "longest": 400}, "2020-04-20", "2021-05-25"),
        ({"sowing": "2020-04-20", "longest": 200, "harvest": "2020-09-01"}, "2020-04-20", "2020-09-01"),
        ({"sowing": "2020-04-20", "longest": 100, "harvest": "2020-09-01"}, "2020-04-20", "2020-07-29"),
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
        ({}, "neither sowing nor emergence nor transplanting is given"),
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
        (
            {"transplanting": "2020-04-20", "sowing": "2020-04-01"},
            "transplanting goes with neither sowing nor emergence",
        ),
        (
            {"transplanting": "2020-04-20", "start": "2020-04-01"},
            "start on 2020-04-01 is before transplanting on 2020-04-20",
        ),
        ({"sowing": "2020-04-20", "longest": 0}, "longest is 0; expected a whole number of days, at least 1"),
        ({"sowing": "2020-04-20", "longest": 99.5}, "longest is 99.5; expected a whole number"),
        (
            {"sowing": "2020-04-20", "longest": 100, "irrigation": [("2020-07-30", 20)]},
            "irrigation of 20 mm on 2020-07-30 lies outside the season, 2020-04-20 to 2020-07-29",
        ),
        # fertiliser
        (
            {"sowing": "2020-04-20", "nitrogen": [("2020-05-01", 120)]},
            "nitrogen on 2020-05-01 is 120 g m-2; expected 0 to 40 (kg ha-1? divide by 10)",
        ),
        (
            {"sowing": "2020-04-20", "phosphorus": [("2020-05-01", 30)]},
            "phosphorus on 2020-05-01 is 30 g m-2; expected 0 to 20 (kg ha-1? divide by 10)",
        ),
        (
            {"sowing": "2020-04-20", "potassium": [("2020-05-01", float("nan"))]},
            "potassium on 2020-05-01 is nan g m-2; expected 0 to 50",
        ),
        ({"sowing": "2020-04-20", "nitrogen": [("2020-05-01",)]}, "expected pairs (date, amount [g m-2]) or triples"),
        ({"sowing": "2020-04-20", "nitrogen": 12}, "nitrogen is 12; expected pairs (date, amount [g m-2]) or triples"),
        ({"sowing": "2020-04-20", "irrigation": [("2020-05-01", 12, 0.5)]}, "expected pairs (date, amount [mm])"),
        (
            {"sowing": "2020-04-20", "nitrogen": [("2020-05-01", 12, 70)]},
            "recovery of nitrogen on 2020-05-01 is 70; expected a share, 0 to 1",
        ),
        (
            {"sowing": "2020-04-20", "nitrogen": [("2020-04-01", 12)]},
            "nitrogen of 12 g m-2 on 2020-04-01 lies outside the season, 2020-04-20 to its end",
        ),
        ({"sowing": "2020-04-20", "nitrogen_recovery": 70}, "nitrogen_recovery is 70; expected a share, 0 to 1"),
        ({"sowing": "2020-04-20", "nitrogen_recovery": "all"}, "expected a share, 0 to 1, or points"),
        (
            {"sowing": "2020-04-20", "nitrogen_recovery": [("May", 0.5), ("2020-06-01", 0.6)]},
            "nitrogen_recovery has the day 'May'; expected a date such as 2023-05-02 or a day number",
        ),
        (
            {"sowing": "2020-04-20", "potassium_recovery": [("2020-06-01", 0.5), (date(2020, 6, 1), 0.6)]},
            "potassium_recovery has two points on 2020-06-01",
        ),
        (
            {"sowing": "2020-04-20", "nitrogen_recovery": [(120, 0.5), ("2020-06-01", 0.6)]},
            "points by date and by day number; expected one of the two",
        ),
        (
            {"sowing": "2020-04-20", "nitrogen_recovery": [(120, 1.5)]},
            "nitrogen_recovery on 120 is 1.5; expected a share, 0 to 1",
        ),
        # stages
        (
            {"sowing": "2020-04-20", "nitrogen_by_stage": [(0, 5)]},
            "expected one above 0 (emergence), up to 2.5 (1 is anthesis, 2 maturity); what is given at the start has "
            "a date: nitrogen=[(date, amount)]",
        ),
        (
            {"sowing": "2020-04-20", "irrigation_by_stage": [(65, 30)]},
            "irrigation_by_stage has the stage 65; expected one above 0",
        ),
        (
            {"sowing": "2020-04-20", "potassium_by_stage": [(1.0, 90)]},
            "potassium at stage 1.0 is 90 g m-2; expected 0 to 50 (kg ha-1? divide by 10)",
        ),
        ({"sowing": "2020-04-20", "phosphorus_by_stage": 3}, "expected pairs (stage [-], amount [g m-2])"),
        # a trigger
        ({"sowing": "2020-04-20", "irrigation_trigger": 0.5}, "irrigation_trigger without an amount: give irrigation_"),
        (
            {"sowing": "2020-04-20", "irrigation_dose": 20, "irrigation_refill": 0.5},
            "irrigation_dose and irrigation_refill without irrigation_trigger",
        ),
        (
            {"sowing": "2020-04-20", "irrigation_trigger": 50, "irrigation_dose": 20},
            "irrigation_trigger is 50; expected a number above 0, up to 1 -",
        ),
        (
            {"sowing": "2020-04-20", "irrigation_trigger": 0.5, "irrigation_dose": 0},
            "irrigation_dose is 0; expected a number above 0, up to 200 mm",
        ),
        (
            {
                "sowing": "2020-04-20",
                "irrigation_trigger": 0.5,
                "irrigation_dose": 20,
                "automatic_irrigation": True,
            },
            "automatic_irrigation and irrigation_trigger: give one of the two rules",
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
        Management(
            sowing="yesterday",
            irrigation=[("2020-05-01", -3)],
            irrigation_factor=7,
            nitrogen=[("2020-05-01", 120), ("2020-05-02", 5, 2)],
            nitrogen_by_stage=[(3, 5)],
            potassium_recovery=-1,
            irrigation_trigger=0.5,
        )
    assert len(caught.value.problems) == 8


def test_fertiliser_becomes_events_and_a_table_of_recovery():
    season = Management(
        sowing="2020-04-20",
        nitrogen=[("2020-06-15", 5, 0.25), ("2020-05-01", 3)],
        potassium=[("2020-05-01", 8)],
        nitrogen_by_stage=[(1.0, 4), (0.5, 2), (1.0, 1.5)],
        irrigation_by_stage=[(0.9, 30)],
    ).season(station())
    assert season.events == {
        "nitrogen": ((date(2020, 5, 1), 3.0), (date(2020, 6, 15), 5.0)),
        "potassium": ((date(2020, 5, 1), 8.0),),
    }
    assert season.by_stage == {"irrigation": ((0.9, 30.0),), "nitrogen": ((0.5, 2.0), (1.0, 5.5))}
    # 15 June 2020 is day 167. Potassium has none of its own: the model's.
    assert season.management == {
        "nitrogen_recovery": ((0.0, 0.7), (166.0, 0.7), (167.0, 0.25), (168.0, 0.7), (366.0, 0.7))
    }


@pytest.mark.parametrize(
    ("given", "points"),
    [
        ({"nitrogen_recovery": 0.5}, ((1, 0.5), (2, 0.5))),
        ({"nitrogen_recovery": 0.0}, ((1, 0.0), (2, 0.0))),
        ({"nitrogen_recovery": [(300, 0.4), (400, 0.6)]}, ((300, 0.4), (400, 0.6))),
        # Counted from the year of the run's first day.
        ({"nitrogen_recovery": [("2020-12-31", 0.4), (date(2021, 1, 10), 0.6)]}, ((366, 0.4), (376, 0.6))),
        # Two of one day: the mean weighted by their amounts. Of what has none: the table's value of that day.
        (
            {"nitrogen_recovery": 0.5, "nitrogen": [("2021-01-01", 3, 0.9), ("2021-01-01", 1, 0.1)]},
            ((1, 0.5), (2, 0.5), (366, 0.5), (367, 0.7), (368, 0.5)),
        ),
        (
            {"nitrogen_recovery": [(360, 0.4), (370, 0.9)], "nitrogen": [("2020-12-30", 3, 0.5), ("2020-12-30", 1)]},
            ((360, 0.4), (364, 0.6), (365, (3 * 0.5 + 0.65) / 4), (366, 0.7), (370, 0.9)),
        ),
        # Neighbours keep what is their own.
        (
            {"nitrogen_recovery": 0.5, "nitrogen": [("2021-01-01", 3, 0.9), ("2021-01-02", 1, 0.1)]},
            ((1, 0.5), (2, 0.5), (366, 0.5), (367, 0.9), (368, 0.1), (369, 0.5)),
        ),
        ({"nitrogen": [("2020-12-30", 0, 0.5), ("2020-12-30", 0, 0.3)], "nitrogen_recovery": 0.5}, None),
    ],
)
def test_recovery_is_counted_by_the_day_number_of_the_run(given, points):
    table = Management(sowing="2020-10-20", **given).season(station()).management["nitrogen_recovery"]
    if points is None:  # amounts of 0: any share will do, none is undefined
        assert dict(table)[365.0] == pytest.approx(0.4)
        return
    assert [day for day, _ in table] == [day for day, _ in points]
    assert [share for _, share in table] == pytest.approx([share for _, share in points], abs=1e-15)


def test_a_trigger_and_its_amount_are_handed_on():
    season = Management(sowing="2020-04-20", irrigation_trigger=0.4, irrigation_refill=1).season(station())
    assert season.management == {"irrigation_trigger": 0.4, "irrigation_refill": 1.0}


def test_a_transplanted_crop_emerges_on_the_first_day():
    season = Management(transplanting="2020-05-10", harvest="2020-09-01").season(station())
    assert (season.start, season.emergence, season.sowing) == (date(2020, 5, 10), date(2020, 5, 10), None)
    assert season.end == date(2020, 9, 1)


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


def test_what_is_done_falls_in_every_season():
    found = seasons(
        station(),
        sowing="10-10",
        years=[2020, 2021],
        length=250,
        harvest="05-01",
        nitrogen=(pair for pair in [("03-01", 5, 0.4), ("11-01", 3)]),
        nitrogen_by_stage=[(1.0, 2)],
        irrigation_trigger=0.5,
        irrigation_dose=20,
    )
    assert [f"{s.end}" for s in found] == ["2021-05-01", "2022-05-01"]
    assert [[f"{day}" for day, _ in s.events["nitrogen"]] for s in found] == [
        ["2020-11-01", "2021-03-01"],
        ["2021-11-01", "2022-03-01"],
    ]
    # 1 March by the day number of the year of sowing; 2020 is a leap year.
    assert [dict(s.management["nitrogen_recovery"])[day] for s, day in zip(found, (426, 425), strict=True)] == [0.4] * 2
    assert all(s.by_stage == {"nitrogen": ((1.0, 2.0),)} for s in found)
    assert all(s.management["irrigation_trigger"] == 0.5 for s in found)


def test_seasons_end_with_the_earliest_of_length_harvest_and_longest_life():
    def end(**given):
        (one,) = seasons(station(), sowing="2020-04-20", **given)
        return f"{one.end}"

    assert end(length=100, harvest="08-01") == "2020-07-28"
    assert end(length=200, harvest="08-01") == "2020-08-01"
    assert end(length=200, harvest="08-01", longest=50) == "2020-06-09"


def test_seasons_of_transplanted_crops():
    (one,) = seasons(station(), transplanting="05-10", years=[2021], length=100)
    assert (one.start, one.emergence, one.labels) == (
        date(2021, 5, 10),
        date(2021, 5, 10),
        {"year": "2021", "transplanting": "05-10"},
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"nitrogn": []}, r"no 'nitrogn' \(did you mean 'nitrogen'"),
        ({"end": "2020-09-01"}, "takes no 'end': say `length`"),
    ],
)
def test_seasons_know_the_names_of_a_management(given, expected):
    with pytest.raises(TypeError, match=expected):
        seasons(station(), sowing="2020-04-20", **given)


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
