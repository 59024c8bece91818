"""What SoftTorch and SoftJAX print in their READMEs comes out of `torchcrop.soft` to the printed digit.

Their random examples were made with float64 as torch's default dtype, and so are these.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

import torchcrop.soft as soft
from tests.soft_cases import double_precision


@pytest.fixture(autouse=True)
def _in_double_precision() -> Iterator[None]:
    with double_precision():
        yield


def printed(found: Tensor, shown: object, digits: int = 4) -> None:
    """Fail unless numbers are the shown ones, these being rounded to `digits` decimals."""
    expected = torch.as_tensor(shown, dtype=torch.float64)
    torch.testing.assert_close(found.detach().double(), expected, rtol=0, atol=0.501 * 10.0**-digits)


def gradient(loss: Tensor, at: Tensor) -> Tensor:
    """Derivative of a loss; 0 where it has none."""
    if not loss.requires_grad:
        return torch.zeros_like(at)
    return torch.autograd.grad(loss, at)[0]


def descended(loss, start: Tensor, rate: float, steps: int) -> Tensor:
    """Where gradient descent at a constant rate arrives."""
    for _ in range(steps):
        start = start.detach().requires_grad_()
        start = start - rate * gradient(loss(start), start)
    return start.detach()


# --- SoftTorch's four programs ------------------------------------------------------------------------------


def test_median_regression_with_an_outlier() -> None:
    torch.manual_seed(0)
    inputs, weights = torch.randn(20, 3), torch.tensor([1.0, -2.0, 0.5])
    targets = inputs @ weights
    targets[0] = 1e6

    def loss(w: Tensor, mode: str = "smooth") -> Tensor:
        return soft.median(soft.abs(targets - inputs @ w, mode=mode), mode=mode)

    start = torch.zeros(3, requires_grad=True)
    printed(gradient(loss(start, "hard"), start), [0.2103, 0.1772, -0.8305])
    printed(gradient(loss(start), start), [0.0731, 0.7100, -0.2970])
    printed(descended(loss, torch.zeros(3), rate=0.1, steps=50), [1.0, -2.0, 0.5])


def test_features_selected_by_a_soft_topk() -> None:
    torch.manual_seed(42)
    inputs = torch.randn(100, 10)
    weights = torch.tensor([0, 2.0, 0, -1.5, 0, 0, 0, 5.0, 0, 0])
    targets = inputs @ weights + 0.1 * torch.randn(100)

    def loss(scores: Tensor, mode: str = "smooth") -> Tensor:
        chosen = soft.topk(scores, k=3, mode=mode, gated_grad=False).indices.sum(dim=0)
        return soft.abs((inputs * chosen) @ weights - targets).mean()

    start = torch.zeros(10, requires_grad=True)
    printed(gradient(loss(start, "hard"), start), torch.zeros(10))
    flat, slopes = 2359.3386, {1: 62.9980, 3: -890.2852, 7: -15688.0829}
    printed(gradient(loss(start), start), [slopes.get(i, flat) for i in range(10)])
    assert descended(loss, torch.zeros(10), rate=0.001, steps=5).topk(3).indices.tolist() == [7, 3, 1]


def test_threshold_learned_from_a_sum() -> None:
    x = torch.tensor([0.2, 0.8, 0.5, 1.2, 0.1])

    def loss(threshold: Tensor, mode: str = "smooth") -> Tensor:
        return ((soft.greater(x, threshold, mode=mode) * x).sum() - 2.0) ** 2

    start = torch.tensor(0.0, requires_grad=True)
    printed(gradient(loss(start, "hard"), start), 0.0)
    printed(gradient(loss(start), start), -0.6600)
    learned = descended(loss, torch.tensor(0.0), rate=0.1, steps=20)
    printed(learned, 0.6211)
    printed(learned, 0.6211048323197622, digits=12)


# Two features of sixteen samples, and whether one of them lies in the range that is to be found, 0.3 to 0.6.
SAMPLES = [
    *([0.2, 0.8], [0.5, 0.3], [0.9, 0.1], [0.4, 0.7], [0.1, 0.4], [0.2, 0.7], [0.4, 0.1], [0.4, 0.7]),
    *([0.7, 0.29], [0.3, 0.3], [0.61, 0.25], [0.4, 0.6], [0.0, 0.1], [0.5, 0.3], [0.4, 0.9], [0.1, 0.57]),
]
LABELS = [0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0]


@soft.st
def misjudged(bounds: Tensor, mode: str = "smooth") -> Tensor:
    """Number of samples that the rule `one feature lies within the bounds` gets wrong."""
    x, labels = torch.tensor(SAMPLES), torch.tensor(LABELS)
    within = soft.logical_and(soft.greater(x, bounds[0], mode=mode), soft.less(x, bounds[1], mode=mode))
    return ((soft.any(within, dim=-1) - labels) ** 2).sum()


def test_rule_learned_straight_through() -> None:
    start = torch.tensor([0.0, 1.0], requires_grad=True)
    hard = misjudged(start, mode="hard")
    assert hard.item() == 6.0
    printed(gradient(hard, start), [0.0, 0.0])
    straight = misjudged(start)
    assert straight.item() == 6.0
    printed(gradient(straight, start), [-4.2777, 1.4152])
    printed(descended(misjudged, torch.tensor([0.0, 1.0]), rate=0.01, steps=20), [0.2925, 0.5999])


# --- SoftTorch's short examples -----------------------------------------------------------------------------

X = [-0.2, -1.0, 0.3, 1.0]
Y = [0.2, -0.5, 0.5, -1.0]
A, B = [0.1, 0.2, 0.8, 1.0], [0.7, 0.3, 0.1, 0.9]

SHORT = {
    "abs": (lambda x, y: soft.abs(x), [0.1523, 0.9999, 0.2715, 0.9999]),
    "clamp": (lambda x, y: soft.clamp(x, -0.5, 0.5), [-0.1952, -0.4993, 0.2873, 0.4993]),
    "heaviside": (lambda x, y: soft.heaviside(x), [0.1192, 0.0, 0.9526, 1.0]),
    "relu": (lambda x, y: soft.relu(x), [0.0127, 0.0, 0.3049, 1.0]),
    "round": (lambda x, y: soft.round(x), [-0.0465, -1.0, 0.1189, 1.0]),
    "sign": (lambda x, y: soft.sign(x), [-0.7616, -0.9999, 0.9051, 0.9999]),
    "max": (lambda x, y: soft.max(x), 0.8874),
    "min": (lambda x, y: soft.min(x), -0.8996),
    "quantile": (lambda x, y: soft.quantile(x, q=0.2), -0.4501),
    "median": (lambda x, y: soft.median(x), -0.1641),
    "topk": (lambda x, y: soft.topk(x, k=3).values, [0.8738, 0.2767, -0.1641]),
    "rank": (lambda x, y: soft.rank(x, descending=False), [1.9950, 1.0548, 3.0239, 3.9228]),
    "rank hard": (lambda x, y: soft.rank(x, descending=False, mode="hard"), [2.0, 1.0, 3.0, 4.0]),
    "argmax": (lambda x, y: soft.argmax(x), [0.0215, 0.0022, 0.1176, 0.8586]),
    "argmin": (lambda x, y: soft.argmin(x), [0.0922, 0.8885, 0.0169, 0.0023]),
    "argquantile": (lambda x, y: soft.argquantile(x, q=0.2), [0.5403, 0.3693, 0.0902, 0.0001]),
    "argquantile hard": (lambda x, y: soft.argquantile(x, q=0.2, mode="hard"), [0.6, 0.4, 0.0, 0.0]),
    "argmedian": (lambda x, y: soft.median(x, dim=0).indices, [0.8009, 0.0491, 0.1498, 0.0002]),
    "argsort": (
        lambda x, y: soft.argsort(x),
        [
            [0.1494, 0.8496, 0.0009, 0.0000],
            [0.8009, 0.0491, 0.1498, 0.0002],
            [0.1418, 0.0001, 0.7899, 0.0681],
            [0.0011, 0.0000, 0.1784, 0.8205],
        ],
    ),
    "greater": (soft.greater, [0.0180, 0.0067, 0.1192, 1.0]),
    "less": (soft.less, [0.9820, 0.9933, 0.8808, 0.0]),
    "eq": (soft.eq, [0.0414, 0.0143, 0.3580, 0.0]),
    "not_equal": (soft.not_equal, [0.9586, 0.9857, 0.6420, 1.0]),
    "isclose": (soft.isclose, [0.0414, 0.0143, 0.3580, 0.0]),
    "where": (lambda x, y: soft.where(torch.tensor(A), x, y), [0.16, -0.6, 0.34, 1.0]),
    "relu_st": (lambda x, y: soft.relu_st(x), [0.0, 0.0, 0.3, 1.0]),
    "sort_st": (lambda x, y: soft.sort_st(x).values, [-1.0, -0.2, 0.3, 1.0]),
    "greater_st": (soft.greater_st, [0.0, 0.0, 0.0, 1.0]),
}


@pytest.mark.parametrize("example", SHORT)
def test_a_short_example(example: str) -> None:
    program, shown = SHORT[example]
    printed(program(torch.tensor(X), torch.tensor(Y)), shown)


SORTS = {
    ("softsort", "smooth", 0.1): [-0.8996, -0.1705, 0.2847, 0.8874],
    ("neuralsort", "smooth", 0.1): [-0.8792, -0.1641, 0.2767, 0.8738],
    ("fast_soft_sort", "smooth", 2.0): [-0.7462, -0.1971, 0.2938, 0.8569],
    ("ot", "smooth", 0.1): [-0.7324, -0.2396, 0.3286, 0.7434],
    ("sorting_network", "smooth", 0.1): [-0.7999, -0.2672, 0.3847, 0.7863],
    ("neuralsort", "hard", 0.5): [-1.0, -0.2, 0.3, 1.0],
    ("neuralsort", "smooth", 0.5): [-0.6057, -0.1997, 0.2729, 0.6281],
    ("neuralsort", "c0", 0.5): [-1.0, -0.6313, 0.6525, 0.9824],
    ("neuralsort", "c1", 0.5): [-0.9982, -0.5432, 0.5814, 0.9837],
    ("neuralsort", "c2", 0.5): [-0.9978, -0.4905, 0.5425, 0.9903],
}


@pytest.mark.parametrize(("method", "mode", "softness"), SORTS)
def test_a_sort(method: str, mode: str, softness: float) -> None:
    found = soft.sort(torch.tensor(X), method=method, mode=mode, softness=softness).values
    printed(found, SORTS[method, mode, softness])


@pytest.mark.parametrize(
    ("operator", "shown"),
    [
        (soft.logical_and, [0.07, 0.06, 0.08, 0.9]),
        (soft.logical_or, [0.73, 0.44, 0.82, 1.0]),
        (soft.logical_xor, [0.6411, 0.3464, 0.7256, 0.1]),
        (lambda a, b: soft.logical_not(a), [0.9, 0.8, 0.2, 0.0]),
        (lambda a, b: soft.all(a), 0.0160),
        (lambda a, b: soft.any(a), 1.0),
    ],
)
def test_a_logical_operator(operator, shown: object) -> None:
    printed(operator(torch.tensor(A), torch.tensor(B)), shown)


# --- SoftJAX -----------------------------------------------------------------------------------------------

# In SoftJAX the order came from SoftSort, without standardisation, and ranks counted from 0.
AS_SOFTJAX = {"softness": 0.1, "method": "softsort", "standardize": False}


@pytest.mark.parametrize(
    ("program", "shown"),
    [
        (lambda x: soft.argmax(x, **AS_SOFTJAX), [6.13857697e-06, 2.05926316e-09, 9.11045600e-04, 9.99082814e-01]),
        (lambda x: soft.argmin(x, **AS_SOFTJAX), [3.35349372e-04, 9.99662389e-01, 2.25956629e-06, 2.06045775e-09]),
        (lambda x: soft.topk(x, 3, **AS_SOFTJAX).values, [0.9993549, 0.29728716, -0.19691387]),
        (lambda x: soft.sort(x, **AS_SOFTJAX).values, [-0.99972878, -0.19691387, 0.29728716, 0.9993549]),
        (
            lambda x: soft.rank(x, descending=False, **AS_SOFTJAX) - 1,
            [1.00636968, 3.39874686e-04, 1.99421369, 2.99907667],
        ),
    ],
    ids=["argmax", "argmin", "topk", "sort", "rank"],
)
def test_a_number_of_softjax(program, shown: list[float]) -> None:
    printed(program(torch.tensor(X)), shown, digits=8)


def test_the_argmax_of_softjax_guide() -> None:
    printed(soft.argmax(torch.tensor([1.0, 2.0, 3.0]), **AS_SOFTJAX), [2.06106005e-09, 4.53978686e-05, 0.9999546], 8)


# --- SoftClipping --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "squash", "given"),
    [
        (2.0, torch.sigmoid, [-1.810297, -0.924234, 0.0, 0.924234, 1.810297]),
        (1.0, torch.sigmoid, [-0.905148, -0.462117, 0.0, 0.462117, 0.905148]),
        (2.0, torch.tanh, [-5.980219, -5.046377, -2.0, 1.046377, 1.980219]),
    ],
    ids=["sigmoid-2", "sigmoid-1", "tanh-2"],
)
def test_soft_clipping_gives_what_its_code_gives(limit: float, squash, given: list[float]) -> None:
    """What its page prints is another matter: no setting of the code gives those numbers."""
    printed(soft.SoftClipping(-limit, limit, squash)(torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])), given, digits=6)
