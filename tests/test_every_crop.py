"""Every crop that ships, at every level, in three climates: no NaN, mass closes, derivatives are finite."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

import torchcrop as tc
from tests.seasons import bare
from tests.trials import _pcse_weather, _year_at_wageningen
from torchcrop.functions.tables import Table
from torchcrop.inputs.shipped import names
from torchcrop.models.lintul5 import LEVELS
from torchcrop.processes.crop_nutrients import NUTRIENTS
from torchcrop.quantities import Record
from torchcrop.simulation.batch import stack_records

CROPS = [name for name in names("crops") if isinstance(tc.load_crop(name), tc.Lintul5Crop)]
WARMER = 6.0
CLIMATES = [
    pytest.param("wageningen", marks=pytest.mark.skipif(_pcse_weather() is None, reason="needs pcse (test extra)")),
    "iowa",
    "warm",
]
FERTILISER = {"nitrogen": 8.0, "phosphorus": 2.0, "potassium": 8.0}


@cache
def every_crop() -> Record:
    return stack_records([bare(tc.load_crop(name)) for name in CROPS])


def season(climate: str, model: tc.Lintul5) -> tuple[tc.Season, dict[str, Any]]:
    """One season, sown on 1 May and fertilised with what the level listens to."""
    if climate == "wageningen":
        weather, year, scenario = _year_at_wageningen(1995), 1995, {}
    else:
        weather, year = tc.load_weather("central_iowa_1990_2020", defaults={"wind": 2.0}), 2011
        scenario = {"temperature": WARMER} if climate == "warm" else {}
    applied = {kind: [(f"{year}-05-20", FERTILISER[kind])] for kind in NUTRIENTS if kind in model.listens}
    management = tc.Management(sowing=f"{year}-05-01", end=f"{year}-12-20", **applied)
    return management.season(weather, tc.load_soil("sandy_loam")), scenario


def test_there_are_22_crops() -> None:
    assert len(CROPS) == 22


def closure(run: tc.Run, soil: Any) -> dict[str, torch.Tensor]:
    """What is missing in the balances of carbon, water and nutrients, ``[B]`` [g m-2, mm]."""
    final, crop = run.final, run.params.crop
    organs = ("leaves", "dead_leaves", "stems", "dead_stems", "storage_organs", "roots", "dead_roots")
    missing = {"carbon": sum(final[o] for o in organs) - crop.initial_weight - final["total_growth"]}
    deepest = torch.minimum(soil.maximum_root_depth, crop.maximum_root_depth)
    content = torch.clamp(torch.minimum(soil.initial, soil.field_capacity), min=float(soil.wilting_point))
    lower = torch.clamp(torch.minimum(soil.initial_lower, soil.field_capacity), min=float(soil.wilting_point))
    start = 1000 * (crop.initial_root_depth * content + (deepest - crop.initial_root_depth) * lower)
    losses = final["TTRANS"] + final["TESOIL"] + final["TDRAIN"] + final["TRUNOF"]
    missing["water"] = final["water"] + final["water_lower"] - start - final["TRAIN"] - final["TIRR"] + losses
    if run.model.with_nutrients:
        first = run.again(outputs=["leaf_nitrogen", *(f"crop_{n}" for n in NUTRIENTS)])
        for nutrient in NUTRIENTS:
            parts = ("leaf_{}", "stem_{}", "root_{}", "storage_{}", "lost_{}", "mineral_{}", "organic_{}")
            held = sum(final[part.format(nutrient)] for part in parts)
            gained = final[f"total_{nutrient}_supply"] + getattr(soil, f"organic_{nutrient}")
            gained = gained + (final["total_fixed_nitrogen"] if nutrient == "nitrogen" else 0.0)
            missing[nutrient] = held - first[f"crop_{nutrient}"][:, 0] - gained
    return missing


@pytest.mark.parametrize("switches", [tc.Hard(), tc.Smooth()], ids=["hard", "smooth"])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("climate", CLIMATES)
def test_every_crop_runs_and_its_mass_closes(climate: str, level: str, switches: tc.Switches) -> None:
    model = tc.Lintul5(level=level)
    one, scenario = season(climate, model)
    run = tc.simulate(model, every_crop(), one, switches=switches, scenario=scenario)
    for name, values in run.daily.items():
        assert bool(torch.isfinite(values).all()), name
    for name, missing in closure(run, one.soil).items():
        assert float(missing.abs().max()) < 1e-9, (name, CROPS[int(missing.abs().argmax())])
    assert int((run.final["storage_organs"] > 0).sum()) >= 10  # not all ripen or even emerge at Wageningen


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("climate", CLIMATES)
def test_every_crop_has_finite_derivatives(climate: str, level: str) -> None:
    model = tc.Lintul5(level=level)
    one, scenario = season(climate, model)
    crop = every_crop().map(lambda t: t.clone().requires_grad_())
    run = tc.simulate(model, crop, one, switches=tc.Smooth(), scenario=scenario, outputs=[])
    run.final["storage_organs"].sum().backward()
    for name, value in crop.items():
        for leaf in (value.x, value.y) if isinstance(value, Table) else (value,):
            assert leaf.grad is None or bool(torch.isfinite(leaf.grad).all()), name
    for name in ("tsum_anthesis", "tsum_maturity", "relative_lai_growth", "radiation_use_efficiency"):
        value = getattr(crop, name)
        assert float((value.y if isinstance(value, Table) else value).grad.abs().max()) > 0, name
