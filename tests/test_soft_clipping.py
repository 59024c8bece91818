"""Soft clipping modules: the published formula, and one that keeps to its interval for any bounded function."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from torchcrop.soft.checks import NotATensorError
from torchcrop.soft.clipping import RescaledSoftClipping, SoftClipping

F64 = torch.float64


def softsign(x: Tensor) -> Tensor:
    return x / (1 + x.abs())


def algebraic(x: Tensor) -> Tensor:
    return x / (1 + x * x).sqrt()


def logistic_that_overflows(x: Tensor) -> Tensor:
    return x.exp() / (1 + x.exp())


def falling_and_shifted(x: Tensor) -> Tensor:
    return 7 - 5 * torch.tanh(x - 3)


def lopsided(x: Tensor) -> Tensor:
    """Gompertz' curve: half its range is not where its slope is largest."""
    return (-(-x).exp()).exp()


def ramp(x: Tensor) -> Tensor:
    """It reaches its limits."""
    return (x / 6 + 0.5).clamp(0.0, 1.0)


BOUNDED = {
    fn.__name__: fn
    for fn in (
        torch.sigmoid,
        torch.tanh,
        torch.atan,
        torch.erf,
        softsign,
        algebraic,
        logistic_that_overflows,
        falling_and_shifted,
        lopsided,
        ramp,
    )
}
every_function = pytest.mark.parametrize("clip_func", BOUNDED.values(), ids=BOUNDED)
X = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0], dtype=F64)


@pytest.mark.parametrize(
    ("limits", "clip_func", "expected"),
    [
        ((-2.0, 2.0), torch.sigmoid, [-1.810297, -0.924234, 0.0, 0.924234, 1.810297]),
        ((-2.0, 2.0), torch.tanh, [-5.980219, -5.046377, -2.0, 1.046377, 1.980219]),
        ((-1.0, 1.0), torch.sigmoid, [-0.905148, -0.462117, 0.0, 0.462117, 0.905148]),
    ],
)
def test_the_plain_form_has_the_values_of_its_published_code(
    limits: tuple[float, float], clip_func: Callable[[Tensor], Tensor], expected: list[float]
) -> None:
    clip = SoftClipping(*limits, clip_func).double()
    assert clip(X).tolist() == pytest.approx(expected, abs=1e-6)
    assert torch.equal(SoftClipping()(X), SoftClipping(-1.0, 1.0, torch.sigmoid)(X))


@every_function
@pytest.mark.parametrize("limits", [(-1.0, 1.0), (0.1, 0.7), (-1e6, 3e6), (50.0, 51.0)])
def test_the_rescaled_form_keeps_to_its_interval_and_is_the_identity_at_its_middle(
    clip_func: Callable[[Tensor], Tensor], limits: tuple[float, float]
) -> None:
    low, high = limits
    clip = RescaledSoftClipping(torch.tensor(low, dtype=F64), torch.tensor(high, dtype=F64), clip_func)
    middle, width = (low + high) / 2, high - low
    x = torch.tensor([middle], dtype=F64, requires_grad=True)
    assert clip(x).item() == pytest.approx(middle, abs=1e-9 * width)
    assert torch.autograd.grad(clip(x), x)[0].item() == pytest.approx(1.0, abs=1e-9)
    for dtype in (torch.float32, F64):
        far = torch.tensor([-1e30, -1e6 * width, 1e6 * width, 1e30], dtype=dtype, requires_grad=True)
        ends = clip(far)
        assert ends.dtype == dtype
        bounds = torch.tensor([low, high], dtype=dtype)
        assert ((ends >= bounds[0]) & (ends <= bounds[1])).all()
        torch.testing.assert_close(ends[[0, 3]], bounds, rtol=0, atol=1e-6 * width + 1e-6 * abs(low))
        assert torch.autograd.grad(ends.sum(), far)[0].isfinite().all()
    line = clip(torch.linspace(low - width, high + width, 201, dtype=F64))
    assert (line.diff() >= 0).all()


@every_function
def test_the_rescaled_form_has_right_derivatives(clip_func: Callable[[Tensor], Tensor]) -> None:
    clip = RescaledSoftClipping(1.0, 4.0, clip_func).double()
    x = torch.tensor([1.6, 2.4, 3.1], dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(clip, x)
    assert torch.autograd.gradgradcheck(clip, x)


@pytest.mark.parametrize("kind", [SoftClipping, RescaledSoftClipping])
def test_the_limits_are_buffers(kind: type[SoftClipping]) -> None:
    clip = kind(0.0, 5.0)
    assert set(clip.state_dict()) == {"x_min", "x_max"}
    assert clip.double().x_max.dtype == F64
    other = kind(-1.0, 1.0).double()
    other.load_state_dict(clip.state_dict())
    torch.testing.assert_close(other(X), clip(X), rtol=0, atol=0)
    assert "x_min=0, x_max=5, clip_func=sigmoid" in repr(clip)
    per_column = kind(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 9.0]))
    assert per_column(torch.rand(4, 2)).shape == (4, 2)
    assert "x_min=<shape (2,)>" in repr(per_column)


@pytest.mark.parametrize("kind", [SoftClipping, RescaledSoftClipping])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, F64, torch.int64])
def test_the_result_has_the_dtype_of_the_argument(kind: type[SoftClipping], dtype: torch.dtype) -> None:
    result = kind(0.0, 5.0)(torch.tensor([0, 2, 9], dtype=dtype))
    assert result.dtype == (dtype if dtype.is_floating_point else torch.get_default_dtype())
    torch.testing.assert_close(
        result.double(), kind(0.0, 5.0)(torch.tensor([0.0, 2.0, 9.0], dtype=F64)), rtol=0, atol=0.05
    )


@pytest.mark.parametrize("kind", [SoftClipping, RescaledSoftClipping])
def test_vmap_is_a_loop_and_compile_has_no_break(kind: type[SoftClipping]) -> None:
    clip = kind(0.0, 5.0).double()
    expected = torch.stack([clip(x) for x in X])
    torch.testing.assert_close(torch.func.vmap(clip)(X), expected)
    torch.testing.assert_close(torch.compile(clip, fullgraph=True, backend="aot_eager")(X), expected)
    assert torch.func.hessian(lambda t: clip(t).sum())(X).diagonal().abs().max() > 1e-3


@pytest.mark.parametrize(
    ("clip_func", "message"),
    [
        (torch.exp, r"'exp' has no two different finite limits: it goes from 0 to 2.28"),
        (torch.nn.functional.relu, r"'relu' has no two different finite limits"),
        (torch.asinh, r"'asinh' has no two different finite limits: it goes from -35"),
        (torch.zeros_like, r"'zeros_like' has no two different finite limits"),
        (torch.sin, r"'sin' is not monotone"),
        (torch.reciprocal, r"'reciprocal' is not monotone"),
        (lambda x: x * float("nan"), r"is not finite"),
        (torch.sign, r"'sign' has the slope 0 in the middle of its range"),
        (lambda x: torch.heaviside(x, x.new_tensor(0.5)), r"has no derivative in torch"),
    ],
)
def test_a_function_that_cannot_clip_is_refused(clip_func: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(
        ValueError, match=rf"RescaledSoftClipping: clip_func .*{message}.*give one such as torch.sigmoid"
    ):
        RescaledSoftClipping(0.0, 1.0, clip_func)


@pytest.mark.parametrize("kind", [SoftClipping, RescaledSoftClipping])
@pytest.mark.parametrize("limits", [(1.0, 1.0), (2.0, -1.0), (float("nan"), 1.0)])
def test_an_empty_interval_is_refused(kind: type[SoftClipping], limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=rf"{kind.__name__}: x_min is {limits[0]} and x_max {limits[1]}; .* below"):
        kind(*limits)


def test_what_is_no_tensor_is_refused() -> None:
    with pytest.raises(NotATensorError, match=r"SoftClipping: x is 0\.5"):
        SoftClipping()(0.5)
