# MLflow's server for PostgreSQL and S3; its version is the one in requirements.lock.
ARG PYTHON=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${PYTHON} AS build
ENV UV_NO_CACHE=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
RUN pip install --no-cache-dir uv==0.13.8 && python -m venv --without-pip /opt/mlflow
COPY images/mlflow-requirements.lock /build/requirements.lock
RUN uv pip sync --python /opt/mlflow --require-hashes /build/requirements.lock

FROM ${PYTHON}
RUN useradd --uid 10001 --create-home mlflow
COPY --from=build /opt/mlflow /opt/mlflow
ENV PATH=/opt/mlflow/bin:$PATH
WORKDIR /home/mlflow
USER 10001:10001
EXPOSE 5000
CMD ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000"]
