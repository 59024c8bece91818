"""Rotations: what a crop leaves in the soil, the next one finds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
import torch

import torchcrop as tc
from torchcrop.quantities import Record

YEARS = (1993, 1996, 2001)
MODEL = tc.Lintul5(level="nitrogen")


@pytest.fixture(scope="module")
def weather() -> Any:
    return tc.load_weather("central_iowa_1990_2020", defaults={"wind": 2.0})


def maize(weather: Any, years: tuple[int, ...] = YEARS) -> tuple[Record, list[tc.Season]]:
    return tc.load_crop("maize"), tc.seasons(weather, sowing="05-01", years=years, length=160)


def wheat(weather: Any, years: tuple[int, ...] = YEARS) -> tuple[Record, list[tc.Season]]:
    return tc.load_crop("wheat"), tc.seasons(weather, sowing="10-25", years=years, length=250)


def potato(weather: Any) -> tuple[Record, list[tc.Season]]:
    return tc.load_crop("potato"), tc.seasons(weather, sowing="04-20", years=[y + 2 for y in YEARS], length=150)


def profile(run: tc.Run, soil: Record, depth: float) -> torch.Tensor:
    """Water from the surface to the soil's largest rooting depth [mm], with what lies below the crop's reach."""
    final = run.final
    reach = torch.minimum(run.params.soil.maximum_root_depth, run.params.crop.maximum_root_depth)
    return final["water"] + final["water_lower"] + 1000 * run.params.soil.initial_lower * (depth - reach)


@pytest.mark.parametrize("switches", [tc.Hard(), tc.Smooth()], ids=str)
def test_water_and_nitrogen_close_over_crops_of_different_depth(weather: Any, switches: tc.Switches) -> None:
    soil = tc.load_soil("loam")
    depth = float(soil.maximum_root_depth)
    rotation = tc.rotate(
        MODEL, [maize(weather), wheat(weather), potato(weather)], soil=soil, switches=switches, outputs=["water"]
    )
    for before, after in pairwise(rotation.runs):
        final = after.final
        into = final["TRAIN"] + final["TIRR"]
        out = final["TTRANS"] + final["TESOIL"] + final["TDRAIN"] + final["TRUNOF"]
        left = profile(before, soil, depth) + into - out
        torch.testing.assert_close(profile(after, soil, depth), left, rtol=0, atol=1e-9)
        supplied = final["total_nitrogen_supply"] + soil.organic_nitrogen - final["NMIN"]
        kept = before.final["NMINT"] + supplied - final["NUPT"]
        torch.testing.assert_close(final["NMINT"], kept, rtol=0, atol=1e-12)


def test_each_season_begins_when_the_crop_before_is_taken(weather: Any) -> None:
    rotation = tc.rotate(MODEL, [maize(weather), wheat(weather)], soil=tc.load_soil("loam"), outputs=["stage"])
    first, second = rotation.runs
    for b, start in enumerate(second.calendar.starts):
        assert start == first.calendar.starts[b] + timedelta(days=int(first.rows[b]) - 1)
        assert float(second["stage"][b, 30]) == 0.0  # in the fallow nothing develops
    assert rotation.summary().index.names == ["step", "crop", "sim"]
    assert list(rotation.summary().index.get_level_values("crop").unique()) == ["maize", "wheat"]


def test_a_rotation_in_a_batch_is_the_rotation_of_each(weather: Any) -> None:
    soil = tc.load_soil("sandy_loam")
    together = tc.rotate(MODEL, [maize(weather), wheat(weather)], soil=soil, outputs=[])
    for b, year in enumerate(YEARS):
        alone = tc.rotate(MODEL, [maize(weather, (year,)), wheat(weather, (year,))], soil=soil, outputs=[])
        for step in range(2):
            for name in ("storage_organs", "water", "water_lower", "NMINT"):
                torch.testing.assert_close(together[step].final[name][b : b + 1], alone[step].final[name])


def test_a_season_after_nothing_but_fallow_is_the_season_with_an_earlier_start(weather: Any) -> None:
    """The second crop of a rotation is simulated as by hand from the states that the first one left."""
    soil = tc.load_soil("loam")
    rotation = tc.rotate(MODEL, [maize(weather), wheat(weather)], soil=soil, outputs=[])
    before = rotation[0]
    states, found = MODEL.carry_over(before.final.record, before.params, tc.load_crop("wheat"))
    seasons = [replace(s, start=start) for s, start in zip(wheat(weather)[1], rotation[1].calendar.starts, strict=True)]
    by_hand = tc.simulate(MODEL, tc.load_crop("wheat"), seasons, soil=found, initial=states, outputs=[])
    torch.testing.assert_close(by_hand.final["storage_organs"], rotation[1].final["storage_organs"], rtol=0, atol=0)


def test_fertiliser_of_a_later_crop_keeps_its_recovery_when_its_season_starts_a_year_earlier(weather: Any) -> None:
    crop, seasons = tc.load_crop("wheat"), []
    for year in YEARS:
        management = tc.Management(
            sowing=f"{year + 1}-02-20", end=f"{year + 1}-08-30", nitrogen=[(f"{year + 1}-04-01", 10.0, 0.4)]
        )
        seasons.append(management.season(weather))
    rotation = tc.rotate(MODEL, [maize(weather), (crop, seasons)], soil=tc.load_soil("loam"), outputs=[])
    torch.testing.assert_close(rotation[1].final["total_nitrogen_supply"], torch.full((3,), 4.0, dtype=torch.float64))


def test_derivatives_go_from_crop_to_crop(weather: Any) -> None:
    def yield_of_wheat(mineral: torch.Tensor) -> torch.Tensor:
        rotation = tc.rotate(
            MODEL,
            [maize(weather), wheat(weather)],
            soil=tc.load_soil("sandy_loam"),
            switches=tc.Smooth(),
            initial={"mineral_nitrogen": mineral},
            outputs=[],
        )
        return rotation[1].final["storage_organs"].sum()

    given = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(yield_of_wheat(given), given)
    step = 1e-4
    with torch.no_grad():
        difference = (yield_of_wheat(given + step) - yield_of_wheat(given - step)) / (2 * step)
    assert float(slope) != 0
    torch.testing.assert_close(slope, difference, rtol=1e-4, atol=1e-7)


def test_a_crop_that_still_stands_is_an_error(weather: Any) -> None:
    late = tc.seasons(weather, sowing="07-01", years=YEARS, length=200)
    with pytest.raises(ValueError, match=r"maize stands until 1993-\d\d-\d\d, but wheat is to start on 1993-07-01"):
        tc.rotate(MODEL, [maize(weather), (tc.load_crop("wheat"), late)], soil=tc.load_soil("loam"))


def test_steps_need_one_season_for_every_simulation(weather: Any) -> None:
    with pytest.raises(ValueError, match=r"the steps have 3, 2 seasons"):
        tc.rotate(MODEL, [maize(weather), wheat(weather, YEARS[:2])], soil=tc.load_soil("loam"))
    crop, seasons = wheat(weather)
    other = [replace(s, soil=tc.load_soil("sand")) for s in seasons]
    with pytest.raises(ValueError, match="has a soil of its own, but wheat grows on the soil that maize leaves"):
        tc.rotate(MODEL, [maize(weather), (crop, other)], soil=tc.load_soil("loam"))
    with pytest.raises(ValueError, match="at least one crop"):
        tc.rotate(MODEL, [])
