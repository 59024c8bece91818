"""Regularised optimal transport: marginals, optimality, derivatives of each order, transforms, and the border."""

import math
import warnings

import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from torchcrop.soft import transport_search
from torchcrop.soft.transport import options, shares

MODES = ("smooth", "c0", "c1", "c2")
POWER = {"c0": 1, "c1": 2, "c2": 3}


def plan(points: Tensor, anchors: Tensor, nu: Tensor, mode: str, softness: float = 1.0, **settings: float) -> Tensor:
    """Return the plan itself, shape ``(..., m, n)``."""
    return shares(points, softness, anchors, nu, range(len(anchors)), mode, **settings) * nu[..., None]  # type: ignore[arg-type]


def sorting_problem(batch: int, n: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Uniform random points, equally spaced anchors, uniform masses."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(batch, n, dtype=torch.float64, generator=generator)
    return points, torch.linspace(0, 1, n, dtype=torch.float64), torch.full((n,), 1 / n, dtype=torch.float64)


def uneven_problem(*batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Four points to three anchors with unequal masses: the supports have no ties."""
    generator = torch.Generator().manual_seed(3)
    points = torch.rand(*batch, 4, dtype=torch.float64, generator=generator)
    anchors = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    return points, anchors, torch.tensor([0.45, 0.35, 0.2], dtype=torch.float64)


def marginal_error(plan: Tensor, nu: Tensor) -> float:
    return max(float((plan.sum(-2) - 1 / plan.shape[-1]).abs().max()), float((plan.sum(-1) - nu).abs().max()))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("softness", [1e-4, 1e-3, 1e-2, 0.1, 1.0, 20.0])
def test_the_plan_carries_the_masses(mode: str, softness: float) -> None:
    points, anchors, nu = sorting_problem(8, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = plan(points, anchors, nu, mode, softness)
    assert (found >= 0).all()
    # Rounding of the cost, at most 1/softness, is the limit of what potentials can resolve.
    assert marginal_error(found, nu) <= 2e-14 + 1e-15 / softness


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("softness", [1e-3, 0.1, 1.0])
def test_the_plan_is_optimal(mode: str, softness: float) -> None:
    # KKT on the support: cost + dOmega/dplan is a sum f_i + g_j. The potentials come from the plan by least squares,
    # not from the solver. (That the support itself is right is for the independent solver below to say.)
    points, anchors, nu = uneven_problem()
    found = plan(points, anchors, nu, mode, softness)
    cost = (anchors[:, None] - points) ** 2 / softness
    marginal_cost = cost + (found.log() if mode == "smooth" else found ** (1 / POWER[mode]))
    support = (found > 1e-200).nonzero()
    design = torch.zeros(len(support), 7, dtype=torch.float64)
    for k, (j, i) in enumerate(support.tolist()):
        design[k, i], design[k, 4 + j] = 1.0, 1.0
    price = marginal_cost[support[:, 0], support[:, 1]]
    potentials = torch.linalg.lstsq(design, price.unsqueeze(-1), driver="gelsd").solution.squeeze(-1)
    assert (design @ potentials - price).abs().max() <= 1e-9 * (1 + price.abs().max())


@pytest.mark.parametrize("mode", MODES)
def test_the_plan_equals_that_of_an_independent_solver(mode: str) -> None:
    points, anchors, nu = uneven_problem()
    cost = (anchors[:, None] - points) ** 2 / 0.2

    def dual(potentials: object) -> tuple[float, object]:
        p = torch.as_tensor(potentials, dtype=torch.float64)
        slack = p[:3, None] + p[None, 3:] - cost
        if mode == "smooth":
            conjugate = plan = slack.exp()
        else:
            r = POWER[mode]
            plan, conjugate = slack.clamp(min=0) ** r, slack.clamp(min=0) ** (r + 1) / (r + 1)
        slope = torch.cat([plan.sum(1) - nu, plan.sum(0) - 0.25])
        return float(conjugate.sum() - p[:3] @ nu - p[3:].sum() / 4), slope.numpy()

    start = torch.full((7,), float(cost.mean()), dtype=torch.float64)
    found = minimize(dual, start.numpy(), jac=True, method="L-BFGS-B", options={"ftol": 1e-16, "gtol": 1e-11})
    p = torch.as_tensor(found.x)
    slack = p[:3, None] + p[None, 3:] - cost
    expected = slack.exp() if mode == "smooth" else slack.clamp(min=0) ** POWER[mode]
    torch.testing.assert_close(plan(points, anchors, nu, mode, 0.2), expected, rtol=0, atol=1e-6)


def test_the_smooth_plan_equals_plain_sinkhorn() -> None:
    points, anchors, nu = sorting_problem(3, 6)
    kernel = (-((anchors[:, None] - points[:, None]) ** 2) / 0.5).exp()
    u = torch.ones(3, 6, dtype=torch.float64)
    for _ in range(3000):
        v = nu / torch.einsum("bji,bi->bj", kernel, u)
        u = 1 / 6 / torch.einsum("bji,bj->bi", kernel, v)
    expected = v[..., None] * kernel * u[:, None]
    torch.testing.assert_close(plan(points, anchors, nu, "smooth", 0.5), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("softness", [0.1, 1.0])
def test_the_damped_search_agrees_with_the_quick_solution(mode: str, softness: float) -> None:
    points, anchors, nu = sorting_problem(4, 12)
    quick = plan(points, anchors, nu, mode, softness)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transport_search, "NEWTON", 1 - transport_search.SINKHORN if mode == "smooth" else 1)
        searched = plan(points, anchors, nu, mode, softness)
    assert not torch.equal(quick, searched)
    torch.testing.assert_close(searched, quick, rtol=0, atol=1e-11)


@pytest.mark.parametrize("mode", MODES)
def test_derivatives_are_those_of_the_plan(mode: str) -> None:
    points, anchors, nu = uneven_problem(2)
    softness = torch.tensor([[0.5], [0.3]], dtype=torch.float64, requires_grad=True)

    def some(points: Tensor, softness: Tensor) -> Tensor:
        return shares(points, softness, anchors, nu, [2, 0], mode)

    inputs = (points.requires_grad_(), softness)
    assert torch.autograd.gradcheck(some, inputs, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(some, inputs, atol=1e-4)


def test_derivatives_of_the_logarithm() -> None:
    points, anchors, nu = uneven_problem(2)

    def some(points: Tensor) -> Tensor:
        return shares(points, 0.05, anchors, nu, [2, 1], log=True)

    assert torch.autograd.gradcheck(some, (points.requires_grad_(),), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(some, (points,), atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("softness", [1e-3, 0.03, 1.0])
def test_the_blocked_gradient_is_that_of_ordinary_operations(mode: str, softness: float) -> None:
    points, anchors, nu = sorting_problem(40, 64)
    points.requires_grad_()
    found = shares(points, softness, anchors, nu, range(10, 60), mode)
    weights = torch.linspace(0, 9, found.numel(), dtype=torch.float64).reshape(found.shape).sin()
    (blocked,) = torch.autograd.grad((found * weights).sum(), points, retain_graph=True)
    (ordinary,) = torch.autograd.grad((found * weights).sum(), points, create_graph=True)
    torch.testing.assert_close(blocked, ordinary, rtol=1e-7, atol=1e-9 * float(blocked.abs().max()))


@pytest.mark.parametrize("mode", MODES)
def test_the_third_derivative_is_that_of_the_second(mode: str) -> None:
    points, anchors, nu = uneven_problem()
    direction = torch.tensor([0.3, -1.0, 0.8, 0.5], dtype=torch.float64)
    weights = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4).cos()

    def value(t: Tensor) -> Tensor:
        return (plan(points + t * direction, anchors, nu, mode, 0.5) * weights).sum()

    second = torch.func.grad(torch.func.grad(value))
    at, h = torch.zeros((), dtype=torch.float64), 1e-4
    difference = (second(at + h) - second(at - h)) / (2 * h)
    torch.testing.assert_close(torch.func.grad(second)(at), difference, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_transforms_agree_with_each_other(mode: str) -> None:
    points, anchors, nu = uneven_problem(5)

    def one(p: Tensor) -> Tensor:
        return plan(p, anchors, nu, mode, 0.3)

    alone = torch.stack([one(p) for p in points])
    torch.testing.assert_close(one(points), alone, rtol=0, atol=1e-13)
    torch.testing.assert_close(torch.vmap(one)(points), alone, rtol=0, atol=1e-13)
    torch.testing.assert_close(torch.vmap(one, in_dims=1, out_dims=2)(points.T), alone.permute(1, 2, 0))
    tangent = points.cos()
    _, pushed = torch.func.jvp(one, (points,), (tangent,))
    jacobian = torch.func.vmap(torch.func.jacrev(one))(points)
    torch.testing.assert_close(pushed, torch.einsum("bjik,bk->bji", jacobian, tangent), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(torch.func.vmap(torch.func.jacfwd(one))(points), jacobian, rtol=1e-9, atol=1e-12)


def test_each_problem_may_have_its_own_masses() -> None:
    points, anchors, nu = uneven_problem(2)
    several = torch.stack([nu, nu.flip(0), nu.roll(1)])
    together = plan(points[:, None], anchors, several, "c1", 0.3)
    for q, masses in enumerate(several):
        torch.testing.assert_close(together[:, q], plan(points, anchors, masses, "c1", 0.3), rtol=0, atol=1e-14)


@pytest.mark.parametrize("mode", ["smooth", "c1"])
def test_compiles_whole(mode: str) -> None:
    points, anchors, nu = uneven_problem(2)
    points.requires_grad_()
    compiled = torch.compile(lambda p: plan(p, anchors, nu, mode, 0.3), fullgraph=True, backend="aot_eager")
    expected, got = plan(points, anchors, nu, mode, 0.3), compiled(points)
    weights = got.detach().cos()
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(
        torch.autograd.grad((got * weights).sum(), points), torch.autograd.grad((expected * weights).sum(), points)
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_point_that_is_not_finite_stays_in_its_element(mode: str, bad: float) -> None:
    points, anchors, nu = uneven_problem(3)
    expected = plan(points, anchors, nu, mode, 0.3)
    points[1, 2] = bad
    points.requires_grad_()
    found = plan(points, anchors, nu, mode, 0.3)
    assert found[1].isnan().all()
    torch.testing.assert_close(found[::2], expected[::2], rtol=0, atol=1e-13)
    (gradient,) = torch.autograd.grad((found[::2] ** 2).sum(), points)
    assert gradient[::2].isfinite().all()
    assert gradient[::2].abs().max() > 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 3), (3, 1)])
def test_one_point_or_anchor_takes_all(mode: str, n: int, m: int) -> None:
    points, anchors, nu = sorting_problem(2, max(n, m))
    nu = nu[:m] * max(n, m) / m
    found = plan(points[:, :n], anchors[:m], nu, mode)
    torch.testing.assert_close(found, (nu[:, None] / n).expand(2, m, n), rtol=0, atol=1e-14)


@pytest.mark.parametrize("shape", [(0, 4), (2, 0)])
def test_empty_batches_and_axes(shape: tuple[int, int]) -> None:
    points = torch.zeros(shape, requires_grad=True)
    found = plan(points, torch.linspace(0, 1, 3).double(), torch.full((3,), 1 / 3).double(), "c1")
    assert found.shape == (shape[0], 3, shape[1])
    found.sum().backward()
    assert points.grad is not None


@pytest.mark.parametrize("mode", MODES)
def test_ties_are_finite_and_symmetric(mode: str) -> None:
    points = torch.tensor([[0.5, 0.5, 0.5], [0.2, 0.2, 0.9]], dtype=torch.float64, requires_grad=True)
    nu = torch.full((3,), 1 / 3, dtype=torch.float64)
    found = plan(points, torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), nu, mode, 0.1)
    torch.testing.assert_close(found[0], torch.full((3, 3), 1 / 9, dtype=torch.float64), rtol=0, atol=1e-13)
    torch.testing.assert_close(found[1, :, 0], found[1, :, 1], rtol=0, atol=1e-13)
    (gradient,) = torch.autograd.grad((found**2).sum(), points)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("mode", MODES)
def test_points_far_apart_are_sorted_exactly(mode: str) -> None:
    points = torch.tensor([[3e30, -1e30, 0.0, 1e20], [1e30, 1e30, -1e30, 2e30]], dtype=torch.float64)
    _, anchors, nu = sorting_problem(1, 4)
    found = shares(points, 0.1, anchors, nu, range(4), mode)
    expected = torch.zeros(2, 4, 4, dtype=torch.float64)
    expected[0, [0, 1, 2, 3], [1, 2, 3, 0]] = 1.0
    expected[1, [0, 3], [2, 3]] = 1.0
    expected[1, 1:3, :2] = 0.5  # the tie
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_the_logarithm_is_finite_where_the_plan_underflows() -> None:
    points, anchors, nu = sorting_problem(2, 4)
    logarithm = shares(points, 1e-4, anchors, nu, range(4), log=True)
    assert logarithm.isfinite().all()
    assert logarithm.min() < -745
    torch.testing.assert_close(logarithm.exp(), shares(points, 1e-4, anchors, nu, range(4)), rtol=0, atol=1e-13)


def test_single_precision_is_as_good_as_its_rounding() -> None:
    points, anchors, nu = sorting_problem(3, 16)
    single = shares(points.float(), 0.1, anchors, nu, range(16))
    assert single.dtype == torch.float32
    expected = shares(points.float().double(), 0.1, anchors, nu, range(16))
    torch.testing.assert_close(single.double(), expected, rtol=1e-6, atol=1e-7)


def test_says_when_the_iterations_do_not_suffice() -> None:
    points, anchors, nu = sorting_problem(2, 8)
    with pytest.warns(UserWarning, match="max_iterations = 2"):
        plan(points, anchors, nu, "c1", 1.0, max_iterations=2)


def test_options_take_the_published_names() -> None:
    given = {"sinkhorn_tol": 1e-6, "lbfgs_tol": 1e-7, "sinkhorn_max_iter": 5, "lbfgs_max_iter": 6}
    assert options("sort", "smooth", given) == (1e-6, 5)
    assert options("sort", "c1", given) == (1e-7, 6)
    assert options("sort", "c0", None)[0] <= 1e-13
    with pytest.raises(TypeError, match=r"sort: .*'tol'.*sinkhorn_tol.*lbfgs_max_iter"):
        options("sort", "smooth", {"tol": 1e-3})
    with pytest.raises(ValueError, match="sort: lbfgs_tol is -1"):
        options("sort", "c0", {"lbfgs_tol": -1})
    with pytest.raises(ValueError, match=r"sort: sinkhorn_max_iter is 1\.5"):
        options("sort", "smooth", {"sinkhorn_max_iter": 1.5})
