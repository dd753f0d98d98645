"""Asking a Triton server (gRPC): embeddings and codes of photos, scores of listings, visual search, model control."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoplens.errors import ShoplensError
from shoplens.retrieval.index import WHOLE

Box = tuple[float, float, float, float]
Headers = Mapping[str, str]
TIMEOUT_S = 60.0
LOAD_TIMEOUT_S = 1200.0
"""TensorRT may build an engine for minutes while a model loads."""


class Refused(ShoplensError):
    """The server is well, but the request's content cannot be answered (a corrupt photo, an empty query)."""


class Unreachable(ShoplensError):
    """No server answers at an address, or not in time; it may do so later."""


class NotServed(ShoplensError):
    """The server is well, but has no model of that name or version."""


@dataclass(frozen=True)
class GalleryAnswer:
    """A gallery's embedding (float32 [D]), the photos it is the mean of, and those that could not be used.

    code: the signs of the mean activation, uint8 [ceil(D / 8)] (retrieval.codes); None by a version that was packaged
    before there were codes.
    """

    embedding: np.ndarray
    used: int
    corrupt: int
    code: np.ndarray | None = None


@dataclass(frozen=True)
class EmbeddedPhoto:
    """One photo's embedding (float32 [D]) and code (as of GalleryAnswer)."""

    embedding: np.ndarray
    code: np.ndarray | None


@dataclass(frozen=True)
class RankAnswer:
    """Scores of listings for a query.

    Attributes:
        scores: float32 [n], in the order of the request, higher is better; the lowest number where not known.
        known: bool [n], whether the ranker knows the listing.
        model: `own`, the query's own model, or `global`, the one over all queries.
        modality: what it looked at: `text`, `image` or `multimodal`.
    """

    scores: np.ndarray
    known: np.ndarray
    model: str
    modality: str


@dataclass(frozen=True)
class SearchAnswer:
    """The nearest n crops of a source's corpus, nearest first, equal distances by image id and box.

    Attributes:
        image_ids, labels: of each; the label of a distractor is empty.
        boxes: float64 [n, 4]: x0, y0, x1, y1 as fractions from the top left, 0 0 1 1 for a whole photo.
        distances: int32 [n], how many bits differ.
        code: uint8 [ceil(D / 8)], the query's.
    """

    image_ids: list[str]
    boxes: np.ndarray
    labels: list[str]
    distances: np.ndarray
    code: np.ndarray


def embed_gallery(
    url: str,
    photos: Sequence[bytes],
    version: str | None = None,
    timeout_s: float = TIMEOUT_S,
    model: str = "gallery",
) -> GalleryAnswer:
    """The embedding of a listing's photos.

    Args:
        url: the server's gRPC address, `host:port`.
        photos: the photo files' bytes (JPEG, PNG or WebP), in any order.
        version: insist on this version (the registry's number); None takes the one that is served.
        timeout_s: how long to wait for the answer.
        model: the model to ask, if not the public one.

    Raises:
        Refused: if there is no photo, or none that can be used.
        ShoplensError: if no server answers, or it fails.
    """
    if not photos:
        raise Refused("the gallery has no photo: send at least one")
    outputs = _infer(url, model, {"PHOTOS": photos}, version, timeout_s)
    used, corrupt = (int(outputs[name][0]) for name in ("USED", "CORRUPT"))
    return GalleryAnswer(outputs["EMBEDDING"], used, corrupt, outputs.get("CODE"))


def embed_photo(
    url: str, photo: bytes, version: str | None = None, timeout_s: float = TIMEOUT_S, model: str = "photo"
) -> EmbeddedPhoto:
    """The embedding and code of one photo; arguments as for `embed_gallery`.

    Raises:
        Refused: if the photo cannot be used.
        ShoplensError: if no server answers, or it fails.
    """
    outputs = _infer(url, model, {"PHOTO": [photo]}, version, timeout_s)
    return EmbeddedPhoto(outputs["EMBEDDING"], outputs.get("CODE"))


def rank(
    url: str,
    query: str,
    listing_ids: Sequence[str],
    version: str | None = None,
    timeout_s: float = TIMEOUT_S,
    model: str = "ranker",
) -> RankAnswer:
    """The scores of listings for a query; other arguments as for `embed_gallery`.

    Args:
        query: as typed; case and white space do not matter.
        listing_ids: the listings to score, at least one.

    Raises:
        Refused: if the query or the list is empty, or the query is not text that UTF-8 can say.
        ShoplensError: if no server answers, it serves no ranker, or it fails.
    """
    if not listing_ids:
        raise Refused("there is no listing to rank: send at least one listing id")
    try:
        inputs = {"QUERY": [query.encode()], "LISTINGS": [listing.encode() for listing in listing_ids]}
    except UnicodeEncodeError:
        raise Refused("the query or a listing id is not text that UTF-8 can say") from None
    outputs = _infer(url, model, inputs, version, timeout_s)
    said = [outputs[name][0].decode() for name in ("MODEL", "MODALITY")]
    return RankAnswer(outputs["SCORES"], outputs["KNOWN"].astype(bool), *said)


def search(
    url: str,
    photo: bytes,
    source: str,
    k: int,
    box: Box = WHOLE,
    version: str | None = None,
    timeout_s: float = TIMEOUT_S,
    model: str = "search",
) -> SearchAnswer:
    """The nearest crops of a source's corpus to a photo, by the codes; other arguments as for `embed_gallery`.

    Args:
        photo: the photo file's bytes.
        source: which image source's corpus to search.
        k: how many to give, at least 1; of a smaller corpus, all.
        box: the crop of the photo that is meant: x0, y0, x1, y1 as fractions from its top left.

    Raises:
        Refused: if the photo, the box, the source or k cannot be used.
        ShoplensError: if no server answers, it serves no search, or it fails.
    """
    try:
        inputs: dict[str, Sequence[bytes] | np.ndarray] = {"PHOTO": [photo], "SOURCE": [source.encode()]}
    except UnicodeEncodeError:
        raise Refused("the source is not text that UTF-8 can say") from None
    inputs["BOX"] = np.array(box, np.float64)
    inputs["K"] = np.array([min(k, np.iinfo(np.int32).max)], np.int32)
    outputs = _infer(url, model, inputs, version, timeout_s)
    ids, labels = ([text.decode() for text in outputs[name]] for name in ("IMAGE_IDS", "LABELS"))
    return SearchAnswer(ids, outputs["BOXES"], labels, outputs["DISTANCES"], outputs["CODE"])


def is_live(url: str) -> bool:
    """Whether a server answers at `url`; it says nothing about the values (compare answers for that)."""
    try:
        with _client(url) as client:
            return bool(client.is_server_live(client_timeout=2.0))
    except ShoplensError:
        return False


def served_slot(url: str, name: str = "gallery") -> str | None:
    """The slot that a public name means on a server, such as `v7_1a2b3c4d` (version 7); None if it has no such name.

    Raises:
        ShoplensError: if no server answers, or the name is no model of a live repository.
    """
    try:
        with _client(url) as client:
            config = client.get_model_config(name, client_timeout=TIMEOUT_S).config
    except NotServed:
        return None
    steps = [step.model_name for step in config.ensemble_scheduling.step]
    if len(steps) != 1 or not steps[0].startswith(f"{name}_"):
        raise ShoplensError(f"the Triton server at {url} has a model {name} that shoplens did not deploy: take it away")
    return str(steps[0].removeprefix(f"{name}_"))


def load_model(url: str, name: str, headers: Headers | None = None) -> None:
    """Load a model of the server's repository, or load it anew if its files have changed.

    Args:
        url, name: the server and the model.
        headers: what the server wants from those who may load models, if it wants anything.

    Raises:
        ShoplensError: with the server's reason; a model that was loaded before goes on answering.
    """
    with _client(url) as client:
        client.load_model(name, headers=headers, client_timeout=LOAD_TIMEOUT_S)


def unload_model(url: str, name: str, headers: Headers | None = None) -> None:
    """Begin to unload a model; requests in flight are answered first, and so may be some that come right after.

    Arguments as for `load_model`.

    Raises:
        ShoplensError: with the server's reason.
    """
    with _client(url) as client:
        client.unload_model(name, headers=headers, client_timeout=LOAD_TIMEOUT_S)


def loaded_models(url: str, headers: Headers | None = None) -> list[str]:
    """The names of the models that a server says are ready, sorted; `headers` as for `load_model`.

    Raises:
        ShoplensError: if no server answers.
    """
    with _client(url) as client:
        index = client.get_model_repository_index(headers=headers, client_timeout=TIMEOUT_S)
    return sorted({model.name for model in index.models if model.state == "READY"})


def _infer(
    url: str,
    name: str,
    inputs: Mapping[str, Sequence[bytes] | np.ndarray],
    version: str | None,
    timeout_s: float,
) -> dict[str, np.ndarray]:
    """All outputs of a model; lists of bytes are sent as they are, arrays as numbers of their type."""
    from tritonclient.grpc import InferInput
    from tritonclient.utils import np_to_triton_dtype

    tensors = []
    for tensor, contents in inputs.items():
        if not isinstance(contents, np.ndarray):
            contents = np.array([*contents, None], dtype=object)[:-1]
        tensors.append(InferInput(tensor, [len(contents)], np_to_triton_dtype(contents.dtype)))
        tensors[-1].set_data_from_numpy(contents)
    with _client(url) as client:
        answer = client.infer(name, tensors, model_version=version or "", client_timeout=timeout_s)
    return {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}


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
        if "unknown model" in error.message():
            raise NotServed(f"the Triton server at {url} does not serve this: {error.message()}") from None
        if "protocol is restricted" in error.message():
            raise ShoplensError(
                f"the Triton server at {url} lets nobody load models who does not know its key ({error.message()}): "
                "`key` of the target's file says where the key is"
            ) from None
        if status == "UNAVAILABLE":
            raise Unreachable(f"no Triton server answers at {url}: start one (`shoplens serve` does, here)") from None
        if status == "DEADLINE_EXCEEDED":
            raise Unreachable(f"the Triton server at {url} did not answer in time") from None
        if status == "INVALID_ARGUMENT":
            raise Refused(f"the server refused the request: {error.message()}") from None
        raise ShoplensError(f"the Triton server at {url} failed ({status}): {error.message()}") from None
    finally:
        client.close()
