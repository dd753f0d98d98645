"""Triton model `gallery`: the photos' bytes of one listing to its embedding, the mean over its usable photos.

Input PHOTOS (BYTES [-1]); outputs EMBEDDING (FP32 [D]), CODE (UINT8 [ceil(D / 8)], the signs of the mean activation),
USED and CORRUPT (INT32 [1]). A corrupt photo is counted and left out; a gallery without a usable photo is refused.
"""

from typing import Any

import numpy as np
import pixels  # type: ignore[import-not-found]
import triton_python_backend_utils as pb_utils
from failures import fail, refuse  # type: ignore[import-not-found]
from front import Front  # type: ignore[import-not-found]


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self.front = Front(args, "gallery")

    def finalize(self) -> None:
        self.front.close()

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        contents = pb_utils.get_input_tensor_by_name(request, "PHOTOS").as_numpy().reshape(-1)
        photos, problems = [], []
        for number, content in enumerate(contents, 1):
            try:
                photos.append(self.front.decode(content))
            except pixels.BadPhoto as problem:
                problems.append(f"photo {number}: {problem}")
        if not photos:
            return refuse("the gallery has no photo" if not problems else f"no usable photo; {problems[0]}")
        try:
            embedding, code = self.front.embed(photos)
        except RuntimeError as error:
            return fail(error)
        self.front.note("gallery", embedding, code)
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("EMBEDDING", embedding),
                pb_utils.Tensor("CODE", code),
                pb_utils.Tensor("USED", np.array([len(photos)], np.int32)),
                pb_utils.Tensor("CORRUPT", np.array([len(problems)], np.int32)),
            ]
        )
