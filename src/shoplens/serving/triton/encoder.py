"""Triton model `encoder` (CPU variant): pixels of photos to embeddings, by onnxruntime inside the python backend.

Requests that wait at the same time run as one batch. Input `pixels` uint8 [n, S, S, 3], outputs `embedding` and
`activation`, whose signs are the code, float32 [n, D]. One thread a core, or OMP_NUM_THREADS.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

OUTPUTS = ("embedding", "activation")


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
        options.inter_op_num_threads = 1
        # Spinning threads would take the cores away from the models that decode photos.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = Path(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        batches = [pb_utils.get_input_tensor_by_name(request, "pixels").as_numpy() for request in requests]
        made = self.session.run(OUTPUTS, {"pixels": np.concatenate(batches)})
        ends = np.cumsum([len(batch) for batch in batches])[:-1]
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor(name, np.ascontiguousarray(part)) for name, part in zip(OUTPUTS, parts, strict=True)]
            )
            for parts in zip(*(np.split(output, ends) for output in made), strict=True)
        ]
