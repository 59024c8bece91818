"""Draw ``soft_comparison.png``, comparisons by mode, and ``soft_logic.png``, connectives of two shares.

``python docs/figures/soft_comparison.py``, from the repository's root.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torchcrop.soft as soft
from docs.figures.soft_style import HARD, MODES, by_mode, marked, save

THRESHOLD, SOFTNESS, TOLERANCE = 5.0, 0.5, 2.0

Operator = Callable[..., Tensor]
COMPARED: dict[str, tuple[Operator, tuple[float, ...]]] = {
    "greater(x, 5)": (soft.greater, (THRESHOLD,)),
    "less(x, 5)": (soft.less, (THRESHOLD,)),
    "eq(x, 5)": (soft.eq, (THRESHOLD,)),
    "isclose(x, 5, atol=2)": (
        lambda x, y, softness, mode: soft.isclose(x, y, softness, rtol=0.0, atol=TOLERANCE, mode=mode),
        (THRESHOLD - TOLERANCE, THRESHOLD + TOLERANCE),
    ),
}


def comparisons() -> None:
    x = torch.linspace(0, 10, 2001)
    figure, panels = by_mode(1, 4, (10.0, 2.7))
    for (name, (operator, marks)), axes in zip(COMPARED.items(), panels[0], strict=True):
        marked(axes, marks, SOFTNESS, f"± softness {SOFTNESS:g} mm")
        hard = operator(x, torch.tensor(THRESHOLD), softness=SOFTNESS, mode="hard")
        axes.plot(x, hard, color=HARD, lw=1.6, label="hard")
        for mode, colour in MODES.items():
            share = operator(x, torch.tensor(THRESHOLD), softness=SOFTNESS, mode=mode)
            axes.plot(x, share, color=colour, lw=1.3, label=mode)
        axes.set_title(name, fontsize=9.5)
        axes.set_xlabel("x, rain of a day [mm]", fontsize=8)
        axes.set_ylim(-0.05, 1.08)
        axes.tick_params(labelleft=axes is panels[0][0])
    panels[0][0].set_ylabel("share [-]", fontsize=9)
    figure.legend(
        *panels[0][0].get_legend_handles_labels(), loc="outside upper right", ncols=6, frameon=False, fontsize=8.5
    )
    save(figure, "soft_comparison.png")


CONNECTED: dict[str, Operator] = {
    "logical_and": soft.logical_and,
    "logical_or": soft.logical_or,
    "logical_xor": soft.logical_xor,
    "logical_and,\nuse_geometric_mean=True": lambda x, y: soft.logical_and(x, y, use_geometric_mean=True),
}


def connectives() -> None:
    share = torch.linspace(0, 1, 101)
    x, y = torch.meshgrid(share, share, indexing="xy")
    figure, panels = by_mode(1, 4, (10.0, 2.8))
    for (name, operator), axes in zip(CONNECTED.items(), panels[0], strict=True):
        levels = torch.linspace(0, 1, 11).tolist()
        filled = axes.contourf(x, y, operator(x, y), levels=levels, cmap="viridis")
        axes.contour(x, y, operator(x, y), levels=[0.5], colors="white", linewidths=1.2)
        axes.set_title(name, fontsize=9.5)
        axes.set_xlabel("x, share [-]", fontsize=8)
        axes.set_aspect("equal")
        axes.tick_params(labelleft=axes is panels[0][0])
    panels[0][0].set_ylabel("y, share [-]", fontsize=9)
    bar = figure.colorbar(filled, ax=panels[0], shrink=0.85, ticks=[0, 0.5, 1])
    bar.set_label("result [-], white: 0.5", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    save(figure, "soft_logic.png")


comparisons()
connectives()
