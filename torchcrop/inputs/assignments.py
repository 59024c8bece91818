"""Files of assignments, ``NAME = values``, as other crop models keep their parameters.

Four notations give the same thing, names with numbers or texts:

* ``ttutil``: data files of TTUTIL, and the CABO files of WOFOST. Comments after ``!`` and in lines that begin with
  ``*``; lists over several lines; ``3*0.`` for three zeros; several assignments on a line, separated by ``;``.
* ``ini``: as Rlintul writes it. Comments after ``#``, sections in brackets.
* ``pcse``: Python assignments of plain values. They are parsed, never executed.
* ``yaml``: crops of PCSE, ``CropParameters: Varieties: ...`` with ``NAME: [value, description, [unit, ...]]``.

Numbers are kept as they are written (`decimal.Decimal`), so that a change of unit loses no digit.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from torchcrop.inputs.yaml_files import FileError, read_yaml
from torchcrop.quantities import nearest

__all__ = ["FORMATS", "Assigned", "format_of", "read_assignments"]

Item = Decimal | str


@dataclass(frozen=True)
class Assigned:
    """What a file gives to a name.

    Attributes
    ----------
    name : str
        Name in the file.
    items : tuple of Decimal or str
        Numbers and texts; logical values are 1 and 0.
    file : Path
    line : int
        Line of the file, from 1; 0 where the notation does not tell.
    """

    name: str
    items: tuple[Item, ...]
    file: Path
    line: int = 0

    @property
    def place(self) -> str:
        """File and line, for the text of an error."""
        return f"{self.file.name}, line {self.line}" if self.line else self.file.name


def read_assignments(path: str | Path, format: str | None = None, variety: str | None = None) -> dict[str, Assigned]:
    """Read a file of assignments.

    Parameters
    ----------
    path : str or Path
    format : {"ttutil", "ini", "pcse", "yaml"}, optional
        Notation; default: by content.
    variety : str, optional
        Which variety of a YAML file; needed if it has several.

    Returns
    -------
    dict
        By name, in upper case. A name given twice with the same values counts once.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileError
        With everything that cannot be read.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        text = path.read_text(encoding="cp1252")  # comments of the 1990s
    format = format or format_of(text)
    if format not in FORMATS:
        raise FileError(path, [f"format is {format!r}{nearest(format, FORMATS)}; expected {', '.join(FORMATS)}"])
    problems: list[str] = []
    found: dict[str, Assigned] = {}
    for name, items, line in FORMATS[format](path, text, variety, problems):
        new = Assigned(name.upper(), items, path, line)
        old = found.setdefault(name.upper(), new)
        if old.items != items:
            problems.append(f"{name}: is given in line {old.line} and, differently, in line {line}; leave one of them")
    if not found and not problems:
        problems.append("holds no assignment, NAME = value")
    if problems:
        raise FileError(path, problems)
    return found


def format_of(text: str) -> str:
    """Notation of a file of assignments, by its content."""
    if re.search(r"^CropParameters\s*:", text, re.MULTILINE):
        return "yaml"
    if re.search(r"=\s*\[|^(import|from)\s|^\s*('''|\"\"\")", text, re.MULTILINE):
        return "pcse"
    # A `#` outside the comments of TTUTIL, or a section.
    return "ini" if re.search(r"^(?!\s*\*)[^!'\"\n]*#|^\s*\[", text, re.MULTILINE) else "ttutil"


# --- TTUTIL and ini -------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""(?P<name>[A-Za-z][A-Za-z0-9_]*)\s*=
      | (?P<repeat>\d+)\s*\*\s*(?=[-+.\d'])
      | (?P<number>[-+]?(\d+\.?\d*|\.\d+)([EeDd][-+]?\d+)?(?![\w.]))
      | (?P<text>'(?:[^']|'')*'|"[^"]*")
      | (?P<logical>(?i:\.true\.|\.false\.|true\b|false\b))
      | (?P<separator>[\s,;]+)
      | (?P<other>[^\s,;]+)""",
    re.VERBOSE,
)
_TRUE = (".TRUE.", "TRUE")


def _read_ttutil(path: Path, text: str, variety: str | None, problems: list[str]) -> Iterator[Any]:
    lines = ["" if line.lstrip().startswith("*") else _without_comment(line, "!") for line in text.splitlines()]
    return _assignments(lines, problems)


def _read_ini(path: Path, text: str, variety: str | None, problems: list[str]) -> Iterator[Any]:
    lines = ["" if line.lstrip().startswith("[") else _without_comment(line, "#") for line in text.splitlines()]
    return _assignments(lines, problems)


def _without_comment(line: str, mark: str) -> str:
    """Cut a line at the first mark that stands in no quotes."""
    quote = ""
    for i, character in enumerate(line):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character == mark:
            return line[:i]
    return line


def _assignments(lines: list[str], problems: list[str]) -> Iterator[tuple[str, tuple[Item, ...], int]]:
    name, started, times = "", 0, 1
    items: list[Item] = []
    for number, line in enumerate(lines, 1):
        for token in _TOKEN.finditer(line):
            kind, word = token.lastgroup, token.group()
            if token["name"]:
                if name:
                    yield from _one(name, items, started, problems)
                name, started, items, times = token["name"], number, [], 1
            elif token["repeat"]:
                times = int(token["repeat"])
            elif kind == "separator":
                continue
            elif kind == "other" or not name:
                what = f"{name}: {word!r} is no number" if name else f"{word!r} stands before the first NAME ="
                problems.append(f"line {number}: {what}; expected NAME = numbers, separated by commas")
            else:
                items += times * [_item(token)]
                times = 1
    if name:
        yield from _one(name, items, started, problems)


def _item(token: re.Match[str]) -> Item:
    if token["number"]:
        return Decimal(token["number"].upper().replace("D", "E"))
    if token["text"]:
        return token["text"][1:-1].replace("''", "'")
    return Decimal(int(token["logical"].upper() in _TRUE))


def _one(name: str, items: list[Item], line: int, problems: list[str]) -> Iterator[tuple[str, tuple[Item, ...], int]]:
    if items:
        yield name, tuple(items), line
    else:
        problems.append(f"line {line}: {name} has no value")


# --- PCSE -----------------------------------------------------------------------------------------------


def _read_python(path: Path, text: str, variety: str | None, problems: list[str]) -> Iterator[Any]:
    try:
        statements = ast.parse(text).body
    except SyntaxError as failure:
        problems.append(f"line {failure.lineno}: cannot be read as a file of PCSE: {failure.msg}")
        return
    for statement in statements:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                try:
                    given = ast.literal_eval(value)
                except ValueError:
                    given = None
                items = _plain_items(given)
                if items is None:
                    problems.append(
                        f"line {statement.lineno}: {name} is {ast.unparse(value)}; expected a number, a text or a list "
                        f"of numbers (nothing is executed: write the result)"
                    )
                else:
                    yield name, items, statement.lineno
            case ast.Expr(value=ast.Constant(value=str())):
                pass  # the heading
            case _:
                problems.append(
                    f"line {statement.lineno}: {ast.unparse(statement).splitlines()[0]!r} is no assignment of a plain "
                    f"value (nothing is executed: write the result)"
                )


def _plain_items(given: Any) -> tuple[Item, ...] | None:
    """Numbers, texts and logical values, alone or in a list; None if there is anything else."""
    items = given if isinstance(given, list | tuple) else [given]
    if not items or not all(isinstance(item, int | float | str) for item in items):
        return None
    return tuple(item if isinstance(item, str) else Decimal(repr(+item)) for item in items)


def _read_varieties(path: Path, text: str, variety: str | None, problems: list[str]) -> Iterator[Any]:
    crop = read_yaml(path).get("CropParameters")
    varieties = crop.get("Varieties") if isinstance(crop, Mapping) else None
    if not isinstance(varieties, Mapping) or not varieties:
        problems.append("CropParameters.Varieties: missing; expected the parameters of each variety")
        return
    if variety is None and len(varieties) > 1:
        problems.append(f"holds several varieties, {', '.join(varieties)}: say which, with variety=")
        return
    chosen = next(iter(varieties)) if variety is None else variety
    if not isinstance(varieties.get(chosen), Mapping):
        problems.append(f"no variety {chosen!r}{nearest(chosen, varieties)}; there are {', '.join(varieties)}")
        return
    for name, body in varieties[chosen].items():
        if name == "Metadata":
            continue
        items = _plain_items(body[0]) if isinstance(body, list) and body else None
        if items is None:
            problems.append(f"{chosen}.{name}: is {body!r}; expected [value, description, [unit, ...]]")
        else:
            yield name, items, 0


Reader = Callable[[Path, str, str | None, list[str]], Iterator[tuple[str, tuple[Item, ...], int]]]
FORMATS: dict[str, Reader] = {
    "ttutil": _read_ttutil,
    "ini": _read_ini,
    "pcse": _read_python,
    "yaml": _read_varieties,
}
"""Notations and their readers."""
