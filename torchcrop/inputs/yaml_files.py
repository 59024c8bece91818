"""Reading of YAML files: data only, no repeated keys, every problem in one error."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from torchcrop.quantities import nearest

__all__ = ["FileError", "looks_like_path", "read_yaml", "unknown_keys"]


class FileError(ValueError):
    """A file that cannot be used, with everything that is wrong with it.

    Attributes
    ----------
    file : str
        The file.
    problems : tuple of str
        One sentence each: object, value, limit, remedy.
    """

    def __init__(self, file: str | Path, problems: Sequence[str]) -> None:
        self.file, self.problems = str(file), tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n  - ".join([f"{file} has {count}:", *problems]))


# The same loader on libyaml, ten times faster, where PyYAML was built with it.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):
    """The safe loader, which builds plain data only; a key given twice is an error, not the last one's value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue  # `<<: *anchor`: the mapping's own keys replace those that it takes over
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # the safe loader refuses it below
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path, error: type[FileError] = FileError) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileError
        If it is not YAML, gives a key twice, has a tag such as ``!!python/object`` or is no mapping.
    """
    try:
        data = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)
    except yaml.YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        place = "" if mark is None else f" in line {mark.line + 1}"
        reason = getattr(failure, "problem", None) or str(failure)
        raise error(path, [f"not plain YAML{place}: {reason}"]) from failure
    except UnicodeDecodeError as failure:
        raise error(path, [f"not UTF-8 text: {failure.reason} at byte {failure.start}"]) from failure
    if not isinstance(data, dict):
        raise error(path, [f"holds a {type(data).__name__}; expected a mapping, `key: value`"])
    return data


def unknown_keys(where: str, given: Mapping[Any, Any], required: Sequence[str], optional: Sequence[str]) -> list[str]:
    """Sentences on keys of a mapping that are unknown or missing."""
    known = list(dict.fromkeys([*required, *optional]))
    problems = [
        f"{where}{key}: unknown key{nearest(str(key), known)}; known are {', '.join(known)}"
        for key in given
        if key not in known
    ]
    return problems + [f"{where}{key}: missing" for key in required if key not in given]


def looks_like_path(name_or_path: str | Path) -> bool:
    """Whether a user means a file or folder rather than the name of something that ships."""
    if isinstance(name_or_path, Path):
        return True
    return "/" in name_or_path or "\\" in name_or_path or name_or_path.endswith((".yaml", ".yml"))
