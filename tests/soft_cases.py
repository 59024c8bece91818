"""The cases of ../shared/softops for `torchcrop.soft`: read, call, compare.

A case is a call with the outputs and the gradients that another program gave for it (FIXTURES.md there). Everything is
computed with float64 as torch's default dtype.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import torchcrop.functions.smoothing as smoothing
import torchcrop.soft as soft

Function = Callable[..., Any]

# Where a case gives no tolerance, as the ones that raise.
TOLERANCES = {"rtol": 1e-9, "atol": 1e-11, "grad_rtol": 1e-6, "grad_atol": 1e-8}


class Case:
    """One case: what is called, what came out."""

    def __init__(self, stored: dict[str, Any]) -> None:
        self.id: str = stored["id"]
        self.group: str = stored["group"]
        self.op: str = stored["op"]
        self.args: list[Any] = stored["args"]
        self.kwargs: dict[str, Any] = stored["kwargs"]
        self.tensors: list[dict[str, Any]] = stored["tensors"]
        self.error: str | None = stored.get("error")
        self.outputs: list[dict[str, Any]] = stored.get("out") or []
        self.cotangents: list[list[float] | None] = stored.get("cot") or []
        self.gradients: list[list[float] | None] | None = stored.get("grads")
        self.strict_gradient: bool = stored.get("strict_grad", True)
        self.note: str = stored.get("note") or ""
        given = {name: stored.get(name) for name in TOLERANCES}
        self.tolerances = {name: TOLERANCES[name] if value is None else value for name, value in given.items()}

    def inputs(self) -> list[Tensor]:
        """Make the tensors of the call anew."""
        return [
            torch.tensor(t["data"], dtype=getattr(torch, t["dtype"])).reshape(t["shape"]).requires_grad_(t["grad"])
            for t in self.tensors
        ]

    def call(self, function: Function, inputs: Sequence[Tensor]) -> list[Tensor | None]:
        """Return the outputs of a call, None where the operator gives none."""

        def given(value: Any) -> Any:
            return inputs[value["t"]] if isinstance(value, dict) else value

        answer = function(*map(given, self.args), **{name: given(value) for name, value in self.kwargs.items()})
        return [answer] if isinstance(answer, Tensor) else list(answer)

    def stored(self) -> list[Tensor | None]:
        """The outputs as they are stored."""
        return [
            None if o["data"] is None else torch.tensor(o["data"], dtype=getattr(torch, o["dtype"])).reshape(o["shape"])
            for o in self.outputs
        ]

    def loss(self, outputs: Sequence[Tensor | None]) -> Tensor | None:
        """Sum of the finite outputs times their cotangents; None where nothing carries a gradient."""
        terms = [
            (torch.where(output.isfinite(), output, 0.0) * torch.tensor(cotangent).reshape(output.shape)).sum()
            for output, cotangent in zip(outputs, self.cotangents, strict=True)
            if output is not None and cotangent is not None and output.requires_grad
        ]
        return sum(terms[1:], terms[0]) if terms else None


def shared_folder(shared: Path) -> Path:
    return shared / "softops"


def counts(shared: Path) -> dict[str, Any]:
    """How many cases there are, by group and operator."""
    found: dict[str, Any] = json.loads((shared_folder(shared) / "index.json").read_text())
    return found


@cache
def load(shared: Path) -> tuple[Case, ...]:
    with gzip.open(shared_folder(shared) / "cases.jsonl.gz", "rt") as lines:
        return tuple(Case(json.loads(line)) for line in lines)


@contextmanager
def double_precision() -> Iterator[None]:
    """float64 as torch's default dtype, for the length of a block."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


# --- what a case calls ---------------------------------------------------------------------------------------


def _relu_product(x: Tensor, y: Tensor, mode: str = "smooth", softness: float = 0.1) -> Tensor:
    return soft.relu(x, softness, mode) * soft.relu(y, softness, mode)


def _relu_st_product(x: Tensor, y: Tensor, mode: str = "smooth", softness: float = 0.1) -> Tensor:
    return soft.relu_st(x, softness=softness, mode=mode) * soft.relu_st(y, softness=softness, mode=mode)


def _floor_or_square(x: Tensor, forward: bool = True) -> Tensor:
    return torch.floor(x) if forward else 2 * x**2


def _not_greater(x: Tensor, y: Any, **options: Any) -> Tensor:
    return soft.logical_not(soft.greater_st(x, y, **options))


def _larger(x: Tensor, y: Tensor, **options: Any) -> Tensor:
    return soft.where(soft.greater(x, y, **options), x, y)


def _clipping(x: Tensor, x_min: float, x_max: float, clip_func: str) -> Tensor:
    return soft.SoftClipping(x_min, x_max, getattr(torch, clip_func))(x)


def _indices_of_topk(*args: Any, **kwargs: Any) -> Tensor:
    return soft.topk(*args, **kwargs).indices


def function_of(case: Case) -> Function:
    """What a case calls."""
    if case.group == "torchcrop":
        found: Function = getattr(smoothing, case.op)
        return found
    if case.group == "logprob" and case.op == "topk":
        return _indices_of_topk
    composites: dict[str, Function] = {
        "SoftClipping": _clipping,
        "grad_replace_floor": lambda x: soft.grad_replace(_floor_or_square)(x),
        "not_greater_st": _not_greater,
        "relu_prod_naive": _relu_st_product,
        "relu_prod_nested_st": lambda x, y, **options: soft.st(_relu_st_product)(x, y, **options),
        "relu_prod_outer_st": lambda x, y, **options: soft.st(_relu_product)(x, y, **options),
        "soft_where_greater": _larger,
    }
    return composites.get(case.op) or getattr(soft, case.op)


# --- comparisons -----------------------------------------------------------------------------------------------


def deviations(case: Case) -> list[str]:
    """What is wrong with our answer to a case; nothing where it is right."""
    inputs = case.inputs()
    try:
        outputs = case.call(function_of(case), inputs)
    except Exception as error:
        if case.error in {kind.__name__ for kind in type(error).__mro__}:
            return []
        return [f"{type(error).__name__} instead of {case.error or 'an answer'}: {str(error)[:150]}"]
    if case.error is not None:
        return [f"no {case.error}"]
    wrong = differing_outputs(case, outputs, case.stored())
    return wrong or differing_gradients(case, case.loss(outputs), inputs)


def differing_outputs(
    case: Case, outputs: Sequence[Tensor | None], expected: Sequence[Tensor | None], atol: float | None = None
) -> list[str]:
    """What is wrong with outputs: None where there should be some, shape, dtype, numbers."""
    if len(outputs) != len(expected):
        return [f"{len(outputs)} outputs instead of {len(expected)}"]
    wrong = []
    for stored, ours, right in zip(case.outputs, outputs, expected, strict=True):
        name = stored["name"]
        if ours is None or right is None:
            wrong += [] if ours is right else [f"{name} is {'None' if ours is None else 'not None'}"]
        elif ours.shape != right.shape or ours.dtype != right.dtype:
            wrong.append(f"{name} is {list(ours.shape)} {ours.dtype}, not {list(right.shape)} {right.dtype}")
        elif "tie order" in case.note and (name == "indices" or case.op.startswith("arg")):
            # Which of equals comes first is nobody's promise; that it is one of them, the values say.
            wrong += [] if torch.equal(ours.sum(-1), torch.ones_like(ours.sum(-1))) else [f"{name} does not sum to 1"]
        else:
            limits = (case.tolerances["rtol"], case.tolerances["atol"]) if atol is None else (0.0, atol)
            wrong += _apart(name, ours.detach(), right.detach(), *limits)
    return wrong


def differing_gradients(
    case: Case, loss: Tensor | None, inputs: Sequence[Tensor], expected: Sequence[Tensor] | None = None
) -> list[str]:
    """What is wrong with the gradients of a loss: not finite, or not the stored (or expected) ones."""
    wanted = [x for x in inputs if x.requires_grad]
    if expected is None and case.gradients is not None:
        stored = [g for g, t in zip(case.gradients, case.tensors, strict=True) if t["grad"]]
        expected = [
            torch.zeros_like(x) if g is None else torch.tensor(g, dtype=x.dtype).reshape(x.shape)
            for x, g in zip(wanted, stored, strict=True)
        ]
    if loss is None:
        lost = case.strict_gradient and any(bool(g.any()) for g in expected or [])
        return ["no gradient"] if lost else []
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    gradients = [torch.zeros_like(x) if g is None else g for x, g in zip(wanted, found, strict=True)]
    wrong = [f"gradient {i} is not finite" for i, g in enumerate(gradients) if not _may_be_finite(case, g)]
    if wrong or not case.strict_gradient or expected is None:
        return wrong
    limits = case.tolerances["grad_rtol"], case.tolerances["grad_atol"]
    for i, (ours, right) in enumerate(zip(gradients, expected, strict=True)):
        wrong += _apart(f"gradient {i}", ours, right, *limits)
    return wrong


def _may_be_finite(case: Case, gradient: Tensor) -> bool:
    """Whether a gradient is finite, or cannot be: NaN or inf in the input are on its way."""
    there = all(torch.tensor(t["data"], dtype=torch.float64).isfinite().all() for t in case.tensors)
    return bool(gradient.isfinite().all()) or not there


def _apart(name: str, found: Tensor, expected: Tensor, rtol: float, atol: float) -> list[str]:
    if torch.allclose(found, expected, rtol=rtol, atol=atol, equal_nan=True):
        return []
    if not torch.equal(found.isfinite(), expected.isfinite()):
        return [f"{name}: not finite at other places than expected"]
    distance = torch.where(found.isfinite(), found - expected, 0.0).abs()
    return [f"{name} off by {float(distance.max()):.2g} (of {float(expected.nan_to_num().abs().max()):.3g})"]


# --- where the stored answer is wrong -------------------------------------------------------------------------


class Rule(NamedTuple):
    """A defect of the other program: what our answer is compared with instead.

    `cases` of those that it `applies` to do not agree with what is stored; these have to satisfy `check`, which returns
    what is wrong. The number is fixed so that a rule cannot grow, nor outlive its reason.
    """

    reason: str
    applies: Callable[[Case], bool]
    check: Callable[[Case], list[str]]
    cases: int


def judged(cases: Sequence[Case], rules: dict[str, Rule]) -> tuple[list[str], Counter[str]]:
    """Compare cases with what is stored, or with what a rule puts in its place.

    Returns
    -------
    list of str
        The cases that fail and why.
    Counter of str
        How many cases each rule has overridden.
    """
    failed, overridden = [], Counter[str]()
    for case in cases:
        wrong = deviations(case)
        rule = next((name for name, r in rules.items() if r.applies(case)), None) if wrong else None
        if rule is not None:
            overridden[rule] += 1
            wrong = [f"{what} (rule {rule})" for what in rules[rule].check(case)]
        if wrong:
            failed.append(f"{case.id}: {'; '.join(wrong)}")
    return failed, overridden
