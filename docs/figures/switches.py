"""Draw ``switches.png``: yield along a scan of a threshold, and its slope, under three treatments.

``python docs/figures/switches.py``, from the repository's root.
"""

import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import torchcrop as tc  # noqa: E402
from tests.scans import Naive  # noqa: E402

torch.set_num_threads(1)
WIDTH, POINTS = 120.0, 401

weather = tc.load_weather("central_iowa_1990_2020", defaults={"wind": 2.0})
season = tc.Management(sowing="2001-05-05", end="2001-12-15").season(weather, soil=tc.load_soil("silt_loam"))
model, crop = tc.Lintul5(level="water"), tc.load_crop("maize")
centre = float(crop.tsum_maturity)
tsum = torch.linspace(centre - WIDTH / 2, centre + WIDTH / 2, POINTS, dtype=torch.float64)


def along(switches: tc.Switches) -> tuple[torch.Tensor, torch.Tensor]:
    """Yield [t ha-1] along the scan, and its derivative by autograd."""
    x = tsum.clone().requires_grad_()
    run = tc.simulate(model, crop.with_values(tsum2=x), season, switches=switches, outputs=[])
    values = run.final["wso"] / 100
    slope = torch.autograd.grad(values.sum(), x)[0] if values.requires_grad else torch.zeros_like(x)
    return values.detach(), slope


treatments = {
    "Hard(): the original": (tc.Hard(), "#555555", 1.2),
    "every operator sigmoid, k = 50": (Naive(), "#d55e00", 1.2),
    "Smooth(): this page": (tc.Smooth(), "#0072b2", 1.8),
}
figure = Figure(figsize=(8.2, 5.6), layout="constrained")
top, below = figure.subplots(2, 1, sharex=True)
for name, (switches, colour, width) in treatments.items():
    values, slope = along(switches)
    top.plot(tsum, values, color=colour, lw=width, label=f"{name} (mean {values.mean():.1f} t ha⁻¹)")
    below.plot(tsum, slope, color=colour, lw=width, label=name)
staircase, _ = along(tc.Hard())
mean_slope = float((staircase[-1] - staircase[0]) / WIDTH)
below.axhline(mean_slope, color="#555555", ls=":", lw=1.2)
below.text(
    float(tsum[-1]), mean_slope, "mean slope of the hard scan", ha="right", va="bottom", fontsize=8, color="#555555"
)
top.set_ylabel("dry matter of storage organs\n[t ha⁻¹]")
below.set_ylabel("derivative by autograd\n[t ha⁻¹ per °C d]")
below.set_xlabel("temperature sum from anthesis to maturity, TSUM2 [°C d]")
top.set_title("Maize in central Iowa, 2001: yield along a threshold", loc="left", fontsize=11)
top.legend(frameon=False, fontsize=8.5, loc="center right")
for axes in (top, below):
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
figure.savefig(ROOT / "docs" / "figures" / "switches.png", dpi=130)
