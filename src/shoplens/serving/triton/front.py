"""What the models `gallery` and `photo` share: decoding as in training, and the call of the model `encoder`."""

import json
from pathlib import Path

import numpy as np
import pixels  # type: ignore[import-not-found]
import triton_python_backend_utils as pb_utils


class Front:
    """Photos' bytes to embeddings, for one version of the encoder.

    Args:
        args: what Triton gives to a model's `initialize`.
        name: this model's name in the package (`gallery` or `photo`). A live repository appends a slot
            (`gallery_v7_1a2b`), and calls the encoder with the same ending.
    """

    def __init__(self, args: dict[str, str], name: str) -> None:
        folder = Path(args["model_repository"], args["model_version"])
        transform = json.loads((folder / "transform.json").read_text())
        self.size: int = transform["size"]
        self.short_side: int | None = transform["short_side"]
        self.max_batch: int = transform["max_batch"]
        self.encoder = "encoder" + args["model_name"].removeprefix(name)

    def decode(self, content: bytes) -> np.ndarray:
        """Pixels of one photo, uint8 [S, S, 3].

        Raises:
            pixels.BadPhoto: if the bytes are not a photo.
        """
        return np.asarray(pixels.to_pixels(content, self.size, self.short_side))

    def embed(self, photos: list[np.ndarray]) -> np.ndarray:
        """Embeddings of decoded photos, float32 [n, D]; at most `max_batch` photos a call of the encoder."""
        parts = [self._call(photos[at : at + self.max_batch]) for at in range(0, len(photos), self.max_batch)]
        return np.concatenate(parts)

    def _call(self, photos: list[np.ndarray]) -> np.ndarray:
        request = pb_utils.InferenceRequest(
            model_name=self.encoder,
            requested_output_names=["embedding"],
            inputs=[pb_utils.Tensor("pixels", np.stack(photos))],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        )
        response = request.exec()
        if response.has_error():
            raise RuntimeError(f"{self.encoder}: {response.error().message()}")
        return np.asarray(pb_utils.get_output_tensor_by_name(response, "embedding").as_numpy())
