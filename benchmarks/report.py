"""Write a run's results: one JSON document, and the same as tables for a person."""

from __future__ import annotations

from typing import Any


def _machine_lines(document: dict[str, Any]) -> list[str]:
    machine, versions = document["machine"], document["versions"]
    load = machine["load_1min"]
    return [
        f"* machine: {machine['cpu']}, {machine['cores']} cores, {machine['system']}, "
        f"GPU: {machine['gpu'] or 'none'}, load before the run: {'unknown' if load is None else load}",
        f"* ours: commit {versions['commit']}, python {versions['python']}, torch {versions['torch'] or 'absent'}",
        f"* threads: {document['threads']}; warm-up {document['warmup']}, "
        f"medians of {document['repeats']} rounds, contenders in turns",
    ]


def _ratio(case: dict[str, Any]) -> str:
    """Return the ratio with the range over the rounds; a loss is spelled out so that it is not overlooked."""
    ratio = case.get("ratio")
    if ratio is None:
        return "–"
    low, high = case["ratio_range"]
    rounds = f"({low:.3g}–{high:.3g})"
    return f"**{ratio:.3g}, slower** {rounds}" if ratio < 1.0 else f"{ratio:.3g} {rounds}"


def _row(setting: dict[str, Any], contender: str, case: dict[str, Any], reference: str) -> str:
    work = "forward + backward" if setting["backward"] else "forward"
    head = f"| {setting['batch']} | {setting['dtype']} | {setting['switches']} | {work} | {contender} |"
    if "status" in case:
        return f"{head} {case['status']} | | | |"
    ratio = "1" if contender == reference else _ratio(case)
    return (
        f"{head} {case['ms_per_day']:.4g} | {case['us_per_simulated_day']:.4g} | {ratio} | "
        f"{case['check']['storage_g_m2']:.1f} |"
    )


def to_markdown(document: dict[str, Any]) -> str:
    """Return the tables of a run.

    Parameters
    ----------
    document : dict
        As `benchmarks.run.run` returns it.
    """
    lines = [f"# Benchmarks, {document['date']}", "", *_machine_lines(document)]
    for benchmark in document["benchmarks"]:
        season, reference = benchmark["season"], benchmark["reference"]
        lines += ["", f"## {benchmark['title']}", ""]
        for name, facts in benchmark["contenders"].items():
            if facts:
                versions = ", ".join(f"{key} {value}" for key, value in facts["versions"].items())
                lines.append(f"* {name}: {facts['model']}; {versions}; {facts['threads']} thread(s)")
        lines += [
            f"* season: {season['days']} days from {season['start']}, {season['crop']}",
            "",
            f"| B | dtype | switches | pass | program | ms per day (whole batch) | µs per simulated day | "
            f"times faster than {reference} (range over rounds) | storage organs [g m-2] |",
            "|--:|---|---|---|---|--:|--:|--:|--:|",
        ]
        for entry in benchmark["settings"]:
            for name, case in entry["contenders"].items():
                lines.append(_row(entry["setting"], name, case, reference))
    return "\n".join(lines) + "\n"
