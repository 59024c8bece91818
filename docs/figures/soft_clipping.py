"""Draw ``soft_clipping.png``: soft clipping by two functions, plain and rescaled, beside a clamp.

``python docs/figures/soft_clipping.py``, from the repository's root.
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torchcrop.soft as soft
from docs.figures.soft_style import HARD, MODES, by_mode, save

LOW, HIGH = 0.0, 5.0
FUNCTIONS = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "arctan": torch.atan}

x = torch.linspace(-8, 13, 601)
figure, panels = by_mode(1, 3, (10.0, 3.2))
for kind, axes in zip((soft.SoftClipping, soft.RescaledSoftClipping), panels[0], strict=False):
    axes.plot(x, x.clamp(LOW, HIGH), color=HARD, lw=1.6, label="torch.clamp(x, 0, 5)")
    for (name, function), colour in zip(FUNCTIONS.items(), MODES.values(), strict=False):
        axes.plot(x, kind(LOW, HIGH, function)(x), color=colour, lw=1.3, label=name)
    axes.set_title(f"{kind.__name__}(0, 5, ...)", fontsize=9.5)
limited = panels[0][2]
limited.plot(x, x.clamp(LOW, HIGH), color=HARD, lw=1.6, label="torch.clamp(x, 0, 5)")
for mode, colour in MODES.items():
    limited.plot(x, soft.clamp(x, LOW, HIGH, softness=0.5, mode=mode), color=colour, lw=1.3, label=mode)
limited.set_title("soft.clamp(x, 0, 5, softness=0.5)", fontsize=9.5)
for axes in panels[0]:
    axes.set_ylim(-6, 8)
    axes.legend(frameon=False, fontsize=8)
    axes.set_xlabel("x, leaf area index as a network gives it [m² m⁻²]", fontsize=8)
panels[0][0].set_ylabel("clipped [m² m⁻²]", fontsize=9)
save(figure, "soft_clipping.png")
