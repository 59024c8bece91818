"""What every test stands on: one thread, figures without a display, repeatable cases, the shared folder."""

import os
from pathlib import Path

# Before anything imports torch or matplotlib: thread pools and the plotting back end are chosen at import.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]

_shared = ROOT.parent / "shared"
#: The reference material beside the repository, None in a clone without it. For tests that look into it while
#: they are collected; these also carry `pytest.mark.shared`. All others take the fixture `shared`.
SHARED: Path | None = _shared if (_shared / "README.md").is_file() else None

# Several test processes share the cores; a pool in each makes small tensor programs ten times slower.
torch.set_num_threads(1)

# The first example compiles or traces, so a deadline measures the wrong thing. Derandomised: a failure seen
# by one is seen by all. To search for new ones: `pytest --hypothesis-profile=explore`.
hypothesis.settings.register_profile("torchcrop", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("torchcrop")


def shared_files(pattern: str) -> list:
    """Parameters for `pytest.mark.parametrize`: one per path in ../shared that matches, named by its path.

    Without the folder, a single parameter that is skipped and says why, so that the test stays in the report.
    """
    if SHARED is None:
        return [pytest.param(None, marks=pytest.mark.shared, id=pattern)]
    paths = sorted(SHARED.glob(pattern))
    if not paths:
        raise FileNotFoundError(f"nothing in {SHARED} matches {pattern!r}")
    return [pytest.param(path, marks=pytest.mark.shared, id=path.relative_to(SHARED).as_posix()) for path in paths]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    no_shared = pytest.mark.skip(reason="needs ../shared")
    no_gpu = pytest.mark.skip(reason="needs a CUDA device")
    cuda = torch.cuda.is_available()
    for item in items:
        wants_shared = item.get_closest_marker("shared") or "shared" in getattr(item, "fixturenames", ())
        if SHARED is None and wants_shared:
            item.add_marker(no_shared)
        if not cuda and item.get_closest_marker("gpu"):
            item.add_marker(no_gpu)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder ../shared; a test that asks for it is skipped where it is absent."""
    if SHARED is None:  # asked for indirectly (request.getfixturevalue), out of sight of the collection
        pytest.skip("needs ../shared")
    return SHARED
