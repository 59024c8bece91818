"""`torchcrop.soft` against 4104 calls of another program, values and gradients, and where that program is wrong.

A case that does not agree with what is stored has to satisfy a rule of `RULES`, which says what is right and why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import torchcrop.soft as soft
from tests.conftest import SHARED
from tests.soft_cases import (
    Case,
    Rule,
    counts,
    differing_gradients,
    differing_outputs,
    double_precision,
    function_of,
    judged,
    load,
)

#: Of a failing operator, as many cases are listed.
LISTED = 10


@pytest.fixture(autouse=True)
def _in_double_precision() -> Iterator[None]:
    with double_precision():
        yield


# --- what is right where the stored answer is not ---------------------------------------------------------------


def against(case: Case, right: Callable[[Case, list[Tensor]], list[Tensor | None]]) -> list[str]:
    """What is wrong with our outputs and gradients, measured with an independent calculation."""
    inputs, ours = case.inputs(), case.inputs()
    # The index that the operators along an axis give with some methods is None.
    expected = [None if o["data"] is None else e for o, e in zip(case.outputs, right(case, inputs), strict=True)]
    outputs = case.call(function_of(case), ours)
    wrong = differing_outputs(case, outputs, expected)
    loss = case.loss(expected)
    if wrong or loss is None:
        return wrong
    gradients = torch.autograd.grad(loss, [x for x in inputs if x.requires_grad])
    return differing_gradients(case, case.loss(outputs), ours, gradients)


def option(case: Case, name: str, default: Any, inputs: list[Tensor]) -> Any:
    value = case.kwargs.get(name, default)
    return inputs[value["t"]] if isinstance(value, dict) else value


def isclose_of_at_most_one(case: Case, inputs: list[Tensor]) -> list[Tensor | None]:
    x, y = (inputs[a["t"]] for a in case.args)
    softness, mode = option(case, "softness", 0.1, inputs), case.kwargs.get("mode", "smooth")
    rtol, atol = case.kwargs.get("rtol", 1e-5), case.kwargs.get("atol", 1e-8)
    limit = atol + rtol * soft.abs(y, softness, mode) + case.kwargs.get("epsilon", 1e-10)

    def at_most(distance: Tensor) -> Tensor:
        return 1 - soft.sigmoidal(distance - limit, softness, mode)

    share = at_most(soft.abs(x - y, softness, mode)) / at_most(torch.zeros_like(x - y))
    if case.op.endswith("_st"):
        share = torch.isclose(x, y, rtol=rtol, atol=atol).to(x.dtype) + share - share.detach()
    return [share]


def round_of_a_centred_window(case: Case, inputs: list[Tensor]) -> list[Tensor | None]:
    x = inputs[case.args[0]["t"]].double()
    softness, mode = option(case, "softness", 0.1, inputs), case.kwargs.get("mode", "smooth")
    radius = case.kwargs.get("neighbor_radius", 5)
    nearest = torch.round(x).detach()
    offsets = torch.arange(-radius, radius + 1.0)
    distance = (x - nearest).unsqueeze(-1) - offsets
    weights = soft.sigmoidal(distance + 0.5, softness, mode) - soft.sigmoidal(distance - 0.5, softness, mode)
    return [nearest + (weights * offsets).sum(-1) / weights.sum(-1)]


def check_round(case: Case) -> list[str]:
    wrong = against(case, round_of_a_centred_window)
    softness = case.kwargs.get("softness", 0.1)
    if not isinstance(softness, dict) and softness < 0.25 and "neighbor_radius" not in case.kwargs:
        # A narrow staircase is the same with either window.
        wrong += differing_outputs(case, case.call(function_of(case), case.inputs()), case.stored(), atol=1e-6)
    return wrong


def check_far_out(case: Case) -> list[str]:
    """Where the stored gradient is NaN, that of the hard operator is right: so far out the soft one is at rest."""
    ours, hard = case.inputs(), case.inputs()
    outputs = case.call(function_of(case), ours)
    wrong = differing_outputs(case, outputs, case.stored())
    exact = {"sigmoidal": _step, "heaviside": _step, "softrelu": soft.relu}.get(case.op, function_of(case))
    at_rest = exact(*(hard[a["t"]] if isinstance(a, dict) else a for a in case.args), mode="hard")
    slopes = torch.autograd.grad(case.loss([at_rest]), hard)
    expected = [
        torch.where(torch.tensor(stored).reshape(slope.shape).isnan(), slope, torch.tensor(stored).reshape(slope.shape))
        for stored, slope in zip(case.gradients, slopes, strict=True)
    ]
    return wrong + differing_gradients(case, case.loss(outputs), ours, expected)


def log_of_what_is_not_0(case: Case, inputs: list[Tensor]) -> list[Tensor | None]:
    kwargs = {name: value for name, value in case.kwargs.items() if name != "return_log_probs"}
    answer = function_of(case)(*(inputs[a["t"]] if isinstance(a, dict) else a for a in case.args), **kwargs)
    # Scattered, so that the gradient does not pass log(0) on its way.
    logs = torch.full_like(answer, -math.inf)
    return [logs.masked_scatter(answer > 0, torch.log(answer[answer > 0]))]


def check_extreme(case: Case) -> list[str]:
    inputs = case.inputs()
    outputs = case.call(function_of(case), inputs)
    stored = [None if value is None else value.reshape(()) for value in case.stored()]
    return differing_outputs(case, outputs, stored) + differing_gradients(case, case.loss(outputs), inputs)


def _step(x: Tensor, mode: str) -> Tensor:
    return (torch.sign(x.detach()) + 1) / 2 + 0 * x


Lane = tuple[Tensor, Tensor] | None


def network(x: Tensor, step: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Sort by a bitonic network whose missing lanes are above all others: they change no value and no weight.

    Returns
    -------
    values : Tensor
        The sorted values, ascending. [n]
    weights : Tensor
        What of which element is in each of them. [n, n]
    """
    size = max(2, 2 ** math.ceil(math.log2(len(x))))
    lanes: list[Lane] = [(x[i], row) for i, row in enumerate(torch.eye(len(x)))] + [None] * (size - len(x))
    block = 2
    while block <= size:
        stride = block // 2
        while stride >= 1:
            for i in range(size):
                j = i ^ stride
                if j > i:
                    low, high = _compared(lanes[i], lanes[j], step)
                    lanes[i], lanes[j] = (low, high) if i & block == 0 else (high, low)
            stride //= 2
        block *= 2
    there = [lane for lane in lanes if lane is not None]
    return torch.stack([value for value, _ in there]), torch.stack([row for _, row in there])


def _compared(a: Lane, b: Lane, step: Callable[[Tensor], Tensor]) -> tuple[Lane, Lane]:
    if a is None or b is None:
        return (a, b) if b is None else (b, a)
    share = step(a[0] - b[0])

    def mixed(p: Tensor, q: Tensor) -> Tensor:
        return share * q + (1 - share) * p

    low = mixed(a[0], b[0]), mixed(a[1], b[1])
    return low, (mixed(b[0], a[0]), mixed(b[1], a[1]))


def sorted_without_padding(case: Case, inputs: list[Tensor]) -> list[Tensor | None]:
    x = inputs[0]
    mode, softness = case.kwargs.get("mode", "smooth"), option(case, "softness", 0.1, inputs)
    # Smallest of x is largest of -x, and so do the operators find it.
    sign = -1 if case.op in ("min", "argmin") else 1
    values, weights = network(sign * x, lambda d: soft.sigmoidal(d, softness, mode))
    down = case.kwargs.get("descending", case.op == "rank")

    def between(rows: Tensor) -> Tensor:
        q = 0.5 if "median" in case.op else case.args[1]
        if isinstance(q, dict):
            q = float(inputs[q["t"]])
        place = q * (len(x) - 1)
        low = math.floor(place)
        share = 0.0 if "median" in case.op else place - low
        return (1 - share) * rows[low] + share * rows[min(low + 1, len(x) - 1)]

    if case.op == "rank":
        shares = (weights.flip(0) if down else weights).T
        return [(shares / shares.sum(-1, keepdim=True)) @ torch.arange(1.0, len(x) + 1)]
    if case.op in ("argmax", "argmin"):
        return [weights[-1]]
    if case.op in ("max", "min"):
        return [sign * values[-1]]
    if "median" in case.op or "quantile" in case.op:
        return [between(weights if case.op.startswith("arg") else values)]
    if case.op == "topk":
        k = case.args[1]
        return [values.flip(0)[:k], weights.flip(0)[:k]]
    values, weights = (values.flip(0), weights.flip(0)) if down else (values, weights)
    return [weights] if case.op == "argsort" else [values, weights]


def is_soft(case: Case) -> bool:
    return case.kwargs.get("mode", "smooth") not in ("hard", "_hard") and case.error is None


def check_broadcast(case: Case) -> list[str]:
    operator, inputs = function_of(case), case.inputs()
    whole = case.call(operator, [x.contiguous() for x in torch.broadcast_tensors(*inputs)])
    same = len({x.shape for x in inputs}) > 1 and all(map(torch.equal, case.call(operator, inputs), whole))
    return [] if same else ["is not that of the operands in their common shape"]


RULES: dict[str, Rule] = {
    "isclose is at most 1": Rule(
        "it tends to 2 when the tolerance is not small against the softness; divided by its value at x = y it is a "
        "share, and `eq` where the tolerance is 0",
        lambda case: case.op.startswith("isclose") and is_soft(case),
        lambda case: against(case, isclose_of_at_most_one),
        cases=23,
    ),
    "round by a centred window": Rule(
        "the window is asymmetric about x and its weights do not sum to 1: biased, by thousands for large x, and with "
        "jumps at the integers",
        lambda case: case.op == "round" and is_soft(case),
        check_round,
        cases=14,
    ),
    "finite gradients far out": Rule(
        "powers of x that overflow, times 0, are NaN",
        lambda case: (
            case.group == "elementwise" and any(math.isnan(g) for gs in case.gradients or [] for g in gs or [])
        ),
        check_far_out,
        cases=23,
    ),
    "finite gradients of logarithms": Rule(
        "the gradient of log(0), infinite, times 0 is NaN; weights of 0 have no part in the loss",
        lambda case: case.group == "logprob" and any(math.isnan(g) for gs in case.gradients or [] for g in gs or []),
        lambda case: against(case, log_of_what_is_not_0),
        cases=43,
    ),
    "logic broadcasts": Rule(
        "operands of different shapes are refused; ours broadcast, as every operator of two tensors does",
        lambda case: case.group == "logical" and case.error is not None and len(case.tensors) == 2,
        check_broadcast,
        cases=4,
    ),
    "an extreme of all has no axis": Rule(
        "the largest of all elements of a matrix has the shape [1], that of a vector the shape []",
        lambda case: case.op in ("max", "min") and "dim" not in case.kwargs and len(case.tensors[0]["shape"]) > 1,
        check_extreme,
        cases=10,
    ),
    "a network without padding": Rule(
        "the lanes that fill a sorting network up are a constant above the global maximum: near enough to mix in, and "
        "with a wrong gradient at the maximum",
        lambda case: case.kwargs.get("method") == "sorting_network" and case.kwargs.get("standardize") is False,
        lambda case: against(case, sorted_without_padding),
        cases=40,
    ),
}


# --- the cases ----------------------------------------------------------------------------------------------------


def by_operator() -> list:
    if SHARED is None:
        return [pytest.param("", "", marks=pytest.mark.shared, id="softops")]
    return [
        pytest.param(group, op, marks=pytest.mark.shared, id=f"{group}-{op}")
        for group, ops in counts(SHARED)["by_op"].items()
        for op in ops
    ]


@pytest.mark.parametrize(("group", "op"), by_operator())
def test_an_operator_gives_what_is_stored(shared: Path, group: str, op: str) -> None:
    cases = [case for case in load(shared) if (case.group, case.op) == (group, op)]
    assert len(cases) == counts(shared)["by_op"][group][op]
    failed, _ = judged(cases, RULES)
    assert not failed, f"{len(failed)} of {len(cases)} cases:\n" + "\n".join(failed[:LISTED])


@pytest.mark.parametrize("name", RULES)
def test_a_rule_overrides_as_many_cases_as_it_says(shared: Path, name: str) -> None:
    """Of the cases that a rule applies to, the ones that agree with what is stored do not count."""
    rule = RULES[name]
    _, overridden = judged([case for case in load(shared) if rule.applies(case)], {name: rule})
    assert overridden[name] == rule.cases > 0


def test_all_cases_are_compared(shared: Path) -> None:
    cases = load(shared)
    assert len({case.id for case in cases}) == len(cases) == counts(shared)["cases"] == 4104
    assert {(case.group, case.op) for case in cases} == {tuple(p.values) for p in by_operator()}


def test_a_wrong_value_and_a_wrong_gradient_are_noticed(shared: Path) -> None:
    case = next(c for c in load(shared) if c.group == "elementwise" and c.op == "sigmoidal" and c.strict_gradient)
    (output,) = case.call(function_of(case), case.inputs())
    stored = case.stored()
    assert not differing_outputs(case, [output], stored)
    assert differing_outputs(case, [output * (1 + 1e-7)], stored)
    assert differing_outputs(case, [output.float()], stored)
    assert differing_outputs(case, [None], stored)
    for factor, noticed in ((1, False), (1 + 1e-4, True), (math.inf, True)):
        inputs = case.inputs()
        loss = factor * case.loss(case.call(function_of(case), inputs))
        assert bool(differing_gradients(case, loss, inputs)) is noticed
