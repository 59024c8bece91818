"""The house itself: whose package this is, what is said about installing it, what a wheel carries."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import torchcrop
from tests.conftest import ROOT

DATA_FOLDERS = ("parameters", "weather", "experiments")


def tracked_files() -> list[Path]:
    """What git tracks or would track: a file is under the rules from the day it is written."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs a git checkout")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def text_of(path: Path) -> str:
    """The text of a file, empty for a binary one."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_the_imported_package_is_this_repository() -> None:
    # A peer project owns our name on the package index; testing its code would pass or fail for its reasons.
    assert Path(torchcrop.__file__).resolve().parent == ROOT / "torchcrop"


# Put together here so that this file does not say it either.
NAME = "torch" + "crop"
INDEX_INSTALL = re.compile(
    rf"""(?:\b(?:pip[\d.]*|uv\s+tool|pipx|conda|mamba|micromamba)\s+install|\b(?:uv|poetry|pdm|pixi)\s+add)
         (?:\s+-{{1,2}}[\w-]+(?:[ =][^\s"']+)?)*?   # options
         \s+["'`]?{NAME}\b(?!/)                     # by name; NAME/ is a folder
    """,
    re.VERBOSE | re.IGNORECASE,
)


@pytest.mark.parametrize(
    "text",
    [
        f"pip install {NAME}",
        f"pip3 install -U {NAME}",
        f'python -m pip install --upgrade "{NAME}[gpu]>=0.1"',
        f"pip install {NAME}==0.1.0",
        f"uv pip install -c constraints.txt {NAME}",
        f"poetry add {NAME}",
    ],
)
def test_an_installation_by_name_is_recognised(text: str) -> None:
    assert INDEX_INSTALL.search(text)


@pytest.mark.parametrize(
    "text",
    [
        "pip install .",
        "pip install -e '.[test,docs]'",
        f"pip install dist/{NAME}-0.1.0-py3-none-any.whl",
        f"pip install ./{NAME}",
        f"{NAME} fit maize.yaml",
    ],
)
def test_an_installation_by_path_is_allowed(text: str) -> None:
    assert not INDEX_INSTALL.search(text)


def test_nothing_says_to_install_the_peer_of_our_name() -> None:
    said = [
        f"{path.relative_to(ROOT)}: {match.group()!r}"
        for path in tracked_files()
        if (match := INDEX_INSTALL.search(text_of(path)))
    ]
    assert not said, "install from a checkout or a wheel path: the name on the index is another project's"


@pytest.mark.parametrize(
    "name",
    [
        "LICENSE",
        "DATA-LICENCES.md",
        "CITATION.cff",
        "CHANGELOG.md",
        "README.md",
        "constraints.txt",
        "torchcrop/py.typed",
        *DATA_FOLDERS,
    ],
)
def test_the_house_has(name: str) -> None:
    path = ROOT / name
    assert any(path.iterdir()) if path.is_dir() else path.is_file(), f"{name} is missing"


def shipped_data(root: Path) -> dict[str, bytes]:
    """Contents by path of every data file that git knows below the data folders."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in tracked_files()
        if path.relative_to(root).parts[0] in DATA_FOLDERS
    }


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a program away from the checkout; its output is the message if it fails."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=inherited | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the source distribution, which is thereby tested too; no network, no isolation."""
    place = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", place, ROOT, cwd=place)
    (built,) = place.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def wheel_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel and our dependencies, but not our checkout."""
    place = tmp_path_factory.mktemp("installed")
    environment = place / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=place)
    python = environment / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--no-deps", "--no-index", wheel, cwd=place)
    # Our site-packages become one more folder of its path. A .pth file IN a folder named by a .pth file is
    # not read, so the editable installation of this checkout stays out.
    (site_packages,) = environment.glob("lib/python3*/site-packages")
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")
def test_a_wheel_carries_the_package_and_its_data(wheel: Path) -> None:
    data = shipped_data(ROOT)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for path, content in data.items():
            assert archive.read(f"torchcrop/_data/{path}") == content, path
    package = {path.relative_to(ROOT).as_posix() for path in tracked_files() if path.is_relative_to(ROOT / "torchcrop")}
    expected = package | {f"torchcrop/_data/{path}" for path in data}
    assert {name for name in names if ".dist-info/" not in name} == expected


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")
def test_the_demonstration_runs_from_an_installed_wheel(wheel_python: Path, tmp_path: Path) -> None:
    where = run(wheel_python, "-c", "import torchcrop; print(torchcrop.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(wheel_python.parents[1]), "this is not the wheel's package"

    out = tmp_path / "out"
    run(wheel_python, "-m", "torchcrop.demo", "--fast", "--out", out, cwd=tmp_path, MPLBACKEND="Agg")
    written = [path for path in out.rglob("*") if path.is_file()]
    assert written, "the demonstration wrote nothing"
    assert all(path.stat().st_size for path in written)


@pytest.mark.slow
@pytest.mark.xdist_group("wheel")
def test_the_command_of_an_installed_wheel_starts(wheel_python: Path, tmp_path: Path) -> None:
    assert "usage" in run(wheel_python.parent / "torchcrop", "--help", cwd=tmp_path).lower()
