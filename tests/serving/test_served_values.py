"""A real tritonserver answers raw photo bytes with the training path's embeddings."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from serving.tiny import TinyEncoder, make_photo, training_path

from shoplens.contract.pixels import to_pixels
from shoplens.errors import ShoplensError
from shoplens.serving.client import Refused, embed_gallery, embed_photo, load_model
from shoplens.serving.onnx_export import check_parity, compare, export_onnx
from shoplens.serving.repository import MODELS, Description, in_slot, write_repository
from shoplens.serving.server import Server, running_server

SETTINGS = {"squashed96": (96, None), "squashed224": (224, None), "cropped96": (96, 128)}
ENCODER = TinyEncoder(3).eval()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with an encoder for each setting, side by side as in a live repository."""
    root = tmp_path_factory.mktemp("served")
    models = []
    for setting, (size, short_side) in SETTINGS.items():
        onnx = root / f"{setting}.onnx"
        export_onnx(ENCODER, size, onnx)
        write_repository(root / setting, Description(size, short_side, 16, max_batch=4), "embedded", onnx)
        for name in MODELS:
            (root / "repository").mkdir(exist_ok=True)
            (root / setting / name).rename(root / "repository" / in_slot(name, setting))
            models.append(in_slot(name, setting))
    with running_server(root / "repository", root / "server.log", models=models) as running:
        yield running


def various_photos() -> list[bytes]:
    return [
        make_photo(1, 640, 480),
        make_photo(2, 31, 400),
        make_photo(3, 224, 224),
        make_photo(4, 300, 200, "PNG", "RGBA"),
        make_photo(5, 200, 300, "WEBP"),
        make_photo(6, 120, 90, "JPEG", "L"),
        make_photo(7, 1, 1, "PNG"),
    ]


@pytest.mark.parametrize("setting", SETTINGS)
def test_bytes_give_the_training_paths_embedding(server: Server, setting: str) -> None:
    size, short_side = SETTINGS[setting]
    photos = various_photos()
    answer = embed_gallery(server.url, photos, model=in_slot("gallery", setting))
    wanted = training_path(ENCODER, photos, size, short_side)
    assert compare(answer.embedding[None], wanted[None]).min_cosine >= 0.9999
    np.testing.assert_allclose(answer.embedding, wanted, atol=1e-5)
    assert (answer.used, answer.corrupt) == (7, 0)
    single = embed_photo(server.url, photos[0], model=in_slot("photo", setting))
    np.testing.assert_allclose(single, training_path(ENCODER, photos[:1], size, short_side), atol=1e-5)


def test_the_order_of_photos_does_not_matter(server: Server) -> None:
    photos = various_photos()
    one = embed_gallery(server.url, photos, model="gallery_squashed96").embedding
    for seed in range(3):
        shuffled = random.Random(seed).sample(photos, len(photos))
        other = embed_gallery(server.url, shuffled, model="gallery_squashed96").embedding
        np.testing.assert_allclose(other, one, atol=1e-6)


def test_corrupt_photos_are_counted_and_left_out(server: Server) -> None:
    good = various_photos()[:3]
    spoilt = [b"", good[0], b"not a photo", good[1], good[2], good[2][: len(good[2]) // 2]]
    answer = embed_gallery(server.url, spoilt, model="gallery_squashed96")
    assert (answer.used, answer.corrupt) == (3, 3)
    np.testing.assert_allclose(answer.embedding, training_path(ENCODER, good, 96), atol=1e-5)


def test_a_gallery_without_usable_photos_is_refused_with_the_reason(server: Server) -> None:
    with pytest.raises(Refused, match="no usable photo; photo 1: not a readable JPEG"):
        embed_gallery(server.url, [b"x", b""], model="gallery_squashed96")
    with pytest.raises(Refused, match="the photo cannot be used: not a readable JPEG"):
        embed_photo(server.url, b"x", model="photo_squashed96")


def test_an_empty_gallery_is_refused_by_client_and_server(server: Server) -> None:
    with pytest.raises(Refused, match="no photo"):
        embed_gallery(server.url, [], model="gallery_squashed96")
    from tritonclient.grpc import InferenceServerClient, InferInput
    from tritonclient.utils import InferenceServerException

    empty = InferInput("PHOTOS", [0], "BYTES")
    empty.set_data_from_numpy(np.array([], dtype=object))
    with (
        InferenceServerClient(server.url) as client,
        pytest.raises(InferenceServerException, match="the gallery has no photo") as caught,
    ):
        client.infer("gallery_squashed96", [empty])
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_errors_say_what_to_do(server: Server) -> None:
    with pytest.raises(ShoplensError, match="shoplens serve"):
        embed_photo("127.0.0.1:9", make_photo(1))
    with pytest.raises(ShoplensError, match="nonesuch"):
        load_model(server.url, "nonesuch")


def test_onnx_equals_pytorch_at_every_batch_size_and_names_no_source(tmp_path: Path) -> None:
    path = tmp_path / "encoder.onnx"
    export_onnx(ENCODER, 96, path)
    pixels = np.stack([to_pixels(photo, 96) for photo in various_photos()])
    parity = check_parity(ENCODER, path, [pixels[:1], pixels[:4], pixels])
    assert parity.min_cosine >= 0.999999
    assert parity.max_difference < 1e-5
    assert parity.n == 12
    content = path.read_bytes()
    assert b".py" not in content
    assert b"stack_trace" not in content
    export_onnx(ENCODER, 96, path)
    assert path.read_bytes() == content


def test_parity_reports_wrong_values() -> None:
    one = np.array([[1.0, 0.0], [0.0, 0.0]])
    assert compare(one, one).min_cosine == 1
    assert compare(one, np.array([[0.0, 1.0], [0.0, 0.0]])).min_cosine == 0
    assert compare(one, np.array([[1.0, 0.0], [1.0, 0.0]])).min_cosine == 0
    broken = compare(one, np.array([[np.nan, 0.0], [0.0, 0.0]]))
    assert (broken.min_cosine, broken.max_difference) == (-1, np.inf)
    with pytest.raises(ShoplensError, match="cannot be compared"):
        compare(one, one[:1])
