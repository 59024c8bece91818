"""The documentation says everything that is public, and links to nothing that is not there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import torchcrop as tc
from tests.conftest import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(p for p in DOCS.rglob("*.md") if "_hooks" not in p.parts)
LINK = re.compile(r"(?<!\\)\[[^\]\n]*\]\((?P<to>[^)\s]+)\)|^\s*\[[^\]]+\]:\s*(?P<defined>\S+)", re.MULTILINE)


def _hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_tables", DOCS / "_hooks" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOOK = _hook()


def page(name: str) -> str:
    """A page as the build sees it: what is generated in its place."""
    return HOOK.expand((DOCS / name).read_text(encoding="utf-8"))


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# --- the reference --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def documented() -> set[str]:
    """Modules that the pages of the reference are made from."""
    pages = "\n".join(page(f"reference/{p.name}") for p in (DOCS / "reference").glob("*.md"))
    return set(re.findall(r"^::: (\S+)$", pages, flags=re.MULTILINE))


@pytest.mark.parametrize("name", tc.__all__)
def test_every_public_name_is_in_the_reference(name: str, documented: set[str]) -> None:
    path = HOOK.public_names()[name]
    module = path.rpartition(".")[0]
    assert {path, module} & documented, f"no page of docs/reference holds ::: {module}"
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert path.rpartition(".")[2] in __import__(module, fromlist=["__all__"]).__all__, f"{module}.__all__ lacks it"


def test_the_index_of_the_reference_lists_every_public_name() -> None:
    listed = set(re.findall(r"^\| \[`(\w+)`\]", page("reference/index.md"), flags=re.MULTILINE))
    assert listed == set(tc.__all__)


# --- quantities -----------------------------------------------------------------------------------------


def rows(text: str) -> set[tuple[str, ...]]:
    """Cells of all lines of all tables, without code marks."""
    return {
        tuple(cell.strip().strip("`") for cell in line.strip().strip("|").split(" | "))
        for line in text.splitlines()
        if line.startswith("| ")
    }


def test_the_nomenclature_has_every_declared_quantity() -> None:
    text = page("nomenclature.md")
    cells = rows(text)
    by_name = {(r[0], r[1], r[2], r[3]) for r in cells if len(r) == 6}
    by_symbol = {(r[0], r[1], r[2], r[3]) for r in cells if len(r) == 5}
    declared = list(HOOK.declared())
    assert len(declared) > 200
    for model, place, q in declared:
        assert (q.name, q.symbol, place, q.unit) in by_name, f"{model} {place}.{q.name}"
        if q.symbol:
            assert (q.symbol, q.name, place, q.unit) in by_symbol, f"{model} {q.symbol}"


@pytest.mark.parametrize("model", HOOK.models())
def test_a_page_of_a_model_has_all_its_quantities(model: str) -> None:
    kind, cells = HOOK.models()[model], rows(page(f"models/{model}.md"))
    named_units = {(r[0], r[1], r[2]) for r in cells if len(r) >= 4}
    parameters = {key: record for key, record in HOOK.records(kind).items() if key in ("crop", "soil", "management")}
    for record in (*parameters.values(), kind.State, kind.Outputs):
        for q in record.quantities().values():
            assert (q.name, q.symbol, q.unit) in named_units, f"{record.__name__}.{q.name}"


def test_a_model_that_is_public_has_a_page() -> None:
    pages = {p.stem for p in (DOCS / "models").glob("*.md")} - {"index"}
    assert set(HOOK.models()) <= pages
    # A level may have a page of its own, lintul5-nutrients.
    assert {page.partition("-")[0] for page in pages} == set(HOOK.models())


# --- requests and links ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_a_page_asks_for_nothing_that_cannot_be_generated(path: Path) -> None:
    text = HOOK.expand(path.read_text(encoding="utf-8"))
    assert "<!-- generate" not in text, "a request stands on a line of its own"


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("<!-- generate: statess lintul1 -->", "no generator"),
        ("<!-- generate: states lintul9 -->", "no model"),
        ("<!-- generate: parameters lintul1 weather -->", "no record"),
        ("<!-- generate: usage simulte -->", "ended with"),
    ],
)
def test_a_wrong_request_stops_the_build(request_: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        HOOK.expand(request_)


@pytest.mark.parametrize("path", [ROOT / "README.md", *PAGES], ids=named)
def test_links_within_the_repository_lead_somewhere(path: Path) -> None:
    dead = []
    for match in LINK.finditer(without_code(path.read_text(encoding="utf-8"))):
        target = (match["to"] or match["defined"]).split("#")[0]
        if target and "://" not in target and not target.startswith("mailto:"):
            found = (path.parent / target).resolve()
            inside = path.parent == ROOT or found.is_relative_to(DOCS)
            if not (found.is_file() and inside):
                dead.append(target)
    assert not dead


def test_every_page_is_in_the_navigation() -> None:
    config = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)

    def pages(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        parts = entry.values() if isinstance(entry, dict) else entry
        return [p for part in parts for p in pages(part)]  # type: ignore[union-attr]

    assert set(pages(config["nav"])) >= {p.relative_to(DOCS).as_posix() for p in PAGES}
