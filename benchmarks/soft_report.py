"""The tables of a run of ``benchmarks.soft``."""

from __future__ import annotations

from typing import Any


def to_markdown(document: dict[str, Any]) -> str:
    """Return the tables of a run.

    Parameters
    ----------
    document : dict
        As `benchmarks.soft` writes it.
    """
    machine, versions = document["machine"], document["versions"]
    lines = [
        f"# Soft operators, {document['date']}",
        "",
        f"* machine: {machine['cpu']}, {machine['cores']} cores, {machine['system']}, "
        f"GPU: {machine['gpu'] or 'none'}, load before the run: {machine['load_1min']}",
        f"* ours: commit {versions['commit']}, python {versions['python']}, torch {versions['torch']}",
        f"* threads: {document['threads']}; float32; forward + backward; medians of {document['repeats']} rounds, "
        "contenders in turns",
    ]
    parts = document["parts"]
    if "elementwise" in parts:
        lines += ["", f"## Elementwise operators, {document['elements']:,} elements", ""]
        lines += _elementwise(parts["elementwise"])
    if "compiled" in parts:
        lines += ["", "## Elementwise operators, compiled", ""]
        lines += _elementwise(parts["compiled"])
    if "axis" in parts:
        lines += ["", f"## Operators along an axis, {document['shape']}", "", *_axis(parts["axis"])]
    if "memory" in parts:
        lines += ["", "## Peak memory of a long axis", "", *_memory(parts["memory"])]
    return "\n".join(lines) + "\n"


def _elementwise(rows: list[dict[str, Any]]) -> list[str]:
    """One line for each operator, its modes side by side; a missed limit is bold."""
    lines = [
        "Times the time of the baseline; in brackets the limit.",
        "",
        "| operator | baseline [ms] | smooth | c0 | c1 | c2 |",
        "|---|---|--:|--:|--:|--:|",
    ]
    by_operator: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        by_operator.setdefault(row["operator"], {})[row["mode"]] = row
    for operator, modes in by_operator.items():
        first = next(iter(modes.values()))
        cells = [_ratio(modes.get(mode)) for mode in ("smooth", "c0", "c1", "c2")]
        if "-" in modes:  # an operator without modes
            cells = [_ratio(modes["-"]), "", "", ""]
        lines.append(f"| {operator} | {first['baseline']}, {first['baseline_ms']:.3g} | {' | '.join(cells)} |")
    return [*lines, "", _verdict(rows)]


def _ratio(row: dict[str, Any] | None) -> str:
    if row is None:
        return "–"
    if row["limit"] is None:
        return f"{row['ratio']:.2f}"
    shown = f"{row['ratio']:.2f} ({row['limit']:g})"
    return shown if row["met"] else f"**{shown}**"


def _verdict(rows: list[dict[str, Any]]) -> str:
    judged = [row for row in rows if row.get("met") is not None]
    missed = [f"{row['operator']} {row.get('method', '')} {row['mode']}" for row in judged if not row["met"]]
    if not judged:
        return "No limit is set for these."
    told = f"{len(judged) - len(missed)} of {len(judged)} limits met"
    return f"{told}; not met: {', '.join(' '.join(m.split()) for m in missed)}." if missed else f"{told}."


def _axis(part: dict[str, Any]) -> list[str]:
    if "status" in part:
        return [part["status"]]
    peer = part["peer"]
    versions = ", ".join(f"{package} {version}" for package, version in peer["versions"].items())
    lines = [
        f"Beside {peer['name']} ({versions}). What takes long is measured on fewer rows, and all times are those of "
        "a row.",
        "",
        "| operator | method | mode | rows, ours / peer | ours [µs per row] | peer [µs per row] "
        "| times faster (range) | aim |",
        "|---|---|---|--:|--:|--:|--:|---|",
    ]
    for row in part["rows"]:
        head = f"| {row['operator']} | {row['method']} | {row['mode']} |"
        if "status" in row:
            ours = f"{row['us_per_row']:.3g}" if "us_per_row" in row else ""
            lines.append(f"{head} {row['rows']} / – | {ours} | {row['status']} | | |")
            continue
        low, high = row["ratio_range"]
        ratio = f"{row['ratio']:.3g} ({low:.3g}–{high:.3g})"
        aim = "" if row["aim"] is None else f"{row['aim']:g}: {'met' if row['met'] else '**not met**'}"
        lines.append(
            f"{head} {row['rows']} / {row['peer_rows']} | {row['us_per_row']:.3g} | {row['peer_us_per_row']:.3g} | "
            f"{ratio if row['ratio'] >= 1 else f'**{ratio}**'} | {aim} |"
        )
    return [*lines, "", _verdict(part["rows"])]


def _memory(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "What one call, forward and backward, adds to the peak memory of a fresh process; beside it the size of one "
        "matrix of n × n numbers, which is never held.",
        "",
        "| operator | method | n | peak [MB] | n × n [MB] | time [s] |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for row in rows:
        head = f"| {row['operator']} | {row['method']} | {row['n']:,} |"
        if "status" in row:
            lines.append(f"{head} {row['status']} | | |")
        else:
            lines.append(f"{head} {row['mb']:.1f} | {row['matrix_mb']:.0f} | {row['seconds']:.3g} |")
    return lines
