"""Draw ``soft_sort.png``, ``soft_rank.png`` and ``soft_permutation.png``: operators along an axis, by method and mode.

``python docs/figures/soft_axis.py``, from the repository's root.
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torchcrop.soft as soft
from docs.figures.soft_style import HARD, MODES, by_mode, save

# fast_soft_sort has a scale of its own.
SOFTNESS = {"softsort": 0.2, "neuralsort": 0.2, "ot": 0.2, "sorting_network": 0.2, "fast_soft_sort": 2.0}
FIXED = (-0.6, 0.1, 0.5)
ENDS = (-1.5, 1.5)
VALUES = (-0.2, -1.0, 0.3, 1.0, 0.1)


def moving(points: int) -> torch.Tensor:
    """Rows of four elements of which the last goes from one end to the other."""
    last = torch.linspace(*ENDS, points)
    return torch.cat([torch.tensor(FIXED).expand(points, -1), last[:, None]], -1)


def lines(name: str, quantity: str, points: int = 241) -> None:
    """Draw what an operator gives of the moving rows, a panel for each method and mode."""
    x = moving(points)
    figure, panels = by_mode(len(SOFTNESS), len(MODES), (10.0, 1.65 * len(SOFTNESS) + 0.7))
    for (method, softness), line in zip(SOFTNESS.items(), panels, strict=True):
        for (mode, colour), axes in zip(MODES.items(), line, strict=True):
            for chosen, how in (("hard", HARD), (mode, colour)):
                if quantity == "sort":
                    found = soft.sort(x, softness=softness, mode=chosen, method=method, return_indices=False).values
                else:
                    found = soft.rank(x, -1, softness=softness, mode=chosen, method=method, descending=False)[:, -1:]
                axes.plot(x[:, -1], found, color=how, lw=1.5 if chosen == "hard" else 1.2)
            for place in FIXED:
                axes.axvline(place, color="black", lw=0.5, ls=":")
            axes.sharey(line[0])
            axes.tick_params(labelleft=axes is line[0])
        line[0].set_ylabel(f"{method}\nsoftness {softness:g}", fontsize=8.5)
    for mode, axes in zip(MODES, panels[0], strict=True):
        axes.set_title(f'mode="{mode}"', fontsize=10)
    for axes in panels[-1]:
        axes.set_xlabel("moving element [any unit]", fontsize=8)
    what = "the four values of sort(x) [unit of x]" if quantity == "sort" else "rank of the moving element [-]"
    figure.suptitle(f"{what}; grey: hard; dotted: the other three elements", fontsize=9.5)
    save(figure, name)


def permutations() -> None:
    x = torch.tensor(VALUES)
    methods = [method for method in SOFTNESS if method != "fast_soft_sort"]
    figure, panels = by_mode(2, 5, (10.0, 4.6))
    for mode, line in zip(("smooth", "c1"), panels, strict=True):
        for method, axes in zip(["hard", *methods], line, strict=True):
            hard = method == "hard"
            shares = soft.argsort(x, mode="hard") if hard else soft.argsort(x, softness=0.1, mode=mode, method=method)
            image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
            for (i, j), share in [((i, j), float(shares[i, j])) for i in range(len(x)) for j in range(len(x))]:
                if share >= 0.005:
                    axes.text(
                        j,
                        i,
                        f"{share:.2f}",
                        ha="center",
                        va="center",
                        fontsize=6.5,
                        color="white" if share > 0.5 else "black",
                    )
            axes.grid(visible=False)
            axes.set_xticks(range(len(x)), [f"{value:g}" for value in VALUES])
            axes.set_yticks(range(len(x)), range(1, len(x) + 1))
            axes.set_title(method if hard else f'{method}\nmode="{mode}"', fontsize=9)
        line[0].set_ylabel("place [-], from the smallest", fontsize=8)
    for axes in panels[-1]:
        axes.set_xlabel("element of x [any unit]", fontsize=8)
    bar = figure.colorbar(image, ax=[axes for line in panels for axes in line], shrink=0.7)
    bar.set_label("share [-]", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    save(figure, "soft_permutation.png")


lines("soft_sort.png", "sort")
lines("soft_rank.png", "rank")
permutations()
