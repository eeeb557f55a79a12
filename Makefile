# Needs Python 3.10 or newer with venv, make, and a network that reaches PyPI. Everything else is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help install demo test check bench clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

install: $(STAMP) ## create .venv with the exact versions of constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "error: yolotrack needs Python 3.10 or newer, and $(PYTHON) is %d.%d; name another with make PYTHON=..." % sys.version_info[:2])'
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }
	$(PIP) install -q -c constraints.txt pip hatchling
	$(PIP) install -q -c constraints.txt --no-build-isolation -e '.[dev]'
	@# opencv-python needs libGL and X11 for its windows; without them the same release without windows takes its place
	@$(BIN)/python -c 'import cv2' 2>/dev/null || $(PIP) install -q -c constraints.txt --no-deps --force-reinstall opencv-python-headless
	@$(BIN)/python -c 'import av, cv2, openvino, torch' || { echo 'error: what was installed cannot be imported, see above' >&2; exit 1; }
	@touch $@

demo: install ## render a synthetic street, track it, score the tracks, write the video
	$(BIN)/yolotrack demo

test: check ## everything that must hold before a change goes in; installs the servers they start on Debian where they are missing
	@scripts/install_test_servers.sh
	@# two at a time: half of what they do is to wait for servers and processes
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: install ## lint, types, layers
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/unit/test_layers.py

bench: install ## measure, side by side with the reference
	$(BIN)/python bench/run.py
	$(BIN)/python bench/distributed.py
	$(BIN)/python bench/store.py
	$(BIN)/python bench/view.py

clean: ## remove what the other targets made
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache yolotrack-demo
