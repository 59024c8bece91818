"""The soft sorting network: against comparators written out one by one, on hard inputs, under torch's transforms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from torchcrop.soft.network import network_matrix, network_sorted

MODES = ("smooth", "c0", "c1", "c2")
SIZES = (1, 2, 3, 4, 5, 7, 8, 13, 16)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def soft_step(x: float, softness: float, mode: str) -> float:
    if mode == "smooth":
        return 1 / (1 + math.exp(-x / softness))
    u = min(max(x / (5 * softness), -1.0), 1.0)
    return {"c0": (1 + u) / 2, "c1": 0.5 + 0.75 * u - 0.25 * u**3}.get(
        mode, 0.5 + 15 * u / 16 - 5 * u**3 / 8 + 3 * u**5 / 16
    )


def by_comparators(z: list[float], softness: float, mode: str, pad: float | None) -> list[float]:
    """The network wire by wire; a pad of None is an infinity, whose comparators swap or do not."""
    n = len(z)
    wires = max(2, 1 << (n - 1).bit_length())
    x = z + [math.inf if pad is None else pad] * (wires - n)
    length = 2
    while length <= wires:
        half = length // 2
        while half:
            for i in range(wires):
                j = i ^ half
                if j < i:
                    continue
                low, high = (i, j) if i & length == 0 else (j, i)
                a, b = x[low], x[high]
                if math.isinf(a) or math.isinf(b):
                    x[low], x[high] = min(a, b), max(a, b)
                else:
                    share = soft_step(a - b, softness, mode)
                    x[low], x[high] = share * b + (1 - share) * a, share * a + (1 - share) * b
            half //= 2
        length *= 2
    return x[:n]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n", SIZES)
def test_agrees_with_the_comparators_one_by_one(mode: str, n: int) -> None:
    for seed, softness in enumerate((0.05, 0.5, 2.0)):
        z = random(n, seed=seed).sigmoid()
        for pad in (None, 1.0):
            expected = torch.tensor(by_comparators(z.tolist(), softness, mode, pad), dtype=z.dtype)
            torch.testing.assert_close(network_sorted(z, softness, mode, pad=pad), expected, rtol=1e-12, atol=1e-12)
            torch.testing.assert_close(
                network_sorted(z, softness, mode, descending=True, pad=pad), expected.flip(0), rtol=1e-12, atol=1e-12
            )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("descending", [False, True])
def test_matrix_times_z_is_the_values(mode: str, n: int, descending: bool) -> None:
    z = random(2, 3, n)
    values, matrix = network_matrix(z, 0.5, mode, descending=descending)
    assert matrix.shape == (2, 3, n, n)
    torch.testing.assert_close(values, network_sorted(z, 0.5, mode, descending=descending))
    torch.testing.assert_close((matrix @ z[..., None])[..., 0], values, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(matrix.sum(-1), torch.ones_like(z))
    torch.testing.assert_close(matrix.sum(-2), torch.ones_like(z))
    assert (matrix >= 0).all()


@pytest.mark.parametrize("mode", MODES)
def test_a_number_as_pad_takes_its_share_and_the_matrix_leaves_it_out(mode: str) -> None:
    z = random(4, 5).sigmoid()
    values, matrix = network_matrix(z, 0.3, mode, pad=1.0)
    torch.testing.assert_close(matrix.sum(-1), torch.ones_like(z))
    assert (values.sum(-1) > z.sum(-1) + 1e-3).all()


@pytest.mark.parametrize("mode", MODES)
def test_without_a_pad_the_sum_is_kept(mode: str) -> None:
    z = random(4, 11)
    for softness in (0.01, 1.0, 100.0):
        torch.testing.assert_close(network_sorted(z, softness, mode).sum(-1), z.sum(-1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", ["c0", "c1", "c2"])
@pytest.mark.parametrize("n", SIZES)
def test_tiny_softness_is_the_exact_sort(mode: str, n: int) -> None:
    z = random(6, n)
    assert torch.equal(network_sorted(z, 1e-9, mode), z.sort(-1).values)
    values, matrix = network_matrix(z, 1e-9, mode, descending=True)
    hard = z.sort(-1, descending=True)
    assert torch.equal(values, hard.values)
    assert torch.equal(matrix, torch.nn.functional.one_hot(hard.indices, n).double())


@pytest.mark.parametrize("mode", MODES)
def test_rows_do_not_influence_each_other(mode: str) -> None:
    z = random(2, 5)
    alone = network_sorted(z, 1.0, mode)
    z[1] *= 1e6
    assert torch.equal(network_sorted(z, 1.0, mode)[0], alone[0])


@pytest.mark.parametrize("mode", ["smooth", "c1", "c2"])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("softness", [0.1, 1.0])
def test_first_and_second_derivatives(mode: str, n: int, softness: float) -> None:
    z = random(2, n).requires_grad_()
    s = torch.tensor([[softness], [1.3 * softness]], dtype=torch.float64, requires_grad=True)
    for function in (
        lambda z, s: network_sorted(z, s, mode),
        lambda z, s: network_matrix(z, s, mode),
        lambda z, s: network_matrix(z.sigmoid(), s, mode, pad=1.0),
    ):
        assert gradcheck(function, (z, s))
        if mode != "c1":
            assert gradgradcheck(function, (z, s), atol=1e-4, rtol=1e-4)


def test_first_derivatives_of_c0_between_its_kinks() -> None:
    z = random(2, 5).requires_grad_()
    assert gradcheck(lambda z: network_sorted(z, 0.7, "c0"), (z,))


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_is_its_rows_one_by_one(mode: str) -> None:
    z = random(3, 4, 6)
    softness = random(3, 4, 1, seed=1).exp()
    expected = torch.stack(
        [network_sorted(r, float(s), mode) for r, s in zip(z.reshape(12, 6), softness.reshape(12), strict=True)]
    ).reshape(3, 4, 6)
    torch.testing.assert_close(network_sorted(z, softness, mode), expected)
    mapped = torch.func.vmap(torch.func.vmap(lambda z, s: network_sorted(z, s, mode)))(z, softness)
    torch.testing.assert_close(mapped, expected)
    shared = network_sorted(z, softness[0], mode)
    torch.testing.assert_close(shared, network_sorted(z, softness[0].expand(3, 4, 1), mode))
    matrix = torch.func.vmap(lambda z: network_matrix(z, 0.5, mode)[1])(z)
    torch.testing.assert_close(matrix, network_matrix(z, 0.5, mode)[1])


@pytest.mark.parametrize("mode", MODES)
def test_forward_and_reverse_mode_agree(mode: str) -> None:
    z, tangent = random(5), random(5, seed=2)

    def function(z: Tensor) -> Tensor:
        return network_sorted(z, 0.7, mode)

    reverse = torch.func.jacrev(function)(z)
    torch.testing.assert_close(torch.func.jacfwd(function)(z), reverse)
    torch.testing.assert_close(torch.func.jvp(function, (z,), (tangent,))[1], reverse @ tangent)
    hessian = torch.func.hessian(function)(z)
    torch.testing.assert_close(hessian, hessian.mT)


@pytest.mark.parametrize("mode", MODES)
def test_compiles_without_a_graph_break(mode: str) -> None:
    torch._dynamo.reset()
    z, softness = random(3, 5).requires_grad_(), torch.tensor(0.6, dtype=torch.float64, requires_grad=True)

    def function(z: Tensor, softness: Tensor) -> Tensor:
        values, matrix = network_matrix(z, softness, mode)
        return values + (matrix * values[..., None]).sum(-1)

    expected, got = function(z, softness), torch.compile(function, backend="aot_eager", fullgraph=True)(z, softness)
    torch.testing.assert_close(got, expected)
    for a, b in zip(
        torch.autograd.grad(got.square().sum(), (z, softness)),
        torch.autograd.grad(expected.square().sum(), (z, softness)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("mode", MODES)
def test_constant_rows_stay_constant(mode: str) -> None:
    for value in (0.0, 2.0, -1e30):
        z = torch.full((2, 6), value, requires_grad=True)
        values, matrix = network_matrix(z, 0.1, mode)
        torch.testing.assert_close(values, z, rtol=1e-6, atol=0)
        (gradient,) = torch.autograd.grad(values.sum() + matrix[..., 0].sum(), z)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("mode", MODES)
def test_large_inputs_in_float32_are_finite_with_their_derivatives(mode: str) -> None:
    z = torch.tensor([[1e30, -1e30, 0, 1.0, 1e30], [1e30, 1e20, 1e10, 1.0, 0]], requires_grad=True)
    for softness in (0.1, 100.0):
        values, matrix = network_matrix(z, softness, mode)
        (gradient,) = torch.autograd.grad((values * random(2, 5).float()).sum() + matrix[..., 0].sum(), z)
        for t in (values, matrix, gradient):
            assert t.isfinite().all()
    torch.testing.assert_close(values, z.sort(-1).values, rtol=1e-5, atol=100.0)


@pytest.mark.parametrize("mode", MODES)
def test_nan_stays_in_its_row(mode: str) -> None:
    z = random(3, 5)
    alone = network_sorted(z[[0, 2]], 1.0, mode)
    z[1, 2] = torch.nan
    result = network_sorted(z.requires_grad_(), 1.0, mode)
    torch.testing.assert_close(result[[0, 2]], alone)
    assert result[1].isnan().any()
    (gradient,) = torch.autograd.grad(result[[0, 2]].sum(), z)
    assert gradient[[0, 2]].isfinite().all()


@pytest.mark.parametrize("mode", MODES)
def test_empty_axes_and_batches(mode: str) -> None:
    for shape in ((0,), (3, 0), (0, 5)):
        z = torch.zeros(shape, requires_grad=True)
        values, matrix = network_matrix(z, 0.1, mode)
        assert values.shape == network_sorted(z, 0.1, mode).shape == shape
        assert matrix.shape == (*shape, shape[-1])
        (values.sum() + matrix.sum()).backward()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_precisions_give_the_float64_result(mode: str, dtype: torch.dtype) -> None:
    z = random(4, 9).to(dtype)
    for result, expected in zip(network_matrix(z, 0.5, mode), network_matrix(z.double(), 0.5, mode), strict=True):
        assert result.dtype == dtype
        assert (result.double() - expected).abs().max() <= 32 * torch.finfo(dtype).eps
    edge = torch.tensor([60000.0, -60000.0, 59000.0], dtype=torch.float16, requires_grad=True)
    values = network_sorted(edge, 0.1, mode)
    values.sum().backward()
    assert torch.equal(values, edge.sort().values)
    assert edge.grad is not None
    assert edge.grad.isfinite().all()
