"""Derivatives by any of torch's means agree, and a network may stand in place of a parameter or a process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, hessian, jacfwd, jacrev, jvp, vjp, vmap

import torchcrop as tc
from tests.seasons import CASES, SWITCHES, maize, wheat1
from tests.seasons import quick_cases as cases
from torchcrop.functions.tables import Table
from torchcrop.models.model import Day
from torchcrop.quantities import Record
from torchcrop.simulation.seasons import Season

F64 = torch.float64

FREE = {
    "lintul1": ("LUE", "TSUMAN", "RGRL"),
    "lintul2": ("LUE", "TSUMEND", "LAII"),
    "lintul3": ("LUE", "TSUMAN", "K"),
    "lintul3-pcse": ("LUE", "TSUMMT", "NMAXSO"),
    "lintul5-potential": ("TSUM1", "RGRLAI", "TSUMEM"),
    "lintul5-water": ("TSUM2", "RGRLAI", "RRI"),
    "lintul5-npk": ("TSUM1", "NLUE", "TCNT"),
}
every_case = pytest.mark.parametrize("name", CASES)
SIMILAR = ("lintul2", "lintul3-pcse", "lintul5-potential")  # to another case that always runs


def presets(name: str) -> Tensor:
    crop = cases()[name].crop
    by_symbol = {q.symbol: getattr(crop, n) for n, q in crop.quantities().items()}
    return torch.stack([by_symbol[symbol] for symbol in FREE[name]])


def outcome(name: str, mode: str = "smooth", **more: Any) -> Callable[[Tensor], Tensor]:
    """Parameters ``[3]`` to grain, leaf area and two dates ``[4]``; a batch ``[3, B]`` gives ``[4, B]``."""
    case = cases()[name]

    def run(values: Tensor) -> Tensor:
        crop = case.crop.with_values(**dict(zip(FREE[name], values.unbind(0), strict=True)))
        done = tc.simulate(case.model, crop, case.season, switches=SWITCHES[mode], outputs=["max(LAI)"], **more)
        results = (done.final["WSO"], done["max(LAI)"], done.dates["anthesis"], done.dates["maturity"])
        return torch.stack([r if values.dim() > 1 else r.squeeze(0) for r in results])

    return run


def two_seasons(name: str) -> list[Season]:
    """The season of a case, and one in another year."""
    one = cases()[name].season
    year = timedelta(days=366)
    assert one.emergence is not None
    return [one, dataclasses.replace(one, start=one.start + year, end=one.end + year, emergence=one.emergence + year)]


def points(name: str, size: int = 3) -> Tensor:
    """Some values around the presets, ``[3, size]``."""
    return presets(name)[:, None] * torch.linspace(0.99, 1.01, size, dtype=F64)


def close(ours: Tensor, theirs: Tensor, tolerance: float = 1e-12) -> None:
    """Equal to a share of the largest number of each row (derivatives differ by orders of magnitude)."""
    assert torch.isfinite(theirs).all()
    scale = theirs.abs().amax(-1, keepdim=True).clamp(min=1e-12)
    torch.testing.assert_close(ours / scale, theirs / scale, rtol=0.0, atol=tolerance)


# --- torch.func -----------------------------------------------------------------------------------------


@every_case
@pytest.mark.parametrize("mode", SWITCHES)
def test_vmap_is_a_batch(name: str, mode: str) -> None:
    run, where = outcome(name, mode), points(name)
    close(vmap(run, in_dims=1, out_dims=1)(where), run(where))


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SIMILAR)) for n in CASES])
def test_all_jacobians_are_the_one_of_autograd(name: str) -> None:
    run, at = outcome(name), presets(name)
    expected = torch.autograd.functional.jacobian(run, at)
    assert (expected.abs().amax(0) > 0).all(), "every parameter must act for this to be a test"
    close(jacfwd(run)(at), expected)
    close(jacrev(run)(at), expected)
    direction = at * torch.tensor([0.3, -0.2, 0.1], dtype=F64)
    _, along = jvp(run, (at,), (direction,))
    close(along, expected @ direction)
    weights = torch.tensor([1.0, 2.0, 0.5, -1.0], dtype=F64)
    value, back = vjp(run, at)
    close(value, run(at))
    close(back(weights)[0], weights @ expected)


@pytest.mark.parametrize("name", ["lintul1", pytest.param("lintul5-water", marks=pytest.mark.slow)])
def test_a_batch_of_jacobians_by_vmap(name: str) -> None:
    run, where = outcome(name), points(name)
    many = vmap(jacfwd(run), in_dims=1)(where)
    for b in (0, 2):
        close(many[b], torch.autograd.functional.jacobian(run, where[:, b]))


@pytest.mark.parametrize("mode", ["hard", "straight"])
def test_derivatives_of_the_other_modes_agree_too(mode: str) -> None:
    run, at = outcome("lintul1", mode), presets("lintul1")
    expected = torch.autograd.functional.jacobian(run, at)
    close(jacfwd(run)(at), expected)
    close(jacrev(run)(at), expected)
    assert bool((expected[2:] == 0).all()) == (mode == "hard"), "the dates of a hard run have no derivative"


@pytest.mark.parametrize("name", ["lintul1", pytest.param("lintul2", marks=pytest.mark.slow)])
def test_double_backward_is_the_hessian(name: str) -> None:
    run, at = outcome(name, backend="eager"), presets(name).requires_grad_()
    (first,) = torch.autograd.grad(run(at)[0], at, create_graph=True)
    rows = [torch.autograd.grad(g, at, retain_graph=True)[0] for g in first]
    expected = hessian(lambda values: run(values)[0])(at.detach())
    close(torch.stack(rows), expected, 1e-10)

    def slope(values: Tensor) -> Tensor:
        values = values.detach().requires_grad_()
        return torch.autograd.grad(run(values)[0], values)[0]

    # The curvature of a smooth event is one day wide: see SWITCHES.md 3.5 for the step and what it can show.
    step = at.detach()[0] * 1e-5
    moved = torch.tensor([1.0, 0.0, 0.0], dtype=F64) * step
    difference = (slope(at.detach() + moved) - slope(at.detach() - moved)) / (2 * step)
    close(rows[0], difference, 1e-3)


def batched_inputs() -> dict[str, Callable[[Tensor], Tensor]]:
    """Everything else that may be free, each driven by a factor."""
    case = cases()["lintul5-water"]
    soil = case.season.soil
    assert isinstance(soil, tc.Lintul5Soil)
    table = case.crop.radiation_use_efficiency
    days = (case.season.end - case.season.start).days + 1

    def grain(crop: Record = case.crop, **more: Any) -> Tensor:
        return tc.simulate(case.model, crop, case.season, switches=tc.Smooth(), outputs=["WSO"], **more)["WSO"].amax(-1)

    return {
        "ordinates": lambda f: grain(case.crop.replace(radiation_use_efficiency=table.scaled(f))),
        "soil": lambda f: grain(soil=soil.replace(field_capacity=0.3 * f)),
        "site": lambda f: grain(site={"latitude": -34.0 * f, "co2": 400 * f}),
        "scenario": lambda f: grain(scenario={"temperature": f, "rain": f, "co2": 400 * f}),
        "initial": lambda f: grain(initial={"LAI": 0.05 * f, "WAVT": 14.0 * f}),
        "events": lambda f: grain(events={"irrigation": (f[..., None] * torch.ones(days, dtype=F64))}),
    }


@pytest.mark.parametrize("which", batched_inputs())
def test_everything_batched_may_be_mapped_and_differentiated(which: str) -> None:
    grain = batched_inputs()[which]
    factors = torch.tensor([0.97, 1.0, 1.04], dtype=F64)
    batch = grain(factors)
    assert len(set(batch.tolist())) == 3
    close(vmap(lambda f: grain(f).squeeze(0))(factors), batch)
    leaf = factors.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(grain(leaf).sum(), leaf)
    _, forward = jvp(grain, (factors,), (torch.ones(3, dtype=F64),))
    close(forward, slopes)


def test_a_batch_inside_vmap() -> None:
    case = cases()["lintul1"]

    def grain(factor: Tensor) -> Tensor:
        crop = case.crop.with_values(LUE=3.0 * factor * torch.ones(2, dtype=F64))
        return tc.simulate(case.model, crop, two_seasons("lintul1"), outputs=[]).final["WSO"]

    many = vmap(grain)(torch.tensor([0.9, 1.0], dtype=F64))
    assert many.shape == (2, 2)
    close(many[1], tc.simulate(case.model, case.crop, two_seasons("lintul1"), outputs=[]).final["WSO"])


def test_an_observable_under_vmap() -> None:
    case = cases()["lintul5-water"]

    def water(depth: Tensor) -> Tensor:
        run = tc.simulate(
            case.model, case.crop.with_values(RDMCR=depth), case.season, outputs=["soil_water_0_60cm", "canopy_cover"]
        )
        return run["soil_water_0_60cm"] + 0 * run["canopy_cover"]

    depths = torch.tensor([0.9, 1.2], dtype=F64)
    close(vmap(water)(depths).squeeze(1), water(depths))


def test_checkpoints_under_transforms() -> None:
    at = presets("lintul1")
    plain, saving = outcome("lintul1"), outcome("lintul1", checkpoint=20)
    expected = jacfwd(plain)(at)
    close(jacfwd(saving)(at), expected)
    close(vmap(saving, in_dims=1, out_dims=1)(points("lintul1")), plain(points("lintul1")))
    close(torch.autograd.functional.jacobian(saving, at), expected)
    with pytest.raises(ValueError, match=r"checkpoint does not work under torch\.func\.grad"):
        jacrev(saving)(at)


# --- modules --------------------------------------------------------------------------------------------


class Efficiency(torch.nn.Module):
    """A light-use efficiency that a small network learns from the day's temperature and the leaf area."""

    def __init__(self) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
        torch.nn.init.zeros_(self.net[2].weight)
        torch.nn.init.zeros_(self.net[2].bias)

    def forward(self, state: Any, day: Day | None) -> Tensor:
        if state is None or day is None:
            return torch.tensor(3.0, dtype=F64)
        tmean = (day.weather.tmin + day.weather.tmax) / 2
        inputs = torch.stack(torch.broadcast_tensors(tmean / 20, state.lai / 5), -1)
        return 3.0 * (1 + self.net(inputs).squeeze(-1))


class Constant(torch.nn.Module):
    """A parameter that is a module."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = torch.nn.Parameter(torch.tensor(value, dtype=F64))

    def forward(self, state: Any, day: Day | None) -> Tensor:
        return self.value


@pytest.mark.parametrize("checkpoint", [None, 30])
def test_a_module_in_place_of_a_parameter(checkpoint: int | None) -> None:
    case, net = cases()["lintul2"], Efficiency()
    seasons = two_seasons("lintul2")

    def run(crop: Any) -> Tensor:
        return tc.simulate(case.model, crop, seasons, checkpoint=checkpoint, outputs=[]).final["WSO"]

    plain = run(case.crop)
    hybrid = run(case.crop.replace(light_use_efficiency=net))
    torch.testing.assert_close(hybrid, plain, rtol=1e-12, atol=0.0)  # it says 3.0 until it has learned
    hybrid.sum().backward()
    assert float(net.net[2].weight.grad.abs().min()) > 0
    weights = {k: v + 0.1 for k, v in net.named_parameters()}
    other = functional_call(net, weights, (None, None))
    assert float(other) == 3.0


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("lintul1", "base_temperature"),  # acts on drivers
        ("lintul1", "specific_leaf_area"),  # acts on initial states
        ("lintul2", "maximum_root_depth"),
        ("lintul5-water", "base_temperature"),
        ("lintul5-water", "tsum_anthesis"),
        ("lintul5-water", "initial_root_depth"),
    ],
)
def test_a_constant_module_is_the_constant(name: str, parameter: str) -> None:
    case = cases()[name]
    module = Constant(float(getattr(case.crop, parameter)))
    plain = tc.simulate(case.model, case.crop, case.season, switches=tc.Smooth())
    hybrid = tc.simulate(case.model, case.crop.replace(**{parameter: module}), case.season, switches=tc.Smooth())
    for key in plain.daily:
        torch.testing.assert_close(hybrid[key], plain[key], rtol=1e-12, atol=1e-12)
    leaf = getattr(case.crop, parameter).clone().requires_grad_()
    other = tc.simulate(case.model, case.crop.replace(**{parameter: leaf}), case.season, switches=tc.Smooth())
    (expected,) = torch.autograd.grad((other.final["WSO"] + other.final["WLVG"]).sum(), leaf)
    (gradient,) = torch.autograd.grad((hybrid.final["WSO"] + hybrid.final["WLVG"]).sum(), module.value)
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)


def test_a_module_in_a_soil() -> None:
    case = cases()["lintul5-water"]
    soil = case.season.soil
    assert isinstance(soil, tc.Lintul5Soil)
    module = Constant(float(soil.field_capacity))
    hybrid = tc.simulate(case.model, case.crop, case.season, soil=soil.replace(field_capacity=module))
    plain = tc.simulate(case.model, case.crop, case.season)
    torch.testing.assert_close(hybrid["WTOT"], plain["WTOT"], rtol=1e-12, atol=1e-12)


class Growth(torch.nn.Module):
    """Potential growth with one learned exponent."""

    def __init__(self) -> None:
        super().__init__()
        self.exponent = torch.nn.Parameter(torch.ones((), dtype=F64))

    def forward(self, *factors: Tensor) -> Tensor:
        product = factors[0]
        for factor in factors[1:]:
            product = product * factor
        return (product + 1e-12) ** self.exponent


@every_case
def test_a_module_in_place_of_a_process(name: str) -> None:
    case, growth = cases()[name], Growth()
    model = dataclasses.replace(case.model, processes={"potential_growth": growth})
    hybrid = tc.simulate(model, case.crop, case.season, switches=tc.Smooth(), outputs=[])
    plain = tc.simulate(case.model, case.crop, case.season, switches=tc.Smooth(), outputs=[])
    torch.testing.assert_close(hybrid.final["WSO"], plain.final["WSO"], rtol=1e-6, atol=0.0)
    (gradient,) = torch.autograd.grad(hybrid.final["WSO"].sum(), growth.exponent)
    with torch.no_grad():
        growth.exponent += 1e-5
        up = tc.simulate(model, case.crop, case.season, switches=tc.Smooth(), outputs=[]).final["WSO"].sum()
        growth.exponent -= 2e-5
        down = tc.simulate(model, case.crop, case.season, switches=tc.Smooth(), outputs=[]).final["WSO"].sum()
    assert float(gradient) == pytest.approx(float(up - down) / 2e-5, rel=1e-4)
    assert float(gradient) > 1


# --- crops as modules -----------------------------------------------------------------------------------


def test_a_crop_as_a_module_has_parameters_buffers_and_a_state() -> None:
    crop = maize()
    module = crop.as_module()
    names = dict(module.named_parameters())
    assert {"tsum_anthesis", "extinction_y", "fraction_roots_y"} <= set(names)
    buffers = dict(module.named_buffers())
    assert {"photoperiod_sensitive", "air_ducts", "extinction_x"} <= set(buffers)
    kinds = [q.kind for q in crop.quantities().values()]
    assert len(names) == kinds.count("parameter") + kinds.count("table")
    assert len(buffers) == kinds.count("switch") + kinds.count("table")

    again = module()
    assert isinstance(again, tc.Lintul5Crop)
    for name, value in crop.items():
        mine = getattr(again, name)
        if isinstance(value, Table):
            assert torch.equal(mine.x, value.x)
            assert torch.equal(mine.y, value.y)
            assert mine.ends == value.ends
        else:
            assert torch.equal(mine, value)

    other = maize(TSUM1=1.0, KDIFTB=[0, 0.1, 2, 0.1]).as_module()
    other.load_state_dict(module.state_dict())
    assert other().tsum_anthesis.item() == 695.0
    assert other().extinction.y.tolist() == [0.6, 0.6]

    assert {p.dtype for p in module.float().parameters()} == {torch.float32}
    assert {p.dtype for p in module.double().parameters()} == {F64}
    assert {b.dtype for b in module.float().buffers()} == {torch.float32}


def test_a_module_owns_its_values_and_keeps_their_origin() -> None:
    crop, origin = wheat1(), SimpleNamespace(name="spring_wheat")
    object.__setattr__(crop, "provenance", origin)
    module = crop.as_module()
    with torch.no_grad():
        module.light_use_efficiency.mul_(2.0)
        module.fraction_roots_y.zero_()
    assert float(crop.light_use_efficiency) == 3.0
    assert float(crop.fraction_roots.y[0]) == 0.5
    assert module().light_use_efficiency.item() == 6.0
    assert module().provenance is origin
    run = tc.simulate(tc.Lintul1(), module(), cases()["lintul1"].short, outputs=[])
    assert run.attributes["crop"] == "spring_wheat"


@every_case
def test_a_module_s_crop_simulates_as_the_crop(name: str) -> None:
    case = cases()[name]
    module = case.crop.as_module()
    plain = tc.simulate(case.model, case.crop, case.season, outputs=["LAI"])
    run = tc.simulate(case.model, module(), case.season, outputs=["LAI"])
    assert torch.equal(run["LAI"], plain["LAI"])
    run["LAI"].sum().backward()
    assert sum(p.grad is not None and bool(p.grad.any()) for p in module.parameters()) > 5


def test_parameters_of_a_run_are_a_module_too() -> None:
    case = cases()["lintul2"]
    parameters = tc.simulate(case.model, case.crop, case.season, outputs=[]).params
    module = parameters.as_module()
    names = dict(module.named_parameters())
    assert {"crop.light_use_efficiency", "soil.field_capacity", "site.latitude"} <= set(names)
    assert module().soil.field_capacity.item() == 0.36


# --- training with plain tensors ------------------------------------------------------------------------


def test_twenty_steps_of_adam_lower_a_loss() -> None:
    case, seasons = cases()["lintul1"], two_seasons("lintul1")
    truth = tc.simulate(case.model, case.crop.with_values(LUE=2.6, RGRL=0.0205), seasons, outputs=["LAI", "WSO"])
    module = case.crop.as_module()
    optimiser = torch.optim.Adam([module.light_use_efficiency], lr=0.03)
    optimiser.add_param_group({"params": [module.relative_lai_growth], "lr": 1e-4})
    losses = []
    for _ in range(20):
        run = tc.simulate(case.model, module(), seasons, switches=tc.Smooth(), outputs=["LAI", "WSO"])
        loss = ((run["WSO"] - truth["WSO"]) / 100).square().mean() + (run["LAI"] - truth["LAI"]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.4 * losses[0]


def test_training_a_network_inside_a_process() -> None:
    case = cases()["lintul1"]
    truth = tc.simulate(case.model, case.crop.with_values(LUE=2.5), case.season, outputs=["WSO"])["WSO"]
    net = torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1)).double()
    torch.nn.init.zeros_(net[2].weight)
    torch.nn.init.zeros_(net[2].bias)

    def growth(efficiency: Tensor, par: Tensor) -> Tensor:
        return efficiency * par * torch.exp(net((par / 5)[..., None]).squeeze(-1))

    model = tc.Lintul1(processes={"potential_growth": growth})
    optimiser = torch.optim.Adam(net.parameters(), lr=0.03)
    losses = []
    for _ in range(8):
        run = tc.simulate(model, case.crop, case.season, switches=tc.Smooth(), outputs=["WSO"])
        loss = ((run["WSO"] - truth) / 100).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_engine_takes_plain_tensors() -> None:
    """A model's day needs nothing but tensors: no files, no dates, no engine."""
    case = cases()["lintul1"]
    run = tc.simulate(case.model, case.crop, case.season, backend="eager")
    place, first = case.season.station, (case.season.start - case.season.station.first).days
    state = case.model.initial(run.params, tc.Hard())
    january = date(case.season.start.year, 1, 1)
    for t in range(30):
        values = {n: torch.tensor(v[first + t], dtype=F64) for n, v in place.values.items()}
        weather = tc.models.model.Weather(**values)
        time = torch.tensor(float((case.season.start - january).days + 1 + t), dtype=F64)
        zero = torch.zeros((), dtype=F64)
        day = Day(
            weather=weather,
            drivers=case.model.drivers(weather, time, time, run.params, tc.Hard()),
            doy=time,
            time=time,
            sown=zero + 1,
            irrigation=zero,
            irrigation_table=zero,
            nitrogen=zero,
            phosphorus=zero,
            potassium=zero,
            by_stage={},
        )
        assert float(state.lai) == float(run["LAI"][0, t])
        rates, outputs = case.model.rates(state, day, run.params, tc.Hard())
        assert float(outputs.growth) == float(run["GTOTAL"][0, t])
        state = state.replace(**{n: getattr(state, n) + getattr(rates, n) for n in state.quantities()})
