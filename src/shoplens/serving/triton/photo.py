"""Triton model `photo`: one photo's bytes to its embedding.

Input PHOTO (BYTES [1]), outputs EMBEDDING (FP32 [D]) and CODE (UINT8 [ceil(D / 8)]); a corrupt photo is refused.
"""

from typing import Any

import pixels  # type: ignore[import-not-found]
import triton_python_backend_utils as pb_utils
from failures import fail, refuse  # type: ignore[import-not-found]
from front import Front  # type: ignore[import-not-found]


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self.front = Front(args, "photo")

    def execute(self, requests: list[Any]) -> list[Any]:
        responses: list[Any] = []
        for request in requests:
            (content,) = pb_utils.get_input_tensor_by_name(request, "PHOTO").as_numpy().reshape(-1)
            try:
                embedding, code = self.front.embed([self.front.decode(content)])
                tensors = [pb_utils.Tensor("EMBEDDING", embedding), pb_utils.Tensor("CODE", code)]
                responses.append(pb_utils.InferenceResponse(tensors))
            except pixels.BadPhoto as problem:
                responses.append(refuse(f"the photo cannot be used: {problem}"))
            except RuntimeError as error:
                responses.append(fail(error))
        return responses
