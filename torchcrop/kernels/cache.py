"""Compiled kernels on disk, so that the next process need not compile.

The key is the text of the module, the machine and the versions. An entry carries a digest of itself; one that is cut
short, foreign or of another kernel is compiled anew. Entries are written beside their place and moved there, so that a
process that is killed, or two at once, leave none half written.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import llvmlite

from torchcrop.kernels.native import compiled, machine

__all__ = ["directory", "kept", "loaded"]

_MAGIC = b"torchcrop kernel 1\n"


def directory() -> Path | None:
    """Give the folder of compiled kernels: ``$TORCHCROP_CACHE``, or one in the user's cache; None if it is empty."""
    given = os.environ.get("TORCHCROP_CACHE")
    if given is not None:
        return Path(given) if given else None
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "torchcrop" / "kernels"


def loaded(text: str) -> bytes:
    """Machine code of a module for this machine: from the cache, or compiled and kept there."""
    return kept(text, _target(), compiled)


def kept(text: str, target: str, compiler: Callable[[str], bytes]) -> bytes:
    """Machine code of a source text for a target: from the cache, or compiled and kept there."""
    key = hashlib.sha256("\n".join((target, text)).encode()).hexdigest()
    folder = directory()
    if folder is None:
        return compiler(text)
    path = folder / f"{key}.bin"
    code = _read(path, key)
    if code is None:
        code = compiler(text)
        _write(path, key, code)
    return code


@cache
def _target() -> str:
    here = machine()
    return f"{here.cpu} {here.features} llvmlite {llvmlite.__version__}"


def _head(key: str, code: bytes) -> bytes:
    return _MAGIC + key.encode() + b"\n" + hashlib.sha256(code).hexdigest().encode() + b"\n"


def _read(path: Path, key: str) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    length = len(_head(key, b""))
    head, code = content[:length], content[length:]
    return code if code and head == _head(key, code) else None


def _write(path: Path, key: str, code: bytes) -> None:
    """Keep an entry; a folder that cannot be written to is no reason to stop."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_head(key, code) + code)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
