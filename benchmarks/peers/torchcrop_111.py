"""Time the peer "torchcrop 1.1.1": its LINTUL5 at the water-limited level.

Run by the Python of the peer's own environment (see ``make_env.py``), never by ours::

    cd benchmarks
    .envs/torchcrop-1.1.1/bin/python -I peers/torchcrop_111.py --weather FILE.csv --wind 2.0

It prints one JSON document. With ``--serve`` it answers one JSON line for each JSON line on its standard
input, so that ``benchmarks.run`` can take turns between it and us, measurement by measurement.

What is done in the peer's favour: its two heat-stress modules, which LINTUL5 does not have, are off; the
model, its parameters and the weather tensor are built outside the clock; forward runs record no graph. What
it does not let one switch off stays on: it computes N, P and K at every level, and keeps every state, rate
and diagnostic of every day.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.metadata
import itertools
import json
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before torch is loaded: its thread pools are sized at first use.
os.environ.update({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})

import torch

if TYPE_CHECKING:
    from benchmarks.clock import Call, Season, Setting

VERSION = "1.1.1"
PROGRAM = f"torchcrop {VERSION}"

REPOSITORY = Path(__file__).resolve().parents[2]

#: The peer's field for each LINTUL5 symbol of ``clock.GRADIENT_SYMBOLS``.
FIELDS = {
    "TSUM1": "tsum1",
    "TSUM2": "tsum2",
    "TDWI": "tdwi",
    "RGRLAI": "rgrl",
    "RRI": "rri",
    "RDMCR": "rdmcr",
}

#: Wolf's example soil ``lintul5_p1`` in the peer's names and units (rooting depth [m], KSUB [mm d-1]).
SOIL = {
    "wcad": 0.15,
    "wcwp": 0.20,
    "wcfc": 0.35,
    "wcst": 0.45,
    "wci": 0.30,
    "wci_lower": 0.30,
    "crairc": 0.07,
    "rdmso": 1.50,
    "runfr": 0.0,
    "cfev": 2.0,
    "ksub": 100.0,
}

#: The peer's IOPT: 2 is water-limited.
WATER_LIMITED = 2.0


def load_peer() -> Any:
    """Import the peer and make sure that it is the peer: our package has the same name.

    Returns
    -------
    module
        Loaded by name, so that type checkers do not take it for our own package.

    Raises
    ------
    RuntimeError
        If the package found is another version, or lies outside this environment.
    """
    peer = importlib.import_module("torchcrop")
    version = importlib.metadata.version("torchcrop")
    if version != VERSION or not Path(str(peer.__file__)).is_relative_to(sys.prefix):
        raise RuntimeError(
            f"expected {PROGRAM} from {sys.prefix}, found version {version} in {peer.__file__}: "
            "run this program with the Python of the peer's environment and the option -I"
        )
    return peer


peer = load_peer()

# Appended, hence searched after the environment's own packages, and only once the peer is loaded: the
# repository's root also holds our package of the same name.
sys.path.append(str(REPOSITORY))
clock = importlib.import_module("benchmarks.clock")
machine = importlib.import_module("benchmarks.machine")


def weather_tensor(season: Season, batch: int, dtype: torch.dtype) -> Any:
    """Return the season's weather as the peer's driver, [B, T, 8]."""
    days = clock.read_weather(season)
    days["davtmp"] = [0.5 * (low + high) for low, high in zip(days["tmin"], days["tmax"], strict=True)]
    names = {"irrad": "srad", "vp": "vap"}
    channels = importlib.import_module("torchcrop.drivers.weather").WEATHER_CHANNELS
    table = torch.tensor([days[names.get(channel, channel)] for channel in channels], dtype=dtype).T
    # Contiguous copies, as the peer's own helper makes them.
    return peer.WeatherDriver(table.expand(batch, -1, -1).contiguous())


def prepare(setting: Setting, season: Season) -> Call:
    """Build everything outside the clock and return the call that is timed.

    Parameters
    ----------
    setting : Setting
        Batch, dtype, switches (``smooth`` is the peer's ``smooth=True``, ``hard`` its default), forward or
        also backward.
    season : Season
        Weather, start, site.
    """
    dtype: torch.dtype = getattr(torch, setting.dtype)
    crop = peer.CropParameters(crop_name=season.crop).to(dtype=dtype)
    crop.iopt = torch.tensor(WATER_LIMITED, dtype=dtype)
    factors = torch.tensor(clock.lane_factors(setting.batch), dtype=dtype)
    free: dict[str, torch.Tensor] = {}
    for symbol in clock.GRADIENT_SYMBOLS:
        value = (getattr(crop, FIELDS[symbol]) * factors).requires_grad_(setting.backward)
        setattr(crop, FIELDS[symbol], value)
        free[symbol] = value
    soil = peer.SoilParameters().to(dtype=dtype)
    for name, number in SOIL.items():
        setattr(soil, name, torch.tensor(number, dtype=dtype))
    site = peer.SiteParameters(
        latitude=torch.tensor(season.latitude),
        altitude=torch.tensor(season.altitude),
        co2=torch.tensor(season.co2),
    ).to(dtype=dtype)
    model = peer.Lintul5Model(
        crop, soil, site, smooth=setting.switches == "smooth", leaf_heat_stress=False, grain_heat_stress=False
    )
    weather = weather_tensor(season, setting.batch, dtype)
    start = int(clock.read_weather(season)["doy"][0])

    def forward() -> Any:
        with torch.no_grad():
            return clock.Outcome(model(weather, start_doy=start).yield_.tolist())

    def forward_backward() -> Any:
        storage = model(weather, start_doy=start).yield_
        gradient = torch.autograd.grad(storage.sum(), list(free.values()))
        lanes = {symbol: values.tolist() for symbol, values in zip(free, gradient, strict=True)}
        return clock.Outcome(storage.tolist(), lanes)

    call: Call = forward_backward if setting.backward else forward
    return call


def facts() -> dict[str, Any]:
    """Return what runs here: program, versions, threads."""
    return {
        "program": PROGRAM,
        "model": "LINTUL5, water-limited (iopt=2), heat-stress modules off",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            **{name: importlib.metadata.version(name) for name in ("torchcrop", "numpy", "pyyaml")},
        },
        "threads": torch.get_num_threads(),
    }


def serve(season: Season) -> None:
    """Answer requests, one JSON line each, until the input ends.

    The first line written holds `facts`. A request is ``{"setting": {...}, "number": N}``; its answer is a
    sample. Only the last setting stays prepared: the batch of the one before need not be kept in memory.
    """
    print(json.dumps(facts()), flush=True)
    current: tuple[Setting, Call] | None = None
    for line in sys.stdin:
        request = json.loads(line)
        setting = clock.Setting(**request["setting"])
        if current is None or current[0] != setting:
            current = (setting, prepare(setting, season))
        print(json.dumps(dataclasses.asdict(clock.measure(current[1], request["number"]))), flush=True)


def report(season: Season, settings: list[Setting], warmup: int, repeats: int) -> dict[str, Any]:
    """Time every setting and return the document."""
    cases = []
    for setting in settings:
        call = prepare(setting, season)
        for _ in range(warmup):
            clock.measure(call)
        samples = [clock.measure(call) for _ in range(repeats)]
        cases.append({**dataclasses.asdict(setting), **clock.summary(samples, season.days, setting.batch)})
    return {
        **facts(),
        "machine": machine.describe(),
        "season": dataclasses.asdict(season),
        "warmup": warmup,
        "repeats": repeats,
        "cases": cases,
    }


def main() -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description=f'Time the peer "{PROGRAM}".')
    parser.add_argument("--weather", required=True, help="CSV: date,tmin,tmax,srad,rain,wind,vap")
    parser.add_argument("--start", default="2001-05-05", help="first day, ISO date")
    parser.add_argument("--days", type=int, default=200)
    parser.add_argument("--crop", default="maize")
    parser.add_argument("--wind", type=float, help="wind [m s-1] for a file without that column")
    parser.add_argument("--latitude", type=float, default=42.035)
    parser.add_argument("--altitude", type=float, default=300.0)
    parser.add_argument("--co2", type=float, default=370.0)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--dtype", nargs="+", choices=clock.DTYPES, default=list(clock.DTYPES))
    parser.add_argument("--switches", nargs="+", choices=clock.SWITCHES, default=list(clock.SWITCHES))
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help="answer requests on standard input instead")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    season = clock.Season(**{field.name: getattr(options, field.name) for field in dataclasses.fields(clock.Season)})
    if options.serve:
        serve(season)
        return
    grid = itertools.product(options.batch, options.dtype, options.switches, (False, True))
    settings = [clock.Setting(batch, backward, dtype, switches) for batch, dtype, switches, backward in grid]
    print(json.dumps(report(season, settings, options.warmup, options.repeats), indent=2))


if __name__ == "__main__":
    main()
