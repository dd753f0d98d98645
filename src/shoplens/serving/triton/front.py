"""What the models that take photos share: decoding as in training, the call of the model `encoder`, and codes."""

import json
from pathlib import Path

import numpy as np
import pixels  # type: ignore[import-not-found]
import request_log  # type: ignore[import-not-found]
import triton_python_backend_utils as pb_utils

OUTPUTS = ("embedding", "activation")


class Front:
    """Photos' bytes to embeddings, for one version of the encoder.

    Args:
        args: what Triton gives to a model's `initialize`.
        name: this model's name in the package (`gallery`, `photo` or `search`). A live repository appends a slot
            (`gallery_v7_1a2b`), and calls the encoder with the same ending.
    """

    def __init__(self, args: dict[str, str], name: str) -> None:
        folder = Path(args["model_repository"], args["model_version"])
        transform = json.loads((folder / "transform.json").read_text())
        self.size: int = transform["size"]
        self.short_side: int | None = transform["short_side"]
        self.max_batch: int = transform["max_batch"]
        self.encoder = "encoder" + args["model_name"].removeprefix(name)
        self.log = request_log.log_of_environment(transform["weights"], args["model_name"])

    def decode(self, content: bytes, box: tuple[float, ...] | None = None) -> np.ndarray:
        """Pixels of one photo, or of the crop that `box` (x0, y0, x1, y1, fractions) cuts out, uint8 [S, S, 3].

        Raises:
            pixels.BadPhoto: if the bytes are not a photo, or the box has no pixel of it.
        """
        return np.asarray(pixels.to_pixels(content, self.size, self.short_side, box))

    def embed(self, photos: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Mean embedding, float32 [D], and code, uint8 [ceil(D / 8)], of decoded photos, at least one.

        At most `max_batch` photos go into one call of the encoder. A bit of the code is 1 where the mean activation is
        above 0; not a number, which a diverged model gives, counts as 1, as in stage embed.
        """
        parts = [self._call(photos[at : at + self.max_batch]) for at in range(0, len(photos), self.max_batch)]
        embedding, activation = (
            np.concatenate(rows).mean(axis=0, dtype=np.float64).astype(np.float32) for rows in zip(*parts, strict=True)
        )
        return embedding, np.packbits(~(activation <= 0))

    def note(self, kind: str, embedding: np.ndarray, code: np.ndarray) -> None:
        """Log what was asked, where a log is kept: `gallery`, or `search/SOURCE`."""
        if self.log is not None:
            self.log.add(kind, embedding, code)

    def close(self) -> None:
        """Finish the log."""
        if self.log is not None:
            self.log.close()

    def _call(self, photos: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        request = pb_utils.InferenceRequest(
            model_name=self.encoder,
            requested_output_names=list(OUTPUTS),
            inputs=[pb_utils.Tensor("pixels", np.stack(photos))],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        )
        response = request.exec()
        if response.has_error():
            raise RuntimeError(f"{self.encoder}: {response.error().message()}")
        return tuple(np.asarray(pb_utils.get_output_tensor_by_name(response, name).as_numpy()) for name in OUTPUTS)
