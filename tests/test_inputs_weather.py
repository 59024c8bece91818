"""Weather at the border: what is read, what is refused and in which words, what is filled and on record."""

import importlib.util
import logging
import pickle
import re
from datetime import date
from pathlib import Path

import hypothesis
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
import yaml
from hypothesis import strategies as st

from tests.conftest import shared_files
from torchcrop.inputs.cabo import read_cabo
from torchcrop.inputs.units import UnitError, convert
from torchcrop.inputs.weather import (
    Weather,
    load_weather,
    read_weather,
    read_weather_csv,
)
from torchcrop.inputs.weather_checks import WeatherError, extraterrestrial_radiation

VARIABLES = ["tmin", "tmax", "srad", "rain", "wind", "vap"]
LATITUDE = 42.0


def a_season(days: int = 120, start: str = "2019-05-01", latitude: float = LATITUDE) -> pd.DataFrame:
    """Made-up weather in our units that no check has anything against."""
    index = pd.date_range(start, periods=days, freq="D", name="date").as_unit("ns")
    step = np.arange(days)
    return pd.DataFrame(
        {
            "tmin": 10 + 3 * np.sin(step),
            "tmax": 22 + 4 * np.sin(step),
            "srad": (0.5 + 0.2 * np.cos(step)) * extraterrestrial_radiation(latitude, index.day_of_year.to_numpy()),
            "rain": np.where(step % 4 == 0, 6.5, 0.0),
            "wind": 2.5 + np.sin(step),
            "vap": 1.2 + 0.1 * np.cos(step),
        },
        index=index,
    )


def take(frame: pd.DataFrame, **options) -> Weather:
    return Weather.from_frame(frame, **{"latitude": LATITUDE, "name": "here", **options})


def refused(frame: pd.DataFrame, **options) -> WeatherError:
    with pytest.raises(WeatherError) as caught:
        take(frame, **options)
    return caught.value


def only_problem(frame: pd.DataFrame, **options) -> str:
    problems = refused(frame, **options).problems
    assert len(problems) == 1, problems
    return problems[0]


# ---------------------------------------------------------------- units


@pytest.mark.parametrize(
    "spelled",
    [
        "MJ m-2 d-1",
        "MJ/m2/d",
        "MJ",
        "MJ m-2",
        "MJ m^-2 day^-1",
        "MJ/m²/day",
        "MJ m⁻² d⁻¹",
        "MJ/(m2 d)",
        "MJ/m2 d-1",
        "MJ per m2 per day",
    ],
)
def test_spellings_of_one_unit_are_the_same_unit(spelled: str) -> None:
    assert convert(12.5, spelled, "MJ m-2 d-1") == 12.5


@pytest.mark.parametrize("spelled", ["°C", "degC", "C", "deg C", "degrees Celsius", "degree_Celsius", "degrees_C"])
def test_spellings_of_degrees_celsius(spelled: str) -> None:
    assert convert(12.5, spelled, "degC") == 12.5


@pytest.mark.parametrize(
    ("value", "unit", "to", "expected"),
    [
        (15200.0, "kJ", "MJ m-2 d-1", 15.2),
        (15.2e6, "J/m2", "MJ m-2 d-1", 15.2),
        (1520.0, "J cm-2", "MJ m-2 d-1", 15.2),
        (100.0, "W/m2", "MJ m-2 d-1", 8.64),
        (1.0, "kWh/m2/d", "MJ m-2 d-1", 3.6),
        (293.15, "K", "degC", 20.0),
        (68.0, "°F", "degC", 20.0),
        (20.0, "degC", "degF", 68.0),
        (12.3, "hPa", "kPa", 1.23),
        (12.3, "mbar", "kPa", 1.23),
        (1230.0, "Pa", "kPa", 1.23),
        (172.8, "km/day", "m s-1", 2.0),
        (7.2, "km/h", "m s-1", 2.0),
        (1.2, "cm", "mm d-1", 12.0),
        (0.012, "m", "mm d-1", 12.0),
        (0.5, "inch", "mm d-1", 12.7),
        (1.0, "cm", "m", 0.01),
        (2.5, "m", "cm", 250.0),
        (8000.0, "kg/ha", "g m-2", 800.0),
        (8.0, "t/ha", "g m-2", 800.0),
        (8.0, "Mg ha-1", "g m-2", 800.0),
        (800.0, "g m-2", "kg ha-1", 8000.0),
    ],
)
def test_units_that_users_have(value: float, unit: str, to: str, expected: float) -> None:
    assert convert(value, unit, to) == pytest.approx(expected, rel=1e-15)


def test_kilojoules_become_the_nearest_float() -> None:
    assert convert(470.0, "kJ", "MJ m-2 d-1") == 0.47  # 470 * 0.001 is not
    assert convert(15205.0, "kJ", "MJ m-2 d-1") == 15.205


def test_a_conversion_keeps_the_type_of_its_values() -> None:
    assert isinstance(convert(1.0, "kJ", "MJ m-2 d-1"), float)
    assert isinstance(convert(np.array([1.0]), "kJ", "MJ m-2 d-1"), np.ndarray)
    assert isinstance(convert(pd.Series([1.0]), "kJ", "MJ m-2 d-1"), pd.Series)
    tensor = convert(torch.tensor([293.15], dtype=torch.float64, requires_grad=True), "K", "degC")
    assert tensor.requires_grad
    assert tensor.dtype == torch.float64


@pytest.mark.parametrize(
    ("unit", "to", "words"),
    [
        ("ms-1", "m s-1", "did you mean 'm s-1'"),
        ("kilojoule", "MJ m-2 d-1", "known are MJ m-2 d-1, kJ m-2 d-1"),
        ("hPa", "MJ m-2 d-1", "unknown unit 'hPa' for weather.srad"),  # a unit, but not of radiation
        ("MJ m-2 h-1", "MJ m-2 d-1", "unknown unit"),
        ("m", "mm", None),
        ("", "degC", "unknown unit ''"),
    ],
)
def test_an_unknown_unit_is_refused_with_what_is_known(unit: str, to: str, words: str | None) -> None:
    if words is None:
        assert convert(1.0, unit, to) == 1000.0  # as a depth, "m" is known
    else:
        with pytest.raises(UnitError, match=re.escape(words)):
            convert(1.0, unit, to, what="weather.srad")


# ---------------------------------------------------------------- what comes in


def test_weather_is_daily_in_our_units_and_order() -> None:
    frame = a_season()
    weather = take(frame[VARIABLES[::-1]].sample(frac=1, random_state=1), longitude=-93.0, elevation=300.0)
    assert list(weather.data.columns) == VARIABLES
    assert weather.data.index.name == "date"
    pd.testing.assert_frame_equal(weather.data, frame, check_freq=False)
    assert (weather.latitude, weather.longitude, weather.elevation) == (42.0, -93.0, 300.0)
    assert weather.defaults == weather.filled == weather.flags == {}
    assert repr(weather) == "Weather('here', 2019-05-01 to 2019-08-28, latitude 42, longitude -93, 300 m)"


def test_the_engine_gets_complete_float64_arrays_and_the_provenance() -> None:
    weather = take(a_season().drop(columns="wind"), defaults={"wind": 2.0}, source="the loggers")
    station = weather.station()
    assert (station.name, station.first, station.days) == ("here", date(2019, 5, 1), 120)
    assert list(station.values) == VARIABLES
    assert all(v.dtype == np.float64 and v.shape == (120,) and np.isfinite(v).all() for v in station.values.values())
    assert station.attributes["source"] == "the loggers"
    assert station.attributes["defaults"] == "wind = 2 m s-1"
    station.values["tmin"][0] = -99.0
    assert weather.data["tmin"].iloc[0] == 10.0  # the arrays are the engine's own


def test_foreign_units_and_names_are_converted_as_asked() -> None:
    ours = a_season()
    theirs = pd.DataFrame(
        {
            "year": ours.index.year,
            "doy": ours.index.day_of_year,
            "irrad": ours["srad"].to_numpy() * 1000,
            "tn": ours["tmin"].to_numpy() + 273.15,
            "tx": ours["tmax"].to_numpy() * 1.8 + 32,
            "ea": ours["vap"].to_numpy() * 10,
            "u": ours["wind"].to_numpy() * 86.4,
            "p": ours["rain"].to_numpy() / 10,
        }
    )
    weather = take(
        theirs,
        columns={"irrad": "srad", "tn": "tmin", "tx": "tmax", "ea": "vap", "u": "wind", "p": "rain"},
        units={"srad": "kJ", "tmin": "K", "tmax": "degF", "vap": "hPa", "wind": "km/day", "rain": "cm"},
    )
    pd.testing.assert_frame_equal(weather.data, ours, check_freq=False, rtol=1e-12)
    assert weather.attributes["converted"].startswith("srad from kJ, tmin from K")


def test_fst_symbols_name_the_variables_too() -> None:
    frame = a_season().set_axis(["TMMN", "tmmx", "DTR", "RAIN", "WN", "VP"], axis=1)
    assert take(frame, units={"dtr": "MJ"}).data["srad"].iloc[3] == a_season()["srad"].iloc[3]


def test_days_may_be_text_dates_or_day_numbers() -> None:
    frame = a_season(days=40, start="2019-12-20")
    text = frame.reset_index(drop=True)
    for written in ("%Y-%m-%d", "%Y%m%d", "%Y-%m-%d 00:00:00"):
        days = frame.index.strftime(written)
        assert take(text.assign(date=days)).data.index.equals(frame.index), written
    assert take(text.assign(Date=[day.date() for day in frame.index])).data.index.equals(frame.index)
    assert take(text.set_index(frame.index.strftime("%Y-%m-%d").rename("date"))).data.index.equals(frame.index)
    assert take(frame.set_axis(frame.index + pd.Timedelta(hours=12))).data.index.equals(frame.index)
    assert take(frame.tz_localize("UTC")).data.index.equals(frame.index)


def test_wind_at_ten_metres_is_reduced_to_two() -> None:
    # FAO-56, example 14: 3.2 m/s at 10 m is 2.4 m/s at 2 m.
    frame = a_season().assign(wind=3.2)
    weather = take(frame, wind_height=10.0)
    assert weather.data["wind"].iloc[0] == pytest.approx(2.4, abs=0.05)
    assert weather.data["wind"].iloc[0] == pytest.approx(3.2 * 0.748, rel=1e-3)
    assert weather.attributes["wind_height"] == "10 m, reduced to 2 m"
    assert take(frame).data["wind"].iloc[0] == 3.2
    assert take(frame.drop(columns="wind"), wind_height=10.0, defaults={"wind": 2.0}).data["wind"].iloc[0] == 2.0


def test_extraterrestrial_radiation_is_that_of_fao56() -> None:
    # FAO-56 example 8 (20 S, 3 September) and annex 2, table 2.6 (the 15th of the month).
    assert extraterrestrial_radiation(-20.0, np.array([246])) == pytest.approx([32.2], abs=0.05)
    assert extraterrestrial_radiation(50.0, np.array([15, 166])) == pytest.approx([9.3, 41.5], abs=0.5)
    assert extraterrestrial_radiation(80.0, np.array([1])) == pytest.approx([0.0], abs=1e-9)


def test_columns_that_are_not_used_are_on_record(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "torchcrop.inputs.weather"):
        weather = take(a_season().assign(tmean=16.0, comment="dry"))
    assert weather.attributes["unused_columns"] == "tmean, comment"
    assert "columns not used: tmean, comment" in caplog.text


def test_flags_of_the_source_are_carried() -> None:
    frame = a_season().assign(flags="")
    frame.loc["2019-05-02", "flags"] = "filled"
    frame.loc["2019-05-03", "flags"] = "filled:rain;vap_est_tmin"
    frame.loc["2019-05-04", "flags"] = "vap_est_tmin"
    weather = take(frame.drop(columns="wind"), defaults={"wind": 2.0})
    assert weather.filled["tmin"] == (date(2019, 5, 2),)
    assert weather.filled["rain"] == (date(2019, 5, 2), date(2019, 5, 3))
    assert "wind" not in weather.filled  # the source, which filled the row, has no wind
    assert weather.flags == {"vap_est_tmin": (date(2019, 5, 3), date(2019, 5, 4))}
    assert weather.attributes["flags"] == "vap_est_tmin: 2 days (2019-05-03 to 2019-05-04)"
    assert weather.attributes["filled"].startswith("tmin, tmax, srad, vap: 1 day (2019-05-02); rain: 2 days")


# ---------------------------------------------------------------- what is refused: rows and columns


def test_every_problem_of_a_source_is_in_one_error() -> None:
    frame = a_season().drop(columns="wind").drop(pd.Timestamp("2019-06-01"))
    frame.loc["2019-05-05", "tmin"] = 99.0
    frame.loc["2019-05-07", "rain"] = -3.0
    frame.loc["2019-05-09", "vap"] = np.nan
    error = refused(frame, latitude=123.0, units={"srad": "kilojoule"}, defaults={"snow": 1.0})
    text = str(error)
    assert text.startswith("weather 'here' from a data frame has 8 problems:\n- ")
    for part in ("latitude is 123", "kilojoule", "'snow'", "'wind'", "2019-06-01", "tmin", "rain", "vap"):
        assert part in text
    assert pickle.loads(pickle.dumps(error)).problems == error.problems


def test_an_absent_variable_is_an_error_unless_asked_for() -> None:
    calm = a_season().drop(columns="wind")
    problem = only_problem(calm)
    assert "no column 'wind' (mean wind speed at 2 m [m s-1])" in problem
    assert 'defaults={"wind": 2.0}' in problem
    weather = take(calm, defaults={"wind": 2.0})
    assert (weather.data["wind"] == 2.0).all()
    assert weather.defaults == {"wind": 2.0}
    assert "defaults: wind = 2 m s-1" in repr(weather)


def test_a_default_stands_for_its_variable_only() -> None:
    assert "no column 'vap'" in only_problem(a_season().drop(columns=["wind", "vap"]), defaults={"wind": 2.0})


def test_an_empty_column_is_an_absent_variable() -> None:
    frame = a_season()
    assert "column 'wind' is empty" in only_problem(frame.assign(wind=np.nan))
    assert "column 'wind' is empty" in only_problem(frame.assign(wind=-999.0))
    assert take(frame.assign(wind=-999.0), defaults={"wind": 2.0}).defaults == {"wind": 2.0}


def test_a_default_is_not_used_where_there_are_data() -> None:
    weather = take(a_season(), defaults={"wind": 7.0})
    assert weather.defaults == {}
    assert weather.data["wind"].iloc[0] == 2.5


@pytest.mark.parametrize(
    ("variable", "theirs"), [("wind", "WS2M"), ("wind", "wnd"), ("srad", "radn"), ("rain", "precip"), ("vap", "vp_kPa")]
)
def test_a_column_by_another_name_is_recognised_but_not_guessed(variable: str, theirs: str) -> None:
    frame = a_season().rename(columns={variable: theirs})
    expected = f'if \'{theirs}\' is meant, pass columns={{"{theirs}": "{variable}"}}'
    assert expected in only_problem(frame)
    assert expected in only_problem(frame, defaults={variable: 1.0})  # a misspelling is no absence


@pytest.mark.parametrize("option", ["units", "defaults", "fill"])
def test_a_misspelled_variable_in_an_option_is_refused(option: str) -> None:
    value = {"units": "m s-1", "defaults": 2.0, "fill": 2.0}[option]
    problem = only_problem(a_season(), **{option: {"wnd": value}})
    assert f"{option} names 'wnd', which is no weather variable (did you mean 'wind'" in problem


def test_a_wrong_map_of_columns_is_refused() -> None:
    frame = a_season().rename(columns={"srad": "irrad"})
    turned = refused(frame, columns={"srad": "irrad"}).problems
    assert 'write it the other way round, columns={"irrad": "srad"}' in turned[0]
    assert "'irrd', which the source does not have (did you mean 'irrad'?)" in str(
        refused(frame, columns={"irrd": "srad"})
    )
    assert "maps 'irrad' to 'srat', which is no weather variable (did you mean 'srad'" in str(
        refused(frame, columns={"irrad": "srat"})
    )
    assert "columns 'tmin' and 'TMMN' are both tmin" in only_problem(a_season().assign(TMMN=1.0))


def test_missing_days_are_named_as_ranges() -> None:
    gone = pd.to_datetime(["2019-05-05", "2019-05-10", "2019-05-11", "2019-05-12"])
    problem = only_problem(a_season().drop(gone))
    assert problem.startswith("4 days of 120 missing: 2019-05-05, 2019-05-10 to 2019-05-12; complete the source")


def test_many_gaps_do_not_flood_the_message() -> None:
    frame = a_season()
    frame.iloc[::2, 5] = np.nan
    assert "and 47 days more" in only_problem(frame.drop(columns="vap").assign(vap=frame["vap"]).iloc[1:])


@pytest.mark.parametrize("code", [np.nan, -99.0, -999.0, -9999.0, None, ""])
def test_missing_values_are_named_with_the_code_they_were_written_in(code: object) -> None:
    frame = a_season().astype({"wind": object})
    frame.loc["2019-05-05":"2019-05-06", "wind"] = code
    problem = only_problem(frame)
    assert problem.startswith("weather.wind is missing on 2 days")
    assert '2019-05-05 to 2019-05-06; complete the source, or ask for a fill: fill={"wind": "linear"}' in problem
    written = re.findall(r"\(written (.+?)\)", problem)
    assert written == ([f"{code:g}"] if code in (-99.0, -999.0, -9999.0) else [])


def test_text_among_the_numbers_is_named() -> None:
    frame = a_season().astype({"rain": object})
    frame.loc["2019-05-05", "rain"] = "trace"
    assert only_problem(frame) == "weather.rain on 2019-05-05 is 'trace'; expected a number"


def test_days_that_come_twice_are_named() -> None:
    frame = a_season()
    problem = only_problem(pd.concat([frame, frame.loc["2019-05-03":"2019-05-04"]]))
    assert problem.startswith("there is more than one row for 2019-05-03 to 2019-05-04; expected one per day")


@pytest.mark.parametrize("written", ["03.05.2019", "202011", "05/03/2019", "2019-02-30", "yesterday"])
def test_a_day_that_can_be_misread_is_refused(written: str) -> None:
    days = [*a_season().index.strftime("%Y-%m-%d")[:-1], written]
    problem = only_problem(a_season().reset_index(drop=True).assign(date=days))
    assert problem == f"the date of row 120 is {written!r}; expected a day written as 2019-05-03 or 20190503"


@pytest.mark.parametrize(("year", "doy"), [(2019, 366), (2019, 0), (19, 5), (2019, 5.5)])
def test_a_day_number_outside_its_year_is_refused(year: int, doy: float) -> None:
    frame = a_season().reset_index(drop=True).assign(year=2019, doy=np.arange(1.0, 121.0))
    frame.loc[7, ["year", "doy"]] = year, doy
    assert f"row 8 has year {year} and doy {doy:g}; expected a year in full" in only_problem(frame)


def test_a_frame_without_days_or_rows_is_refused() -> None:
    assert "no column 'date', nor 'year' and 'doy'" in only_problem(a_season().reset_index(drop=True))
    assert "there are no rows" in refused(a_season().iloc[:0]).problems


def test_a_place_is_needed_and_checked() -> None:
    assert "the latitude is missing: pass latitude=" in only_problem(a_season(), latitude=float("nan"))
    assert "latitude is -91; expected -90 to 90 degree" in str(refused(a_season(), latitude=-91))
    assert "longitude is 500; expected" in only_problem(a_season(), longitude=500)
    assert "elevation is 9000; expected -450 to 6000 m" in only_problem(a_season(), elevation=9000)
    assert "wind_height is 0; expected 0.5 m or more" in only_problem(a_season(), wind_height=0.0)


# ---------------------------------------------------------------- what is refused: values and units


def test_kilojoules_are_recognised() -> None:
    frame = a_season()
    frame["srad"] = (frame["srad"] * 1000).round(-2)
    frame.loc["2019-05-01", "srad"] = 15200.0
    assert only_problem(frame) == (
        "weather.srad on 2019-05-01 is 15200; expected 0-45 MJ m-2 d-1 "
        '(looks like kJ m-2 d-1: pass units={"srad": "kJ"}); 119 more days'
    )


@pytest.mark.parametrize(
    ("variable", "make", "hint"),
    [
        ("srad", lambda x: x * 1e6, 'looks like J m-2 d-1: pass units={"srad": "J"}'),
        ("srad", lambda x: x * 100, 'looks like J cm-2 d-1: pass units={"srad": "J cm-2"}'),
        ("srad", lambda x: x / 0.0864, 'looks like W m-2: pass units={"srad": "W"}'),
        ("srad", lambda x: x / 3.6, 'looks like kWh m-2 d-1: pass units={"srad": "kWh"}'),
        ("tmin", lambda x: x + 273.15, 'looks like K: pass units={"tmin": "K"}'),
        ("tmax", lambda x: x + 273.15, 'looks like K: pass units={"tmax": "K"}'),
        ("tmax", lambda x: x * 1.8 + 32, 'looks like degF: pass units={"tmax": "degF"}'),
        ("vap", lambda x: x * 10, 'looks like hPa: pass units={"vap": "hPa"}'),
        ("vap", lambda x: x * 1000, 'looks like Pa: pass units={"vap": "Pa"}'),
        ("wind", lambda x: x * 86.4, 'looks like km d-1: pass units={"wind": "km d-1"}'),
        ("wind", lambda x: x * 3.6, 'looks like km h-1: pass units={"wind": "kmh"}'),
        ("rain", lambda x: x / 1000, 'looks like m d-1: pass units={"rain": "m"}'),
        ("rain", lambda x: x / 20, "looks like cm d-1 or inch d-1"),
    ],
)
def test_the_unit_that_would_fit_is_named_and_does_fit(variable: str, make, hint: str) -> None:
    frame = a_season()
    frame[variable] = make(frame[variable])
    problem = only_problem(frame)
    assert problem.startswith(f"weather.{variable} ")
    assert hint in problem
    said = re.search(r'units=\{"\w+": "([^"]+)"\}', problem)
    assert take(frame, units={variable: said[1]}).name == "here"


def test_watts_of_autumn_partly_within_bounds_are_one_problem() -> None:
    frame = a_season(start="2019-09-15", latitude=52.0)
    frame["srad"] /= 0.0864
    assert (frame["srad"] < 45).sum() > 20
    assert 'pass units={"srad": "W"}' in only_problem(frame, latitude=52.0)


def test_the_same_in_a_cold_month_where_hectopascals_stay_within_bounds() -> None:
    frame = a_season(days=40, start="2019-01-01").assign(tmin=-15.0, tmax=-5.0, vap=2.5)
    assert "weather.vap on 2019-01-01 is 2.5, more than the 0.421 kPa of saturated air at tmax -5 degC" in only_problem(
        frame
    )
    assert "looks like hPa" in only_problem(frame)


def test_a_file_of_another_program_gets_all_its_units_named_at_once() -> None:
    # AgERA5: K, J m-2 d-1, hPa.
    frame = a_season().assign(
        tmin=lambda d: d.tmin + 273.15,
        tmax=lambda d: d.tmax + 273.15,
        srad=lambda d: d.srad * 1e6,
        vap=lambda d: d.vap * 10,
    )
    text = str(refused(frame))
    for said in ('{"tmin": "K"}', '{"tmax": "K"}', '{"srad": "J"}', '{"vap": "hPa"}'):
        assert said in text


def test_a_unit_given_wrongly_is_recognised_from_the_raw_values() -> None:
    problem = only_problem(a_season(), units={"srad": "kJ"})
    assert "of the extraterrestrial radiation on average; expected 0.2-0.78" in problem
    assert 'looks like MJ m-2 d-1: pass units={"srad": "MJ"}' in problem


def test_one_bad_day_is_named_and_its_unit_is_not_blamed() -> None:
    frame = a_season()
    frame.loc["2019-05-05", "srad"] = 15200.0
    assert only_problem(frame) == "weather.srad on 2019-05-05 is 15200; expected 0-45 MJ m-2 d-1"


def test_more_radiation_than_the_sun_gives_is_refused() -> None:
    frame = a_season()
    frame.loc["2019-05-05", "srad"] = 44.0
    problem = only_problem(frame)
    assert "weather.srad on 2019-05-05 is 44, more than the extraterrestrial radiation of 38.05 MJ m-2 d-1" in problem
    assert "at latitude 42 (check that day, the latitude and the unit)" in problem


def test_twilight_of_the_polar_night_is_not_refused() -> None:
    frame = a_season(days=40, start="2019-12-01", latitude=68.0).assign(tmin=-9.0, tmax=-4.0, vap=0.3, srad=0.3)
    assert extraterrestrial_radiation(68.0, np.arange(340, 366)) == pytest.approx(0.0, abs=0.1)
    assert take(frame, latitude=68.0).name == "here"


def test_the_other_hemisphere_is_recognised() -> None:
    assert "(latitude -42 would fit: south is negative)" in only_problem(a_season(start="2019-11-01", latitude=-42.0))


def test_mean_clearness_is_judged_from_a_month_on() -> None:
    dim = a_season()
    dim["srad"] *= 0.3
    assert "is 0.15 of the extraterrestrial radiation on average; expected 0.2-0.78" in only_problem(dim)
    assert "expected 0.15-0.78" in only_problem(dim.assign(srad=dim["srad"] * 0.5).iloc[:28])
    assert take(dim.assign(srad=dim["srad"] * 0.5).iloc[:27]).name == "here"
    bright = a_season()
    bright["srad"] = 0.9 * extraterrestrial_radiation(LATITUDE, bright.index.day_of_year.to_numpy())
    assert "is 0.9 of the extraterrestrial radiation on average" in only_problem(bright.iloc[:30])


def test_exchanged_temperatures_are_recognised() -> None:
    frame = a_season().rename(columns={"tmin": "tmax", "tmax": "tmin"})
    problem = only_problem(frame)
    assert problem.startswith("weather.tmin on 2019-05-01 is 22, above tmax 10 degC")
    assert 'they look exchanged: pass columns={"tmin": "tmax", "tmax": "tmin"}' in problem
    assert take(frame, columns={"tmin": "tmax", "tmax": "tmin"}).data["tmin"].iloc[0] == 10.0


def test_single_days_with_tmin_above_tmax_are_named() -> None:
    frame = a_season()
    frame.loc["2019-05-05":"2019-05-07", "tmin"] = 40.0
    problem = only_problem(frame)
    assert problem.startswith("weather.tmin on 2019-05-05 is 40, above tmax ")
    assert problem.endswith("degC; 2 more days: 2019-05-06 to 2019-05-07")


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("tmin", -80.0, "is -80; expected -70 to 50 degC"),
        ("tmax", 61.0, "is 61; expected -60 to 60 degC"),
        ("srad", -0.5, "is -0.5; expected 0-45 MJ m-2 d-1"),
        ("rain", -0.1, "is -0.1; expected 0-1000 mm d-1"),
        ("rain", 1200.0, "is 1200; expected 0-1000 mm d-1"),
        ("wind", 41.0, "is 41; expected 0-40 m s-1"),
        ("vap", 6.5, "is 6.5; expected 0-6 kPa"),
        ("vap", np.inf, "is inf; expected 0-6 kPa"),
    ],
)
def test_bounds_are_those_of_the_weather_record(variable: str, value: float, words: str) -> None:
    frame = a_season()
    frame.loc["2019-05-05", variable] = value
    assert f"weather.{variable} on 2019-05-05 {words}" in "\n".join(refused(frame).problems)


def test_an_odd_mean_can_be_vouched_for_by_naming_the_unit() -> None:
    storm, drizzle = a_season().assign(wind=9.0), a_season().assign(rain=0.2)
    assert "weather.wind is 9 m s-1 on average; expected 0.4-8" in only_problem(storm)
    assert 'say so: units={"wind": "m s-1"}' in only_problem(storm)
    assert take(storm, units={"wind": "m/s"}).notes == {}  # nothing was converted
    assert "weather.rain is 0.2 mm d-1 on wet days; expected 0.5 or more" in only_problem(drizzle)
    assert take(drizzle, units={"rain": "mm"}).name == "here"
    assert take(a_season().assign(rain=0.0)).name == "here"  # no rain is no unit


def test_humidity_read_at_nine_is_not_refused() -> None:
    # Wageningen, 31 December 1985: 0.66 kPa at tmax -3.0 degC, 1.35 times saturation.
    frame = a_season(days=40, start="2019-01-01").assign(tmin=-6.0, tmax=-3.0, vap=0.4)
    frame.loc["2019-01-20", "vap"] = 0.66
    assert take(frame).data["vap"].max() == 0.66
    frame.loc["2019-01-20", "vap"] = 1.2
    assert "(check that day)" in only_problem(frame)


# ---------------------------------------------------------------- filling


def test_gaps_are_filled_only_as_asked_and_every_fill_is_on_record(caplog: pytest.LogCaptureFixture) -> None:
    frame = a_season()
    frame.loc["2019-05-05":"2019-05-06", "tmin"] = np.nan
    frame.loc["2019-05-09", "rain"] = np.nan
    with caplog.at_level(logging.INFO, "torchcrop.inputs.weather"):
        weather = take(frame, fill={"rain": 0.0, "tmin": "linear"})
    before, after = frame["tmin"]["2019-05-04"], frame["tmin"]["2019-05-07"]
    assert weather.data["tmin"]["2019-05-05"] == pytest.approx(before + (after - before) / 3)
    assert weather.data["rain"]["2019-05-09"] == 0.0
    assert weather.filled == {"tmin": (date(2019, 5, 5), date(2019, 5, 6)), "rain": (date(2019, 5, 9),)}
    assert weather.attributes["filled"] == "tmin: 2 days (2019-05-05 to 2019-05-06); rain: 1 day (2019-05-09)"
    assert "filled 2 days (2019-05-05 to 2019-05-06) of tmin (linear)" in caplog.text
    assert "filled 1 day (2019-05-09) of rain (0.0)" in caplog.text


def test_linear_filling_for_all_leaves_rain_gaps_visible() -> None:
    frame = a_season().drop(pd.Timestamp("2019-05-05"))
    assert only_problem(frame, fill="linear").startswith("weather.rain is missing on 1 day: 2019-05-05")
    assert len(take(frame, fill=dict.fromkeys(VARIABLES, "linear")).filled) == 6


def test_linear_filling_does_not_extrapolate() -> None:
    frame = a_season()
    frame.loc["2019-05-01", "tmin"] = np.nan
    frame.loc["2019-05-05", "tmin"] = np.nan
    problem = only_problem(frame, fill="linear")
    assert problem.startswith(
        "weather.tmin is missing on 1 day: 2019-05-01; linear filling needs a value on both sides"
    )


def test_climatology_is_the_mean_of_the_same_days_in_other_years() -> None:
    frame = a_season(days=3 * 365, start="2017-01-01")
    frame["tmin"] = np.where(frame.index.year == 2018, 15.0, 5 + 5 * np.sin(frame.index.day_of_year / 20.0))
    frame.loc["2018-06-10":"2018-06-20", "tmin"] = np.nan
    weather = take(frame, fill="climatology")
    others = [*frame["tmin"]["2017-06-08":"2017-06-22"], *frame["tmin"]["2019-06-08":"2019-06-22"]]
    assert weather.data["tmin"]["2018-06-15"] == pytest.approx(np.mean(others))
    assert len(weather.filled["tmin"]) == 11
    lone = frame.loc["2018"]
    assert "climatology needs the same days of another year" in only_problem(lone, fill="climatology")


def test_a_fill_is_checked_like_a_value() -> None:
    frame = a_season()
    frame.loc["2019-05-05", "tmin"] = np.nan
    assert "weather.tmin on 2019-05-05 is 283; expected -70 to 50 degC" in str(refused(frame, fill={"tmin": 283.0}))


def test_an_unknown_method_of_filling_is_refused() -> None:
    assert "fill='linaer' is unknown (did you mean 'linear'?)" in only_problem(a_season(), fill="linaer")
    assert "fill='lin' is unknown" in only_problem(a_season(), fill={"tmin": "lin"})
    assert 'say which it is for, as in fill={"rain": 0.0}' in only_problem(a_season(), fill=0.0)


# ---------------------------------------------------------------- a part of it; xarray


def test_a_part_of_the_record_keeps_its_provenance() -> None:
    frame = a_season()
    frame.loc[["2019-05-05", "2019-06-05"], "tmin"] = np.nan
    part = take(frame, fill="linear").between("2019-06-01", date(2019, 6, 30))
    assert (part.data.index[0], part.data.index[-1]) == (pd.Timestamp("2019-06-01"), pd.Timestamp("2019-06-30"))
    assert part.filled == {"tmin": (date(2019, 6, 5),)}
    assert part.station().first == date(2019, 6, 1)
    with pytest.raises(
        WeatherError, match="2019-06-01 to 2020-06-30 is not within the record, 2019-05-01 to 2019-08-28"
    ):
        take(a_season()).between("2019-06-01", "2020-06-30")


def same(one: Weather, other: Weather) -> None:
    """Both hold the same values and tell the same of them."""
    pd.testing.assert_frame_equal(one.data, other.data, check_exact=True)
    for known in ("name", "latitude", "elevation", "source", "defaults", "filled", "flags"):
        assert getattr(one, known) == getattr(other, known), known
    np.testing.assert_equal(one.longitude, other.longitude)


def with_everything() -> Weather:
    frame = a_season().drop(columns="wind").assign(flags="")
    frame.loc["2019-05-05", "tmin"] = np.nan
    frame.loc["2019-05-07", "flags"] = "vap_est_tmin"
    return take(frame, defaults={"wind": 2.0}, fill="linear", longitude=-93.25, elevation=312.5, source="the loggers")


def test_xarray_and_netcdf_hold_all_that_is_known(tmp_path: Path) -> None:
    weather = with_everything()
    ds = weather.to_xarray()
    assert ds["srad"].attrs == {"units": "MJ m-2 d-1", "long_name": "global radiation"}
    assert ds["tmin"].dims == ("date",)
    same(Weather.from_xarray(ds), weather)
    ds.to_netcdf(tmp_path / "weather.nc")
    same(read_weather(tmp_path / "weather.nc"), weather)
    assert read_weather(tmp_path / "weather.nc", source="a friend").source == "a friend"
    same(Weather.from_xarray(ds.isel(date=[0])), weather.between("2019-05-01", "2019-05-01"))


def test_units_and_place_come_from_a_dataset_and_the_user_overrules() -> None:
    frame = a_season()
    ds = xr.Dataset(
        {
            "t2m_min": ("time", frame["tmin"].to_numpy() + 273.15, {"units": "K"}),
            "tmax": ("time", frame["tmax"].to_numpy(), {"units": "degrees_C"}),
            "srad": ("time", frame["srad"].to_numpy() * 1e6, {"units": "J m**-2"}),
            "rain": ("time", frame["rain"].to_numpy() / 1000, {"units": "m"}),
            "wind": ("time", frame["wind"].to_numpy(), {"units": "m s**-1"}),
            "vap": ("time", frame["vap"].to_numpy() * 10, {"units": "wrong"}),
        },
        coords={"time": frame.index.to_numpy(), "lat": 42.0, "lon": -93.0},
    )
    weather = Weather.from_xarray(ds.expand_dims(["lat", "lon"]), columns={"t2m_min": "tmin"}, units={"vap": "hPa"})
    np.testing.assert_allclose(weather.data, frame, rtol=1e-12)
    assert (weather.latitude, weather.longitude) == (42.0, -93.0)
    with pytest.raises(WeatherError, match=r"unknown unit 'wrong' for weather\.vap"):
        Weather.from_xarray(ds, columns={"t2m_min": "tmin"})
    with pytest.raises(WeatherError, match="expected time alone"):
        Weather.from_xarray(xr.concat([ds, ds], "place"))
    with pytest.raises(WeatherError, match="the latitude is missing"):
        Weather.from_xarray(ds.drop_vars("lat"), columns={"t2m_min": "tmin"}, units={"vap": "hPa"})


# ---------------------------------------------------------------- CSV


def test_a_csv_file_holds_all_that_is_known(tmp_path: Path) -> None:
    weather = with_everything()
    weather.to_csv(tmp_path / "here.csv")
    text = (tmp_path / "here.csv").read_text()
    assert "# latitude: 42.0\n" in text
    assert "# defaults: wind=2.0\n" in text
    assert "date,tmin,tmax,srad,rain,wind,vap,flags\n" in text
    again = read_weather(tmp_path / "here.csv")
    same(again, weather)
    again.to_csv(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == text


@st.composite
def weathers(draw: st.DrawFn) -> Weather:
    days = draw(st.integers(1, 40))
    start = draw(st.dates(date(1950, 1, 1), date(2060, 1, 1)))
    latitude = draw(st.floats(-60, 60))
    index = pd.date_range(start, periods=days, name="date")

    def drawn(low: float, high: float) -> np.ndarray:
        return np.array(draw(st.lists(st.floats(low, high), min_size=days, max_size=days)))

    tmin = drawn(-5, 20)
    frame = pd.DataFrame(
        {
            "tmin": tmin,
            "tmax": tmin + drawn(0, 15),
            "srad": drawn(0.25, 0.75) * extraterrestrial_radiation(latitude, index.day_of_year.to_numpy()),
            "rain": drawn(1, 50),
            "wind": drawn(0.5, 7),
            "vap": drawn(0.0, 0.4),
        },
        index=index,
    )
    frame["flags"] = draw(
        st.lists(st.sampled_from(["", "filled", "filled:rain", "odd", "filled:vap;odd"]), min_size=days, max_size=days)
    )
    defaults = draw(st.sampled_from([{}, {"wind": 2.0}]))
    name = draw(st.text("abcXYZ 0-'é", min_size=1).filter(lambda text: text == " ".join(text.split())))
    return Weather.from_frame(
        frame.drop(columns=list(defaults)),
        latitude=latitude,
        longitude=draw(st.one_of(st.just(float("nan")), st.floats(-180, 180))),
        elevation=draw(st.floats(-400, 4000)),
        name=name,
        defaults=defaults,
    )


@hypothesis.given(weather=weathers())
@hypothesis.settings(max_examples=60)
def test_weather_survives_a_csv_file_to_the_last_bit(
    weather: Weather, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("csv") / "weather.csv"
    weather.to_csv(path)
    again = read_weather_csv(path)
    same(again, weather)
    text = path.read_text(encoding="utf-8")
    again.to_csv(path)
    assert path.read_text(encoding="utf-8") == text


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


HEADER = "year,doy,tmin,tmax,srad,rain,wind,vap"


def test_a_csv_file_may_count_days_and_lack_a_header(tmp_path: Path) -> None:
    path = write(tmp_path / "w.csv", HEADER, "2020,60, 1.0, 9.0,10.0,0.0,2.0,0.7", "2020,61,2.0,9.5,11.0,3.5,2.5,0.8")
    weather = read_weather_csv(path, latitude=52.0)
    assert weather.name == "w"
    assert weather.source == str(path)
    assert list(weather.data.index) == [pd.Timestamp("2020-02-29"), pd.Timestamp("2020-03-01")]
    assert weather.data["tmin"].tolist() == [1.0, 2.0]
    with pytest.raises(WeatherError, match='begin a CSV file with "# latitude: 42'):
        read_weather_csv(path)


def test_what_a_caller_says_overrules_the_header(tmp_path: Path) -> None:
    path = write(
        tmp_path / "w.csv", "\ufeff# latitude: 10", "# name: There", "# licence: CC0", "# not a key", HEADER,
        "2020,60,1.0,9.0,10.0,0.0,2.0,0.7",
    )  # fmt: skip
    assert read_weather_csv(path).latitude == 10.0
    weather = read_weather_csv(path, latitude=52.0, name="Here")
    assert (weather.latitude, weather.name, weather.attributes["licence"]) == (52.0, "Here", "CC0")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["date;tmin;tmax"], "separated by ';'; expected commas"),
        (["# only a header"], "holds no table"),
        ([HEADER, "2020,60,1.0,9.0,10.0,0.0,2.0"], "line 2 has 7 values; expected 8"),
        (["# latitude: north", HEADER, "2020,60,1,9,10,0,2,0.7"], "header says latitude: north; expected a number"),
    ],
)
def test_a_csv_file_that_cannot_be_a_table_says_why(tmp_path: Path, lines: list[str], words: str) -> None:
    with pytest.raises(WeatherError, match=re.escape(words)):
        read_weather_csv(write(tmp_path / "w.csv", *lines))


def test_a_format_that_is_not_read_says_which_are(tmp_path: Path) -> None:
    path = write(tmp_path / "WAGE8701.WTH", "*WEATHER DATA : Wageningen", "@ INSI LAT")
    with pytest.raises(WeatherError, match=r"none of the formats read: CSV .*, CABO .*, netCDF"):
        read_weather(path)


# ---------------------------------------------------------------- CABO


def cabo(path: Path, *lines: str, site: str = "5.67 51.97 7. 0.00 0.00") -> Path:
    return write(path, "* Station name: Somewhere", "*---*", site, *lines)


DAY = "1 1987 60 2390. 5.8 9.6 1.010 2.0 10.8"
NEXT = "1 1987 61 790. -5.8 9.8 0.850 5.0 18.2"


@pytest.mark.parametrize("angstrom", ["", "_fst_angstrom0"])
def test_cabo_gives_the_expected_table(shared: Path, angstrom: str) -> None:
    folder = shared / "weather-formats"
    expected = pd.read_csv(folder / "expected_complete.csv", index_col="date", parse_dates=True)
    weather = read_weather(folder / "cabo" / f"synthetic_complete{angstrom}" / "WAG1.987")
    np.testing.assert_allclose(weather.data, expected[VARIABLES], rtol=0, atol=1e-12)
    assert weather.data.index.equals(pd.date_range("1987-03-01", "1987-04-10"))
    assert (weather.name, weather.latitude, weather.longitude) == ("Netherlands, Wageningen", 51.97, 5.67)
    assert weather.elevation == 7.0


@pytest.mark.parametrize("angstrom", ["", "_fst_angstrom0"])
def test_gaps_of_cabo_are_named_then_filled(shared: Path, angstrom: str) -> None:
    folder = shared / "weather-formats"
    path = folder / "cabo" / f"synthetic_gaps{angstrom}" / "WAG1.987"
    with pytest.raises(WeatherError) as caught:
        read_cabo(path)
    text = str(caught.value)
    for named in (
        "1 day of 41 missing: 1987-04-05",
        "weather.srad is missing on 4 days (written -99): 1987-03-06, 1987-03-31 to 1987-04-02;",
        "weather.rain is missing on 1 day (written -99): 1987-03-11;",
        "weather.wind is missing on 1 day (written -99): 1987-03-16;",
        "weather.vap is missing on 1 day (written -99): 1987-03-21;",
        "weather.tmin is missing on 1 day (written -99): 1987-03-26;",
        "weather.tmax is missing on 1 day (written -99): 1987-03-26;",
    ):
        assert named in text
    weather = read_cabo(path, fill={"rain": 0.0, **{v: "linear" for v in VARIABLES if v != "rain"}})
    expected = pd.read_csv(folder / "expected_gaps.csv", index_col="date", parse_dates=True)[VARIABLES]
    expected = expected.reindex(weather.data.index)
    kept = expected.notna().to_numpy()
    np.testing.assert_allclose(weather.data.to_numpy()[kept], expected.to_numpy()[kept], rtol=0, atol=1e-12)
    assert {v: len(days) for v, days in weather.filled.items()} == {
        v: int(count) for v, count in expected.isna().sum().items()
    }


def test_status_lines_of_cabo_are_no_days_but_flags(tmp_path: Path) -> None:
    path = cabo(
        tmp_path / "X1.987",
        "-999 1987 60 3 3 3 3 3 3",
        DAY,
        "1 1987 61 1. 1.0 1.0 3.000 1.0 1.0",
        NEXT,
        "-999 1987 62 1 1 1 1 1 1",
    )
    weather = read_cabo(path)
    assert weather.data["srad"].tolist() == [2.39, 0.79]
    assert weather.flags == {"status": (date(1987, 3, 1), date(1987, 3, 2))}
    assert weather.name == "Somewhere"


@pytest.mark.parametrize("path", shared_files("weather-formats/cabo/real/*"))
def test_real_cabo_files_are_read(path: Path) -> None:
    weather = read_weather(path)
    lines = path.read_bytes().decode("latin-1").replace("\x1a", "").splitlines()
    days = [line.split() for line in lines if len(line.split()) == 9 and line.split()[0] == "1"]
    assert len(weather.data) == len(days)
    np.testing.assert_array_equal(weather.data["srad"], [float(day[3]) / 1000 for day in days])
    np.testing.assert_array_equal(weather.data["rain"], [float(day[8]) for day in days])


def test_fourteen_years_of_wageningen_are_one_record() -> None:
    found = importlib.util.find_spec("pcse")
    if found is None:
        pytest.skip("needs the files of pcse")
    folder = Path(found.origin).parent / "tests" / "test_data"
    weather = read_cabo([folder / f"NL1.{year}" for year in range(976, 990)])
    assert weather.data.index.equals(pd.date_range("1976-01-01", "1989-12-31"))
    # NL1.989 holds status lines with the station's number instead of -999: none of them is a day.
    assert weather.data.loc["1989-02-12"].tolist() == [2.9, 8.4, 1.88, 0.6, 4.4, 0.81]
    assert date(1989, 2, 12) in weather.flags["status"]


def test_years_of_cabo_join_and_must_be_of_one_station(tmp_path: Path) -> None:
    first = cabo(tmp_path / "X1.987", DAY.replace(" 60 ", " 365 "))
    second = cabo(tmp_path / "X1.988", NEXT.replace("1987 61", "1988 1"), site="5.67 51.97 7. -0.18 -0.55")
    assert list(read_cabo([second, first]).data.index) == [pd.Timestamp("1987-12-31"), pd.Timestamp("1988-01-01")]
    cabo(second, NEXT.replace("1987 61", "1988 1"), site="4.67 51.97 7. 0 0")
    with pytest.raises(WeatherError, match=r"X1\.988 is for longitude, latitude, elevation \(4\.67.* X1\.987 for"):
        read_weather([first, second])
    cabo(second, NEXT.replace("1987 61", "1988 3"))
    with pytest.raises(WeatherError, match=r"2 days of 4 missing: 1988-01-01 to 1988-01-02"):
        read_cabo([first, second])


def test_hours_of_sunshine_become_radiation_by_angstrom(tmp_path: Path) -> None:
    # FAO-56, example 10: Rio de Janeiro (22.9 S), 15 May, n = 7.1 h; N = 10.9 h, Ra = 25.1, Rs = 14.5 MJ m-2 d-1.
    path = cabo(tmp_path / "rio.dat", "1 1994 135 7.1 19.1 25.1 2.1 2.0 0.0", site="-43.2 -22.9 5. 0.25 0.50")
    weather = read_cabo(path)
    assert weather.data["srad"].tolist() == pytest.approx([14.5], abs=0.05)
    assert weather.attributes["sunshine"] == "srad from hours of sunshine, A=0.25, B=0.5"
    cabo(path, "1 1994 135 -99 19.1 25.1 2.1 2.0 0.0", DAY.replace("1987 60", "1994 136"), site="-43 -22.9 5 0.2 0.5")
    with pytest.raises(
        WeatherError, match=r"2390 h of sunshine on day 136, which has 10\.9 h .* negative: -0\.2 -0\.5"
    ):
        read_cabo(path)
    cabo(path, "1 1994 135 11.9 19.1 25.1 2.1 2.0 0.0", site="-43 -22.9 5 0.2 0.5")
    with pytest.raises(WeatherError, match=r"11\.9 h of sunshine on day 135, which has 10\.9 h"):
        read_cabo(path)


@pytest.mark.parametrize(
    ("name", "lines", "site", "words"),
    [
        ("X1.988", [DAY], "5 52 7 0 0", "X1.988 is named for year .988, but its days are of 1987"),
        (
            "X1.987",
            [DAY, NEXT.replace("1987", "1986")],
            "5 52 7 0 0",
            "has days of 1986, 1987; expected one year per file",
        ),
        (
            "X1.987",
            ["1 1987 60 2390. 5.8 9.6"],
            "5 52 7 0 0",
            "X1.987 line 4 is '1 1987 60 2390. 5.8 9.6'; expected station",
        ),
        ("X1.987", [DAY], "5 52 7", "has no location line"),
        ("X1.987", [], "5 52 7 0 0", "X1.987 has no days"),
        ("X1.987", [DAY], "5 52 7 0.18 -0.55", "Angstrom coefficients 0.18 and -0.55; expected both of one sign"),
    ],
)
def test_a_cabo_file_at_odds_with_itself_is_refused(
    tmp_path: Path, name: str, lines: list[str], site: str, words: str
) -> None:
    with pytest.raises(WeatherError, match=re.escape(words)):
        read_cabo(cabo(tmp_path / name, *lines, site=site))


def test_a_cabo_file_says_its_year_once(tmp_path: Path) -> None:
    path = write(tmp_path / "x.dat", "** WCCYEARNR=1986", "5 52 7 0 0", DAY)
    with pytest.raises(WeatherError, match="says WCCYEARNR=1986, but its days are of 1987"):
        read_cabo(path)
    with pytest.raises(WeatherError, match="no file was given"):
        read_cabo([])


# ---------------------------------------------------------------- real data


INCOMPLETE = {"potato_DSSAT_WAPA9202": "1992-06-22 to 1992-06-24, 1992-07-31, 1992-08-13 to 1992-08-14"}


@pytest.mark.parametrize("path", shared_files("fielddata/*/weather.csv"))
def test_field_weather_is_not_refused(path: Path) -> None:
    site = yaml.safe_load((path.parent / "experiment.yaml").read_text())["site"]
    if missing := INCOMPLETE.get(path.parent.name):
        with pytest.raises(WeatherError, match=f"tmin is missing on 6 days: {missing}"):
            read_weather(path, latitude=site["latitude"])
    else:
        assert not read_weather(path, latitude=site["latitude"]).filled


@pytest.mark.parametrize("path", shared_files("reference/*/weather.csv"))
def test_weather_of_the_reference_cases_is_not_refused(path: Path) -> None:
    names = {"tmin_C": "tmin", "tmax_C": "tmax", "wind_m_s": "wind"}
    columns = {
        "lintul": {"irrad_kJ_m2_d": "srad", "vp_kPa": "vap", "rain_mm_d": "rain"},
        "pcse": {"irrad_J_m2_d": "srad", "vap_hPa": "vap", "rain_cm_d": "rain"},
    }
    units = {"lintul": {"srad": "kJ"}, "pcse": {"srad": "J", "vap": "hPa", "rain": "cm"}}
    kind = "pcse" if path.parent.name.startswith("pcse") else "lintul"
    weather = read_weather(path, latitude=51.97, columns={**names, **columns[kind]}, units=units[kind])
    table = pd.read_csv(path)
    assert len(weather.data) == len(table)
    scale = 1e6 if kind == "pcse" else 1000
    np.testing.assert_array_equal(
        weather.data["srad"], table.iloc[:, list(table).index(next(iter(columns[kind])))] / scale
    )


def test_lirf_weather_is_not_refused(shared: Path) -> None:
    assert len(read_weather(shared / "lirf" / "weather.csv", latitude=40.4487).data) == 365


def test_central_iowa_ships_without_wind_and_with_its_filled_days() -> None:
    with pytest.raises(WeatherError, match="no column 'wind'"):
        load_weather("central_iowa_1990_2020")
    weather = load_weather("central_iowa_1990_2020", defaults={"wind": 2.0})
    assert weather.data.index.equals(pd.date_range("1990-01-01", "2020-12-31"))
    assert (weather.name, weather.latitude, weather.longitude) == ("Central Iowa", 42.035, -93.0)
    assert weather.elevation == 300.0
    assert weather.filled["rain"] == tuple(date(year, 12, 31) for year in range(1992, 2021, 4))
    assert "wind" not in weather.filled
    told = weather.station().attributes
    assert told["defaults"] == "wind = 2 m s-1"
    assert "8 days (1992-12-31" in told["filled"]
    assert "Apache" in told["licence"]
    assert "Daymet" in told["source"]


def test_central_iowa_is_the_table_it_was_made_from(shared: Path) -> None:
    source = pd.read_csv(shared / "weather-iowa" / "central_iowa_1990_2020.csv", index_col="date", parse_dates=True)
    ours = load_weather("central_iowa_1990_2020", defaults={"wind": 2.0}).data
    np.testing.assert_array_equal(ours[list(source)], source)
