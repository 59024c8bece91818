"""The main job, on data that ships: read, simulate, calibrate, report, draw. ``python -m torchcrop.demo``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

import torchcrop as tc
from torchcrop.plotting import plot_ensemble

EXPERIMENT = "maize_lirf_2023"
OBSERVED = ("canopy_cover", "soil_water_0_105cm")
# The profile observed reaches to 1.05 m; the preset roots to 1.0 m, and LINTUL5 models no water below the roots.
SHALLOWEST = 1.06
FREE = {
    "tsumem": (50.0, 200.0),
    "tsum1": (500.0, 1000.0),
    "tdwi": (1.0, 20.0),
    "rgrlai": (0.01, 0.06),
    "slatb*": (0.5, 2.0),
    "rdrltb*": (0.2, 2.0),
    "rdmcr": (SHALLOWEST, 2.0),
    "smfc": (0.14, 0.20),
}
"""Parameters of phenology, canopy, roots and soil, with bounds in our units."""
ENSEMBLE_SOIL = "silt_loam"
SOWING = ("04-20", "05-05", "05-20")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration and write its results.

    Parameters
    ----------
    argv : sequence of str, optional
        ``--out DIR`` (default out/demo) and ``--fast`` (a few iterations and years, to see that everything works).
    """
    parser = argparse.ArgumentParser(
        prog="torchcrop.demo", description="Simulate, calibrate and draw, on shipped data."
    )
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder of the results (default: out/demo)")
    parser.add_argument("--fast", action="store_true", help="few iterations and years: only to see that it works")
    options = parser.parse_args(argv)
    started = time.perf_counter()
    torch.set_num_threads(1)  # one season at a time: threads would only wait for each other
    options.out.mkdir(parents=True, exist_ok=True)

    fit = calibrate(options.out, iterations=4 if options.fast else 150)
    ensemble(options.out, years=range(1990, 1993) if options.fast else range(1990, 2021))

    print(f"\nWrote {', '.join(sorted(p.name for p in options.out.iterdir()))} to {options.out}/")
    print(f"Done in {time.perf_counter() - started:.0f} s ({fit.solutions[0].evaluations} gradients).")
    return 0


def calibrate(out: Path, iterations: int) -> tc.Fit:
    """Simulate the field experiment with the preset, calibrate, report and draw."""
    trial = tc.load_experiment(EXPERIMENT)
    model = tc.Lintul5(level="water")
    crop = tc.load_crop("maize").with_values(rdmcr=1.1)
    print(f"{trial.title}\n")
    print(
        "1  Preset maize, LINTUL5 water-limited, hard switches (rooting depth 1.1 m, the profile observed being 1.05 m)"
    )
    preset = tc.simulate(model, crop, trial)
    print(preset.summary()[["days", "emergence", "anthesis", "maturity", "lai", "storage_organs"]].to_string())

    print("\n2  Calibration by L-BFGS through every threshold\n")
    fit = tc.calibrate(
        model, crop, trials=[trial], free=FREE, solver=tc.LBFGS(max_iter=iterations), variables=OBSERVED, progress=True
    )
    print("\n3  Result\n")
    print(fit.summary())

    fit.plot().savefig(out / "fit.png", dpi=130)
    fit.after.plot(["lai", "storage_organs", "water_content", "transpiration_ratio"]).savefig(
        out / "season.png", dpi=130
    )
    fit.crop.save(out / "maize_lirf.yaml")
    fit.after.save(out / "run.nc")
    fit.parameters.to_csv(out / "parameters.csv")
    return fit


def ensemble(out: Path, years: range) -> pd.DataFrame:
    """Simulate all years and sowing dates on Iowa weather in one batch and draw the distribution of yields."""
    weather = tc.load_weather("central_iowa_1990_2020", defaults={"wind": 2.0})
    seasons = tc.seasons(weather, sowing=SOWING, years=years, length=220)
    began = time.perf_counter()
    run = tc.simulate(
        tc.Lintul5(level="water"), tc.load_crop("maize"), seasons, soil=tc.load_soil(ENSEMBLE_SOIL), outputs=[]
    )
    seconds = time.perf_counter() - began
    print(
        f"\n4  Ensemble: {len(run)} seasons of preset maize in central Iowa ({len(years)} years x {len(SOWING)} sowing "
        f"dates, {ENSEMBLE_SOIL.replace('_', ' ')}, wind 2 m/s assumed) in one batch: {seconds:.1f} s"
    )
    table = run.summary()
    table["yield_t_ha"] = table["storage_organs"] / 100.0
    by_sowing = table.groupby("sowing")["yield_t_ha"].describe()[["count", "min", "25%", "50%", "75%", "max"]]
    print("Dry matter of storage organs [t/ha] by sowing date\n" + by_sowing.round(1).to_string())
    figure = plot_ensemble(
        table["yield_t_ha"],
        table["sowing"],
        label="dry matter of storage organs",
        unit="t ha-1",
        by_label="sowing date",
        title=f"Maize in central Iowa, {min(years)}-{max(years)}, water-limited",
    )
    figure.savefig(out / "ensemble.png", dpi=130)
    table.to_csv(out / "ensemble.csv")
    return table


if __name__ == "__main__":
    raise SystemExit(main())
