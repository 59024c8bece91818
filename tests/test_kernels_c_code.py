"""C and CUDA C of a season: the same numbers as the processor's kernel, from source compiled for the host.

CUDA source is run on the host here (`kernel_c.py`), and compiled for a device by `nvcc`, where there is one;
`test_kernels_gpu.py` runs it on a device.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.kernel_c import HostKernel, ScalarKernel, compiler
from tests.kernel_cases import SWITCHES, Given, given
from tests.kernel_jobs import assert_forward, assert_near, assert_reverse, assert_tangents, captured, kernel_of
from tests.seasons import cases, quick_cases
from torchcrop.kernels import backend, cuda
from torchcrop.kernels.c_code import SEGMENT, THREADS, printed
from torchcrop.kernels.cuda import GpuKernel, against_cuda
from torchcrop.kernels.kernel import Inputs, SeasonKernel
from torchcrop.kernels.plans import Binding
from torchcrop.kernels.program import ARITY, Program
from torchcrop.kernels.season import SeasonProgram

needs_compiler = pytest.mark.skipif(compiler() is None, reason="needs a C compiler (CC, or gcc)")
needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")

# --- whole seasons ------------------------------------------------------------------------------------------

QUICK = {("lintul1", "smooth"), ("lintul2", "hard")}
ALL = [
    pytest.param(name, switches, marks=[] if (name, switches) in QUICK else pytest.mark.slow)
    for name in quick_cases()
    for switches in SWITCHES
]


@needs_compiler
@pytest.mark.parametrize(("name", "switches"), ALL)
def test_plain_c_gives_the_kernels_numbers(name: str, switches: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, inputs = kernel_of(quick_cases()[name], switches, monkeypatch)
    plain = ScalarKernel(kernel)
    assert_forward(kernel, plain, inputs)
    assert_reverse(kernel, plain, inputs)


@needs_compiler
@pytest.mark.parametrize(("name", "switches"), ALL)
def test_cuda_source_gives_the_kernels_numbers(name: str, switches: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, inputs = kernel_of(quick_cases()[name], switches, monkeypatch)
    host = HostKernel(kernel)
    assert_forward(kernel, host, inputs)
    assert_reverse(kernel, host, inputs)
    assert_tangents(kernel, host, inputs)


@needs_compiler
@pytest.mark.parametrize("cls", [ScalarKernel, HostKernel])
def test_single_precision_is_near_double(cls: type[ScalarKernel], monkeypatch: pytest.MonkeyPatch) -> None:
    case = quick_cases()["lintul2"]
    kernel, inputs = kernel_of(case, "smooth", monkeypatch, dtype=torch.float32)
    for found, expected in zip(cls(kernel).forward(inputs), kernel.forward(inputs), strict=True):
        assert found.dtype == torch.float32
        assert_near(found, expected, 1e-4)


@needs_compiler
def test_simulations_of_several_calendars(monkeypatch: pytest.MonkeyPatch) -> None:
    case = cases()["lintul2"]
    arguments = {"crop": case.crop, "experiment": case.seasons, "outputs": ("lai", "max(lai)")}
    kernel, inputs = captured(Given(case, arguments), "smooth", monkeypatch)
    assert not kernel.binding.one_calendar
    assert kernel.binding.by_row
    assert_forward(kernel, HostKernel(kernel), inputs)


@needs_compiler
def test_drivers_by_day_of_several_calendars(monkeypatch: pytest.MonkeyPatch) -> None:
    case = cases()["lintul2"]
    arguments = {"crop": case.crop, "experiment": case.seasons, "outputs": ("lai",)}
    monkeypatch.setattr(backend, "_LARGEST_TABLE", 1)
    kernel, inputs = captured(Given(case, arguments), "hard", monkeypatch)
    assert not kernel.binding.by_row
    assert_forward(kernel, HostKernel(kernel), inputs)


@needs_compiler
def test_the_way_back_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints of few simulations at a time: no number of a simulation depends on the part that it is in."""
    kernel, inputs = captured(given(quick_cases()["lintul2"], size=2 * THREADS + 3), "smooth", monkeypatch)
    assert inputs.days > 2 * SEGMENT
    host = HostKernel(kernel)
    back = [torch.ones_like(x) for x in kernel.forward(inputs)]
    whole = host.reverse(inputs, *back)
    launches: list[tuple[int, int]] = []
    launch = host._launch

    def seen(function: Any, whole: Mapping[str, int], arrays: Mapping[str, Tensor], span: tuple[int, int]) -> None:
        launches.append(span)
        launch(function, whole, arrays, span)

    monkeypatch.setattr(cuda, "_LARGEST_SCRATCH", 1)
    monkeypatch.setattr(host, "_launch", seen)
    parts = host.reverse(inputs, *back)
    assert launches[-3:] == [(0, THREADS), (THREADS, 2 * THREADS), (2 * THREADS, 2 * THREADS + 3)]
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


@needs_compiler
def test_nan_stays_in_its_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, inputs = kernel_of(quick_cases()["lintul2"], "smooth", monkeypatch)
    host = HostKernel(kernel)
    before = host.forward(inputs)
    inputs.own.data[:, 1] = torch.nan
    after = host.forward(inputs)
    for a, b in zip(before, after, strict=True):
        assert torch.equal(a[..., ::2], b[..., ::2])
        assert bool(b[..., 1].isnan().any())


# --- single operations --------------------------------------------------------------------------------------

_ODD = (0.0, -0.0, 1.0, -1.0, 0.3, -0.7, 2.5, 41.0, -41.0, 800.0, -800.0, float("inf"), float("-inf"), float("nan"))
_TORCH = {
    "neg": torch.neg,
    "abs": torch.abs,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "log": torch.log,
    "log1p": torch.log1p,
    "sqrt": torch.sqrt,
    "sigmoid": torch.sigmoid,
    "softplus": lambda a: torch.logaddexp(a, torch.zeros_like(a)),
    "sin": torch.sin,
    "cos": torch.cos,
    "tan": torch.tan,
    "asin": torch.asin,
    "acos": torch.acos,
    "atan": torch.atan,
    "tanh": torch.tanh,
    "floor": torch.floor,
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "pow": torch.pow,
    "lt": torch.lt,
    "le": torch.le,
    "eq": torch.eq,
    "min": torch.minimum,
    "max": torch.maximum,
    "and": lambda a, b: (a < b) & (a < 1),
    "or": lambda a, b: (a < b) | (a < 1),
    "not": lambda a, b: ~(a < b),
    "select": lambda a, b: torch.where(a < b, b, a),
}


def _season(names: Sequence[str], after: Callable[[Program, int, int], Sequence[int]]) -> tuple[SeasonProgram, Binding]:
    """A season that carries numbers and its life over; the first two start from inputs, the others from 0.

    ``after(program, a, b)`` gives the places of all numbers at the end of a day.
    """
    program = Program()
    zero, one = program.constant(0.0), program.constant(1.0)
    start = [program.input(("params", "a")), program.input(("params", "b")), *(len(names) - 2) * [zero], one]
    carried = [program.input(("carried", "states", i)) for i in range(len(names))] + [
        program.input(("carried", "live"))
    ]
    ends = [*after(program, *carried[:2]), carried[-1]]
    layout = SimpleNamespace(recording=SimpleNamespace(daily=()), switches=None, model=SimpleNamespace(processes={}))
    season = SeasonProgram(layout, program, start, carried, ends, [], [*names, "live"], [], len(names))  # type: ignore[arg-type]
    return season, Binding(shared=(), raw=(("t",),), own=(("params", "a"), ("params", "b")))


def _inputs(own: Tensor, days: int = 1) -> Inputs:
    size = own.shape[-1]
    zero = torch.zeros(1, dtype=torch.int64)
    return Inputs(days, size, own.new_zeros(0), own, own.new_zeros(0, days, size), own.new_zeros(1, days), zero, zero)


def _entered(program: Program, name: str, a: int, b: int) -> int:
    """Enter an operation on two numbers; truth values come from comparing them, and go out as 1 and 0."""
    below, small = program.add("lt", a, b), program.add("lt", a, program.constant(1.0))
    arguments = {"and": (below, small), "or": (below, small), "not": (below,), "select": (below, b, a)}
    place = program.add(name, *arguments.get(name, (a, b)[: ARITY[name]]))
    if program.is_truth(place):
        place = program.add("select", place, program.constant(1.0), program.constant(0.0))
    return place


@needs_compiler
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cls", [ScalarKernel, HostKernel])
def test_every_operation_is_torchs(cls: type[ScalarKernel], dtype: torch.dtype) -> None:
    left = set(ARITY) - set(_TORCH)
    assert left == {"constant", "input", "instead", "call"}
    a, b = (x.flatten() for x in torch.meshgrid(*2 * [torch.tensor(_ODD, dtype=dtype)], indexing="ij"))
    season, binding = _season(list(_TORCH), lambda p, x, y: [_entered(p, name, x, y) for name in _TORCH])
    _, carried = cls(SeasonKernel(season, binding, dtype)).forward(_inputs(torch.stack([a, b])))
    wrong = []
    for found, (name, function) in zip(carried, _TORCH.items(), strict=False):
        logic = name in ("and", "or", "not", "select")
        expected = function(*(a, b)[: 2 if logic else ARITY[name]]).to(dtype)
        if not torch.allclose(found, expected, rtol=4 * torch.finfo(dtype).eps, atol=1e-37, equal_nan=True):
            wrong.append(name)
    assert wrong == []


@needs_compiler
def test_what_is_carried_changes_places_at_once() -> None:
    season, binding = _season(("a", "b"), lambda p, a, b: (b, a))
    own = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    kernel = ScalarKernel(SeasonKernel(season, binding, torch.float64))
    assert kernel.forward(_inputs(own, days=3))[1].flatten().tolist() == [2.0, 1.0, 1.0]
    assert kernel.forward(_inputs(own, days=4))[1].flatten().tolist() == [1.0, 2.0, 1.0]


@needs_compiler
@pytest.mark.parametrize("names", [("double", "exp"), ("v1", "cut_0"), ("x(y)", "x y"), ("daily", "base_row")])
def test_any_name_may_be_carried(names: tuple[str, str]) -> None:
    """Words of C, of its mathematics, of the source itself, and names that become alike."""
    season, binding = _season(names, lambda p, a, b: (p.add("exp", p.add("sub", a, b)), p.add("mul", a, b)))
    own = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    kernel = SeasonKernel(season, replace(binding, active=binding.own), torch.float64)
    for cls in (ScalarKernel, HostKernel):
        other = cls(kernel)
        assert_forward(kernel, other, _inputs(own, days=3))
        assert_reverse(kernel, other, _inputs(own, days=3))


def test_source_has_the_models_names(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, _ = kernel_of(quick_cases()["lintul5-water"], "hard", monkeypatch)
    text = GpuKernel(kernel.season, kernel.binding, torch.float32, torch.device("cuda", 0)).source_of("forward")
    assert "state_lai = " in text
    assert "crop_radiation_use_efficiency" in text
    assert 'extern "C" __global__' in text
    assert "double" not in text


# --- nvcc ---------------------------------------------------------------------------------------------------


@needs_nvcc
@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("switches", ["hard", "smooth"])
@pytest.mark.parametrize("name", ["lintul5-water", "lintul5-npk"])
@pytest.mark.parametrize("job", ["forward", "reverse", "tangents"])
def test_nvcc_compiles_every_job(
    name: str, switches: str, job: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kernel, _ = kernel_of(quick_cases()[name], switches, monkeypatch, dtype=dtype)
    path = tmp_path / "season.cu"
    path.write_text(printed(kernel.season, kernel.binding, kernel.bits, job, cuda=True).text)
    subprocess.run(["nvcc", "-ptx", "-arch=sm_90", "-fmad=false", "-o", tmp_path / "season.ptx", path], check=True)
    entries = [line for line in (tmp_path / "season.ptx").read_text().splitlines() if ".visible .entry" in line]
    assert len(entries) == 3


# --- without the package that compiles ------------------------------------------------------------------------


def test_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    assert "pip install -e '.[gpu]'" in against_cuda()
