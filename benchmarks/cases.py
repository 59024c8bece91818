"""The registry: which benchmarks there are, and our own cases in them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clock import (
    GRADIENT_SYMBOLS,
    WEATHER_COLUMNS,
    Call,
    Outcome,
    Season,
    Setting,
    lane_factors,
    read_weather,
)
from benchmarks.contenders import REPOSITORY, Contender, Own, Peer
from benchmarks.peers import make_env

PEER_NAME = make_env.TORCHCROP.name


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """One question, asked of several contenders.

    Attributes
    ----------
    name : str
        Name for ``--only`` and for results.
    title : str
        One line above the table.
    contenders : sequence of Contender
        Who takes part, in the order of the table.
    reference : str
        Name of the contender to which ratios refer.
    settings : sequence of Setting
        What is timed.
    """

    name: str
    title: str
    contenders: Sequence[Contender]
    reference: str
    settings: Sequence[Setting]


def our_package() -> Any:
    """Import our package and make sure that it is ours: a peer on the index has the same name.

    Raises
    ------
    RuntimeError
        If the package found lies outside this repository.
    """
    import torch

    import torchcrop

    where = Path(str(torchcrop.__file__)).resolve()
    if not where.is_relative_to(REPOSITORY) or ".envs" in where.parts:
        raise RuntimeError(f"expected our torchcrop from {REPOSITORY}, found {where}: install this checkout")
    torch.set_num_threads(1)
    return torchcrop


def ours_eager(B: int, backward: bool, dtype: str, switches: str, season: Season, level: str = "water") -> Call:
    """Our LINTUL5 at one of its levels, eager back end.

    Same season, soil (``lintul5_p1``), crop preset, lanes and gradient as ``peers/torchcrop_111.py``.

    Parameters
    ----------
    B : int
        Simulations side by side; lane b multiplies each of ``clock.GRADIENT_SYMBOLS`` by
        ``clock.lane_factors(B)[b]``.
    backward : bool
        Also the gradient of the final storage-organ dry matter, summed over the batch, with respect to
        ``clock.GRADIENT_SYMBOLS``, each [B]; a forward run records no graph.
    dtype : str
        ``float32`` or ``float64``.
    switches : str
        ``smooth`` for ``Smooth()``, ``hard`` for ``Hard()``.
    season : Season
        Weather file, start, days, site; days come from ``clock.read_weather(season)``.
    level : str
        Production level, without fertiliser.

    Returns
    -------
    Call
        No argument, returns a ``clock.Outcome`` of plain numbers. What a user does once (reading files,
        building records and weather tensors) belongs before it; what a user does for every run belongs in it.
    """
    # Per day it computes less than the peer, which has no way to leave N, P and K out: README.md says so.
    tc = our_package()
    import torch

    crop, soil = tc.load_crop(season.crop), tc.load_soil("lintul5_p1")
    days = read_weather(season)
    start = dt.date.fromisoformat(season.start)
    station = tc.Station(
        "benchmark",
        season.latitude,
        float("nan"),
        season.altitude,
        start,
        {name: np.array(days[name]) for name in WEATHER_COLUMNS},
    )
    end = start + dt.timedelta(days=season.days - 1)
    planted = tc.Season(station, start, end, sowing=start, soil=soil, site={"co2": season.co2})
    precision = getattr(torch, dtype)
    treatment = tc.Smooth() if switches == "smooth" else tc.Hard()
    factors = torch.tensor(lane_factors(B), dtype=torch.float64)
    symbols = {q.symbol: name for name, q in crop.quantities().items() if q.symbol in GRADIENT_SYMBOLS}
    values = {symbol: (getattr(crop, symbols[symbol]) * factors).to(precision) for symbol in GRADIENT_SYMBOLS}

    def simulate(given: Mapping[str, torch.Tensor]) -> torch.Tensor:
        run = tc.simulate(
            tc.Lintul5(level=level),
            crop.with_values(**given),
            planted,
            switches=treatment,
            outputs=[],
            dtype=precision,
            backend="eager",
        )
        storage: torch.Tensor = run.final["wso"]
        return storage

    def forward() -> Outcome:
        with torch.no_grad():
            return Outcome(simulate(values).tolist())

    def forward_and_backward() -> Outcome:
        leaves = {symbol: value.clone().requires_grad_() for symbol, value in values.items()}
        storage = simulate(leaves)
        gradient = torch.autograd.grad(storage.sum(), list(leaves.values()))
        return Outcome(storage.tolist(), {s: g.tolist() for s, g in zip(leaves, gradient, strict=True)})

    return forward_and_backward if backward else forward


TORCHCROP_111 = Peer(
    name=PEER_NAME,
    python=make_env.TORCHCROP.python,
    program=Path(make_env.__file__).with_name("torchcrop_111.py"),
    make="python -m benchmarks.peers.make_env torchcrop",
)


def grid(
    batch: Sequence[int] = (1, 100),
    dtype: Sequence[str] = ("float32", "float64"),
    switches: Sequence[str] = ("smooth", "hard"),
    backward: Sequence[bool] = (False, True),
) -> tuple[Setting, ...]:
    """Return every combination as a setting."""
    return tuple(
        Setting(batch=b, backward=w, dtype=d, switches=s)
        for b, d, s, w in itertools.product(batch, dtype, switches, backward)
    )


BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark(
        name="lintul5_water",
        title="LINTUL5, water-limited, one season of maize on the CPU",
        contenders=(Own("ours, eager", ours_eager), TORCHCROP_111),
        reference=PEER_NAME,
        settings=grid(),
    ),
    Benchmark(
        name="lintul5_levels",
        title="LINTUL5, our levels, one season of maize on the CPU",
        contenders=tuple(
            Own(level, functools.partial(ours_eager, level=level))
            for level in ("potential", "water", "nitrogen", "npk")
        ),
        reference="water",
        settings=grid(dtype=("float64",)),
    ),
)
