"""A real tritonserver answers raw photo bytes with the training path's embeddings."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from ranking.tiny_ranker import expected, small_plan, write_ranker
from serving.tiny import TinyEncoder, make_photo, training_code, training_path
from serving.tiny_search import CROP, found_in, some_corpora

from shoplens.contract.pixels import to_pixels
from shoplens.errors import ShoplensError
from shoplens.retrieval.index import WHOLE
from shoplens.serving.client import Refused, embed_gallery, embed_photo, load_model, rank, search
from shoplens.serving.onnx_export import check_parity, compare, export_onnx
from shoplens.serving.repository import Description, in_slot, write_repository
from shoplens.serving.search_bundle import write_index
from shoplens.serving.server import Server, running_server

SETTINGS = {"squashed96": (96, None), "squashed224": (224, None), "cropped96": (96, 128)}
RANKED = "squashed96"
RANKER, SEARCH = in_slot("ranker", RANKED), in_slot("search", RANKED)
ENCODER = TinyEncoder(2).eval()
PLAN = small_plan()
CORPORA = some_corpora()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with an encoder for each setting, side by side as in a live repository; one has ranker and search."""
    root = tmp_path_factory.mktemp("served")
    write_index(root / "index", 16, "weights", CORPORA)
    models = []
    for setting, (size, short_side) in SETTINGS.items():
        onnx = root / f"{setting}.onnx"
        export_onnx(ENCODER, size, onnx)
        bundle = write_ranker(root / f"ranker-{setting}", PLAN) if setting == RANKED else None
        index = root / "index" if setting == RANKED else None
        digests = {"ranker": "digest", "search": "digest"} if setting == RANKED else {}
        description = Description(size, short_side, 16, max_batch=4, codes=True, **digests)
        write_repository(root / setting, description, "embedded", onnx, bundle, index)
        for name in description.models:
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
    assert answer.code is not None
    assert answer.code.tolist() == training_code(ENCODER, photos, size, short_side).tolist()
    assert (answer.used, answer.corrupt) == (7, 0)
    single = embed_photo(server.url, photos[0], model=in_slot("photo", setting))
    np.testing.assert_allclose(single.embedding, training_path(ENCODER, photos[:1], size, short_side), atol=1e-5)
    assert single.code is not None
    assert single.code.tolist() == training_code(ENCODER, photos[:1], size, short_side).tolist()


def test_the_code_of_a_gallery_is_of_its_mean_activation_not_of_its_embedding(server: Server) -> None:
    photos = various_photos()
    code = embed_gallery(server.url, photos, model="gallery_squashed96").code
    assert code is not None
    embedding = training_path(ENCODER, photos, 96)
    assert code.tolist() != np.packbits(embedding > 0).tolist(), "after the ReLU one photo sets a bit for all"


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


@pytest.mark.parametrize("query", [*filter(None, PLAN.models), "Never seen"])
def test_listings_are_scored_as_trained_and_it_is_said_by_what(server: Server, query: str) -> None:
    ids = ["loft", "bungalow-ä", "no-text", "loft", "barn", "attic"]
    answer = rank(server.url, query.upper(), ids, model=RANKER)
    np.testing.assert_allclose(answer.scores, [expected(PLAN, query, listing) for listing in ids], atol=1e-5)
    assert answer.known.all()
    assert (answer.model, answer.modality) == PLAN.models.get(query, PLAN.models[""])[:2]


def test_a_listing_that_the_ranker_does_not_know_is_answered_as_the_last(server: Server) -> None:
    answer = rank(server.url, "wood floor", ["zebra", "barn", ""], model=RANKER)
    assert answer.known.tolist() == [False, True, False]
    assert (answer.scores[[0, 2]] == np.finfo(np.float32).min).all()
    assert answer.scores[1] == pytest.approx(expected(PLAN, "wood floor", "barn"), abs=1e-5)


def test_thousands_of_listings_are_one_request(server: Server) -> None:
    ids = [f"listing-{n}" for n in range(20_000)]
    answer = rank(server.url, "sea view pool", [*ids, "loft"], model=RANKER)
    assert np.flatnonzero(answer.known).tolist() == [20_000]


@pytest.mark.parametrize("query", ["", " \t "])
def test_an_empty_query_is_refused_with_the_reason(server: Server, query: str) -> None:
    with pytest.raises(Refused, match="the query is empty: send at least one word"):
        rank(server.url, query, ["loft"], model=RANKER)


def test_an_empty_list_and_text_that_is_not_utf8_are_refused_by_client_and_server(server: Server) -> None:
    from tritonclient.grpc import InferenceServerClient, InferInput
    from tritonclient.utils import InferenceServerException

    with pytest.raises(Refused, match="no listing to rank"):
        rank(server.url, "sea", [], model=RANKER)
    with pytest.raises(Refused, match="not text that UTF-8 can say"):
        rank(server.url, "sea\udc80", ["loft"], model=RANKER)

    def refusal(query: bytes, ids: list[bytes]) -> str:
        tensors = []
        for name, values in (("QUERY", [query]), ("LISTINGS", ids)):
            tensors.append(InferInput(name, [len(values)], "BYTES"))
            tensors[-1].set_data_from_numpy(np.array([*values, None], dtype=object)[:-1])
        with InferenceServerClient(server.url) as client, pytest.raises(InferenceServerException) as caught:
            client.infer(RANKER, tensors)
        assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
        return str(caught.value.message())

    assert "there is no listing to rank: send at least one listing id" in refusal(b"sea", [])
    assert "the query is not UTF-8" in refusal(b"\xff", [b"loft"])


def results(server: Server, photo: bytes, source: str, k: int, box: tuple[float, float, float, float] = WHOLE) -> list:
    answer = search(server.url, photo, source, k, box, model=SEARCH)
    assert answer.code.tolist() == training_code(ENCODER, [photo], 96, box=box).tolist()
    return list(zip(answer.image_ids, answer.boxes.tolist(), answer.distances.tolist(), strict=True))


@pytest.mark.parametrize("box", [WHOLE, CROP, (0.9, 0.9, 1.0, 1.0)])
@pytest.mark.parametrize("k", [1, 7, 60, 1000, 2**40])
def test_a_search_finds_the_nearest_crops_and_ties_go_by_their_order(
    server: Server, k: int, box: tuple[float, float, float, float]
) -> None:
    photo = various_photos()[0]
    found = results(server, photo, "lens", k, box)
    assert found == found_in(CORPORA["lens"], training_code(ENCODER, [photo], 96, box=box), k)
    assert len({bits for _, _, bits in found}) < len(found) or k == 1, "no ties"


def test_a_crop_is_not_searched_as_its_photo(server: Server) -> None:
    photo = various_photos()[0]
    assert results(server, photo, "lens", 60) != results(server, photo, "lens", 60, CROP)


def test_odd_ids_and_labels_and_distractors_are_answered_as_they_are(server: Server) -> None:
    answer = search(server.url, make_photo(1), "the look/ä", 5, model=SEARCH)
    labels = dict(zip(answer.image_ids, answer.labels, strict=True))
    assert labels == {"bowl\x00": "a + b", "rug-東京": ""}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"photo": b"x"}, "the photo cannot be used: not a readable JPEG"),
        ({"photo": make_photo(1)[:900]}, "the photo cannot be used: not a readable JPEG.*truncated"),
        ({"source": "shop"}, "there is no source 'shop' to search: there is lens, the look/ä"),
        ({"source": ""}, "there is no source '' to search"),
        ({"source": "\udc80"}, "not text that UTF-8 can say"),
        ({"k": 0}, "0 results are asked for: ask for at least one"),
        ({"box": (0.5, 0.5, 0.5, 0.9)}, "the box .* has no pixel of 200x150"),
        ({"box": (0.5, 0.5, 1.2, 0.9)}, "the box .* or leaves them"),
        ({"box": (float("nan"), 0.5, 1.0, 0.9)}, "is not four numbers"),
    ],
)
def test_a_search_that_cannot_be_answered_is_refused_with_the_reason(
    server: Server, changes: dict[str, object], reason: str
) -> None:
    asked = {"photo": make_photo(1), "source": "lens", "k": 3, "box": WHOLE} | changes
    with pytest.raises(Refused, match=reason):
        search(server.url, **asked, model=SEARCH)  # type: ignore[arg-type]


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
    assert check_parity(_OtherActivation(2).eval(), path, [pixels]).max_difference > 0.2, "activations are not compared"
    content = path.read_bytes()
    assert b".py" not in content
    assert b"stack_trace" not in content
    export_onnx(ENCODER, 96, path)
    assert path.read_bytes() == content


class _OtherActivation(TinyEncoder):
    """The embeddings of TinyEncoder, of other activations."""

    def activate(self, frozen: torch.Tensor) -> torch.Tensor:
        activation = super().activate(frozen)
        return torch.where(activation < 0, activation - 0.3, activation)


def test_parity_reports_wrong_values() -> None:
    one = np.array([[1.0, 0.0], [0.0, 0.0]])
    assert compare(one, one).min_cosine == 1
    assert compare(one, np.array([[0.0, 1.0], [0.0, 0.0]])).min_cosine == 0
    assert compare(one, np.array([[1.0, 0.0], [1.0, 0.0]])).min_cosine == 0
    broken = compare(one, np.array([[np.nan, 0.0], [0.0, 0.0]]))
    assert (broken.min_cosine, broken.max_difference) == (-1, np.inf)
    with pytest.raises(ShoplensError, match="cannot be compared"):
        compare(one, one[:1])
