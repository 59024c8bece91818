"""Draw ``soft_steps.png``, ``soft_ramps.png``, ``soft_roundings.png``: elementwise operators, a column for each mode.

``python docs/figures/soft_elementwise.py``, from the repository's root.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torchcrop.soft as soft
from docs.figures.soft_style import HARD, MODES, by_mode, marked, save

SOFTNESS = 0.1


class Row(NamedTuple):
    """An operator in a figure: its name, its values, where it jumps or bends, and from where to where it is drawn."""

    name: str
    operator: Callable[[Tensor, str, float], Tensor]
    marks: tuple[float, ...]
    ends: tuple[float, float]


def slope_of_step(x: Tensor, mode: str, softness: float) -> Tensor:
    if mode == "hard":
        return torch.zeros_like(x)
    x = x.clone().requires_grad_()
    return torch.autograd.grad(soft.heaviside(x, softness, mode).sum(), x)[0]


STEPS = [
    Row("heaviside(x)", lambda x, m, s: soft.heaviside(x, s, m), (0.0,), (-0.8, 0.8)),
    Row("its derivative", slope_of_step, (0.0,), (-0.8, 0.8)),
    Row("sign(x)", lambda x, m, s: soft.sign(x, s, m), (0.0,), (-0.8, 0.8)),
]
RAMPS = [
    Row("relu(x)", lambda x, m, s: soft.relu(x, s, m), (0.0,), (-0.8, 0.8)),
    Row("relu(x, gated=True)", lambda x, m, s: soft.relu(x, s, m, gated=True), (0.0,), (-0.8, 0.8)),
    Row("abs(x)", lambda x, m, s: soft.abs(x, s, m), (0.0,), (-0.8, 0.8)),
    Row("clamp(x, 0, 1)", lambda x, m, s: soft.clamp(x, 0.0, 1.0, s, m), (0.0, 1.0), (-0.6, 1.6)),
    Row("maximum(x, 0.3)", lambda x, m, s: soft.maximum(x, 0.3, s, m), (0.3,), (-0.5, 1.1)),
    Row("minimum(x, 0.3)", lambda x, m, s: soft.minimum(x, 0.3, s, m), (0.3,), (-0.5, 1.1)),
]
ENDS = (-1.75, 1.75)
HALVES, WHOLES = (-1.5, -0.5, 0.5, 1.5), (-1.0, 0.0, 1.0)
ROUNDINGS = [
    Row("round(x)", lambda x, m, s: soft.round(x, s, m), HALVES, ENDS),
    Row("floor(x)", lambda x, m, s: soft.floor(x, s, m), WHOLES, ENDS),
    Row("ceil(x)", lambda x, m, s: soft.ceil(x, s, m), WHOLES, ENDS),
    Row("trunc(x)", lambda x, m, s: soft.trunc(x, s, m), (-1.0, 1.0), ENDS),
    Row("remainder(x, 1)", lambda x, m, s: soft.remainder(x, 1.0, s, m), WHOLES, ENDS),
]


def draw(name: str, rows: list[Row], softness: tuple[float, float]) -> None:
    figure, panels = by_mode(len(rows), len(MODES), (10.0, 1.75 * len(rows) + 0.7))
    for row, line in zip(rows, panels, strict=True):
        x = torch.linspace(*row.ends, 1001)
        for (mode, colour), axes in zip(MODES.items(), line, strict=True):
            marked(axes, row.marks, softness[1], f"± softness {softness[1]:g}")
            hard = row.operator(x, "hard", softness[1])
            hard[1:][hard.diff().abs() > 0.4] = torch.nan
            axes.plot(x, hard, color=HARD, lw=1.6, label="hard")
            axes.plot(x, row.operator(x, mode, softness[0]), color=colour, lw=1.0, ls="--", label=f"{softness[0]:g}")
            axes.plot(x, row.operator(x, mode, softness[1]), color=colour, lw=1.6, label=f"softness {softness[1]:g}")
            axes.sharey(line[0])
            axes.tick_params(labelleft=axes is line[0])
        line[0].set_ylabel(row.name, fontsize=9)
    for mode, axes in zip(MODES, panels[0], strict=True):
        axes.set_title(f'mode="{mode}"', fontsize=10)
    for axes in panels[-1]:
        axes.set_xlabel("x [any unit, the softness too]", fontsize=8)
    names = ("hard", f"softness {softness[1]:g}", f"softness {softness[0]:g} (dashed)", f"± softness {softness[1]:g}")
    handles = dict(zip(("hard", "wide", "narrow", "mark"), names, strict=True))
    found = dict(zip(*panels[0][0].get_legend_handles_labels()[::-1], strict=True))
    order = [found["hard"], found[f"softness {softness[1]:g}"], found[f"{softness[0]:g}"], found[names[3]]]
    figure.legend(order, handles.values(), loc="outside upper right", ncols=4, frameon=False, fontsize=8.5)
    save(figure, name)


draw("soft_steps.png", STEPS, (0.05, SOFTNESS))
draw("soft_ramps.png", RAMPS, (0.05, SOFTNESS))
draw("soft_roundings.png", ROUNDINGS, (0.02, 0.05))
