# Everything happens in .venv; no target needs more than Python 3.11 with venv, and Chromium where it can be had.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Frontends beside the installed one, on which a sample of conversions is tested.
FRONTENDS := 1.49.6 1.58.1
# The package of official templates, some of which are converted with each of them.
TEMPLATES := 0.1.50

# The tests start more than a thousand processes of Python: without saved bytecode each compiles the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup run test check coverage faults clusters bench docs clean

setup: $(STAMP) ## environment with all that tests need, and a Chromium
	@$(BIN)/python -m discomfort.conversion

$(STAMP): pyproject.toml scripts/frontends.sh
	@test -x $(BIN)/python || scripts/bootstrap.sh $(VENV) $(PYTHON)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@scripts/frontends.sh $(VENV) $(FRONTENDS) $(TEMPLATES:%=templates-%)
	@touch $@

run: setup ## convert and run the example workflow; prints the path of its picture
	$(BIN)/discomfort run examples/hello.json --output output

test: setup ## the whole suite; with COMFYUI_PATH set also against a real ComfyUI
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

check: setup ## what a change must pass
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

coverage: setup ## line and branch coverage of each part, by the whole suite; with TESTS="…" by those alone
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q $(TESTS)
	$(BIN)/coverage combine -q
	$(BIN)/python scripts/coverage_table.py

faults: setup ## the fault matrix three times in a row while all cores are busy
	$(BIN)/python benchmarks/matrix_under_load.py

clusters: setup ## the tests on Ray clusters: installs Ray, and starts and loses machines
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[ray]'
	CLUSTERS=all $(BIN)/python -m pytest tests/on_ray

bench: setup ## the benchmarks on the emulator; benchmarks/README.md has the rest
	$(BIN)/python benchmarks/run.py

docs: setup ## the reference pages, from the docstrings
	$(BIN)/python docs/make_reference.py

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
