"""What ships with torchcrop: crops, soils, weather and experiments by name.

In a wheel the data lie in ``torchcrop/_data``; in an editable installation they stand at the top of the repository,
beside the package, in the same layout.
"""

from __future__ import annotations

from pathlib import Path

from torchcrop.quantities import nearest

__all__ = ["data_path", "names"]

_PACKAGE = Path(__file__).resolve().parents[1]
_ROOTS = (_PACKAGE / "_data", _PACKAGE.parent)
_LAYOUT = {
    "crops": ("parameters/crops", "*.yaml"),
    "soils": ("parameters/soils", "*.yaml"),
    "weather": ("weather", "*.csv"),
    "experiments": ("experiments", "*/experiment.yaml"),
}


def names(kind: str) -> list[str]:
    """Names of what ships, sorted.

    Parameters
    ----------
    kind : {"crops", "soils", "weather", "experiments"}
    """
    return sorted(_shipped(kind))


def data_path(kind: str, name: str) -> Path:
    """Path of something that ships: a file, or the folder of an experiment.

    Parameters
    ----------
    kind : {"crops", "soils", "weather", "experiments"}
    name : str
        Name without ending, such as ``maize``.

    Raises
    ------
    ValueError
        If nothing of that name ships; the text names the nearest and lists all.
    """
    shipped = _shipped(kind)
    if name not in shipped:
        listed = ", ".join(sorted(shipped)) or "none"
        raise ValueError(f"no {name!r} among the {kind} that ship{nearest(name, shipped)}; there are {listed}")
    return shipped[name]


def _shipped(kind: str) -> dict[str, Path]:
    if kind not in _LAYOUT:
        raise ValueError(f"unknown kind of data {kind!r}{nearest(kind, _LAYOUT)}; expected one of {', '.join(_LAYOUT)}")
    folder, pattern = _LAYOUT[kind]
    root = next((root for root in _ROOTS if (root / folder).is_dir()), None)
    if root is None:
        return {}
    found = (root / folder).glob(pattern)
    return {p.parent.name: p.parent for p in found} if kind == "experiments" else {p.stem: p for p in found}
