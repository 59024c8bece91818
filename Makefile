# Everything runs in .venv, which the targets make for themselves: on a fresh machine, Python >= 3.11 and make
# are enough. `make help` lists the targets.

PYTHON  ?= $(shell command -v python3.11 || command -v python3 || command -v python)
VENV    ?= .venv
# pytest processes; their speed-up ends at the number of cores.
WORKERS ?= 2

PY      := $(VENV)/bin/python
PIP     := $(PY) -m pip install --disable-pip-version-check --constraint constraints.txt
TORCH   := $(shell sed -n 's/^torch==//p' constraints.txt)
CPU_INDEX := https://download.pytorch.org/whl/cpu

# Thread pools of several processes on the same cores cost small tensor programs up to ten times their time.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
PYTEST     := $(ONE_THREAD) $(PY) -m pytest -n $(WORKERS) --dist loadgroup

# Every invocation installs what is stale, so two at once (make -j) would meet in .venv.
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test test-all test-gpu check lint format types docs bench bench-kernels bench-soft constraints clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-12s %s\n", $$1, $$2 }'

demo: $(VENV)/.runtime  ## run the demonstration: simulate a season, fit it, plot it (into out/)
	$(PY) -m torchcrop.demo

test: check  ## lint, types, documentation, fast tests
	$(PYTEST) -m "not slow and not gpu"

test-all: check  ## the same with every slow test, the notebooks, and the GPU tests where there is a GPU
	$(PYTEST) --nbmake tests $(wildcard notebooks)

test-gpu: $(VENV)/.dev  ## the tests that need an NVIDIA GPU
	$(PIP) --quiet --editable '.[gpu]'
	$(PYTEST) -m gpu

bench: $(VENV)/.dev  ## run the benchmarks, against peers in environments of their own
	$(PY) -m benchmarks.peers.make_env torchcrop
	$(PY) -m benchmarks.run
	$(PY) -m benchmarks.kernels

bench-kernels: $(VENV)/.dev  ## the benchmarks of the season kernels alone
	$(PY) -m benchmarks.peers.make_env torchcrop
	$(PY) -m benchmarks.kernels

bench-soft: $(VENV)/.dev  ## the benchmarks of the soft operators, against SoftTorch in an environment of its own
	$(PY) -m benchmarks.peers.make_env softtorch
	$(PY) -m benchmarks.soft

check: lint types docs

lint: $(VENV)/.dev  ## ruff: rules and format
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: $(VENV)/.dev  ## ruff: mend what can be mended
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

types: $(VENV)/.dev  ## mypy
	$(PY) -m mypy

docs: $(VENV)/.dev  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

constraints:  ## resolve the developing pins anew, in a throw-away environment
	rm -rf $(VENV)-resolve && $(PYTHON) -m venv $(VENV)-resolve
	$(VENV)-resolve/bin/python -m pip install --quiet --no-deps --retries 1 --timeout 15 --index-url $(CPU_INDEX) torch==$(TORCH) \
	|| $(VENV)-resolve/bin/python -m pip install torch==$(TORCH)
	$(VENV)-resolve/bin/python -m pip install --quiet '.[test,docs]' torch==$(TORCH)
	( sed '/^[^#]/,$$d' constraints.txt; \
	  $(VENV)-resolve/bin/python -m pip freeze --all | sed -e '/^pip==/d' -e '/^torchcrop @/d' -e 's/^\(torch==[^+]*\)+.*/\1/' ) > constraints.new
	mv constraints.new constraints.txt
	rm -rf $(VENV)-resolve

clean:  ## remove what was built, .venv included
	rm -rf $(VENV) site out dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---------------------------------------------------------------- environment

# PyTorch first and alone: PyPI's wheel for Linux brings gigabytes of CUDA libraries, so a machine without an
# NVIDIA driver takes the CPU build from PyTorch's own index. Two tries with a short wait, then whatever pip finds
# (a local wheel, PyPI): the index being out of reach must neither stop nor delay an installation.
$(VENV)/.torch: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "torchcrop needs Python >= 3.11; pass one: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	if command -v nvidia-smi >/dev/null 2>&1; then \
	    $(PIP) torch==$(TORCH); \
	else \
	    $(PIP) --quiet --no-deps --retries 1 --timeout 15 --index-url $(CPU_INDEX) torch==$(TORCH) \
	    || $(PIP) torch==$(TORCH); \
	fi
	touch $@

$(VENV)/.runtime: $(VENV)/.torch pyproject.toml
	$(PIP) --quiet --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	$(PIP) --quiet --editable '.[test,docs]'
	@# PCSE writes its settings and a database at its first import; two test processes would do so at once.
	$(PY) -c 'import pcse'
	touch $@ $(VENV)/.runtime
