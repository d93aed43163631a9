# Everything runs in .venv, made on first use with nothing but Python >= 3.11, pip and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0

.PHONY: demo test test-plugin lint format bench clean

demo: $(VENV)/.base
	$(BIN)/prm-run demo/bikes.mp4 --save-json demo/out.jsonl --save-video demo/out.mp4
	$(BIN)/prm-run demo/photos --save-images demo/out

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2

# What the tests skip without Triton and NVIDIA's plugin sources: 0.3 GB to download.
test-plugin: $(VENV)/.plugin
	$(BIN)/python -m pytest tests/export/test_plugin_*.py

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# YOLO_PYTHON=VENV/bin/python, an environment with benchmarks/requirements-yolo.txt, puts YOLO11n-seg beside ours.
RESULTS := benchmarks/results
bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.frame $(if $(YOLO_PYTHON),--yolo-python $(YOLO_PYTHON)) --json $(RESULTS)/frame.json
	$(BIN)/python -m benchmarks.frame $(if $(YOLO_PYTHON),--yolo-python $(YOLO_PYTHON)) --aspect 4:3 --json $(RESULTS)/frame-4x3.json
	$(BIN)/python -m benchmarks.scaling --results $(RESULTS)
	$(BIN)/python -m benchmarks.pipeline --json $(RESULTS)/pipeline.json
	$(BIN)/python -m benchmarks.startup --json $(RESULTS)/startup.json
	$(BIN)/python -m benchmarks.memory --json $(RESULTS)/memory.json
	$(BIN)/python -m benchmarks.graphs
	$(BIN)/python -m benchmarks.host
	$(BIN)/python -m benchmarks.reuse
	$(BIN)/python -m benchmarks.tracking demo/bikes.mp4
	$(BIN)/python -m benchmarks.soak --minutes 3
	$(BIN)/python -m benchmarks.precision --json $(RESULTS)/precision.json
	$(BIN)/python -m benchmarks.engines --json $(RESULTS)/engines.json
	$(BIN)/python -m benchmarks.render

clean:
	rm -rf $(VENV) demo/out demo/out.* .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "prm-edge needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet -e .
	touch $@

# torch first and pinned: left to itself pip may pick a build of several gigabytes.
$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet -e '.[train,export,openvino,weights,dev]'
	touch $@ $(VENV)/.base

$(VENV)/.plugin: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet -e '.[plugin]'
	$(BIN)/python -m pip install --quiet --no-deps tensorrt_cu13_bindings
	touch $@
