"""Random draws with derivatives: hard draws have the distribution named, soft ones tend to them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from torchcrop.soft import random
from torchcrop.soft.checks import NotATensorError

F64 = torch.float64
DRAWS = 40_000
LOGITS = torch.tensor([0.0, 1.0, 2.0], dtype=F64)
P = torch.tensor([0.2, 0.5, 0.9], dtype=F64)
X = torch.tensor([3.0, -1.0, 2.0], dtype=F64)

#: Each draw as a function of the parameters that derivatives must reach.
CASES: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "bernoulli": (lambda fn, p, **k: fn(p, **k), (P,)),
    "binomial": (lambda fn, p, **k: fn(4, p, **k), (P,)),
    "categorical": (lambda fn, logits, **k: fn(logits, **k), (LOGITS,)),
    "choice": (lambda fn, x, p, **k: fn(x, 2, p, **k), (X, P)),
    "choice_without": (lambda fn, x, p, **k: fn(x, 2, p, replace=False, **k), (X, P)),
    "multinomial": (lambda fn, p, **k: fn(4, p, **k), (P,)),
    "permutation": (lambda fn, x, logits, **k: fn(x, 0, logits, **k), (X, LOGITS)),
    "rademacher": (lambda fn, p, **k: fn(p, **k), (P,)),
}
every_draw = pytest.mark.parametrize("name", CASES)
every_mode = pytest.mark.parametrize("mode", ["smooth", "c0", "c1", "c2"])


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def drawn(name: str, *parameters: Tensor, form: str = "", **options: Any) -> Tensor:
    call, own = CASES[name]
    fn = getattr(random, name.removesuffix("_without") + form)
    if "generator" not in options:
        options["generator"] = seeded()
    return call(fn, *(parameters or own), **options)


def standard_error(p: Tensor) -> Tensor:
    return (p * (1 - p) / DRAWS).sqrt()


def near(frequency: Tensor, p: Tensor) -> bool:
    """Whether a frequency in DRAWS draws is within four standard errors of a probability."""
    return bool(((frequency - p).abs() <= 4 * standard_error(p)).all())


# --- distributions of hard draws ------------------------------------------------------------------------


def test_hard_categories_have_their_probabilities() -> None:
    index = random.categorical(LOGITS, sample_shape=DRAWS, mode="hard", generator=seeded())
    assert index.shape == (DRAWS, 3)
    assert torch.equal(index.sum(-1), torch.ones(DRAWS, dtype=F64))
    assert set(index.unique().tolist()) == {0.0, 1.0}
    assert near(index.mean(0), LOGITS.softmax(0))


def test_hard_bernoulli_and_rademacher_draws_have_their_probabilities() -> None:
    p = torch.tensor([0.0, 0.2, 0.9, 1.0], dtype=F64)
    truth = random.bernoulli(p, DRAWS, mode="hard", generator=seeded())
    assert set(truth.unique().tolist()) == {0.0, 1.0}
    assert near(truth.mean(0), p)
    sign = random.rademacher(p, DRAWS, mode="hard", generator=seeded())
    assert torch.equal(sign, 2 * truth - 1)


def test_hard_counts_have_the_binomial_distribution() -> None:
    counts = random.binomial(3, P, DRAWS, mode="hard", generator=seeded())
    for k in range(4):
        expected = math.comb(3, k) * P**k * (1 - P) ** (3 - k)
        assert near((counts == k).double().mean(0), expected)


def test_hard_counts_have_the_multinomial_distribution() -> None:
    p = torch.tensor([[0.1, 0.0, 0.4]], dtype=F64)  # up to a factor
    counts = random.multinomial(2, p.T, dim=0, sample_shape=DRAWS, mode="hard", generator=seeded())
    assert counts.shape == (DRAWS, 3, 1)
    assert (counts.sum(1) == 2).all()
    assert (counts[:, 1] == 0).all()
    for k, expected in enumerate([0.8**2, 2 * 0.2 * 0.8, 0.2**2]):
        assert near((counts[:, 0, 0] == k).double().mean(), torch.tensor(expected))


def test_hard_choices_have_their_probabilities_with_and_without_replacement() -> None:
    x = torch.eye(3, dtype=F64)
    p = torch.tensor([0.2, 0.3, 0.5], dtype=F64)
    assert near(random.choice(x, DRAWS, p, mode="hard", generator=seeded()).mean(0), p)
    assert near(random.choice(x, DRAWS, mode="hard", generator=seeded()).mean(0), torch.full((3,), 1 / 3))
    generator, n = seeded(), 4000
    pairs = torch.stack([random.choice(x, 2, p, replace=False, mode="hard", generator=generator) for _ in range(n)])
    assert (pairs.sum(1) <= 1).all()
    for i, j in itertools.permutations(range(3), 2):
        expected = p[i] * p[j] / (1 - p[i])
        frequency = (pairs[:, 0, i] * pairs[:, 1, j]).mean()
        assert abs(frequency - expected) < 4 * (expected * (1 - expected) / n).sqrt()


def test_hard_permutations_have_the_plackett_luce_distribution() -> None:
    x, generator, n = torch.arange(3, dtype=F64), seeded(), 4000
    for logits in (None, LOGITS):
        weight = torch.ones(3) if logits is None else logits.exp()
        orders = torch.stack([random.permutation(x, 0, logits, mode="hard", generator=generator) for _ in range(n)])
        for order in itertools.permutations(range(3)):
            i, j, k = order
            expected = weight[i] / weight.sum() * weight[j] / (weight[j] + weight[k])
            frequency = (orders == torch.tensor(order)).all(-1).double().mean()
            assert abs(frequency - expected) < 4 * (expected * (1 - expected) / n).sqrt()


# --- soft draws -----------------------------------------------------------------------------------------


@every_draw
@every_mode
def test_the_soft_draw_tends_to_the_hard_draw_of_the_same_noise(name: str, mode: str) -> None:
    hard = drawn(name, mode="hard")
    errors = [(drawn(name, mode=mode, softness=s) - hard).abs().max().item() for s in (10.0, 1e-6)]
    assert errors[0] > 1e-3
    assert errors[1] < 1e-6


@every_draw
@every_mode
def test_first_and_second_derivatives_reach_the_parameters(name: str, mode: str) -> None:
    parameters = [t.clone().requires_grad_() for t in CASES[name][1]]

    def fn(*parameters: Tensor) -> Tensor:
        return drawn(name, *parameters, mode=mode, softness=2.0)

    assert torch.autograd.gradcheck(fn, parameters)
    gradients = torch.autograd.grad(
        (fn(*parameters) * torch.arange(1.0, fn(*parameters).shape[-1] + 1)).sum(), parameters
    )
    assert all(g.isfinite().all() and g.abs().max() > 1e-3 for g in gradients)
    if mode in ("smooth", "c2"):
        assert torch.autograd.gradgradcheck(fn, parameters)


def test_a_smooth_draw_of_categories_is_the_gumbel_softmax() -> None:
    u = torch.rand(5, 3, dtype=F64, generator=seeded())
    scores = LOGITS - (-torch.log1p(-u)).log()
    index = random.categorical(LOGITS, sample_shape=5, softness=0.7, generator=seeded())
    torch.testing.assert_close(index, (scores / 0.7).softmax(-1))


def test_a_category_of_probability_zero_has_finite_gradients() -> None:
    p = torch.tensor([0.0, 0.5, 0.5], requires_grad=True)
    counts = random.multinomial(3, p, generator=seeded())
    assert counts.isfinite().all()
    assert torch.autograd.grad((counts * torch.arange(3.0)).sum(), p)[0].isfinite().all()


@every_draw
@every_mode
def test_the_straight_through_form_has_the_hard_value_and_the_soft_gradient_of_the_same_noise(
    name: str, mode: str
) -> None:
    parameters = [t.clone().requires_grad_() for t in CASES[name][1]]
    soft = drawn(name, *parameters, mode=mode, softness=0.5)
    form = drawn(name, *parameters, mode=mode, softness=0.5, form="_st")
    assert torch.equal(form, drawn(name, mode="hard"))
    weights = torch.arange(1.0, soft.shape[-1] + 1, dtype=F64)
    for mine, expected in zip(
        torch.autograd.grad((form * weights).sum(), parameters),
        torch.autograd.grad((soft * weights).sum(), parameters),
        strict=True,
    ):
        assert torch.equal(mine, expected)


# --- shapes, dtypes, generators, transforms -------------------------------------------------------------


def test_shapes() -> None:
    logits = torch.rand(2, 3, 5)
    assert random.categorical(logits, dim=1, sample_shape=(4, 6)).shape == (4, 6, 2, 5, 3)
    assert random.categorical(logits).shape == (2, 3, 5)
    assert random.bernoulli(logits, 4).shape == (4, 2, 3, 5)
    assert random.binomial(7, logits, (4, 6)).shape == (4, 6, 2, 3, 5)
    assert random.multinomial(7, logits, dim=1, sample_shape=4).shape == (4, 2, 3, 5)
    assert random.choice(logits, 8, dim=-1).shape == (2, 3, 8)
    assert random.permutation(logits, dim=1).shape == (2, 3, 5)
    assert random.permutation(torch.rand(1)).shape == (1,)


@every_draw
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("form", ["", "_st"])
def test_dtypes_are_kept(name: str, dtype: torch.dtype, form: str) -> None:
    result = drawn(name, *[t.to(dtype) for t in CASES[name][1]], form=form)
    assert result.dtype == dtype
    assert result.isfinite().all()


@every_draw
def test_a_generator_repeats_the_draw_and_none_is_torchs_own(name: str) -> None:
    assert torch.equal(drawn(name), drawn(name))
    assert not torch.equal(drawn(name), drawn(name, generator=seeded(1)))
    torch.manual_seed(5)
    first = drawn(name, generator=None)
    torch.manual_seed(5)
    assert torch.equal(drawn(name, generator=None), first)


@every_draw
@pytest.mark.parametrize("form", ["", "_st"])
def test_vmap_draws_for_every_row_and_compile_has_no_break(name: str, form: str) -> None:
    def fn(*parameters: Tensor) -> Tensor:
        return drawn(name, *parameters, form=form, generator=None, softness=0.5)

    own = CASES[name][1]
    rows = torch.func.vmap(fn, randomness="different")(*[t.expand(6, *t.shape) for t in own])
    assert rows.shape == (6, *fn(*own).shape)
    assert len({tuple(row.flatten().tolist()) for row in rows}) > 1
    live = [t.clone().requires_grad_() for t in own]
    torch.compiler.reset()  # `fn` is one code object for all cases
    compiled = torch.compile(fn, fullgraph=True, backend="aot_eager")(*live)
    assert compiled.shape == rows.shape[1:]
    assert all(g.isfinite().all() for g in torch.autograd.grad(compiled.sum(), live))


# --- errors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: random.categorical(LOGITS, dim=1), ValueError, "categorical: dim 1 is out of bounds"),
        (
            lambda: random.categorical(LOGITS, sample_shape=-1),
            ValueError,
            "categorical: sample_shape is -1; .* least 0",
        ),
        (lambda: random.categorical(LOGITS, method="none"), ValueError, "argmax: .*method: 'none'"),
        (lambda: random.bernoulli(P, softness=0.0), ValueError, "softness must be positive"),
        (lambda: random.bernoulli(P, mode="none"), ValueError, "Invalid mode: 'none'"),
        (lambda: random.bernoulli(0.5), NotATensorError, r"bernoulli: p is 0\.5 .*as_tensor"),
        (lambda: random.rademacher(0.5), NotATensorError, r"rademacher: p is 0\.5"),
        (lambda: random.binomial(0, P), ValueError, "binomial: count is 0; it must be at least 1"),
        (lambda: random.binomial(2.0, P), TypeError, r"binomial: count is 2\.0; it must be an integer"),
        (lambda: random.multinomial(0, P), ValueError, "multinomial: total_count is 0; it must be at least 1"),
        (lambda: random.choice(X, 4, replace=False), ValueError, "choice: count is 4, but x has 3 .* replace=True"),
        (lambda: random.choice(X, 2, P[:2]), ValueError, r"choice: p has shape \(2,\); it must be \(3,\)"),
        (lambda: random.permutation(X, 0, P[:2]), ValueError, r"permutation: logits has shape \(2,\); .* \(3,\)"),
        (lambda: random.permutation(X, 1), ValueError, "permutation: dim 1 is out of bounds"),
    ],
)
def test_bad_arguments_are_refused(call: Callable[[], Tensor], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
