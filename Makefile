# make repro    set up, fetch or render the data, run the pipeline, print what it decided
# make test     set up, pass the tests (7 minutes on 2 cores)
# make test-all the tests that make test leaves out because they take long (16 minutes more)
# make lint     style, types, Dockerfiles, scripts, workflows, manifests
# make image    the container images, by docker or podman; REGISTRY=registry.example.com/team pushes them as well
# make bench    the speed claims, as ratios
# make results  fresh seeds, three worlds: writes docs/results.md, docs/results-ranking.md and docs/results-retrieval.md;
#               rankers at a real shop's size, generated: prints time and memory (hours)

SHELL := /bin/bash
PYTHON ?= python3.11
export PYTHON
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# files named on a pytest command line replace testpaths: make test TESTS=tests/world
TESTS ?=

.PHONY: setup repro test test-all lint image bench results
.DEFAULT_GOAL := repro

setup:
	@scripts/setup

repro: setup
	@shoplens data get
	@dvc repro; code=$$?; shoplens summary; exit $$code

test: setup
	@python -m pytest -m "not slow" -n 2 --dist loadfile $(TESTS)

test-all: setup lint
	@python -m pytest -m slow -n 2 --dist loadfile $(TESTS)

lint: setup
	@ruff check .
	@ruff format --check .
	@mypy
	@hadolint images/*.Dockerfile
	@shellcheck scripts/setup scripts/lint-workflows images/build
	@scripts/lint-workflows
	@zizmor --offline --quiet .github
	@python -m manifests.check

image:
	@images/build

bench: setup
	@python -m benchmarks

results: setup
	@python -m benchmarks.results
	@python -m benchmarks.results_ranking
	@python -m benchmarks.results_retrieval
	@python -m benchmarks.ranking_scale
