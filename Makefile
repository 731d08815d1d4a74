# SPDX-License-Identifier: LGPL-2.1-or-later
# Every target does its own set-up: see tools/set-up.

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
MINUTES ?= 30
WORKERS ?= $(shell echo $$(( ($$(nproc) * 3 + 1) / 2 )))
READY := $(VENV)/.ready
SPHINX := $(VENV)/.sphinx

.PHONY: help demo test lint bench faults soak docs manual incident format clean

help:
	@echo "make demo    the post's spike, on your machine, in under two minutes"
	@echo "make test    lint, and every test"
	@echo "make bench   what a message costs, against fedmsg-hub and a bare loop"
	@echo "make faults  kill, starve and lie to real hubs, and audit what became of every message"
	@echo "make soak    half an hour of spikes: does a hub stay as large as it is? MINUTES=30"
	@echo "make lint    ruff, mypy, import layers, generated documents"
	@echo "make docs    write the generated documents and definitions anew"
	@echo "make manual  docs/ as a site, in build/manual"
	@echo "make incident  the figures and the picture of docs/incident.md, anew"

$(READY): setup.py tools/set-up
	tools/set-up $(PYTHON) $(VENV)
	touch $@

demo: $(READY)
	tools/set-up --packages collectd rrdtool
	$(BIN)/glasshub demo $(ARGS)

# A half more workers than processors, since tests wait for others half of their time. Files in the order of their names:
# those that take long, in tests/integration, are not left for the end.
test: lint
	tools/set-up --packages
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.documents --check
	$(BIN)/python -m tools.definitions --check

bench: $(READY)
	tools/set-up --packages rabbitmq-server
	$(BIN)/python -m benchmarks $(ARGS)

faults: $(READY)
	$(BIN)/python -m faults $(ARGS)

soak: $(READY)
	$(BIN)/python -m faults.soak --minutes $(MINUTES) $(ARGS)

docs: $(READY)
	$(BIN)/python -m tools.documents
	$(BIN)/python -m tools.definitions

incident: $(READY)
	tools/set-up --packages rrdtool
	$(BIN)/python -m tools.incident $(ARGS)

$(SPHINX): $(READY) docs/requirements.txt
	$(BIN)/pip install -qq -r docs/requirements.txt
	touch $@

manual: $(SPHINX)
	$(BIN)/python -m sphinx -W -n --keep-going -q -b html docs build/manual
	@echo "see build/manual/index.html"

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist glasshub-demo
