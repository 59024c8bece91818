"""Losses explained: what each stress cost, against re-simulation."""

from __future__ import annotations

import pickle
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import torchcrop as tc
from torchcrop.simulation.explain import Explanation

YEARS = (1991, 1993)
STRESSES = {
    "water": ("drought", "oxygen", "temperature"),
    "npk": ("drought", "oxygen", "nitrogen", "phosphorus", "potassium", "temperature"),
}


@cache
def maize(level: str, **kwargs: Any) -> tc.Run:
    weather = tc.load_weather("central_iowa_1990_2020", defaults={"wind": 2.0})
    seasons = tc.seasons(weather, sowing="05-01", years=YEARS, length=170)
    return tc.simulate(
        tc.Lintul5(level=level), tc.load_crop("maize"), seasons, soil=tc.load_soil("sandy_loam"), outputs=[], **kwargs
    )


@cache
def explained(level: str) -> Explanation:
    return maize(level).explain(tolerance=0.02, most=24)


def relieved(level: str, switches: tc.Switches, **relief: Any) -> np.ndarray:
    model = tc.Lintul5(level=level, relief=relief)
    return maize(level).again(model=model, switches=switches).final["storage_organs"].numpy()


def test_levels_are_re_simulations_from_potential_down() -> None:
    levels = explained("npk").levels
    assert list(levels)[:4] == ["potential", "water", "nitrogen", "npk"]
    for level in ("potential", "water", "nitrogen", "npk"):
        np.testing.assert_allclose(levels[level], maize(level).final["storage_organs"].numpy(), rtol=1e-12)
    costs = levels[["cost of water", "cost of nitrogen", "cost of npk"]].sum(axis=1)
    np.testing.assert_allclose(costs, levels["potential"] - levels["npk"], rtol=1e-12)


@pytest.mark.parametrize("level", ["water", pytest.param("npk", marks=pytest.mark.slow)])
def test_the_attribution_sums_to_the_re_simulated_gain(level: str) -> None:
    total, stresses = explained(level).total, explained(level).stresses
    actual = relieved(level, tc.Smooth())
    unstressed = relieved(level, tc.Smooth(), **dict.fromkeys(STRESSES[level], 1.0))
    np.testing.assert_allclose(total["actual"], actual, rtol=1e-12)
    np.testing.assert_allclose(total["unstressed"], unstressed, rtol=1e-12)
    summed = stresses["attributed"].groupby("sim").sum()
    np.testing.assert_allclose(summed, unstressed - actual, rtol=0.05, atol=1.0)
    np.testing.assert_allclose(total["unexplained"], unstressed - actual - summed, atol=1e-9)


def test_a_stress_alone_is_a_re_simulation_and_its_margin_a_difference() -> None:
    stresses = explained("water").stresses
    base = relieved("water", tc.Smooth())
    step = torch.tensor(1e-5, dtype=torch.float64)
    for stress in ("drought", "temperature"):
        found = stresses.xs(stress, level="stress")
        np.testing.assert_allclose(found["alone"], relieved("water", tc.Smooth(), **{stress: 1.0}) - base, rtol=1e-10)
        ahead = relieved("water", tc.Smooth(), **{stress: step})
        back = relieved("water", tc.Smooth(), **{stress: -step})
        np.testing.assert_allclose(found["marginal"], (ahead - back) / (2 * float(step)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("switches", [tc.Hard(), tc.Smooth()], ids=["hard", "smooth"])
def test_water_without_stress_is_the_potential_level(switches: tc.Switches) -> None:
    potential = maize("potential").again(switches=switches).final["storage_organs"].numpy()
    np.testing.assert_allclose(relieved("water", switches, drought=1.0, oxygen=1.0), potential, rtol=1e-12)


def test_a_level_without_nutrients_has_nothing_to_say_of_them() -> None:
    stresses = explained("water").stresses.loc[0]
    assert list(stresses.index) == list(STRESSES["water"])
    assert 0 < stresses.loc["drought", "mean_factor"] < 1


def test_the_levels_of_lintul3_are_those_without_a_stress() -> None:
    weather = tc.load_weather("central_iowa_1990_2020", defaults={"wind": 2.0})
    management = tc.Management(emergence="2002-04-10", end="2002-09-01", nitrogen=[("2002-04-20", 4.0)])
    run = tc.simulate(
        tc.Lintul3(),
        tc.load_crop("spring_wheat_lintul3"),
        weather=weather,
        management=management,
        soil=tc.load_soil("lintul3_wageningen"),
        outputs=[],
    )
    with pytest.warns(UserWarning, match="miss more than 1e-09 of the gain after 8 gradients"):
        levels = run.explain(tolerance=1e-9, most=8).levels
    assert list(levels)[:3] == ["potential", "water", "nitrogen"]
    fed = run.again(model=tc.Lintul3(relief={"nitrogen": 1.0})).final["WSO"]
    np.testing.assert_allclose(levels["water"], fed.numpy(), rtol=1e-12)
    assert (levels["cost of nitrogen"] > 0).all()


def test_factors_of_stress_are_outputs_of_the_day() -> None:
    run = maize("npk").again(outputs=["drought_factor", "oxygen_factor", "NNI", "PNI", "KNI", "temperature_factor"])
    for name, values in run.daily.items():
        assert float(values.min()) >= 0, name
        assert float(values.max()) <= 1 + 1e-12, name


def test_bad_questions_are_errors() -> None:
    run = maize("water")
    with pytest.raises(KeyError, match=r"has no stress 'heat'"):
        run.explain(stresses=["heat"])
    with pytest.raises(ValueError, match="relief of drought is 2; expected a share, 0 to 1"):
        tc.Lintul5(relief={"drought": 2.0})
    with pytest.raises(KeyError, match=r"no state 'storage_organ'.*storage_organs"):
        run.explain("storage_organ")
    weather = tc.load_weather("central_iowa_1990_2020", defaults={"wind": 2.0})
    crop = tc.load_crop("spring_wheat")
    wheat = tc.Lintul1Crop(**{name: getattr(crop, name) for name in tc.Lintul1Crop.quantities()})
    potential = tc.simulate(
        tc.Lintul1(), wheat, weather=weather, management=tc.Management(emergence="2001-03-20", end="2001-09-01")
    )
    with pytest.raises(ValueError, match="knows no stress"):
        potential.explain()
    with pytest.raises(TypeError, match=r"simulate has no argument 'swiches'.*switches"):
        run.again(swiches=tc.Smooth())


def test_an_explanation_is_drawn_and_a_run_is_pickled() -> None:
    figure = explained("water").plot()
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert {"simulated", "drought", "without stress"} <= set(labels)
    again = pickle.loads(pickle.dumps(maize("water")))
    torch.testing.assert_close(again.final["storage_organs"], maize("water").final["storage_organs"])
