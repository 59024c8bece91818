"""Draw ``soft_events.png``, the time of an event, and ``soft_lookup.png``, tables, running maxima and histograms.

``python docs/figures/soft_models.py``, from the repository's root.
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torchcrop.soft as soft
from docs.figures.soft_style import HARD, MODES, by_mode, marked, save

DAYS = torch.arange(0.0, 61.0)
#: Water in the root zone that dries, with two rains. [mm]
WATER = 90 - 1.5 * DAYS + 18 * (DAYS > 15.5) + 25 * (DAYS > 33.5)
SOFTNESS, THRESHOLD = 0.5, 67.4
TEMPERATURE = torch.tensor([0.0, 10.0, 25.0, 35.0])
USE = torch.tensor([0.0, 2.2, 2.2, 1.0])


def events() -> None:
    figure, panels = by_mode(1, 2, (10.0, 3.4))
    left, right = panels[0]
    left.plot(DAYS, WATER, color="black", lw=1.3, marker=".", ms=4, label="water in the root zone")
    left.axhspan(THRESHOLD - SOFTNESS, THRESHOLD + SOFTNESS, color="#f0e442", alpha=0.45, lw=0)
    left.axhline(THRESHOLD, color=HARD, lw=1.2, label=f"threshold {THRESHOLD:g} mm ± softness {SOFTNESS:g} mm")
    left.set_xlabel("day [d]", fontsize=9)
    left.set_ylabel("water [mm]", fontsize=9)
    threshold = torch.linspace(52, 88, 721)
    when = {"hard": HARD, **MODES}
    for mode, colour in when.items():
        time = soft.event_time(WATER.expand(721, -1), threshold, direction="down", softness=SOFTNESS, mode=mode)
        right.plot(threshold, time, color=colour, lw=1.8 if mode == "hard" else 1.2, label=mode)
    right.set_xlabel("threshold [mm]", fontsize=9)
    right.set_ylabel("first day at or below the threshold [d]", fontsize=9)
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8.5)
    save(figure, "soft_events.png")


def lookups() -> None:
    figure, panels = by_mode(1, 3, (10.0, 3.3))
    table, running, counted = panels[0]
    x = torch.linspace(-8, 43, 801)
    marked(table, tuple(TEMPERATURE.tolist()), 1.0)
    for mode, colour in {"hard": HARD, **MODES}.items():
        table.plot(x, soft.interp(x, TEMPERATURE, USE, softness=1.0, mode=mode), color=colour, lw=1.3, label=mode)
    table.set_title("interp, softness 1 °C", fontsize=9.5)
    table.set_xlabel("temperature [°C]", fontsize=8)
    table.set_ylabel("radiation use efficiency [g MJ⁻¹]", fontsize=8)
    series = torch.tensor([0.2, 0.9, 1.4, 1.3, 2.2, 2.4, 2.35, 2.0, 2.4, 3.1, 3.0, 2.6])
    running.plot(series, color="black", lw=0.8, ls=":", marker=".", label="series")
    for mode, colour in {"hard": HARD, **MODES}.items():
        top = soft.cummax(series, 0, softness=0.3, mode=mode, return_indices=False).values
        running.plot(top, color=colour, lw=1.3, label=mode)
    running.set_title("cummax, softness 0.3", fontsize=9.5)
    running.set_xlabel("day [d]", fontsize=8)
    running.set_ylabel("leaf area index [m² m⁻²]", fontsize=8)
    torch.manual_seed(1)
    dates, edges = 200 + 6 * torch.randn(40), torch.arange(180.0, 221.0, 5.0)
    for mode, colour in {"hard": HARD, **MODES}.items():
        found = soft.histogram(dates, edges, softness=1.0, mode=mode)
        counted.stairs(found.hist, edges, color=colour, lw=1.3, label=mode)
    counted.set_title("histogram, softness 1 d", fontsize=9.5)
    counted.set_xlabel("date of anthesis [day of the year]", fontsize=8)
    counted.set_ylabel("simulations per class [-]", fontsize=8)
    for axes in (table, running, counted):
        axes.legend(frameon=False, fontsize=7.5)
    save(figure, "soft_lookup.png")


events()
lookups()
