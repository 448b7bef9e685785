# The two commands that always work on a fresh machine with Python 3.11 and a package index: make demo, make test.
PYTHON ?= python3.11
VENV ?= .venv
BIN = $(VENV)/bin
# torchgeo brings a torchvision of its own and much else: an environment beside, with the same pins.
TORCHGEO ?= .venv-torchgeo
FAST = not slow and not qgis and not browser and not torchgeo and not cuda

.PHONY: setup demo test test-slow test-torchgeo faults bench lint qgis-plugin pictures

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
	$(MAKE) test-torchgeo
	$(BIN)/python -m pytest -q -m "(slow or qgis or browser or cuda) and not torchgeo" -ra --timeout 3600

test-torchgeo: $(TORCHGEO)/.ready
	$(TORCHGEO)/bin/python -m pytest -q -m torchgeo -ra tests/geomtrs/test_torchgeo.py

$(TORCHGEO)/.ready: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null 2>&1 && $(PYTHON) -m venv $(TORCHGEO) || python3 -m venv $(TORCHGEO)
	$(TORCHGEO)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0 -e '.[torchgeo]' \
		hypothesis pytest pytest-timeout
	@touch $@

# Kills, full disks, bad servers, archives of many scenes, with their figures: docs/reliability.md. An hour on two cores.
faults: setup
	$(BIN)/python -m pytest -q -m "slow or not slow" -o log_cli=true -o log_cli_level=INFO --timeout 3600 \
		tests/faults tests/geomtrs/test_interrupt.py tests/geomtrs/test_archive_scale.py 2>&1 | \
		grep -E "tests\.(faults|geomtrs)|::|PASSED|FAILED|passed|failed|Error"

bench: setup
	$(BIN)/python benchmarks/run.py

# The pictures of README and docs, anew from the weights that ship: look at them before they are committed.
pictures: setup
	$(BIN)/python docs/pictures.py

# The plugin for QGIS as a zip in dist/: Plugins > Manage and Install Plugins > Install from ZIP.
qgis-plugin:
	$(PYTHON) qgis/package.py dist
