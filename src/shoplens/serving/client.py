"""Asking a Triton server (gRPC): embeddings of galleries and photos, and its model control."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoplens.errors import ShoplensError
from shoplens.serving.repository import versioned

TIMEOUT_S = 60.0
LOAD_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class GalleryAnswer:
    """A gallery's embedding (float32 [D]), the photos it is the mean of, and those that could not be used."""

    embedding: np.ndarray
    used: int
    corrupt: int


def embed_gallery(
    url: str, photos: Sequence[bytes], version: str | None = None, timeout_s: float = TIMEOUT_S
) -> GalleryAnswer:
    """The embedding of a listing's photos.

    Args:
        url: the server's gRPC address, `host:port`.
        photos: the photo files' bytes (JPEG, PNG or WebP), in any order.
        version: a registry version that a live server holds; None is the one in production.
        timeout_s: how long to wait for the answer.

    Raises:
        ShoplensError: if no server answers, or it refuses (no photo, none usable).
    """
    outputs = _infer(url, "gallery", "PHOTOS", photos, ("EMBEDDING", "USED", "CORRUPT"), version, timeout_s)
    return GalleryAnswer(outputs["EMBEDDING"], int(outputs["USED"][0]), int(outputs["CORRUPT"][0]))


def embed_photo(url: str, photo: bytes, version: str | None = None, timeout_s: float = TIMEOUT_S) -> np.ndarray:
    """The embedding of one photo, float32 [D]; arguments as for `embed_gallery`.

    Raises:
        ShoplensError: if no server answers, or the photo cannot be used.
    """
    return _infer(url, "photo", "PHOTO", [photo], ("EMBEDDING",), version, timeout_s)["EMBEDDING"]


def is_live(url: str) -> bool:
    """Whether a server answers at `url`; it says nothing about the values (compare answers for that)."""
    try:
        with _client(url) as client:
            return bool(client.is_server_live(client_timeout=2.0))
    except ShoplensError:
        return False


def load_model(url: str, name: str) -> None:
    """Load a model of the server's repository, or load it anew if its files have changed.

    Raises:
        ShoplensError: with the server's reason; a model that was loaded before goes on answering.
    """
    with _client(url) as client:
        client.load_model(name, client_timeout=LOAD_TIMEOUT_S)


def unload_model(url: str, name: str) -> None:
    """Unload a model; requests in flight are answered first.

    Raises:
        ShoplensError: with the server's reason.
    """
    with _client(url) as client:
        client.unload_model(name, client_timeout=LOAD_TIMEOUT_S)


def loaded_models(url: str) -> list[str]:
    """The names of the models that a server says are ready, sorted.

    Raises:
        ShoplensError: if no server answers.
    """
    with _client(url) as client:
        index = client.get_model_repository_index(client_timeout=TIMEOUT_S)
    return sorted({model.name for model in index.models if model.state == "READY"})


def _infer(
    url: str,
    name: str,
    tensor: str,
    contents: Sequence[bytes],
    outputs: Sequence[str],
    version: str | None,
    wait: float,
) -> dict[str, np.ndarray]:
    from tritonclient.grpc import InferInput, InferRequestedOutput

    if not contents:
        raise ShoplensError("the gallery has no photo: send at least one")
    photos = InferInput(tensor, [len(contents)], "BYTES")
    photos.set_data_from_numpy(np.array([*contents, None], dtype=object)[:-1])
    model = name if version is None else versioned(name, version)
    with _client(url) as client:
        answer = client.infer(
            model, [photos], outputs=[InferRequestedOutput(output) for output in outputs], client_timeout=wait
        )
    return {output: answer.as_numpy(output) for output in outputs}


@contextlib.contextmanager
def _client(url: str) -> Iterator[Any]:
    """A gRPC client whose errors are ShoplensErrors."""
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    client = InferenceServerClient(url)
    try:
        yield client
    except InferenceServerException as error:
        status = str(error.status() or "").removeprefix("StatusCode.")
        if status == "UNAVAILABLE":
            raise ShoplensError(f"no Triton server answers at {url}: start it with `shoplens serve`") from None
        if status == "DEADLINE_EXCEEDED":
            raise ShoplensError(f"the Triton server at {url} did not answer in time") from None
        if status == "INVALID_ARGUMENT":
            raise ShoplensError(f"the server refused the request: {error.message()}") from None
        raise ShoplensError(f"the Triton server at {url} failed ({status}): {error.message()}") from None
    finally:
        client.close()
