"""A batch of simulations is the simulations one by one, whatever they have in common; and mass closes in every mode."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

import torchcrop as tc
from tests.seasons import CASES, SWITCHES, Case, barley, cases, maize, season, soil2, soil5, wheat1, wheat2
from torchcrop.functions.tables import Table
from torchcrop.processes.crop_nutrients import NUTRIENTS
from torchcrop.quantities import Record
from torchcrop.simulation.batch import stack_records
from torchcrop.simulation.run import Run

every_case = pytest.mark.parametrize("name", CASES)
every_mode = pytest.mark.parametrize("mode", SWITCHES)
# StraightThrough computes both others: where it is costly it stands for one model of two.
every_case_and_mode = pytest.mark.parametrize(
    ("name", "mode"),
    [
        pytest.param(name, mode, marks=[pytest.mark.slow] if costly else [])
        for name in CASES
        for mode in SWITCHES
        for costly in [mode == "straight" and name in ("lintul2", "lintul5-potential")]
    ],
)

# A smaller seed is no simpler example.
WITHOUT_SHRINKING = [hypothesis.Phase.explicit, hypothesis.Phase.generate]


def pick(record: Record, lanes: Sequence[int]) -> Any:
    """The record of some simulations of a batch."""
    new: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Table):
            x = value.x if value.x.dim() == 1 else value.x[list(lanes)]
            y = value.y if value.y.dim() == 1 else value.y[list(lanes)]
            new[name] = value.replace(x=x, y=y)
        else:
            new[name] = value if value.dim() == 0 else value[list(lanes)]
    return record.replace(**new)


def spread(record: Record, size: int, share: float, seed: int = 0) -> Any:
    """The record with all values and ordinates spread at random, fractions and switches apart."""
    generator = torch.Generator().manual_seed(seed)

    def factors(*shape: int) -> Tensor:
        return 1 + share * (2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1)

    new: dict[str, Any] = {}
    for name, quantity in record.quantities().items():
        value = getattr(record, name)
        if name.startswith("fraction") or quantity.kind == "switch":
            continue
        new[name] = value.replace(y=value.y * factors(size, 1)) if isinstance(value, Table) else value * factors(size)
    return record.replace(**new)


def assert_lanes_equal(batch: Run, lanes: Sequence[int], part: Run) -> None:
    """All values of some lanes of a batch are those of another run.

    Under Hard and StraightThrough bit by bit. Under Smooth to 1e-13 of the largest value: torch's sigmoid and softplus
    take a vectorised path for whole vectors of a tensor and a scalar one for its rest, which differ in the last bit.
    """
    lanes = list(lanes)
    days = part.calendar.days
    exact = not isinstance(batch.switches, tc.Smooth)

    def check(what: str, ours: Tensor, theirs: Tensor) -> None:
        tolerance = 0.0 if exact else 1e-13 * max(1e-3, float(theirs.nan_to_num().abs().max()))
        torch.testing.assert_close(
            ours, theirs, rtol=0.0, atol=tolerance, equal_nan=True, msg=lambda text: f"{what}: {text}"
        )

    torch.testing.assert_close(batch.rows[lanes], part.rows, rtol=0.0, atol=0.0)
    assert list(batch.daily) == list(part.daily)
    for name in batch.daily:
        check(name, batch[name][lanes, :days], part[name])
    for name in batch.final:
        check(f"final {name}", batch.final[name][lanes], part.final[name])
    for name in batch.dates:
        check(f"date of {name}", batch.dates[name][lanes], part.dates[name])
    for name in batch.reduced:
        check(name, batch.reduced[name][lanes], part.reduced[name])


def run(case: Case, seasons: Any, mode: str, crop: Record | None = None, **more: Any) -> Run:
    return tc.simulate(case.model, crop or case.crop, seasons, switches=SWITCHES[mode], **more)


# --- batch == loop == blocks ----------------------------------------------------------------------------


@every_case_and_mode
def test_a_batch_of_unlike_seasons_is_the_seasons_one_by_one(name: str, mode: str) -> None:
    case = cases()[name]
    batch = run(case, case.seasons, mode)
    assert len({s.station.name for s in case.seasons}) == 2
    assert len({s.start.year for s in case.seasons}) > 2
    assert any(s.start.year != s.end.year for s in case.seasons)
    for b, one in enumerate(case.seasons):
        assert_lanes_equal(batch, [b], run(case, one, mode))


@every_case
def test_any_split_into_blocks_gives_the_same(name: str) -> None:
    case = cases()[name]
    batch = run(case, case.seasons, "smooth")
    for lanes in ([0, 1, 2], [5, 3], [4]):
        assert_lanes_equal(batch, lanes, run(case, [case.seasons[b] for b in lanes], "smooth"))


@every_case_and_mode
def test_a_batch_of_parameters_tables_and_soils_is_one_by_one(name: str, mode: str) -> None:
    case, size = cases()[name], 11  # a whole vector of the widest machine, and a rest
    crop = spread(case.crop, size, 0.05)
    soil = None if case.short.soil is None else spread(case.short.soil, size, 0.02)
    batch = run(case, case.short, mode, crop, soil=soil)
    assert len(batch) == size
    assert len({float(v) for v in batch.final["WSO"]}) == size, "the lanes must differ for this to be a test"
    for lanes in (range(2), range(2, 11), [10]):
        part = run(case, case.short, mode, pick(crop, lanes), soil=soil and pick(soil, lanes))
        assert_lanes_equal(batch, lanes, part)


def test_a_batch_of_parameters_runs_on_as_many_seasons() -> None:
    case = cases()["lintul5-water"]
    crop = spread(case.crop, len(case.seasons), 0.05)
    batch = run(case, case.seasons, "smooth", crop)
    for b in (0, 3, 4):
        assert_lanes_equal(batch, [b], run(case, case.seasons[b], "smooth", pick(crop, [b])))


@pytest.mark.parametrize("mode", ["hard", "smooth"])
def test_crops_whose_tables_have_other_breakpoints_share_a_batch(mode: str) -> None:
    case = cases()["lintul5-water"]
    crops = [maize(), barley(), maize(TSUM1=650.0)]
    batch = run(case, case.seasons[:3], mode, stack_records(crops))
    for b, crop in enumerate(crops):
        part = run(case, case.seasons[b], mode, crop)
        if mode == "hard":
            assert_lanes_equal(batch, [b], part)
        else:  # a sum over more points may round otherwise
            torch.testing.assert_close(batch.final["WSO"][b], part.final["WSO"][0], rtol=1e-12, atol=0.0)


def test_stacking_keeps_what_crops_share() -> None:
    stacked = stack_records([maize(), barley()])
    assert isinstance(stacked, tc.Lintul5Crop)
    assert stacked.tsum_anthesis.shape == (2,)
    assert stacked.final_stage.dim() == 0
    assert stacked.extinction.y.shape == (2, 2)
    assert stacked.fraction_roots.x.shape == (2, 12)
    one = maize()
    assert stack_records([one, one]) is one


def test_kinds_and_table_ends_do_not_mix() -> None:
    with pytest.raises(TypeError, match="cannot batch Lintul1Crop with Lintul5Crop"):
        stack_records([wheat1(), maize()])
    other = maize()
    other = other.replace(extinction=Table(other.extinction.x, other.extinction.y + 0.1, "extrapolate"))
    with pytest.raises(ValueError, match="extinction: tables that hold"):
        stack_records([maize(), other])


def test_reductions_of_a_batch_are_those_of_its_lanes() -> None:
    case = cases()["lintul2"]
    outputs = ["max(LAI)", "min(WC)", "sum(TRAN)"]
    batch = run(case, case.seasons, "hard", outputs=outputs)
    full = run(case, case.seasons, "hard")
    for b in range(len(batch)):
        rows = int(full.rows[b])
        assert float(batch["max(lai)"][b]) == float(full["LAI"][b, :rows].max())
        assert float(batch["min(water_content)"][b]) == float(full["WC"][b, :rows].min())
        total = float(full["TRAN"][b, :rows].sum())
        assert float(batch["sum(transpiration)"][b]) == pytest.approx(total, rel=1e-13)


def test_what_ended_stays_as_it_was() -> None:
    case = cases()["lintul1"]
    batch = run(case, case.seasons, "hard")
    for b in range(len(batch)):
        rows = int(batch.rows[b])
        assert torch.equal(batch["WSO"][b, rows:], batch.final["WSO"][b].expand(batch.calendar.days - rows))
        assert not batch["GTOTAL"][b, rows:].any()
        assert batch["WSO"][b, rows - 1] == batch.final["WSO"][b]


# --- calendars ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [date(2019, 2, 20), date(2020, 2, 20), date(2019, 12, 20), date(2020, 12, 20)])
def test_a_date_is_the_same_day_in_leap_years_and_across_new_year(start: date) -> None:
    emergence = start + timedelta(days=20)
    seasons = [season(start, 30, emergence=emergence), season(start, 30, where="south", emergence=emergence)]
    batch = tc.simulate(tc.Lintul1(), wheat1(), seasons)
    assert batch.dates["emergence"].tolist() == [20.0, 20.0]
    first = (seasons[0].start - seasons[0].station.first).days
    for b, one in enumerate(seasons):
        tmean = (one.station.values["tmin"] + one.station.values["tmax"]) / 2
        assert batch["tmean"][b].tolist() == tmean[first : first + 30].tolist()


@pytest.mark.parametrize(("after", "expected"), [(-5, 0.0), (0, 0.0), (10, 10.0)])
def test_maize_emerges_on_a_date_that_is_given(after: int, expected: float) -> None:
    start = date(2020, 5, 10)
    one = season(start, 30, soil=soil5(), emergence=start + timedelta(days=after))
    run = tc.simulate(tc.Lintul5(), maize(), one)
    assert run.dates["emergence"].tolist() == [expected]
    assert float(run["GTSUM"][0, int(expected)]) == 0.0
    assert float(run["GTSUM"][0, int(expected) + 2]) > 0.0


def test_weather_is_held_once_per_station() -> None:
    from torchcrop.simulation import simulate as module

    seen = []

    class Watched(module.Forcing):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            seen.append(self.table.shape[1])

    case = cases()["lintul5-water"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "Forcing", Watched)
        tc.simulate(case.model, case.crop, case.seasons * 10, outputs=[])
    assert seen == [2 * case.season.station.days]


# --- sizes that disagree --------------------------------------------------------------------------------


def disagreeing() -> dict[str, tuple[dict[str, Any], str]]:
    three, four = torch.linspace(0.9, 1.1, 3, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    return {
        "two parameters": ({"crop": wheat2(LUE=3 * three, K=0.6 * four)}, r"extinction has a batch of 4, but .* of 3"),
        "parameters": ({"crop": wheat2(LUE=3 * three)}, r"has a batch of 6, but .*light_use_efficiency has one of 3"),
        "soil": ({"soil": soil2(DRATE=50 * three)}, r"has a batch of 6, but .*maximum_drainage has one of 3"),
        "scenario": ({"scenario": {"temperature": four}}, "seasons give 6, .*scenario temperature give 4"),
        "co2": ({"scenario": {"co2": 400 * four}}, r"co2 has a batch of 4, but .* has one of 6"),
        "site": ({"site": {"co2": 400 * four}}, r"co2 has a batch of 4, but .* has one of 6"),
        "events": ({"events": {"irrigation": four.expand(250, 4).T}}, "seasons give 6, .*events irrigation give 4"),
        "initial": ({"initial": {"WA": 40 * four}}, "seasons give 6, .*initial water give 4"),
        "a matrix": ({"crop": wheat2(LUE=torch.full((6, 2), 3.0))}, r"shape \(6, 2\); a value is a scalar or"),
        "a matrix of scenarios": ({"scenario": {"rain": torch.ones(6, 2)}}, r"scenario rain has shape \(6, 2\)"),
        "a matrix of states": ({"initial": {"WA": torch.ones(6, 2)}}, r"initial WA has shape \(6, 2\)"),
        "days of events": ({"events": {"irrigation": torch.ones(6, 249)}}, r"expected \[B, T\] = \[6, 250\]"),
    }


@pytest.mark.parametrize("which", disagreeing())
def test_sizes_that_disagree_are_an_error_that_names_them(which: str) -> None:
    changes, text = disagreeing()[which]
    case = cases()["lintul2"]
    crop = changes.pop("crop", case.crop)
    with pytest.raises(ValueError, match=text):
        tc.simulate(case.model, crop, case.seasons, **changes)


# --- any parameters -------------------------------------------------------------------------------------


def drawn(record: Record, size: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Scalars from half to twice their value, within their bounds; every third one at an end of that range."""
    values = {}
    for name, quantity in record.quantities().items():
        value = getattr(record, name)
        if isinstance(value, Table) or quantity.kind == "switch":
            continue
        low, high = quantity.bounds
        low, high = max(low, 0.5 * float(value)), min(high, 2 * float(value))
        low, high = (low, high) if high > low else (low, low + 0.1 * min(1.0, quantity.bounds[1] - low))
        place = torch.rand(size, generator=generator, dtype=torch.float64)
        corner = torch.rand(size, generator=generator) < 1 / 3
        values[name] = low + (high - low) * torch.where(corner, place.round(), place)
    return values


def any_parameters(case: Case, size: int, seed: int) -> tuple[Any, Any]:
    """Crops and soils at random, as far as a border would let them in: contents increase, roots fit in the soil."""
    generator = torch.Generator().manual_seed(seed)
    crop, soil = case.crop, case.season.soil
    values = drawn(crop, size, generator)
    if isinstance(crop, tc.Lintul1Crop):
        values["tsum_maturity"] = values["tsum_anthesis"] * (1.2 + torch.rand(size, generator=generator))
    elif isinstance(crop, tc.Lintul5Crop):
        values["initial_stage"] = 0.3 * torch.rand(size, generator=generator, dtype=torch.float64)
        # Soil evaporation comes from the upper 10 cm, whatever the depth of the roots.
        values["initial_root_depth"] = values["initial_root_depth"].clamp(min=0.1)
    if "maximum_root_depth" in values:
        values["initial_root_depth"] = torch.minimum(values["initial_root_depth"], values["maximum_root_depth"] / 2)
    if soil is None:
        return crop.replace(**values), None
    ground = drawn(soil, size, generator)
    order = ["air_dry", "wilting_point", "field_capacity", "wet", "saturation"]
    contents = [name for name in order if name in ground]
    steps = 0.02 + 0.18 * torch.rand(len(contents), size, generator=generator, dtype=torch.float64)
    ground.update(zip(contents, steps.cumsum(0), strict=True))
    for name in ("initial", "initial_lower", "subsoil"):
        if name in ground:
            share = torch.rand(size, generator=generator, dtype=torch.float64)
            ground[name] = ground["air_dry"] + share * (ground["saturation"] - ground["air_dry"])
    if "maximum_root_depth" in ground:
        ground["maximum_root_depth"] = torch.maximum(ground["maximum_root_depth"], 2 * values["initial_root_depth"])
    return crop.replace(**values), soil.replace(**ground)


def water_gap(result: Run) -> Tensor:
    """Water that a season made or lost [mm]."""
    f = result.final
    stored = result["WA"][:, 0] if "WA" in f else result["WTOT"][:, 0] + result["WTOTL"][:, 0]
    if "WA" in f:
        gained = f["TRAIN"] + f["TIRRIG"] + f["TEXPLO"] - f.get("TINTC", torch.zeros(()))
        lost = f["TTRAN"] + f["TEVAP"] + f["TDRAIN"] + f["TRUNOF"]
        return f["WA"] - stored - gained + lost
    lost = f["TTRANS"] + f["TESOIL"] + f["TDRAIN"] + f["TRUNOF"]
    return f["WTOT"] + f["WTOTL"] - stored - f["TRAIN"] - f["TIRR"] + lost


def carbon_gap(result: Run) -> Tensor:
    """Dry matter that a season made or lost beside its growth [g m-2]."""
    organs = [n for n in ("WLVG", "WLVD", "WST", "WST_D", "WSO", "WRT", "WRTD", "WDRT") if n in result.final]
    total = sum((result.final[n] - result[n][:, 0] for n in organs), torch.zeros(()))
    return total - result.final["GTSUM"]


def nutrient_gap(result: Run) -> Tensor:
    """Nutrients that a season made or lost [g m-2]; the largest of three, or of nitrogen alone."""
    f = result.final
    gaps = [torch.zeros(())]
    for symbol, nutrient in zip("NPK", NUTRIENTS, strict=True):
        if f"mineral_{nutrient}" not in f:
            continue
        pools = [f"A{symbol}{organ}" for organ in ("LV", "ST", "RT", "SO")] + [f"mineral_{nutrient}"]
        pools += [p for p in (f"organic_{nutrient}", f"lost_{nutrient}", "NLOSSL", "NLOSSR") if p in f]
        gap = sum((f[p] - result[p][:, 0] for p in pools), -f[f"total_{nutrient}_supply"])
        gaps.append((gap - (f["NFIX"] if symbol == "N" and "NFIX" in f else 0.0)).abs())
    return torch.stack(torch.broadcast_tensors(*gaps)).amax(0)


def leaks(name: str, mode: str) -> bool:
    """Whether dry matter need not close: the FST listing of LINTUL3 gains some in a soil below wilting point."""
    return name == "lintul3" and mode != "smooth"


def check_sanity(name: str, mode: str, seed: int) -> None:
    case = cases()[name]
    crop, soil = any_parameters(case, 24, seed)
    result = run(case, case.short, mode, crop, soil=soil)
    for key, value in result.daily.items():
        assert torch.isfinite(value).all(), key
    for key, value in result.final.items():
        assert torch.isfinite(value).all(), f"final {key}"
    assert leaks(name, mode) or float(carbon_gap(result).abs().max()) < 1e-9
    assert float(nutrient_gap(result).max()) < 1e-9
    if soil is not None:
        assert float(water_gap(result).abs().max()) < 1e-9
        if name != "lintul5-potential":  # there transpiration takes what it wants
            assert float(result["water"].min()) > 0
    for organ in ("WLVG", "WST", "WSO", "WRT", "LAI"):
        assert float(result[organ].min()) >= -1e-9, organ


@every_case_and_mode
@hypothesis.settings(max_examples=2, phases=WITHOUT_SHRINKING)
@hypothesis.given(seed=st.integers(0, 2**31))
def test_any_parameters_give_finite_numbers_and_mass_closes(name: str, mode: str, seed: int) -> None:
    check_sanity(name, mode, seed)


@pytest.mark.slow
@every_mode
@every_case
@hypothesis.settings(max_examples=20, phases=WITHOUT_SHRINKING)
@hypothesis.given(seed=st.integers(0, 2**31))
def test_many_parameters_give_finite_numbers_and_mass_closes(name: str, mode: str, seed: int) -> None:
    check_sanity(name, mode, seed)


@every_mode
@every_case
def test_mass_closes_on_every_season(name: str, mode: str) -> None:
    case = cases()[name]
    result = run(case, case.seasons, mode)
    assert leaks(name, mode) or float(carbon_gap(result).abs().max()) < 1e-9
    assert float(nutrient_gap(result).max()) < 1e-9
    assert float(result.final["GTSUM"].min()) > 10
    if case.season.soil is not None:
        assert float(water_gap(result).abs().max()) < 1e-9
        assert float(result.final["TRAIN"].min()) > 10


@every_mode
@pytest.mark.parametrize("name", ["lintul2", "lintul5-potential", "lintul5-water"])
def test_mass_closes_where_water_runs_off(name: str, mode: str) -> None:
    case = cases()[name]
    soil = soil2(DRATE=2.0, WCST=0.5) if name == "lintul2" else soil5(KSUB=2.0, SM0=0.4, RUNFR=0.1)
    result = run(case, case.seasons[0], mode, soil=soil, scenario={"rain": 3.0})
    assert float(water_gap(result).abs().max()) < 1e-9
    by_fraction = 0.0 if name == "lintul2" else 0.1 * float(result.final["TRAIN"])
    assert float(result.final["TRUNOF"]) > by_fraction + 50
    assert float(result.final["TDRAIN"]) > 50


def test_a_leak_would_be_seen() -> None:
    case = cases()["lintul2"]
    result = run(case, case.seasons, "hard")
    result.final.record.total_runoff.add_(2e-9)
    assert float(water_gap(result).abs().max()) > 1e-9


def test_available_water_of_lintul5_is_water_above_wilting_point() -> None:
    case = cases()["lintul5-water"]
    result = run(case, case.seasons, "hard")
    wilting = torch.stack([s.soil.wilting_point for s in case.seasons])[:, None]
    expected = result["WTOT"] - 1000 * wilting * result["rooted_depth"]
    torch.testing.assert_close(result["WAVT"], expected, rtol=0.0, atol=1e-9)


@every_case_and_mode
def test_gradients_of_a_whole_run_are_finite(name: str, mode: str) -> None:
    case = cases()[name]
    crop, soil = any_parameters(case, 4, seed=1)
    leaves = []

    def leaf(value: Tensor) -> Tensor:
        leaves.append(value.detach().clone().requires_grad_())
        return leaves[-1]

    crop = crop.map(leaf)
    soil = soil and soil.map(leaf)
    result = run(case, case.short, mode, crop, soil=soil, outputs=["LAI"])
    total = result["LAI"].mean() + sum((v.mean() for v in result.final.values()), torch.zeros(()))
    for value in result.dates.values():
        total = total + value.nan_to_num().mean()
    gradients = torch.autograd.grad(total, leaves, allow_unused=True)
    reached = [g for g in gradients if g is not None]
    # At the levels without them the parameters of nutrients are not asked for.
    assert len(reached) > (0.4 if name in ("lintul5-potential", "lintul5-water") else 0.6) * len(leaves)
    assert all(bool(torch.isfinite(g).all()) for g in reached)


def test_soil_of_maize_is_the_one_of_its_season_or_the_one_given() -> None:
    case = cases()["lintul5-water"]
    own = run(case, case.seasons[2], "hard")
    given = run(case, case.seasons[2], "hard", soil=soil5())
    assert float(own.params.soil.field_capacity) == 0.3
    assert float(given.params.soil.field_capacity) == 0.35
