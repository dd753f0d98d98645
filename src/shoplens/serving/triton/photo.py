"""Triton model `photo`: one photo's bytes to its embedding.

Input PHOTO (BYTES [1]), output EMBEDDING (FP32 [D]); a corrupt photo is refused.
"""

from typing import Any

import pixels  # type: ignore[import-not-found]
import triton_python_backend_utils as pb_utils
from front import Front  # type: ignore[import-not-found]
from responses import fail, refuse  # type: ignore[import-not-found]


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self.front = Front(args, "photo")

    def execute(self, requests: list[Any]) -> list[Any]:
        responses: list[Any] = []
        for request in requests:
            (content,) = pb_utils.get_input_tensor_by_name(request, "PHOTO").as_numpy().reshape(-1)
            try:
                embedding = self.front.embed([self.front.decode(content)])[0]
                responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("EMBEDDING", embedding)]))
            except pixels.BadPhoto as problem:
                responses.append(refuse(f"the photo cannot be used: {problem}"))
            except RuntimeError as error:
                responses.append(fail(error))
        return responses
