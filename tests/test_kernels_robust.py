"""What may go wrong around a kernel stays where it is: NaN in its lane, an untraceable model, a damaged cache."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import torchcrop as tc
from tests.conftest import ROOT
from tests.kernel_cases import bits, equal_bits, losses
from tests.seasons import cases, quick_cases
from tests.small_models import Grass, GrassCrop, GrassState, grass_crop, grass_season, growth_of_grass
from torchcrop.functions.switches import Switches
from torchcrop.functions.tables import Table
from torchcrop.kernels import cache
from torchcrop.kernels.native import compiled
from torchcrop.models.model import Day
from torchcrop.simulation.run import Run

# --- NaN ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lintul2", pytest.param("lintul5-npk", marks=pytest.mark.slow)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_nan_in_one_lane_stays_in_that_lane(name: str, dtype: torch.dtype) -> None:
    case, size, bad = quick_cases()[name], 11, 4
    state = "water"

    def run(broken: bool) -> tuple[Run, list[Tensor]]:
        water = torch.linspace(80.0, 100.0, size, dtype=dtype)
        if broken:
            water[bad] = torch.nan
        leaves = [(case.crop.tsum_anthesis.to(dtype) * torch.ones(size, dtype=dtype)), water]
        leaves = [leaf.requires_grad_() for leaf in leaves]
        found = tc.simulate(
            case.model,
            case.crop.replace(tsum_anthesis=leaves[0]),
            case.season,
            switches=tc.Smooth(),
            initial={state: leaves[1]},
            dtype=dtype,
            backend="kernel",
        )
        total = sum((v.sum() for v in found.final.values()), torch.zeros((), dtype=dtype))
        return found, list(torch.autograd.grad(total + found["lai"].sum(), leaves))

    (sound, by_sound), (broken, by_broken) = run(False), run(True)
    others = [i for i in range(size) if i != bad]
    for a, b in zip(bits(sound), bits(broken), strict=True):
        assert torch.equal(a[others].nan_to_num(), b[others].nan_to_num())
    for a, b in zip(by_sound, by_broken, strict=True):
        assert torch.equal(a[others], b[others])
        assert bool(torch.isfinite(a).all())
    assert bool(broken.final[state][bad].isnan())


NAN_IN = {
    "min, first": lambda nan, other, switches: switches.min(nan, other),
    "min, second": lambda nan, other, switches: switches.min(other, nan),
    "max, first": lambda nan, other, switches: switches.max(nan, other),
    "max, second": lambda nan, other, switches: switches.max(other, nan),
    "of a constant": lambda nan, other, switches: switches.min(nan, 1.0) + switches.max(1.0, nan),
    "limit": lambda nan, other, switches: switches.limit(0.0, 1.0, nan),
    "clamp": lambda nan, other, switches: nan.clamp(0.0, 1.0),
    "relu": lambda nan, other, switches: torch.relu(nan),
    "positive": lambda nan, other, switches: switches.positive(nan),
    "table": lambda nan, other, switches: switches.table(Table.from_pairs([0, 1, 2, 3]), nan),
}


@pytest.mark.parametrize("where", NAN_IN)
def test_nan_is_not_lost_where_the_eager_loop_keeps_it(where: str) -> None:
    def growth(s: GrassState, day: Day, crop: GrassCrop, switches: Switches, ripeness: Tensor) -> Tensor:
        return NAN_IN[where](s.tsum / crop.efficiency * 0.0, crop.decay, switches)

    crop = grass_crop(efficiency=torch.zeros((), dtype=torch.float64))
    finals = [
        tc.simulate(Grass(growth=growth), crop, grass_season(5), backend=how).final["grass"]
        for how in ("eager", "kernel")
    ]
    assert torch.equal(finals[0].isnan(), finals[1].isnan())
    assert bool(finals[0].isnan().all())


# --- what cannot be traced ------------------------------------------------------------------------------------


def branching(s: GrassState, day: Day, crop: GrassCrop, switches: Switches, ripeness: Tensor) -> Tensor:
    if s.grass > 5:
        return s.grass * 0.01
    return s.grass * 0.02


def asking(s: GrassState, day: Day, crop: GrassCrop, switches: Switches, ripeness: Tensor) -> Tensor:
    return s.grass * float(s.tsum.item() > 10)


def exotic(s: GrassState, day: Day, crop: GrassCrop, switches: Switches, ripeness: Tensor) -> Tensor:
    return torch.erfinv(s.grass / 1000)


@pytest.mark.parametrize(
    ("growth", "operation", "line"),
    [
        (branching, "a number was asked", "if s.grass > 5:"),
        (asking, "a number was asked", "s.tsum.item() > 10"),
        (exotic, "'erfinv'", "torch.erfinv(s.grass / 1000)"),
    ],
)
def test_what_cannot_be_traced_is_named_and_eager_goes_on(growth: Any, operation: str, line: str) -> None:
    model = Grass(growth=growth)
    with pytest.raises(ValueError, match="backend='kernel' cannot run") as problem:
        tc.simulate(model, grass_crop(), grass_season(20), backend="kernel")
    assert operation in str(problem.value)
    assert line in str(problem.value)
    assert Path(__file__).name in str(problem.value)
    auto, eager = (tc.simulate(model, grass_crop(), grass_season(20), backend=how) for how in ("auto", "eager"))
    assert auto.backend == "eager"
    assert operation in auto.backend.why
    assert auto.kernel is None
    assert equal_bits(bits(auto), bits(eager))


def test_what_can_be_traced_runs_as_a_kernel_unasked() -> None:
    run = tc.simulate(Grass(), grass_crop(), grass_season(20))
    assert run.backend == "kernel"
    assert run.kernel is not None


def test_a_hidden_tensor_with_a_gradient_is_refused() -> None:
    hidden = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def growth(s: GrassState, day: Day, crop: GrassCrop, switches: Switches, ripeness: Tensor) -> Tensor:
        return growth_of_grass(s, day, crop, switches, ripeness) * hidden

    model = Grass(growth=growth)
    with pytest.raises(ValueError, match="requires a gradient"):
        tc.simulate(model, grass_crop(), grass_season(20), backend="kernel")
    run = tc.simulate(model, grass_crop(), grass_season(20))
    assert run.backend == "eager"
    (by_hidden,) = torch.autograd.grad(run.final["grass"].sum(), hidden)
    assert float(by_hidden) != 0


def test_a_network_in_a_process_is_the_eager_loops() -> None:
    case = quick_cases()["lintul1"]
    layer = torch.nn.Linear(1, 1).double()
    model = tc.Lintul1(processes={"potential_growth": lambda lue, par: layer(par[..., None])[..., 0] * lue})
    run = tc.simulate(model, case.crop, case.season, switches=tc.Smooth())
    assert run.backend == "eager"
    assert torch.autograd.grad(run.final["leaves"].sum(), layer.weight)[0].abs().sum() > 0


@dataclass(frozen=True, eq=False, repr=False)
class Listed(Grass):
    """Grass with a choice that has no hash."""

    factors: Any = ()

    def initial(self, params: Any, switches: Switches) -> GrassState:
        first = super().initial(params, switches)
        return first.replace(grass=first.grass * sum(self.factors))


def test_a_model_may_hold_a_list() -> None:
    factors = [1.0, 2.0]
    model = Listed(factors=factors)
    runs = []
    for last in (2.0, 5.0):
        factors[1] = last
        runs.append(tc.simulate(model, grass_crop(), grass_season(5), backend="kernel"))
        eager = tc.simulate(model, grass_crop(), grass_season(5), backend="eager")
        torch.testing.assert_close(runs[-1]["grass"], eager["grass"], rtol=1e-12, atol=0.0)
    assert float(runs[0]["grass"][0, 0]) != float(runs[1]["grass"][0, 0])


# --- the cache -------------------------------------------------------------------------------------------------

TEXT = """
define void @once(ptr noalias %arguments, i64 %first, i64 %last) nounwind {
entry:
  ret void
}
"""


class Outer(tc.Lintul1):
    """A day that reads a class attribute, and may take the simulations of a batch together."""

    factor = 1.0
    taking: Any = staticmethod(lambda lai: lai)

    def rates(self, state: Any, day: Day, params: Any, switches: Switches) -> tuple[Any, Any]:
        rates, outputs = super().rates(state, day, params, switches)
        return rates.replace(leaves=rates.leaves * self.factor + 0 * self.taking(state.lai)), outputs


def leaves_of(model: tc.Lintul1, backend: str = "auto") -> Run:
    case = quick_cases()["lintul1"]
    return tc.simulate(model, case.crop, case.season, outputs=[], backend=backend)


def test_what_a_day_reads_from_outside_is_read_at_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    before = leaves_of(Outer())
    assert before.backend == "kernel"
    monkeypatch.setattr(Outer, "factor", 0.5)
    after = leaves_of(Outer())
    assert after.backend == "kernel"
    torch.testing.assert_close(after.final["leaves"], leaves_of(Outer(), "eager").final["leaves"], rtol=1e-12, atol=0.0)
    assert float(after.final["leaves"]) != float(before.final["leaves"])


@pytest.mark.parametrize(
    ("taking", "named"),
    [(lambda lai: lai.sum(), "sum"), (lambda lai: lai[0], "indexing"), (lambda lai: lai.unbind(0)[0], "unbind")],
)
def test_what_takes_simulations_together_is_refused(taking: Any, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outer, "taking", staticmethod(taking))
    run = leaves_of(Outer())
    assert run.backend == "eager"
    assert f"'{named}' takes the simulations of a batch together" in run.backend.why


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("TORCHCROP_CACHE", str(tmp_path / "kernels"))
    return tmp_path / "kernels"


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts that were compiled, and not found."""
    seen: list[str] = []

    def spy(text: str) -> bytes:
        seen.append(text)
        return compiled(text)

    monkeypatch.setattr(cache, "compiled", spy)
    return seen


def test_what_is_kept_is_not_compiled_again(folder: Path, compilations: list[str]) -> None:
    first, second = cache.loaded(TEXT), cache.loaded(TEXT)
    assert first == second
    assert len(compilations) == 1
    assert len(list(folder.iterdir())) == 1
    cache.loaded(TEXT.replace("@once", "@twice"))
    assert len(compilations) == 2
    assert len(list(folder.iterdir())) == 2


def swapped(entry: bytes, other: bytes) -> bytes:
    """The machine code of another kernel under this one's name, whole and with its own digest."""
    return other


DAMAGE = {
    "empty": lambda entry, other: b"",
    "truncated": lambda entry, other: entry[: len(entry) // 2],
    "cut in the head": lambda entry, other: entry[:40],
    "a byte changed": lambda entry, other: entry[:-100] + bytes([entry[-100] ^ 1]) + entry[-99:],
    "longer": lambda entry, other: entry + b"x",
    "foreign": lambda entry, other: b"\x7fELF" + entry,
    "of another kernel": swapped,
    "of another version": lambda entry, other: entry.replace(b"kernel 1", b"kernel 0", 1),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_compiled_anew(folder: Path, compilations: list[str], damage: str) -> None:
    good = cache.loaded(TEXT)
    (path,) = folder.iterdir()
    cache.loaded(TEXT.replace("@once", "@twice"))
    (other,) = (p for p in folder.iterdir() if p != path)
    whole = path.read_bytes()
    path.write_bytes(DAMAGE[damage](whole, other.read_bytes()))
    compilations.clear()
    assert cache.loaded(TEXT) == good
    assert compilations == [TEXT]
    assert path.read_bytes() == whole


def test_an_empty_name_of_the_cache_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compilations: list[str]
) -> None:
    monkeypatch.setenv("TORCHCROP_CACHE", "")
    monkeypatch.chdir(tmp_path)
    assert cache.directory() is None
    assert cache.loaded(TEXT) == cache.loaded(TEXT)
    assert len(compilations) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compilations: list[str]
) -> None:
    # A file where the folder should be: nobody can write there, not even root.
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("TORCHCROP_CACHE", str(tmp_path / "file" / "kernels"))
    assert cache.loaded(TEXT) == cache.loaded(TEXT)
    assert len(compilations) == 2
    run = tc.simulate(Grass(), grass_crop(), grass_season(7), switches=tc.Smooth(0.123), backend="kernel")
    assert bool(torch.isfinite(run.final["grass"]).all())


def test_the_place_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TORCHCROP_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.directory() == tmp_path / "torchcrop" / "kernels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.directory() == Path.home() / ".cache" / "torchcrop" / "kernels"


# --- several processes -----------------------------------------------------------------------------------------

SCRIPT = """
import sys
import torch
torch.set_num_threads(1)
import torchcrop as tc
from tests.small_models import Grass, grass_crop, grass_season
from torchcrop.kernels import cache
compile = cache.compiled
def told(text):
    print("compiling", flush=True)
    return compile(text)
cache.compiled = told
print("ready", flush=True)
sys.stdin.readline()
value = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
run = tc.simulate(Grass(), grass_crop(efficiency=value), grass_season(), switches=tc.Smooth(), backend="kernel")
(gradient,) = torch.autograd.grad(run.final["grass"].sum(), value)
print("result", run.final["grass"].item().hex(), gradient.item().hex(), flush=True)
"""


def started(folder: Path) -> subprocess.Popen[str]:
    """A process that waits for a line, and then runs a season by kernel."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TORCHCROP_CACHE": str(folder), "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def told(process: subprocess.Popen[str]) -> list[str]:
    """What a process says after the line."""
    out, _ = process.communicate("\n", timeout=120)
    assert process.returncode == 0
    return out.splitlines()


def test_a_process_that_is_killed_while_it_compiles_leaves_a_usable_cache(tmp_path: Path) -> None:
    folder = tmp_path / "kernels"
    process = started(folder)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "compiling\n"
    time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    # As if killed while it wrote: a file under a passing name, and half an entry under a name of its own.
    folder.mkdir(exist_ok=True)
    (folder / ".writing-abc").write_bytes(b"torchcrop kernel 1\nhalf")
    first = told(started(folder))
    second = told(started(folder))
    assert "compiling" in first
    assert "compiling" not in second
    assert first[-1] == second[-1]
    assert second[-1].startswith("result")


def test_two_processes_compile_the_same_kernel_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "kernels"
    both = [started(folder), started(folder)]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=120)[0].splitlines() for process in both]
    assert answers[0][-1] == answers[1][-1]
    assert answers[0][-1].startswith("result")
    assert [p for p in folder.iterdir() if p.name.startswith(".writing")] == []
    assert "compiling" not in told(started(folder))


# --- the kernel as an object --------------------------------------------------------------------------------


def test_a_kernel_and_its_run_can_be_pickled() -> None:
    case = cases()["lintul1"]
    run = tc.simulate(case.model, case.crop, case.season, switches=tc.Smooth(), backend="kernel")
    again = pickle.loads(pickle.dumps(run))
    assert again.backend == "kernel"
    assert again.backend.why == run.backend.why
    assert equal_bits(bits(run), bits(again))
    assert again.kernel.handle == run.kernel.handle
    other = run.again(crop=case.crop.with_values(LUE=2.5))
    assert other.kernel.handle == run.kernel.handle


def test_the_generated_code_can_be_read() -> None:
    case = cases()["lintul1"]
    run = tc.simulate(case.model, case.crop, case.season, switches=tc.Smooth(), backend="kernel")
    text = run.kernel.source
    for function in ("once", "rows", "forward"):
        assert f"define void @{function}(" in text
    assert max(len(line) for line in text.splitlines()) < 400
    assert "define void @reverse(" in run.kernel.source_of("reverse")
    assert losses(run)["final"].isfinite()
