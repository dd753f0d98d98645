# Triton with what the models' Python needs: Pillow 13 wants Python 3.11 or later (this release has 3.12), and the python
# backend corrupts tensors silently with numpy 2.
# tritonserver:25.06-py3
ARG TRITON=nvcr.io/nvidia/tritonserver:25.06-py3@sha256:75bcfa5b0043898ece3e603c17a5bbbb1c9bddc390563db24312ef59d83735e5
FROM ${TRITON}
COPY images/triton-requirements.lock /tmp/requirements.lock
RUN pip install --no-cache-dir --no-deps --break-system-packages --require-hashes --requirement /tmp/requirements.lock \
    && python3 -c 'import numpy, onnxruntime, PIL; assert numpy.__version__.startswith("1."), numpy.__version__'
# the base image's own user
USER 1000:1000
WORKDIR /tmp
CMD ["tritonserver", "--help"]
