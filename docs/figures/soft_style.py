"""What the figures of the soft operators share: colours, panels, and where they are written."""

from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

FIGURES = Path(__file__).resolve().parent
HARD = "#9a9a9a"
MODES = {"smooth": "#0072b2", "c0": "#d55e00", "c1": "#009e73", "c2": "#cc79a7"}


def tidy(axes: Axes) -> None:
    """Give a panel a grid and no box."""
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def marked(axes: Axes, places: tuple[float, ...], softness: float, label: str = "") -> None:
    """Shade one softness on either side of where an operator jumps or bends."""
    for i, place in enumerate(places):
        axes.axvspan(
            place - softness, place + softness, color="#f0e442", alpha=0.45, lw=0, label=label if not i else ""
        )


def by_mode(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[list[Axes]]]:
    """Give a grid of tidy panels."""
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        tidy(axes)
    return figure, panels.tolist()


def save(figure: Figure, name: str) -> None:
    """Write a figure beside this file."""
    figure.savefig(FIGURES / name, dpi=120)
