"""Triton model `ranker`: a query and listings to their scores.

Inputs QUERY (BYTES [1]) and LISTINGS (BYTES [-1], listing ids); outputs SCORES (FP32 [-1], higher is better; the lowest
number where a listing is not known), KNOWN (INT32 [-1], 1 or 0), MODEL (BYTES [1], `own` or `global`) and MODALITY
(BYTES [1], `text`, `image` or `multimodal`). An empty query and an empty list are refused.
"""

from pathlib import Path
from typing import Any

import numpy as np
import scoring  # type: ignore[import-not-found]
import triton_python_backend_utils as pb_utils
from failures import refuse  # type: ignore[import-not-found]


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        folder = Path(args["model_repository"], args["model_version"])
        self.ranker = scoring.load_ranker(folder / "ranker")

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        (typed,) = pb_utils.get_input_tensor_by_name(request, "QUERY").as_numpy().reshape(-1)
        listings = pb_utils.get_input_tensor_by_name(request, "LISTINGS").as_numpy().reshape(-1).tolist()
        try:
            query = typed.decode()
        except UnicodeDecodeError:
            return refuse("the query is not UTF-8")
        if not query.strip():
            return refuse("the query is empty: send at least one word")
        if not listings:
            return refuse("there is no listing to rank: send at least one listing id")
        found = scoring.score(self.ranker, query, listings)
        said = {"MODEL": found.model, "MODALITY": found.modality}
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("SCORES", found.scores),
                pb_utils.Tensor("KNOWN", found.known.astype(np.int32)),
                *(pb_utils.Tensor(name, np.array([text.encode()], object)) for name, text in said.items()),
            ]
        )
