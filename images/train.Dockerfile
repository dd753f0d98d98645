# The image of every pipeline task, and of whoever submits runs from inside a cluster. CUDA comes with the locked wheels
# (nvidia-*) and the driver with the node, so a CUDA base would only bring CUDA twice.
# python:3.11-slim-bookworm; to move on: docker buildx imagetools inspect python:3.11-slim-bookworm
ARG PYTHON=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${PYTHON} AS build
ENV UV_NO_CACHE=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
RUN pip install --no-cache-dir uv==0.13.8 && python -m venv --without-pip /opt/shoplens
WORKDIR /build
# requirements.lock without what only tests and lint use
COPY images/train-requirements.lock requirements.lock
RUN uv pip sync --python /opt/shoplens --require-hashes requirements.lock
COPY pyproject.toml README.md ./
COPY src src
RUN uv pip install --python /opt/shoplens --no-deps --no-build-isolation .
# Stage package tries the model on a real Triton, which has an environment of its own; built here, tasks need no index.
# hadolint ignore=DL3059
RUN SHOPLENS_SERVING_CACHE=/opt/serving /opt/shoplens/bin/python -c \
    'from shoplens.serving.environment import serving_python; serving_python()'

FROM ${PYTHON}
# git: `dvc get` and the lineage that is logged with a model
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home shoplens
COPY --from=build /opt/serving /opt/serving
COPY --from=build /opt/shoplens /opt/shoplens
# the graph and its settings: the recurring run submits from here
COPY pipeline.py params.yaml gate.yaml cluster.yaml /opt/pipeline/
COPY components /opt/pipeline/components
COPY recipes /opt/pipeline/recipes
# which GPUs is the cluster's to say: with NVIDIA_VISIBLE_DEVICES=all here, tasks that ask for none would see all of a node
ENV PATH=/opt/shoplens/bin:$PATH \
    SHOPLENS_SERVING_CACHE=/opt/serving \
    SHOPLENS_HOME=/home/shoplens/.shoplens \
    SHOPLENS_RECIPES=/opt/pipeline/recipes \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /home/shoplens
USER 10001:10001
CMD ["shoplens", "--help"]
