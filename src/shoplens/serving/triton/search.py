"""Triton model `search`: one photo, or a crop of it, to the nearest corpus crops of a source.

Inputs PHOTO (BYTES [1]), BOX (FP64 [4]: x0, y0, x1, y1 as fractions from the top left; 0 0 1 1 for all of the photo),
SOURCE (BYTES [1]) and K (INT32 [1]). Outputs, nearest first, equal distances by image id and box: IMAGE_IDS and LABELS
(BYTES [-1]; the label of a distractor is empty), BOXES (FP64 [-1, 4]), DISTANCES (INT32 [-1], bits that differ), and
CODE (UINT8 [ceil(D / 8)]) of the query. A corrupt photo, a box without a pixel, an unknown source and a K below 1 are
refused.
"""

from pathlib import Path
from typing import Any

import index  # type: ignore[import-not-found]
import numpy as np
import pixels  # type: ignore[import-not-found]
import triton_python_backend_utils as pb_utils
from failures import fail, refuse  # type: ignore[import-not-found]
from front import Front  # type: ignore[import-not-found]


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self.front = Front(args, "search")
        self.corpora = index.load_index(Path(args["model_repository"], args["model_version"], "index")).corpora

    def finalize(self) -> None:
        self.front.close()

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        (content,), box, (source,), (k,) = (
            pb_utils.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)
            for name in ("PHOTO", "BOX", "SOURCE", "K")
        )
        corpus = self.corpora.get(source.decode(errors="replace"))
        if corpus is None:
            known = ", ".join(self.corpora)
            return refuse(f"there is no source {source.decode(errors='replace')!r} to search: there is {known}")
        if k < 1:
            return refuse(f"{k} results are asked for: ask for at least one")
        if not np.isfinite(box).all():
            return refuse(f"the box {box.tolist()} is not four numbers")
        try:
            embedding, code = self.front.embed([self.front.decode(content, tuple(box.tolist()))])
        except pixels.BadPhoto as problem:
            return refuse(f"the photo cannot be used: {problem}")
        except RuntimeError as error:
            return fail(error)
        rows, distances = index.nearest(corpus, code, int(k))
        self.front.note(f"search/{source.decode()}", embedding, code)
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("IMAGE_IDS", np.array(corpus.image_ids[rows], object)),
                pb_utils.Tensor("BOXES", np.ascontiguousarray(corpus.boxes[rows])),
                pb_utils.Tensor("LABELS", np.array(corpus.labels[rows], object)),
                pb_utils.Tensor("DISTANCES", distances.astype(np.int32)),
                pb_utils.Tensor("CODE", code),
            ]
        )
