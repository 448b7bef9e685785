# The two commands that always work on a fresh machine with Python 3.11 and a package index: make demo, make test.
PYTHON ?= python3.11
VENV ?= .venv
BIN = $(VENV)/bin
FAST = not slow and not qgis and not browser and not torchgeo and not cuda

.PHONY: setup demo test test-slow bench lint

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null 2>&1 && $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,audit,notebook,stac,train,openvino]'
	@touch $@

demo: setup
	$(BIN)/geomtrs demo demo-out

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "$(FAST)" --durations=8

test-slow: setup
	$(BIN)/python -m pytest -q -m "slow or qgis or browser or torchgeo or cuda" -ra --timeout 3600

bench: setup
	$(BIN)/python benchmarks/run.py
