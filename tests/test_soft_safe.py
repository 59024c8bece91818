"""Functions with a singular derivative: torch's away from the singular point, finite and flat at it."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from torchcrop.soft import safe
from torchcrop.soft.checks import NotATensorError

F64 = torch.float64
#: Function, torch's own, regular points, and singular points with the values there.
UNARY: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor], list[float], dict[float, float]]] = {
    "sqrt": (safe.sqrt, torch.sqrt, [1e-3, 0.5, 4.0, 1e30], {0.0: 0.0}),
    "log": (safe.log, torch.log, [1e-3, 0.5, 4.0, 1e30], {0.0: 0.0}),
    "arcsin": (safe.arcsin, torch.arcsin, [-0.9, 0.0, 0.3], {-1.0: -math.pi / 2, 1.0: math.pi / 2}),
    "arccos": (safe.arccos, torch.arccos, [-0.9, 0.0, 0.3], {-1.0: math.pi, 1.0: 0.0}),
}
every_unary = pytest.mark.parametrize("name", UNARY)


def derivatives(fn: Callable[[Tensor], Tensor], x: Tensor, orders: int = 3) -> list[Tensor]:
    x = x.clone().requires_grad_()
    y, found = fn(x), []
    for _ in range(orders):
        (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        found.append(y.detach())
    return found


@every_unary
def test_away_from_the_singular_point_it_is_torchs_function(name: str) -> None:
    fn, own, regular, _ = UNARY[name]
    x = torch.tensor(regular, dtype=F64)
    torch.testing.assert_close(fn(x), own(x), rtol=1e-15, atol=0)
    for mine, torchs in zip(derivatives(fn, x), derivatives(own, x), strict=True):
        torch.testing.assert_close(mine, torchs, rtol=1e-12, atol=0)
    points = x[:3].clone().requires_grad_()
    assert torch.autograd.gradcheck(fn, points, atol=1e-4)
    assert torch.autograd.gradgradcheck(fn, points[1:].detach().requires_grad_())


@every_unary
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, F64])
def test_at_the_singular_point_value_and_derivatives_are_as_documented(name: str, dtype: torch.dtype) -> None:
    fn, _, _, singular = UNARY[name]
    x = torch.tensor(list(singular), dtype=dtype)
    assert torch.equal(fn(x), torch.tensor(list(singular.values()), dtype=dtype))
    assert all((d == 0).all() for d in derivatives(fn, x))
    assert derivatives(fn, x)[0].dtype == dtype


@every_unary
def test_outside_of_the_domain_it_is_nan(name: str) -> None:
    assert UNARY[name][0](torch.tensor([-2.0])).isnan().all()


def test_x_log_x_takes_its_limit() -> None:
    x = torch.tensor([0.0, 1.0], requires_grad=True)
    entropy = (x * safe.log(x)).sum()
    assert entropy.item() == 0
    assert torch.autograd.grad(entropy, x)[0].tolist() == [0.0, 1.0]


# --- div ------------------------------------------------------------------------------------------------


def test_a_quotient_by_zero_is_zero_with_zero_gradient() -> None:
    x = torch.tensor([3.0, math.inf, 3.0], dtype=F64, requires_grad=True)
    y = torch.tensor([0.0, 0.0, 2.0], dtype=F64, requires_grad=True)
    result = safe.div(x, y)
    assert result.tolist() == [0.0, 0.0, 1.5]
    assert [g.tolist() for g in torch.autograd.grad(result.sum(), (x, y))] == [[0.0, 0.0, 0.5], [0.0, 0.0, -0.75]]
    assert safe.div(torch.tensor([3.0]), 0).item() == 0
    assert safe.div(torch.tensor([3]), torch.tensor([2])).item() == 1.5


def test_a_quotient_has_right_derivatives_and_stays_finite_for_large_numbers() -> None:
    x, y = (torch.tensor(v, dtype=F64, requires_grad=True) for v in ([[1.0], [-2.0]], [0.5, 3.0]))
    assert torch.autograd.gradcheck(safe.div, (x, y))
    assert torch.autograd.gradgradcheck(safe.div, (x, y))
    large = torch.tensor([1e30], requires_grad=True)
    assert torch.autograd.grad(safe.div(large, large).sum(), large)[0].isfinite().all()


# --- norm -----------------------------------------------------------------------------------------------

every_order = pytest.mark.parametrize("order", [1, 2, math.inf])


@every_order
@pytest.mark.parametrize("dim", [None, 0, -1, (0, 2)], ids=str)
@pytest.mark.parametrize("keepdim", [False, True])
def test_the_norm_is_that_of_torch(order: float, dim: int | None, keepdim: bool) -> None:
    x = torch.randn(2, 3, 4, dtype=F64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mine = safe.norm(x, dim, keepdim, order)
    torch.testing.assert_close(mine, torch.linalg.vector_norm(x, order, dim=dim, keepdim=keepdim))
    assert torch.autograd.gradcheck(lambda t: safe.norm(t, dim, keepdim, order), x)
    assert torch.autograd.gradgradcheck(lambda t: safe.norm(t, dim, keepdim, order), x)


@every_order
def test_the_norm_of_nothing_but_zeros_is_zero_and_flat(order: float) -> None:
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=F64)
    result = safe.norm(x, -1, ord=order)
    assert result.tolist() == pytest.approx([0.0, {1: 7.0, 2: 5.0, math.inf: 4.0}[order]])
    # The first derivative of the other two is piecewise constant: torch has no graph beyond it.
    for d in derivatives(lambda t: safe.norm(t, -1, ord=order), x, orders=3 if order == 2 else 1):
        assert d.isfinite().all()
        assert (d[0] == 0).all()
    assert safe.norm(torch.zeros(2, 0), -1, ord=order).tolist() == [0.0, 0.0]
    assert safe.norm(torch.tensor(-3.0), ord=order).item() == 3


@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_the_norm_neither_overflows_nor_vanishes(size: float) -> None:
    x = torch.tensor([3 * size, 4 * size], requires_grad=True)
    result = safe.norm(x)
    assert result.item() == pytest.approx(5 * size, rel=1e-6)
    assert torch.autograd.grad(result, x)[0].tolist() == pytest.approx([0.6, 0.8], rel=1e-6)
    assert safe.norm(torch.tensor([math.inf, 1.0])).item() == math.inf


# --- transforms and errors ------------------------------------------------------------------------------

EVERY = {name: entry[0] for name, entry in UNARY.items()} | {
    "div": lambda x: safe.div(x, x.flip(-1)),
    "norm": lambda x: safe.norm(x, -1, keepdim=True),
}


@pytest.mark.parametrize("name", EVERY)
def test_vmap_is_a_loop_and_compile_has_no_break(name: str) -> None:
    fn, x = EVERY[name], torch.tensor([[0.0, 0.5, 1.0], [0.0, 0.0, 0.0]], dtype=F64)
    looped = torch.stack([fn(row) for row in x])
    torch.testing.assert_close(torch.func.vmap(fn)(x), looped)
    torch.testing.assert_close(torch.compile(fn, fullgraph=True, backend="aot_eager")(x), looped)
    torch.testing.assert_close(torch.func.jacfwd(fn)(x), torch.func.jacrev(fn)(x))
    assert torch.func.hessian(lambda t: fn(t).sum())(x).isfinite().all()


@pytest.mark.parametrize("name", [*UNARY, "norm", "div"])
def test_what_is_no_real_tensor_is_refused(name: str) -> None:
    fn = getattr(safe, name)
    rest = [1.0] if name == "div" else []
    with pytest.raises(NotATensorError, match=rf"{name}: x is 0\.5 .*as_tensor"):
        fn(0.5, *rest)
    with pytest.raises(TypeError, match=f"{name}: x is complex"):
        fn(torch.tensor([1j]), *rest)


def test_orders_and_axes_of_the_norm_are_checked() -> None:
    with pytest.raises(ValueError, match=r"norm: ord is 3; it must be 1, 2 or math\.inf"):
        safe.norm(torch.rand(2), ord=3)
    with pytest.raises(ValueError, match="norm: dim 1 is out of bounds"):
        safe.norm(torch.rand(2), 1)
