"""Every example of the documentation runs as it is shown, and prints what is shown beneath it.

The ``python`` blocks of a page run in order in one namespace, in an empty folder. A ``text`` block right after one is
what it prints; numbers there are compared to three digits. A block below ``<!-- not run: REASON -->`` is skipped.
Blocks with another tag (``sh``, ``console``, ``yaml``) are not Python.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import pytest

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").rglob("*.md") if "_hooks" not in p.parts)]

BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>.+?) -->\n+)?^```python[^\n]*\n(?P<code>.*?)^```$"
    r"(?:\n+^```text\n(?P<shown>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
TOLERANCE = 2e-3

# Pages that calibrate on a field experiment.
SLOW = {"README.md", "docs/calibration.md"}


class Example(NamedTuple):
    """A block of a page: its line, its code, the output shown beneath, and why it is not run."""

    line: int
    code: str
    shown: str | None
    reason: str | None


def examples(page: Path) -> list[Example]:
    text = page.read_text(encoding="utf-8")
    return [
        Example(text.count("\n", 0, m.start("code")), m["code"], m["shown"], m["reason"]) for m in BLOCK.finditer(text)
    ]


def differences(printed: str, shown: str) -> list[str]:
    """Where a print differs from what a page shows: in its words, or in a number by more than the tolerance."""
    if len(printed.split()) != len(shown.split()):
        return [f"printed:\n{printed}\nshown:\n{shown}"]
    return [f"{p!r} is shown as {s!r}" for p, s in zip(printed.split(), shown.split(), strict=True) if not same(p, s)]


def same(printed: str, shown: str) -> bool:
    if NUMBER.sub("#", printed) != NUMBER.sub("#", shown):
        return False
    pairs = zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True)
    return all(math.isclose(float(p), float(s), rel_tol=TOLERANCE, abs_tol=1e-9) for p, s in pairs)


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


RUN = [
    pytest.param(p, id=named(p), marks=[pytest.mark.slow] if named(p) in SLOW else [])
    for p in PAGES
    if any(e.reason is None for e in examples(p))
]
NOT_RUN = [(p, e) for p in PAGES for e in examples(p) if e.reason is not None]


@pytest.mark.parametrize("page", RUN)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    with mpl.rc_context():
        for example in examples(page):
            if example.reason is not None:
                continue
            # Empty lines in front, so that a traceback names the line of the page.
            code = compile("\n" * example.line + example.code, str(page), "exec", dont_inherit=True)
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(code, namespace)
            if example.shown is not None:
                wrong = differences(printed.getvalue(), example.shown)
                assert not wrong, f"{named(page)}, line {example.line}: " + "; ".join(wrong)


@pytest.mark.parametrize(
    ("page", "example"), [pytest.param(p, e, id=f"{named(p)}:{e.line}") for p, e in NOT_RUN] or [(None, None)]
)
def test_what_is_not_run_says_why(page: Path | None, example: Example | None) -> None:
    if example is None:
        return
    compile(example.code, str(page), "exec", dont_inherit=True)
    pytest.skip(str(example.reason))


def test_a_wrong_output_is_noticed() -> None:
    assert not differences("yield 8.5957 t", "yield 8.596 t")
    assert differences("yield 8.5957 t", "yield 8.62 t")
    assert differences("yield 8.5957 t", "yield 8.596 g")
    assert differences("one two", "one")


def test_a_block_knows_its_reason_and_its_output(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n<!-- not run: no GPU -->\n```python\na\n```\n\n```python\nb\n```\n\n```text\nc\n```\n")
    assert examples(page) == [Example(4, "a\n", None, "no GPU"), Example(8, "b\n", "c\n", None)]
