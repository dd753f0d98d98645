"""What moved is named and nothing else; what cannot be compared is said."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pyarrow as pa
import pytest
from drift.market import DIM, came, reference

from shoplens.drift import compare as compare_module
from shoplens.drift.compare import compare
from shoplens.drift.findings import Comparison, comparison_text
from shoplens.drift.incoming import Listings
from shoplens.drift.page import comparison_page
from shoplens.serving.reference import Cloud

REFERENCE = reference()
PARTS = ("all", "country fr", "country de", "is_new False", "is_new True")


def compared(listings: Listings | None, requests: dict[str, Cloud] | None = None, alpha: float = 0.05) -> Comparison:
    """Fewer permutations than by default."""
    return compare(REFERENCE, listings, requests or {}, champion="version 3", alpha=alpha, seed=1)


def drifted(comparison: Comparison) -> set[str]:
    return {f"{one.area} {one.name} {one.what}" for one in comparison.drifted}


def cloud(count: int, seed: int, moved: float = 0.0) -> Cloud:
    points = np.random.default_rng(seed).standard_normal((count, DIM)) + moved
    return Cloud(points.astype(np.float32), np.arange(count))


def test_what_did_not_move_is_not_flagged() -> None:
    found = compared(came(), {"gallery": cloud(300, 3)})
    assert drifted(found) == set()
    assert found.verdict.startswith("No drift from version 3 (")


@pytest.mark.parametrize(
    ("moved", "flagged"),
    [
        ({"pools": 0.75}, {"task has_pool values"}),
        ({"no_price": 0.35}, {"task price unknown"}),
        ({"price": 150.0}, {"task price values"}),
        ({"new_scene": 0.1}, {"task scene values"}),
        ({"french": 0.3}, {"slice country shares"}),
        (
            {"photos": 0.5},
            {
                f"listings {part} embeddings"
                for part in ("all", "country fr", "country de", "is_new False", "is_new True")
            },
        ),
    ],
)
def test_what_moved_is_flagged_and_nothing_else(moved: dict[str, float], flagged: set[str]) -> None:
    assert drifted(compared(came(**moved))) == flagged


def test_photos_that_moved_in_one_slice_are_found_there() -> None:
    found = drifted(compared(came(french_photos=0.6)))
    assert "listings country fr embeddings" in found
    assert "listings country de embeddings" not in found


def test_requests_are_compared_with_held_out_photos_of_their_kind() -> None:
    requests = {"gallery": cloud(300, 3, 0.5), "search/shop": cloud(150, 4)}
    assert drifted(compared(None, requests)) == {"requests gallery embeddings"}
    requests = {"gallery": cloud(300, 3), "search/shop": cloud(150, 4, 0.5)}
    assert drifted(compared(None, requests)) == {"requests search/shop embeddings"}


def test_what_is_sure_but_small_is_named_so_and_is_no_drift() -> None:
    found = compared(came(count=800, photos=0.15))
    whole = next(one for one in found.findings if one.name == "all")
    assert (whole.adjusted <= 0.05, whole.drifted) == (True, False)
    assert whole.status(0.05) == "small"


def test_the_same_seed_gives_the_same_comparison_and_page() -> None:
    listings = came(pools=0.75)
    one, other = compared(listings), compared(listings)
    assert one == other
    clouds = {"listings": (REFERENCE.galleries.embeddings, listings.galleries.embeddings)}
    assert comparison_page(one, clouds) == comparison_page(other, clouds)


def test_a_finding_says_what_changed_most() -> None:
    found = {(one.name, one.what): one for one in compared(came(new_scene=0.1, no_price=0.35, price=150.0)).findings}
    scene = found["scene", "values"]
    assert scene.detail.startswith("castle 0.0% -> ")
    assert (scene.reference, scene.incoming) == (600, 300)
    assert re.fullmatch(r"(9|1[0-2])\.\d% -> (3[0-9]|40)\.\d%", found["price", "unknown"].detail)
    assert re.fullmatch(r"median (9|10)\d.* -> 1[45]\d.*", found["price", "values"].detail)
    assert found["price", "values"].incoming < 220


def test_columns_that_were_not_delivered_are_no_drift() -> None:
    listings = came()
    unlabelled = listings.table.set_column(3, "stars", pa.nulls(300, pa.string())).drop_columns(["scene", "country"])
    found = compared(dataclasses.replace(listings, table=unlabelled))
    assert drifted(found) == set()
    assert {(one.name, one.reason) for one in found.skipped} == {
        ("scene", "the new listings have no known value of it"),
        ("stars", "the new listings have no known value of it"),
        ("country", "the new listings have no such column"),
    }


def test_too_few_listings_shops_or_requests_are_not_compared() -> None:
    found = compared(came(count=30), {"gallery": cloud(49, 1), "search/other": cloud(90, 1)})
    assert [one.what for one in found.findings] == ["unknown", "shares", "shares"]  # every listing is counted there
    reasons = {(one.area, one.name): one.reason for one in found.skipped}
    assert reasons["task", "has_pool"] == "600 and 30 are too few: at least 50 are compared with 50"
    assert reasons["requests", "gallery"] == "300 and 49 are too few: at least 50 are compared with 50"
    assert reasons["requests", "search/other"] == "the champion's data has no held-out queries of it"
    one_seller = came()
    shops = np.arange(300) % 9
    one_seller = dataclasses.replace(one_seller, shops=shops, galleries=Cloud(one_seller.galleries.embeddings, shops))
    found = compared(one_seller)
    assert found.findings == ()
    assert "they are of 300 and 9 shops, too few" in found.skipped[0].reason


def test_many_rare_classes_count_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    listings = came(new_scene=0.5)
    scenes = []
    for classes in (50, 2):  # beach, city and castle, or beach and the rarer ones
        monkeypatch.setattr(compare_module, "CLASSES", classes)
        scenes += [one for one in compared(listings).findings if (one.name, one.what) == ("scene", "values")]
    assert [one.drifted for one in scenes] == [True, True]
    assert scenes[0].effect > scenes[1].effect + 0.1


def test_the_table_the_file_and_the_page_say_the_same() -> None:
    listings = came(pools=0.75, photos=0.5)
    found = dataclasses.replace(compared(listings), notes=("new: 300 <listings>",))
    text = comparison_text(found)
    assert text.startswith("Drift from version 3: ")
    assert "new: 300 <listings>" in text
    assert text.index("DRIFT  task has_pool, values") < text.index("ok     ")
    written = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert written["drifted"] is True
    assert written["verdict"] == found.verdict
    assert {one["name"] for one in written["findings"] if one["drifted"]} >= {"has_pool", "all"}
    page = comparison_page(found, {"listings": (REFERENCE.galleries.embeddings, listings.galleries.embeddings)})
    assert found.verdict in page
    assert "new: 300 &lt;listings&gt;" in page
    assert page.count("<circle") == 600
    assert "//" not in page
    assert "<script" not in page
