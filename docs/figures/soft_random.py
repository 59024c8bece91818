"""Draw ``soft_random.png``: how decided soft draws are, by mode and softness.

``python docs/figures/soft_random.py``, from the repository's root.
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torchcrop.soft as soft
from docs.figures.soft_style import MODES, by_mode, save

P = (0.5, 0.3, 0.2)
DRAWS = 40_000

torch.manual_seed(0)
figure, panels = by_mode(1, 4, (10.0, 2.7))
for (mode, colour), axes in zip(MODES.items(), panels[0], strict=True):
    for softness, style in ((0.1, "-"), (0.5, "--"), (2.0, ":")):
        logits = torch.tensor(P).log()
        weight = soft.random.categorical(logits, sample_shape=DRAWS, softness=softness, mode=mode)[:, 0]
        counts = torch.histc(weight, 20, 0.0, 1.0) / DRAWS
        axes.stairs(counts, torch.linspace(0, 1, 21), color=colour, ls=style, lw=1.3, label=f"softness {softness:g}")
    axes.axhline(P[0], color="#9a9a9a", lw=1.0, label="hard: 0.5 at either end")
    axes.set_title(f'mode="{mode}"', fontsize=9.5)
    axes.set_xlabel("weight of the first category [-]", fontsize=8)
    axes.set_ylim(0, 0.85)
    axes.tick_params(labelleft=axes is panels[0][0])
    axes.legend(frameon=False, fontsize=7.5, loc="upper center")
panels[0][0].set_ylabel("share of the draws [-]", fontsize=9)
save(figure, "soft_random.png")
