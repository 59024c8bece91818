"""Tables: linear look-up, mean over a window, cubic spline, and what a table refuses to be."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.utils import _pytree as pytree

from torchcrop.functions.tables import Table, afgen, cspline, window_mean

F64 = torch.float64
ENDS = ("hold", "extrapolate")


def t(*values: float) -> Tensor:
    return torch.tensor(values if len(values) > 1 else values[0], dtype=F64)


def uniform(seed: int, *shape: int, low: float = -1.0, high: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(*shape, dtype=F64, generator=generator)


def row(table: Table, lane: int) -> Table:
    """One lane of a table, shared or batched."""
    return Table(*(v[lane] if v.dim() > 1 else v for v in (table.x, table.y)), table.ends)


def shared_and_batched(ends: str) -> list[Table]:
    x, y = t(-1.0, 0.2, 0.5, 2.0), t(0.3, -1.0, 1.0, 0.7)
    many_x, many_y = torch.sort(uniform(1, 6, 4, low=-2, high=3), -1).values, uniform(2, 6, 4)
    return [Table(a, b, ends) for a in (x, many_x) for b in (y, many_y)]


points = st.lists(
    st.tuples(st.integers(-400, 400), st.floats(-100, 100)), min_size=2, max_size=8, unique_by=lambda p: p[0]
).map(lambda given: sorted((i / 8, y) for i, y in given))
QUERIES = st.lists(st.floats(-80, 80), min_size=1, max_size=10)


def from_points(pairs: list, ends: str = "hold") -> Table:
    return Table.from_pairs(pairs, ends)


# --- building -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pairs",
    [
        [(0, 1), (0.5, 2), (2, -3)],
        [0, 1, 0.5, 2, 2, -3],
        ((0, 1), [0.5, 2], (2, -3)),
        np.array([[0, 1], [0.5, 2], [2, -3]]),
        np.array([0, 1, 0.5, 2, 2, -3]),
        torch.tensor([[0, 1], [0.5, 2], [2, -3]]),
    ],
    ids=["pairs", "flat", "mixed", "array", "flat array", "tensor"],
)
def test_points_in_every_form(pairs) -> None:
    table = Table.from_pairs(pairs)
    assert table.x.dtype == table.y.dtype == F64
    assert table.pairs() == [(0.0, 1.0), (0.5, 2.0), (2.0, -3.0)]
    assert table.ends == "hold"


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ([(1, 2)], "FLTB has 1 point"),
        ([], "FLTB has 0 point"),
        ([0, 1, 2], "FLTB has 3 values"),
        ([(0, 1, 2), (1, 2, 3)], "FLTB: a point is"),
        ([(0, 1), (2, 3), (1, 4)], r"FLTB: breakpoints must increase, but 1 follows 2 \(point 3\)"),
        ([(0, 1), (0, 3)], r"FLTB: breakpoints must increase, but 0 follows 0 \(point 2\)"),
        ([(0, 1), (1, float("nan"))], "FLTB contains a value that is not finite"),
        ([(0, 1), (float("nan"), 1)], "FLTB contains a value that is not finite"),
        ([(0, 1), (float("inf"), 1)], "FLTB contains a value that is not finite"),
        ([(0, 1), (1, "a")], "FLTB contains 'a', which is not a number"),
        ([(0, 1), (1, None)], "FLTB contains None, which is not a number"),
    ],
)
def test_a_wrong_table_is_refused_by_name(pairs, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Table.from_pairs(pairs, name="FLTB")


def test_unknown_ends_are_refused() -> None:
    with pytest.raises(ValueError, match="FLTB: ends is 'linear'; expected 'hold' or 'extrapolate'"):
        Table.from_pairs([(0, 1), (1, 2)], ends="linear", name="FLTB")


def test_scaled_replaced_prepared() -> None:
    table = Table.from_pairs([(0, 1), (1, 3), (4, 0)], "extrapolate")
    assert table.slopes.tolist() == [2.0, -1.0]
    lanes = table.scaled(t(1.0, 10.0))
    assert lanes.y.tolist() == [[1, 3, 0], [10, 30, 0]]
    assert lanes.scaled(t(2.0, 0.5)).y.tolist() == [[2, 6, 0], [5, 15, 0]]
    assert table.scaled(2.0).y.tolist() == [2, 6, 0]
    prepared = lanes.prepared()
    assert prepared.slopes is prepared.slopes
    for made in (lanes, prepared, prepared.replace(y=table.y), prepared.scaled(2.0)):
        assert made.ends == "extrapolate"
    # the kept slopes belong to the old ordinates
    assert prepared.scaled(2.0).slopes.tolist() == (2 * prepared.slopes).tolist()
    assert prepared.replace(y=table.y).slopes.tolist() == [2.0, -1.0]
    query = t(0.3, 7.0)
    assert torch.equal(afgen(prepared, query), afgen(lanes, query))
    with pytest.raises(ValueError, match="batched, ordinates"):
        lanes.pairs()


def test_a_table_is_a_tree_of_tensors() -> None:
    for table in (Table(t(0.0, 1.0), t(2.0, 3.0), "extrapolate"), Table(t(0.0, 1.0), t(2.0, 3.0)).prepared()):
        leaves, spec = pytree.tree_flatten(table)
        assert all(isinstance(leaf, Tensor) for leaf in leaves)  # None is a leaf, on which torch.func stumbles
        back = pytree.tree_unflatten(leaves, spec)
        assert back.ends == table.ends
        assert (back._slopes is None) == (table._slopes is None)
        single = pytree.tree_map(lambda v: v.float(), table)
        assert single.x.dtype == single.y.dtype == single.slopes.dtype == torch.float32


# --- linear look-up -------------------------------------------------------------------------------------


@given(points, QUERIES)
def test_look_up_is_numpys(pairs: list, queries: list[float]) -> None:
    x, y = (list(v) for v in zip(*pairs, strict=True))
    found = afgen(from_points(pairs), t(*queries, x[0]))
    np.testing.assert_allclose(found, np.interp([*queries, x[0]], x, y), rtol=1e-13, atol=1e-11)


@given(points, st.sampled_from(ENDS), st.sampled_from([torch.float64, torch.float32]))
def test_look_up_is_exact_at_every_breakpoint(pairs: list, ends: str, dtype: torch.dtype) -> None:
    table = pytree.tree_map(lambda v: v.to(dtype), from_points(pairs, ends))
    assert torch.equal(afgen(table, table.x), table.y)
    assert torch.equal(cspline(table, table.x), table.y)


def test_a_last_ordinate_of_zero_is_zero() -> None:
    # A fraction that ends at 0 must not end at -1e-17; 0.3 + (0 - 0.3)/(0.7 - 0.1)*(0.7 - 0.1) is not 0.
    for first, last in itertools.product((0.1, 0.3, 0.7, 1 / 3), (0.7, 0.9, 1.1, 2.3)):
        table = Table.from_pairs([(0.0, 0.5), (0.1, first), (last, 0.0)])
        assert afgen(table, t(last, last + 1, 1e9)).tolist() == [0.0, 0.0, 0.0]


def test_ends_are_held_or_extrapolated() -> None:
    pairs = [(1, 10), (2, 20), (4, 0)]
    far = t(-1.0, 0.0, 5.0, 7.0)
    assert afgen(from_points(pairs), far).tolist() == [10, 10, 0, 0]
    assert afgen(from_points(pairs, "extrapolate"), far).tolist() == [-10, 0, -10, -30]
    assert afgen(from_points(pairs), t(1e30, -1e30)).tolist() == [0, 10]


@pytest.mark.parametrize("look_up", [afgen, cspline])
@pytest.mark.parametrize("ends", ENDS)
def test_every_batch_shape_gives_what_its_lanes_give(look_up, ends: str) -> None:
    queries = uniform(3, 6, low=-3, high=4)
    for table in shared_and_batched(ends):
        batched = table.x.dim() > 1 or table.y.dim() > 1
        for query in (queries, queries[0]):
            together = look_up(table, query)
            assert together.shape == ((6,) if batched or query.dim() else ())
            for lane in range(6):
                alone = look_up(row(table, lane), query[lane] if query.dim() else query)
                mine = together[lane] if together.dim() else together
                torch.testing.assert_close(mine, alone, rtol=1e-13, atol=1e-13)


def test_a_query_that_is_no_number_stays_none() -> None:
    table = from_points([(0, 1), (1, 2)])
    assert afgen(table, t(float("nan"), 0.5)).isnan().tolist() == [True, False]


@pytest.mark.parametrize("look_up", [afgen, cspline])
@pytest.mark.parametrize("ends", ENDS)
def test_derivatives_of_look_ups(look_up, ends: str) -> None:
    for table in shared_and_batched(ends):
        query = t(-1.7, -0.9, 0.3, 0.7, 1.9, 9.0)  # none on a breakpoint, where a kink has no difference quotient
        arguments = tuple(v.clone().requires_grad_() for v in (table.x, table.y, query))
        assert gradcheck(lambda x, y, q: look_up(Table(x, y, ends), q), arguments, eps=1e-7, atol=1e-6)
        assert gradgradcheck(lambda x, y, q: look_up(Table(x, y, ends), q), arguments, eps=1e-7, atol=1e-4)


@pytest.mark.parametrize("look_up", [afgen, cspline, lambda table, q: window_mean(table, q, 0.1 + q**2)])
@pytest.mark.parametrize("ends", ENDS)
def test_look_ups_under_function_transforms(look_up, ends: str) -> None:
    table, lanes = shared_and_batched(ends)[:2]
    query, tangent = uniform(4, 6, low=-2, high=3), uniform(5, 6)
    batched = look_up(lanes, query)
    over = torch.func.vmap(lambda y, q: look_up(table.replace(y=y), q))
    torch.testing.assert_close(over(lanes.y, query), batched, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(torch.func.vmap(lambda q: look_up(table, q))(query), look_up(table, query))
    whole = Table(table.x.expand(6, 4), lanes.y, ends)
    torch.testing.assert_close(torch.func.vmap(look_up)(whole, query), batched, rtol=1e-13, atol=1e-13)

    def value(x: Tensor, y: Tensor, q: Tensor) -> Tensor:
        return look_up(Table(x, y, ends), q)

    primals = (table.x, lanes.y, query)
    tangents = (uniform(6, 4), uniform(7, 6, 4), tangent)
    forward = torch.func.jvp(value, primals, tangents)[1]
    by_x, by_y, by_q = torch.func.jacrev(value, argnums=(0, 1, 2))(*primals)
    torch.testing.assert_close(
        forward, by_x @ tangents[0] + (by_y * tangents[1]).sum((-1, -2)) + by_q @ tangent, rtol=1e-11, atol=1e-11
    )
    of_table = torch.func.jacrev(lambda given: look_up(given, query))(lanes)
    torch.testing.assert_close(of_table.y, by_y)
    per_lane = torch.func.vmap(torch.func.jacrev(value, argnums=(0, 1, 2)), in_dims=(None, 0, 0))(*primals)
    torch.testing.assert_close(per_lane[0], by_x)
    torch.testing.assert_close(per_lane[2], by_q.diagonal())


# --- mean over a window ---------------------------------------------------------------------------------


def exact_mean(x: list[float], y: list[float], start: float, length: float, ends: str) -> Fraction:
    """The integral of the interpolant over the window, divided by its length, in rational numbers."""
    x, y = [Fraction(v) for v in x], [Fraction(v) for v in y]
    start, length = Fraction(start), Fraction(length)
    end = start + length

    def value(u: Fraction) -> Fraction:
        if ends == "hold":
            u = max(x[0], min(x[-1], u))
        i = max(i for i in range(len(x) - 1) if i == 0 or x[i] <= u)
        return y[i] + (y[i + 1] - y[i]) / (x[i + 1] - x[i]) * (u - x[i])

    cuts = sorted({start, end, *(v for v in x if start < v < end)})
    return sum((value(a) + value(b)) / 2 * (b - a) for a, b in itertools.pairwise(cuts)) / length


@given(points, st.floats(-70, 70), st.one_of(st.floats(1e-6, 1e-2), st.floats(0.01, 150)), st.sampled_from(ENDS))
def test_window_mean_is_the_integral(pairs: list, start: float, length: float, ends: str) -> None:
    x, y = (list(v) for v in zip(*pairs, strict=True))
    expected = exact_mean(x, y, start, length, ends)
    found = window_mean(from_points(pairs, ends), t(start), t(length)).item()
    steepest = max(abs((y[i + 1] - y[i]) / (x[i + 1] - x[i])) for i in range(len(x) - 1))
    # round-off of the ordinates, and of the start, seen through the steepest segment where values run on
    slack = 1e-13 * (1 + max(map(abs, y))) * len(x) + 1e-14 * steepest * (abs(start) + length + 50)
    assert abs(Fraction(found) - expected) <= slack


STAGE = [0.0, 1.0, 1.01, 1.5, 1.5001, 2.0]
JUMPS = [0.3, 0.3, 0.85, 0.85, 0.0, 0.0]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 1e-6)])
def test_jumps_between_neighbouring_breakpoints_cost_no_digits(dtype: torch.dtype, tolerance: float) -> None:
    x = torch.tensor(STAGE, dtype=dtype)
    table = Table(x, torch.tensor(JUMPS, dtype=dtype))
    knots, values = x.tolist(), table.y.tolist()
    # a cold day's window is 1.5e-5 long, a warm one's 0.03
    for start, length in itertools.product((0.2, 0.97, 0.99999, 1.2, 1.49999, 1.50005, 1.6, 1.9, 2.4), (1.5e-5, 0.03)):
        start, length = torch.tensor(start, dtype=dtype), torch.tensor(length, dtype=dtype)
        found = window_mean(table, start, length)
        expected = float(exact_mean(knots, values, start.item(), length.item(), "hold"))
        # a window that straddles a jump sees the rounding of its own end
        inside = any(start < k < start + length for k in knots)
        seen = torch.finfo(dtype).eps * 2 / length.item() if inside else 0.0
        assert abs(found.item() - expected) <= tolerance + seen, (start, length)


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(lambda v: sum(v) > 0.1), min_size=3, max_size=6),
    st.floats(-0.5, 3),
    st.floats(1e-5, 1),
    st.sampled_from([torch.float64, torch.float32]),
)
def test_fractions_that_sum_to_one_still_do(rows: list, start: float, length: float, dtype: torch.dtype) -> None:
    y = torch.tensor(rows, dtype=dtype).T
    y = y / y.sum(0)
    x = torch.tensor([0.0, 1.0, 1.0001, 1.5, 1.5001, 2.0][: y.shape[-1]], dtype=dtype)
    mean = window_mean(Table(x, y), torch.tensor(start, dtype=dtype), torch.tensor(length, dtype=dtype))
    eps = torch.finfo(dtype).eps
    assert mean.shape == (4,)
    assert abs(mean.sum().item() - 1) <= 20 * eps
    assert mean.min() >= -4 * eps
    assert mean.max() <= 1 + 4 * eps
    # a shared window over several tables is each table's own
    for lane in range(4):
        alone = window_mean(Table(x, y[lane]), torch.tensor(start, dtype=dtype), torch.tensor(length, dtype=dtype))
        torch.testing.assert_close(mean[lane], alone, rtol=0, atol=4 * eps)


@pytest.mark.parametrize("ends", ENDS)
def test_every_batch_shape_gives_the_mean_of_its_lanes(ends: str) -> None:
    starts, lengths = uniform(3, 6, low=-3, high=3), uniform(4, 6, low=0.01, high=3)
    for table in shared_and_batched(ends):
        batched = table.x.dim() > 1 or table.y.dim() > 1
        for start, length in ((starts, lengths), (starts[0], lengths[0]), (starts, lengths[0]), (starts, 0.7)):
            together = window_mean(table, start, length)
            assert together.shape == ((6,) if batched or start.dim() else ())
            for lane in range(6):
                own = [v[lane] if isinstance(v, Tensor) and v.dim() else v for v in (start, length)]
                alone = window_mean(row(table, lane), *own)
                torch.testing.assert_close(together[lane] if together.dim() else together, alone, rtol=0, atol=1e-14)


@pytest.mark.parametrize("ends", ENDS)
def test_derivatives_of_the_window_mean(ends: str) -> None:
    for table in shared_and_batched(ends):
        start, length = t(-4.0, -1.7, 0.3, 0.17, 1.2, 6.0), t(0.5, 1.1, 0.1, 1.1, 5.0, 0.3)
        arguments = tuple(v.clone().requires_grad_() for v in (table.x, table.y, start, length))

        def mean(x: Tensor, y: Tensor, start: Tensor, length: Tensor) -> Tensor:
            return window_mean(Table(x, y, ends), start, length)

        assert gradcheck(mean, arguments, eps=1e-6, atol=1e-6)
        assert gradgradcheck(mean, arguments, eps=1e-6, atol=1e-4)


@pytest.mark.parametrize("ends", ENDS)
def test_the_mean_is_continuously_differentiable_in_its_window(ends: str) -> None:
    """Windows that begin or end on breakpoints, where a piece of the formula changes: one derivative, both sides."""
    x, y = t(0.0, 1.0, 1.5, 4.0), t(0.3, 1.0, -1.0, 2.0)
    table, h = Table(x, y, ends), 1e-5
    knots = [-1.0, *x.tolist(), 6.0]
    for start, end in itertools.combinations(knots, 2):
        s, n = t(start).requires_grad_(), t(end - start).requires_grad_()
        by_start, by_length = torch.autograd.grad(window_mean(table, s, n), (s, n))
        with torch.no_grad():
            for sign in (1, -1):
                step = sign * h
                ahead = (window_mean(table, s + step, n) - window_mean(table, s, n)) / step
                assert abs(ahead - by_start) <= 1e-4, (start, end, sign)
                ahead = (window_mean(table, s, n + step) - window_mean(table, s, n)) / step
                assert abs(ahead - by_length) <= 1e-4, (start, end, sign)


def test_a_clock_that_has_not_started_yet_has_the_right_derivative() -> None:
    # Before emergence the window begins at the first breakpoint of every stage table, and is very short.
    for dtype in (torch.float64, torch.float32):
        table = Table(torch.tensor([0.0, 0.5, 2.0], dtype=dtype), torch.tensor([0.4, 0.9, 0.0], dtype=dtype))
        for start in (0.0, 1e-30, 1e-20, -1e-20, 1e-9, -1e-9):
            leaf = torch.tensor(start, dtype=dtype, requires_grad=True)
            mean = window_mean(table, leaf, torch.tensor(1e-5, dtype=dtype))
            (slope,) = torch.autograd.grad(mean, leaf)
            assert slope.item() == pytest.approx(1.0, rel=2e-4), start


# --- natural cubic spline -------------------------------------------------------------------------------


def spline_by_elimination(x: list[float], y: list[float], query: float, ends: str) -> float:
    """Natural cubic spline in plain floats: the tridiagonal system by elimination, then the textbook cubic."""
    n = len(x)
    h = [x[i + 1] - x[i] for i in range(n - 1)]
    second = [0.0] * n
    diagonal, right = [0.0] * n, [0.0] * n
    for i in range(1, n - 1):
        diagonal[i] = 2 * (h[i - 1] + h[i])
        right[i] = 6 * ((y[i + 1] - y[i]) / h[i] - (y[i] - y[i - 1]) / h[i - 1])
        if i > 1:
            factor = h[i - 1] / diagonal[i - 1]
            diagonal[i] -= factor * h[i - 1]
            right[i] -= factor * right[i - 1]
    for i in range(n - 2, 0, -1):
        second[i] = (right[i] - h[i] * second[i + 1]) / diagonal[i]
    inside = max(x[0], min(x[-1], query))
    i = max(i for i in range(n - 1) if i == 0 or x[i] <= inside)
    a = y[i]
    b = (y[i + 1] - y[i]) / h[i] - h[i] * (2 * second[i] + second[i + 1]) / 6
    c, d = second[i] / 2, (second[i + 1] - second[i]) / (6 * h[i])
    u = inside - x[i]
    value = a + u * (b + u * (c + u * d))
    return value + (query - inside) * (b + u * (2 * c + 3 * u * d)) * (ends == "extrapolate")


@given(points, QUERIES, st.sampled_from(ENDS))
def test_spline_is_the_natural_one(pairs: list, queries: list[float], ends: str) -> None:
    x, y = (list(v) for v in zip(*pairs, strict=True))
    found = cspline(from_points(pairs, ends), t(*queries, x[0])).tolist()
    for query, value in zip([*queries, x[0]], found, strict=True):
        expected = spline_by_elimination(x, y, query, ends)
        assert value == pytest.approx(expected, rel=1e-9, abs=1e-9 * (1 + max(map(abs, y))))


def test_spline_is_scipys() -> None:
    interpolate = pytest.importorskip("scipy.interpolate")
    x, y = t(0.0, 0.4, 1.0, 3.0, 3.5), t(1.0, 2.0, -1.0, 0.0, 4.0)
    query = torch.linspace(0, 3.5, 57, dtype=F64)
    expected = interpolate.CubicSpline(x.numpy(), y.numpy(), bc_type="natural")(query.numpy())
    np.testing.assert_allclose(cspline(Table(x, y), query), expected, rtol=1e-13, atol=1e-13)


def test_spline_is_natural_and_twice_continuous() -> None:
    table = Table(t(0.0, 0.4, 1.0, 3.0, 3.5), t(1.0, 2.0, -1.0, 0.0, 4.0), "extrapolate")

    def derivatives(at: float) -> tuple[float, float, float]:
        q = t(at).requires_grad_()
        value = cspline(table, q)
        (first,) = torch.autograd.grad(value, q, create_graph=True)
        (second,) = torch.autograd.grad(first, q)
        return value.item(), first.item(), second.item()

    for knot in table.x.tolist():
        below, above = derivatives(knot - 1e-9), derivatives(knot + 1e-9)
        assert below == pytest.approx(above, abs=1e-6)
    for end in (0.0, 3.5):
        assert derivatives(end + (1e-12 if end == 0 else -1e-12))[2] == pytest.approx(0, abs=1e-9)
        assert derivatives(end)[1] == pytest.approx(derivatives(end + 1e-9)[1], abs=1e-6)


def test_spline_of_two_points_is_their_line() -> None:
    for x, y in ((t(0.0, 2.0), t(1.0, 5.0)), (t(0.0, 2.0).expand(3, 2), uniform(8, 3, 2))):
        table = Table(x, y, "extrapolate")
        query = t(-1.0, 0.7, 4.0)
        torch.testing.assert_close(cspline(table, query), afgen(table, query))
