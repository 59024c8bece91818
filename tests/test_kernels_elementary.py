"""Vector elementary functions of the season kernels: accuracy, exact values, and independence of lanes and target.

Errors are counted in units in the last place (ulp) of the true value rounded to the width. Truth is mpmath with 40
digits for double, NumPy's double for float.
"""

import ctypes
import functools
import itertools
import re
from collections.abc import Callable

import llvmlite.binding as llvm
import mpmath
import numpy as np
import pytest
import torch

from torchcrop.kernels.elementary import NAMES, definitions

DTYPES = {32: np.float32, 64: np.float64}
LANES = (1, 4, 8, 16)
LIMIT = 2.0  # largest error allowed [ulp]
TRUTH: dict[str, Callable] = {
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: max(x, 0) + mpmath.log1p(mpmath.exp(-abs(x))),
}
TRUTH_FOR_FLOAT: dict[str, Callable] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(0.0, x),
}

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()


def _loop(name: str, bits: int, lanes: int) -> str:
    """A module whose function ``run(a, b, result, count)`` applies the function to arrays, ``lanes`` at a time."""
    scalar = "float" if bits == 32 else "double"
    vector = scalar if lanes == 1 else f"<{lanes} x {scalar}>"
    arguments = f"{vector} %x, {vector} %w" if name == "pow" else f"{vector} %x"
    return f"""{definitions([name], bits, lanes)}
define void @run(ptr %a, ptr %b, ptr %result, i64 %count) {{
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%next, %loop]
  %p = getelementptr {scalar}, ptr %a, i64 %i
  %q = getelementptr {scalar}, ptr %b, i64 %i
  %r = getelementptr {scalar}, ptr %result, i64 %i
  %x = load {vector}, ptr %p, align {bits // 8}
  %w = load {vector}, ptr %q, align {bits // 8}
  %y = call fastcc {vector} @tc_{name}({arguments})
  store {vector} %y, ptr %r, align {bits // 8}
  %next = add i64 %i, {lanes}
  %more = icmp slt i64 %next, %count
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""


@functools.cache
def compiled(name: str, bits: int, lanes: int, cpu: str = "") -> Callable[..., np.ndarray]:
    """The function on arrays of one dimension, compiled for the host (or for ``cpu``, without the host's extras)."""
    module = llvm.parse_assembly(_loop(name, bits, lanes))
    module.verify()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=cpu or llvm.get_host_cpu_name(),
        features="" if cpu else llvm.get_host_cpu_features().flatten(),
        opt=3,
    )
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(3))
    passes.getModulePassManager().run(module, passes)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    run = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64)(engine.get_function_address("run"))

    def apply(x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
        padded = np.zeros((3, -(-len(x) // lanes) * lanes), DTYPES[bits])
        padded[0, : len(x)] = x
        padded[1, : len(x)] = x if y is None else y
        run(*(row.ctypes.data for row in padded), padded.shape[1])
        return padded[2, : len(x)].copy()

    apply.engine = engine  # type: ignore[attr-defined]  # the code lives as long as its engine
    return apply


def arguments(name: str, bits: int, count: int) -> np.ndarray:
    """Random arguments over the whole range with results that are normal numbers, denser near 0 and 1; and its ends."""
    rng = np.random.default_rng(5)
    limits = np.finfo(DTYPES[bits])
    if name in ("log", "log1p"):
        exponents = rng.uniform(limits.minexp + 1, limits.maxexp - 1e-3, count)
        parts = [np.exp2(exponents), rng.uniform(0.3, 3.0, count), [limits.max, limits.tiny, 2.0 / 3.0, 4.0 / 3.0]]
        if name == "log1p":
            near_minus_one = np.exp2(rng.uniform(-limits.nmant, -1.0, count)) - 1.0
            parts += [rng.uniform(-1.0, 1.0, count), -np.exp2(rng.uniform(-60.0, -1.0, count)), near_minus_one]
        return np.concatenate(parts).astype(DTYPES[bits])
    # Below twice the smallest normal number a result may be flushed to 0.
    lowest, highest = (limits.minexp + 1) * np.log(2.0), limits.maxexp * np.log(2.0)
    if name == "sigmoid":
        highest = -lowest
    small = rng.choice([-1.0, 1.0], count) * np.exp2(rng.uniform(-40.0, 3.0, count))
    parts = [rng.uniform(lowest, highest, count), rng.uniform(-20.0, 20.0, count), rng.uniform(-1.0, 1.0, count), small]
    ends = np.array([lowest, highest], DTYPES[bits])
    return np.concatenate([*parts, np.nextafter(ends, DTYPES[bits](0))]).astype(DTYPES[bits])


@functools.cache
def double_case(name: str) -> tuple[np.ndarray, list]:
    x = arguments(name, 64, 700)
    with mpmath.workdps(40):
        return x, [TRUTH[name](mpmath.mpf(value)) for value in x.tolist()]


def ulps_of_double(results: np.ndarray, truth: list) -> float:
    with mpmath.workdps(40):
        return max(
            float(abs(result - true) / float(np.spacing(abs(float(true))))) if true else abs(result) / 5e-324
            for result, true in zip(results.tolist(), truth, strict=True)
        )


def ulps_of_float(results: np.ndarray, truth: np.ndarray) -> float:
    return float(np.max(np.abs(results - truth) / np.spacing(np.abs(truth).astype(np.float32))))


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("name", TRUTH)
def test_double_is_accurate_over_the_whole_range(name: str, lanes: int) -> None:
    x, truth = double_case(name)
    assert ulps_of_double(compiled(name, 64, lanes)(x), truth) <= LIMIT


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("name", TRUTH)
def test_float_is_accurate_over_the_whole_range(name: str, lanes: int) -> None:
    x = arguments(name, 32, 200_000)
    truth = TRUTH_FOR_FLOAT[name](x.astype(np.float64))
    assert ulps_of_float(compiled(name, 32, lanes)(x), truth) <= LIMIT


def powers(bits: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Bases over the whole range and exponents up to the largest for which the result is a normal number."""
    rng = np.random.default_rng(6)
    limits = np.finfo(DTYPES[bits])
    highest = -0.99 * limits.minexp
    exponents_of_two = [rng.uniform(-4.0, 4.0, count), rng.uniform(-highest, highest, count)]
    base = np.exp2(np.concatenate([*exponents_of_two, rng.normal(size=count) * 1e-3])).astype(DTYPES[bits])
    target = np.concatenate([rng.uniform(-highest, highest, 2 * count), rng.uniform(-8.0, 8.0, count)])
    base, target = base[base != 1.0], target[base != 1.0]
    return base, (target / np.log2(base.astype(np.float64))).astype(DTYPES[bits])


@pytest.mark.parametrize("lanes", LANES)
def test_power_is_accurate_up_to_the_largest_exponents(lanes: int) -> None:
    base, exponent = powers(32, 50_000)
    truth = base.astype(np.float64) ** exponent.astype(np.float64)
    assert ulps_of_float(compiled("pow", 32, lanes)(base, exponent), truth) <= 1.0
    base, exponent = powers(64, 1500)
    with mpmath.workdps(40):
        exact = [mpmath.power(*pair) for pair in zip(base.tolist(), exponent.tolist(), strict=True)]
    assert ulps_of_double(compiled("pow", 64, lanes)(base, exponent), exact) <= LIMIT


@pytest.mark.parametrize("bits", DTYPES)
@pytest.mark.parametrize("lanes", LANES)
def test_power_of_special_values_is_that_of_c(bits: int, lanes: int) -> None:
    values = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 2.5, -3.0, 5.0, 1e30, -1e30, np.inf, -np.inf, np.nan]
    base, exponent = np.array(list(itertools.product(values, values)), DTYPES[bits]).T.copy()
    with np.errstate(all="ignore"):
        expected = np.power(base, exponent)
    result = compiled("pow", bits, lanes)(base, exponent)
    np.testing.assert_allclose(result, expected, rtol=4 * np.finfo(DTYPES[bits]).eps, atol=0.0)
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(result[known]), np.signbit(expected[known]))


EXACT = [
    ("exp", 0.0, 1.0),
    ("exp", -0.0, 1.0),
    ("exp", -np.inf, 0.0),
    ("exp", -1e30, 0.0),
    ("exp", 1e30, np.inf),
    ("exp", np.inf, np.inf),
    ("expm1", 0.0, 0.0),
    ("expm1", -100.0, -1.0),
    ("expm1", -np.inf, -1.0),
    ("expm1", np.inf, np.inf),
    ("expm1", 1e-30, 1e-30),
    ("log", 1.0, 0.0),
    ("log", 0.0, -np.inf),
    ("log", -0.0, -np.inf),
    ("log", -1.0, np.nan),
    ("log", -1e-30, np.nan),
    ("log", -np.inf, np.nan),
    ("log", np.inf, np.inf),
    ("log1p", 0.0, 0.0),
    ("log1p", 1e-30, 1e-30),
    ("log1p", -1.0, -np.inf),
    ("log1p", -1.5, np.nan),
    ("log1p", -np.inf, np.nan),
    ("log1p", np.inf, np.inf),
    ("sigmoid", 0.0, 0.5),
    ("sigmoid", 1e30, 1.0),
    ("sigmoid", np.inf, 1.0),
    ("sigmoid", -1e30, 0.0),
    ("sigmoid", -np.inf, 0.0),
    ("softplus", 41.0, 41.0),
    ("softplus", 1e30, 1e30),
    ("softplus", np.inf, np.inf),
    ("softplus", -1e30, 0.0),
    ("softplus", -np.inf, 0.0),
]


@pytest.mark.parametrize("bits", DTYPES)
@pytest.mark.parametrize(("name", "x", "expected"), EXACT)
def test_exact_values(name: str, x: float, expected: float, bits: int) -> None:
    dtype = DTYPES[bits]
    for lanes in LANES:
        result = compiled(name, bits, lanes)(np.array([x], dtype))
        np.testing.assert_array_equal(result, np.array([expected], dtype), err_msg=f"{lanes} lanes")


@pytest.mark.parametrize("bits", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_in_its_lane(name: str, bits: int) -> None:
    x = np.linspace(0.1, 0.9, 16).astype(DTYPES[bits])
    function = compiled(name, bits, 16)
    clean = function(x)
    x[5] = np.nan
    result = function(x)
    assert np.flatnonzero(np.isnan(result)).tolist() == [5]
    np.testing.assert_array_equal(np.delete(result, 5), np.delete(clean, 5))


@pytest.mark.parametrize("bits", DTYPES)
def test_exp_overflows_at_the_largest_finite_result_and_not_before(bits: int) -> None:
    dtype = DTYPES[bits]
    last = dtype(np.log(np.finfo(dtype).max.astype(np.longdouble)))
    with np.errstate(over="ignore"):
        while np.isinf(np.exp(last)):
            last = np.nextafter(last, dtype(0))
    for name in ("exp", "expm1"):
        result = compiled(name, bits, 16)(np.array([last, np.nextafter(last, dtype(1000))], dtype))
        assert np.isfinite(result[0])
        assert np.isinf(result[1])


@pytest.mark.parametrize("bits", DTYPES)
def test_softplus_is_torch_softplus_with_threshold_40(bits: int) -> None:
    x = arguments("softplus", bits, 5000)
    expected = torch.nn.functional.softplus(torch.from_numpy(x), threshold=40).numpy()
    # Torch loses the digits of exp(x) below 1, hence the absolute part.
    eps = np.finfo(DTYPES[bits]).eps
    np.testing.assert_allclose(compiled("softplus", bits, 8)(x), expected, rtol=4 * eps, atol=2 * eps)
    above = x > 40.0
    np.testing.assert_array_equal(compiled("softplus", bits, 8)(x[above]), x[above])


@pytest.mark.parametrize("bits", DTYPES)
@pytest.mark.parametrize("name", ["sin", "cos", "tan", "asin", "acos", "atan", "tanh"])
def test_functions_of_the_math_library_are_applied_to_every_lane(name: str, bits: int) -> None:
    x = np.linspace(-0.99, 0.99, 64).astype(DTYPES[bits])
    numpy_name = {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}.get(name, name)
    expected = getattr(np, numpy_name)(x.astype(np.float64))
    for lanes in LANES:
        result = compiled(name, bits, lanes)(x)
        np.testing.assert_allclose(result, expected, rtol=4 * np.finfo(DTYPES[bits]).eps, err_msg=f"{lanes} lanes")


def sample(name: str, bits: int) -> tuple[np.ndarray, np.ndarray | None]:
    return powers(bits, 300) if name == "pow" else (arguments(name, bits, 300), None)


@pytest.mark.parametrize("bits", DTYPES)
@pytest.mark.parametrize("name", [*TRUTH, "pow"])
def test_number_of_lanes_and_target_change_no_bit(name: str, bits: int) -> None:
    case = sample(name, bits)
    expected = compiled(name, bits, 1)(*case)
    for lanes in LANES[1:]:
        np.testing.assert_array_equal(compiled(name, bits, lanes)(*case), expected, err_msg=f"{lanes} lanes")
    if llvm.get_host_cpu_features().get("avx2"):
        np.testing.assert_array_equal(compiled(name, bits, 256 // bits, "x86-64-v3")(*case), expected)


@pytest.mark.parametrize("bits", DTYPES)
@pytest.mark.parametrize("name", [*TRUTH, "pow"])
def test_flushing_subnormals_changes_no_normal_result(name: str, bits: int) -> None:
    case = sample(name, bits)
    function = compiled(name, bits, 16)
    expected = function(*case)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormals")
    try:
        flushed = function(*case)
    finally:
        torch.set_flush_denormal(False)
    normal = np.abs(expected) >= np.finfo(DTYPES[bits]).tiny
    assert normal.sum() > 500
    np.testing.assert_array_equal(flushed[normal], expected[normal])


@pytest.mark.parametrize("name", [*TRUTH, "pow"])
def test_vector_functions_have_no_branch_and_call_only_what_is_one_instruction(name: str) -> None:
    text = definitions([name], 32, 16)
    assert not re.search(r"^\s*(br|switch|indirectbr)\b", text, re.MULTILINE)
    called = set(re.findall(r"call .*?@llvm\.(\w+)\.", text))
    assert called <= {"fma", "fabs", "copysign", "trunc"}
    assert "extractelement" not in text


def test_text_holds_what_was_asked_for_in_a_fixed_order() -> None:
    text = definitions({"log", "exp"}, 64, 8)
    assert re.findall(r"define (.*) \{", text) == [
        f"internal fastcc <8 x double> @tc_{name}(<8 x double> %x) alwaysinline nounwind" for name in ("exp", "log")
    ]
    assert "define internal fastcc float @tc_pow(float %x, float %y)" in definitions(["pow"], 32, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["exp", "gamma"], 64, 8), "'gamma' is not defined"),
        ((["exp"], 16, 8), "bits is 16"),
        ((["exp"], 64, 0), "lanes is 0"),
        ((["exp"], 64, 32), "lanes is 32"),
    ],
)
def test_impossible_requests_are_named(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        definitions(*arguments)
