"""Season kernels against others: our eager loop, the peer torchcrop 1.1.1, PCSE, and the same list as scalar C."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from benchmarks.cases import TORCHCROP_111
from benchmarks.clock import Setting
from benchmarks.contenders import Unavailable
from benchmarks.kernels_c import FLAGS, ScalarC
from benchmarks.kernels_cases import (
    SWITCHES,
    Call,
    Case,
    lintul5,
    pcse_case,
    peer_case,
    prepared,
    prepared_eager,
    whole,
)
from benchmarks.kernels_report import Row, absent
from benchmarks.kernels_timing import minima
from benchmarks.run import default_season

LEVELS = ("water", "npk")


@dataclasses.dataclass(frozen=True)
class Extent:
    """How much is measured.

    Attributes
    ----------
    rounds : int
        Rounds of every comparison.
    budget : float
        Time after which no further round begins. [s]
    large, largest : int
        Simulations in place of 10 000 and 100 000.
    at_once : int
        Simulations that the eager loop takes together: its graph of more would not fit into the memory of a small
        machine. What it takes for a larger batch is that of its parts, which is not more.
    """

    rounds: int = 5
    budget: float = 8.0
    large: int = 10_000
    largest: int = 100_000
    at_once: int = 5_000


FULL = Extent()
QUICK = Extent(rounds=1, budget=1.0, large=1_000, largest=2_000, at_once=500)


# --- our eager loop -----------------------------------------------------------------------------------------


def against_eager(extent: Extent) -> list[Row]:
    """Return the eager loop's time over the kernel's, forward and backward, whole calls and the integration alone."""
    rows = []
    for level in LEVELS:
        for switches in SWITCHES:
            case = lintul5(level)
            for size, limit in ((100, 200.0), (extent.large, 8.0)):
                part = min(size, extent.at_once)
                calls = _eager_and_kernel(case, size, part, switches)
                for kind, pair in calls.items():
                    least = minima(pair, extent.rounds, extent.budget)
                    what = f"{case.name}, {switches}, {kind}"
                    rows.append(_ratio(what, size, "eager", least["eager"] / part, least["kernel"] / size, limit))
    return rows


def _eager_and_kernel(case: Case, size: int, part: int, switches: str) -> dict[str, dict[str, Call]]:
    dtype = torch.float32
    return {
        "whole call": {
            "eager": whole(case, part, switches, "eager", dtype, backward=True),
            "kernel": whole(case, size, switches, "kernel", dtype, backward=True),
        },
        "integration alone": {
            "eager": prepared_eager(case, part, switches, dtype),
            "kernel": prepared(case, size, switches, dtype).forward_and_backward,
        },
    }


def _ratio(what: str, size: int, other: str, theirs: float, ours: float, limit: float, dtype: str = "float32") -> Row:
    """How many times faster the kernel is, from times of a season."""
    detail: dict[str, float | str] = {f"{other} [µs per season]": 1e6 * theirs, "kernel": 1e6 * ours}
    return Row(what, f"B = {size:,}, {dtype}", theirs / ours, limit=limit, detail=detail)


# --- torchcrop 1.1.1 ----------------------------------------------------------------------------------------


def against_peer(extent: Extent) -> list[Row]:
    """Return the peer's time of a season over ours, forward and backward, on its season of maize."""
    season = default_season()
    rows = []
    limits = ((100, 1000.0), (extent.large, 50.0))
    try:
        with TORCHCROP_111.open(season) as session:
            for switches in SWITCHES:
                session.sample(Setting(100, backward=True, dtype="float32", switches=switches), 1)  # the warm-up
                for size, limit in limits:
                    setting = Setting(size, backward=True, dtype="float32", switches=switches)
                    ours = {level: peer_case(level, season) for level in LEVELS}
                    rows += _beside_peer(session, setting, ours, limit, extent)
    except Unavailable as reason:
        rows += [absent(f"LINTUL5 {level}", f"B = {size:,}", str(reason), k) for level in LEVELS for size, k in limits]
    return rows


def _beside_peer(session: Any, setting: Setting, cases: dict[str, Case], limit: float, extent: Extent) -> list[Row]:
    size, switches, dtype = setting.batch, setting.switches, torch.float32
    calls = {}
    for case in cases.values():
        calls[case.name, "whole call"] = whole(case, size, switches, "kernel", dtype, backward=True)
        calls[case.name, "integration alone"] = prepared(case, size, switches, dtype).forward_and_backward
    samples = []
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(min(extent.rounds, 2)):
        samples.append(session.sample(setting, 1))
        for call, seconds in minima(calls, 2, extent.budget).items():
            least[call] = min(least[call], seconds)
    theirs = min(sample.cpu_s for sample in samples)
    rows = []
    for (name, kind), ours in least.items():
        row = _ratio(f"{name}, {switches}, {kind}", size, "torchcrop 1.1.1", theirs / size, ours / size, limit)
        detail = row.detail | {"its storage organs [g m-2]": samples[-1].check["storage_g_m2"]}
        rows.append(dataclasses.replace(row, detail=detail | {"ours": _grain_of(cases, name, setting)}))
    return rows


def _grain_of(cases: dict[str, Case], name: str, setting: Setting) -> float:
    (case,) = (case for case in cases.values() if case.name == name)
    values = case.values(setting.batch, torch.float32)
    return case.run(values, setting.switches, "kernel", torch.float32).final["wso"].mean().item()


# --- PCSE ---------------------------------------------------------------------------------------------------


def against_pcse(extent: Extent) -> list[Row]:
    """Return our LINTUL3's seasons per second over those of PCSE's on the spring wheat that PCSE brings along."""
    size, limit = 1000, 10_000.0
    at = f"B = {size:,}, float32"
    files = _pcse_files()
    if files is None:
        return [absent("LINTUL3", at, "pcse is not installed: pip install .[test]", limit)]
    case, season, rows = pcse_case(files), _PcseSeason(files), []
    for switches in SWITCHES:
        inside = prepared(case, size, switches, torch.float32)
        calls = {
            "pcse": season.run,
            "whole call": whole(case, size, switches, "kernel", torch.float32, backward=False),
            "integration alone": inside.forward,
        }
        least = minima(calls, extent.rounds, extent.budget)
        single = case.run({}, switches, "kernel", torch.float64).final["wso"]
        for kind in ("whole call", "integration alone"):
            row = _ratio(
                f"LINTUL3, {switches}, {kind}, forward", size, "PCSE", least["pcse"], least[kind] / size, limit
            )
            detail: dict[str, float | str] = {
                "PCSE [seasons per second]": 1 / least["pcse"],
                "kernel": size / least[kind],
                "its storage organs [g m-2]": season.storage,
                "ours": float(single.mean()),
            }
            rows.append(dataclasses.replace(row, detail=detail))
    return rows


def _pcse_files() -> Path | None:
    found = importlib.util.find_spec("pcse")
    return None if found is None or found.origin is None else Path(found.origin).parent / "tests" / "test_data"


class _PcseSeason:
    """PCSE's LINTUL3 on its own spring wheat of 1997; files are read beforehand."""

    def __init__(self, files: Path) -> None:
        from pcse.input import CABOWeatherDataProvider, PCSEFileReader

        data = files / "lintul3_springwheat"
        parts = {"sitedata": ".site", "soildata": ".soil", "cropdata": ".crop"}
        self._parameters = {part: PCSEFileReader(str(data.with_suffix(end))) for part, end in parts.items()}
        self._weather = CABOWeatherDataProvider("NL1", str(files), ETmodel="P")
        self._plan = yaml.safe_load(data.with_suffix(".agro").read_text())["AgroManagement"]
        self.storage = float("nan")

    def run(self) -> None:
        """Make the engine, which a season with other parameters needs anew, and run it to maturity."""
        from pcse.base import ParameterProvider
        from pcse.engine import Engine

        parameters = ParameterProvider(**self._parameters)
        engine = Engine(parameters, self._weather, agromanagement=copy.deepcopy(self._plan), config="Lintul3.conf")
        engine.run_till_terminate()
        self.storage = float(engine.get_output()[-1]["WSO"])


# --- plain scalar C -----------------------------------------------------------------------------------------


def against_c(extent: Extent) -> list[Row]:
    """Return the time of the same list as plain scalar C over the kernel's, forward in float64."""
    size, limit, rows = 1000, 3.0, []
    for level in LEVELS:
        for switches in SWITCHES:
            what = f"LINTUL5 {level}, {switches}, forward"
            ours = prepared(lintul5(level), size, switches, torch.float64)
            try:
                other = ScalarC(ours.kernel, ours.inputs)
            except Unavailable as reason:
                rows.append(absent(what, f"B = {size:,}, float64", str(reason), limit))
                continue
            least = minima({"c": other.forward, "kernel": ours.forward}, extent.rounds, extent.budget)
            row = _ratio(what, size, "C", least["c"] / size, least["kernel"] / size, limit, "float64")
            same: dict[str, float | str] = {
                "largest difference of final states, of their scale": _difference(other.forward(), ours.kernel, ours),
                "compiler": f"{other.version} {' '.join(FLAGS)}",
            }
            rows.append(dataclasses.replace(row, detail=row.detail | same))
    return rows


def _difference(carried: Tensor, kernel: Any, ours: Any) -> float:
    _, expected = kernel.forward(ours.inputs)
    # What is left of zero, such as 1e-13 mm of water, has no scale.
    scale = expected.abs().amax(1, keepdim=True).clamp(min=1e-3)
    return float(((carried - expected).abs() / scale).max())


PARTS: dict[str, tuple[str, str, Callable[[Extent], list[Row]]]] = {
    "eager": (
        "Against our own eager loop, forward and backward",
        "The whole call is `simulate(..., outputs=[])`, a loss and `.backward()` to eight crop parameters; the "
        "integration alone is the same with all inputs prepared. The eager loop takes at most so many simulations at "
        f"once as fit into memory ({FULL.at_once:,}).",
        against_eager,
    ),
    "peer": (
        "Against torchcrop 1.1.1, forward and backward",
        "Per season; its model, parameters and weather are built outside the clock, ours inside it in the whole call, "
        "outside in the integration alone. Season, crop, soil, lanes and the six parameters of the gradient are "
        "those of `benchmarks.run`. It simulates the level `water`, computes N, P and K all the same, keeps all daily "
        "values, and goes on to day 200 after maturity, which ours does not; at `npk` ours is fertilised.",
        against_peer,
    ),
    "pcse": (
        "Against LINTUL3 of PCSE, forward",
        "The spring wheat of Wageningen 1997 that PCSE brings along, on one core, from PCSE's own files, our variant "
        "`pcse`. PCSE's evaporation is of its weather provider, ours computed on the way.",
        against_pcse,
    ),
    "c": (
        "Against the same list as plain scalar C, forward",
        "The list of operations printed as C, one simulation after the other, with the system's mathematics library.",
        against_c,
    ),
}
