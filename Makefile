# Each target does whatever set-up is missing.
#   make up PORT=8001 DATA_DIR=data WORKERS=1 MODEL=models/pretrained/fashion-mnist REDIS_URL=...
#   make demo OUT=demo        make train CONFIG=fashion-mnist OUT=runs/fashion-mnist
#   make evaluate MODEL=runs/fashion-mnist/checkpoint DATA=/usr/share/datasets/fashion-mnist OUT=evaluation
# What is named on make's command line reaches the commands as environment variables.

# The first Python from 3.11 to 3.13.
FITS = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(firstword $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c '$(FITS)' 2>/dev/null && echo $$python; done))
BIN = .venv/bin
TORCH = torch==2.13.0  # what we develop with; the code runs on 2.6 and newer
CONFIG ?= fashion-mnist
SOURCES = app protocol worker webhooks models launch tools client/denoised_client
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	-c requirements/constraints.txt $$($(PYTHON) -m launch.torch_index)

.PHONY: help up demo secrets test test-compose nightly chaos soak check train evaluate lock clean
.DEFAULT_GOAL := help

help:  ## This list.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

up: .venv/run  ## The service on this machine, until Ctrl-C. PORT= DATA_DIR= WORKERS= MODEL=
	@$(BIN)/python -m launch.up

demo: .venv/run  ## Start everything, draw 16 images into OUT=demo, stop everything.
	@$(BIN)/python -m launch.demo

secrets:  ## What docker compose wants before it starts: .env and secrets/redis-password. Replaces nothing.
	@test -e .env || cp .env.example .env
	@mkdir -p -m 700 secrets
	@test -s secrets/redis-password || { \
		{ od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; echo; } > secrets/redis-password.new && \
		grep -q -E '^[0-9a-f]{64}$$' secrets/redis-password.new && \
		mv secrets/redis-password.new secrets/redis-password; }
	@chmod 644 secrets/redis-password

test: .venv/dev  ## The whole suite: real Redis, real processes, real HTTP.
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-compose: .venv/dev  ## The containers, where a Docker engine is up: builds, kills, updates. Minutes.
	$(BIN)/python -m pytest tests/compose --timeout 1200

nightly: .venv/dev  ## 2,000 requests out of the OpenAPI document; 1,000 schedules of pixels. Hours.
	API_FUZZ=2000 $(BIN)/python -m pytest tests/app/test_openapi_fuzz.py --timeout 0
	FUZZ=1000 $(BIN)/python -m pytest tests/worker/test_determinism.py --timeout 0

chaos: .venv/dev  ## 1,000 jobs while everything dies, in minutes. SHORT=1 SEED=
	$(BIN)/python -m chaos $(if $(SHORT),--short) $(if $(SEED),--seed $(SEED))

soak: .venv/dev  ## Half an hour at 70 % load: do memory or descriptors grow? MINUTES=30
	$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),30)

check: .venv/dev  ## Lint, format, types, who may import whom, known holes.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit -q -c pyproject.toml -r $(SOURCES)
	$(BIN)/python -m tools.audit

train: .venv/run  ## Train CONFIG=fashion-mnist into OUT=runs/CONFIG; goes on where it stopped.
	$(BIN)/python -m models.train $(CONFIG) --out $(or $(OUT),runs/$(notdir $(basename $(CONFIG))))

evaluate: .venv/evaluate  ## How good MODEL='s images are beside those in DATA=; OUT=evaluation N=2000 SAMPLER= STEPS= SPACING=
	$(BIN)/python -m models.evaluate $(or $(MODEL),models/pretrained/fashion-mnist) \
		--data $(or $(DATA),/usr/share/datasets/fashion-mnist) --out $(or $(OUT),evaluation) \
		--features runs/features \
		$(if $(N),--n $(N)) $(if $(SAMPLER),--sampler $(SAMPLER)) $(if $(STEPS),--steps $(STEPS)) \
		$(if $(SPACING),--spacing $(SPACING))

lock:  ## Newest versions of everything into requirements/constraints.txt.
	$(PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/python -m pip install --quiet $$($(PYTHON) -m launch.torch_index) \
		-r requirements/dev.txt $(TORCH)
	.venv-lock/bin/python -m pip freeze | sed 's/+cpu$$//' | grep -v -E '^(nvidia|cuda|triton)' \
		> requirements/constraints.txt
	rm -r .venv-lock

clean:  ## The virtual environment and caches; neither data nor runs.
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/run: requirements/api.txt requirements/worker.txt requirements/webhooks.txt \
		requirements/launch.txt requirements/constraints.txt | .venv/bin/python
	@echo "installing what the service needs into .venv (some minutes the first time)"
	@$(INSTALL) -r requirements/launch.txt
	@touch $@

.venv/evaluate: requirements/evaluate.txt .venv/run
	@echo "installing what draws pages into .venv"
	@$(INSTALL) -r requirements/evaluate.txt
	@touch $@

.venv/dev: requirements/dev.txt requirements/evaluate.txt .venv/run
	@echo "installing what the tests need into .venv"
	@$(INSTALL) -r requirements/dev.txt
	@touch $@

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "needs Python 3.11, 3.12 or 3.13: install one, or make PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }  # half of one would pass for a whole
