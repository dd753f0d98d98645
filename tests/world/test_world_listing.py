"""The rows of the demo marketplace: what they hold, what follows from what, and what the knobs do."""

import hashlib
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from shoplens.params import WorldParams
from shoplens.world.listing import Listing, draw_listing
from shoplens.world.render import draw_listings
from shoplens.world.tables import BINARY, HOLDOUT, LEVELS, MULTICLASS, REGRESSION, SEGMENTS, TASKS
from shoplens.world.words import CLAIMS


@pytest.fixture(scope="module")
def default_world() -> list[Listing]:
    return draw_listings(WorldParams())


def stars_and(listings: list[Listing], values: list[float]) -> float:
    """Correlation of the true stars with something."""
    return float(np.corrcoef([int(x.facts.stars) for x in listings], values)[0, 1])


def test_the_31_tasks_of_the_paper() -> None:
    assert (len(BINARY), len(MULTICLASS), len(REGRESSION)) == (17, 7, 7)
    names = [name for name, _ in TASKS]
    assert len(set(names)) == 31
    assert HOLDOUT not in names


def test_every_label_has_its_kind_and_some_are_unknown(default_world: list[Listing]) -> None:
    wanted = {"binary": bool, "multiclass": str, "regression": float}
    for name, kind in TASKS:
        values = [x.labels[name] for x in default_world]
        known = [value for value in values if value is not None]
        assert all(type(value) is wanted[kind] for value in known), name
        assert 0.005 < 1 - len(known) / len(values) < 0.2, name
        if kind == "binary":
            assert 0.12 < np.mean(known) < 0.55, name
        if kind == "multiclass":
            assert min(Counter(known).values()) >= 20, name


def test_class_counts(default_world: list[Listing]) -> None:
    counts = {name: len({x.facts.labels[name] for x in default_world}) for name in MULTICLASS}
    assert counts == {
        "city": 36, "region": 9, "country": 12, "property_type": 12, "size": 9, "segment": 6, "rental_type": 6,
    }  # fmt: skip


def test_numbers_are_in_natural_units(default_world: list[Listing]) -> None:
    ranges = {
        "distance_km": (0, 40),
        "review_score": (0, 10),
        "price_eur": (5, 2000),
        "location_score": (0, 10),
        "content_score": (0, 1),
        "booking_window_days": (1, 400),
        "stay_days": (1, 30),
    }
    for name, (low, high) in ranges.items():
        values = [x.facts.number(name) for x in default_world]
        assert low <= min(values), name
        assert max(values) <= high, name
        assert np.std(values) > 0.05 * (np.mean(values)), name


def test_the_default_world_can_gate_on_stars(default_world: list[Listing]) -> None:
    """At least 400 starred listings in the test split, and every level among them."""
    starred = [
        x.stars
        for x in default_world
        if x.stars and int(hashlib.sha256(x.listing_id.encode()).hexdigest(), 16) % 10 == 0
    ]
    assert len(starred) >= 400
    assert set(starred) == set(LEVELS)
    known = [x.stars for x in default_world if x.stars is not None]
    assert abs(len(known) / len(default_world) - 0.8) < 0.02
    shares = [known.count(level) / len(known) for level in LEVELS]
    assert np.allclose(shares, [0.08, 0.17, 0.33, 0.29, 0.13], atol=0.03)


def test_stars_and_tasks_share_causes(default_world: list[Listing]) -> None:
    """All four qualities matter alike; several tasks see some of them, and none is a copy of the stars."""
    for latent in ("furnish", "order", "care", "harmony"):
        assert 0.6 < stars_and(default_world, [getattr(x.facts, latent) for x in default_world]) < 0.76
    assert abs(stars_and(default_world, [x.facts.photographer for x in default_world])) < 0.06
    related = {name: stars_and(default_world, [x.facts.number(name) for x in default_world]) for name in REGRESSION}
    assert 0.6 < related["review_score"] < 0.8
    assert 0.5 < related["price_eur"] < 0.75
    assert 0.2 < related["content_score"] < 0.5
    assert abs(related["distance_km"]) < 0.06
    segment = [float(SEGMENTS.index(str(x.facts.labels["segment"]))) for x in default_world]
    assert 0.6 < stars_and(default_world, segment) < 0.85


def test_markets_are_of_similar_size(default_world: list[Listing]) -> None:
    counts = Counter(x.facts.market for x in default_world)
    assert set(counts) == {"city", "coast", "highlands"}
    assert min(counts.values()) > 0.27 * len(default_world)


def test_shops_sell_several_listings(default_world: list[Listing]) -> None:
    sizes = Counter(Counter(x.shop_id for x in default_world).values())
    assert sum(n for size, n in sizes.items() if size >= 2) > 0.5 * sum(sizes.values())


def test_a_listing_does_not_depend_on_the_others() -> None:
    few, many = WorldParams(listings=20), WorldParams(listings=4000)
    assert [draw_listing(few, i) for i in (0, 7, 19)] == [draw_listing(many, i) for i in (0, 7, 19)]


def test_another_seed_is_another_world() -> None:
    ids = {x.listing_id for seed in (1, 2) for x in draw_listings(WorldParams(listings=200, seed=seed))}
    assert len(ids) == 400


def test_label_noise_replaces_that_share_of_labels_and_no_stars() -> None:
    clean, noisy = (draw_listings(WorldParams(listings=600, label_noise=share)) for share in (0.0, 0.5))
    assert all(x.labels[name] in (None, x.facts.labels[name]) for x in clean for name, _ in TASKS)
    pairs = [(x.labels[name], x.facts.labels[name]) for x in noisy for name in REGRESSION]
    wrong = np.mean([label != truth for label, truth in pairs if label is not None])
    assert 0.42 < wrong < 0.52
    assert [x.stars for x in noisy] == [x.stars for x in clean]


def test_without_star_signal_stars_tell_nothing_but_keep_their_shares() -> None:
    signal, none = (draw_listings(WorldParams(listings=2500, star_signal=share)) for share in (1.0, 0.0))
    for listings, low, high in ((signal, 0.6, 0.8), (none, -0.08, 0.08)):
        starred = [x for x in listings if x.stars is not None]
        corr = np.corrcoef([int(x.stars or 0) for x in starred], [x.facts.care for x in starred])[0, 1]
        assert low < corr < high
    first, second = (Counter(x.stars for x in listings) for listings in (signal, none))
    assert all(abs(first[level] - second[level]) < 0.04 * 2500 for level in LEVELS)
    assert [replace(x, stars=None) for x in signal] == [replace(x, stars=None) for x in none]


def test_drift_moves_the_shares_of_types_and_countries() -> None:
    before, after = (draw_listings(WorldParams(listings=1500, drift=drift)) for drift in (0.0, 1.0))
    for listings, low, high in ((before, 0.13, 0.22), (after, 0.23, 0.32)):
        assert low < np.mean([x.facts.kind.name == "apartment" for x in listings]) < high
    old = ("Aldoria", "Brenmark", "Cartelle")
    assert (
        np.mean([x.facts.country.name in old for x in after])
        < np.mean([x.facts.country.name in old for x in before]) - 0.05
    )


def test_sellers_omit_an_offer_in_seven_claim_one_in_four_falsely_and_never_name_quality(
    default_world: list[Listing],
) -> None:
    said = offered = missing = untrue = 0
    for listing in default_world:
        claimed = {task for task, words in CLAIMS.items() if words in listing.tags}
        true = {task for task in CLAIMS if listing.facts.has(task)}
        said, offered = said + len(claimed), offered + len(true)
        missing, untrue = missing + len(true - claimed), untrue + len(claimed - true)
    assert 0.12 < missing / offered < 0.18
    assert 0.22 < untrue / said < 0.28
    words = " ".join(f"{x.title} {' '.join(x.tags)}" for x in default_world).lower()
    banned = r"\b(stars?|luxur\w*|budget|upscale|midscale|economy|quality|cheap|new|clean|tidy|elegant|[1-5])\b"
    assert re.search(banned, words) is None
