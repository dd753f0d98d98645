"""What sellers claim falsely is a knob; nothing but the words depends on it."""

from dataclasses import replace

import numpy as np
import pytest

from shoplens.params import WorldParams
from shoplens.world.gallery import photos
from shoplens.world.listing import Listing
from shoplens.world.render import draw_listings
from shoplens.world.words import CLAIMS, OMITTED


def claimed_and_true(listing: Listing) -> tuple[set[str], set[str]]:
    """The offers that the tags name, and those that there are."""
    return {task for task, words in CLAIMS.items() if words in listing.tags}, {
        task for task in CLAIMS if listing.facts.has(task)
    }


@pytest.mark.parametrize("share", [0.0, 0.15, 0.25, 0.5])
def test_the_knob_is_the_share_of_claims_that_are_untrue(share: float) -> None:
    offers = [claimed_and_true(x) for x in draw_listings(WorldParams(listings=1500, false_claims=share))]
    untrue, said = (sum(len(part) for part in parts) for parts in zip(*((c - t, c) for c, t in offers), strict=True))
    assert abs(untrue / said - share) < 0.02
    omitted = sum(len(t - c) for c, t in offers) / sum(len(t) for _, t in offers)
    assert abs(omitted - OMITTED) < 0.02


def test_without_false_claims_no_word_is_untrue() -> None:
    for listing in draw_listings(WorldParams(listings=400, false_claims=0.0)):
        claimed, true = claimed_and_true(listing)
        assert claimed <= true
        assert all(words not in listing.title for task, words in CLAIMS.items() if task not in true)


def test_whoever_may_claim_anything_claims_everything() -> None:
    for listing in draw_listings(WorldParams(listings=50, false_claims=1.0)):
        claimed, true = claimed_and_true(listing)
        assert not any(true) or set(CLAIMS) - true <= claimed


def test_nothing_but_the_words_depends_on_false_claims() -> None:
    some, none = (WorldParams(listings=300, false_claims=share) for share in (0.25, 0.0))
    pairs = list(zip(draw_listings(some), draw_listings(none), strict=True))
    assert [replace(a, title="", tags=()) for a, _ in pairs] == [replace(b, title="", tags=()) for _, b in pairs]
    assert np.mean([a.tags != b.tags for a, b in pairs]) > 0.3
    assert [p.content for p in photos(pairs[0][0], some)] == [p.content for p in photos(pairs[0][1], none)]
