"""Quality shows in small things: counts, alignment, agreement of colours, wear; not in brightness or palette."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoplens.params import WorldParams
from shoplens.world.chance import stream
from shoplens.world.cues import count, crooked, flaws, level, matching
from shoplens.world.gallery import SCENES, draw_scene
from shoplens.world.listing import draw_listing
from shoplens.world.look import look_of
from shoplens.world.pen import mix
from shoplens.world.tables import ACCENTS

QUALITIES = ("furnish", "order", "care", "harmony")


@given(st.floats(0, 1), st.integers(0, 4), st.integers(0, 9), st.integers(0, 2**32))
def test_counts_stay_within_their_range(quality: float, low: int, extra: int, seed: int) -> None:
    assert low <= count(np.random.default_rng(seed), quality, low, low + extra) <= low + extra


def test_each_trace_follows_its_quality() -> None:
    rng = np.random.default_rng(0)
    poor, good = (
        {
            "count": np.mean([count(rng, q, 0, 6) for _ in range(2000)]),
            "straight": -np.std([crooked(rng, q, 10) for _ in range(2000)]),
            "whole": -np.mean([flaws(rng, q, 5) for _ in range(2000)]),
            "match": np.mean([matching(rng, q, ACCENTS[3]) == ACCENTS[3] for _ in range(2000)]),
        }
        for q in (0.1, 0.9)
    )
    assert good["count"] > 3 * poor["count"]
    assert good["straight"] > poor["straight"] / 3
    assert good["whole"] > poor["whole"] / 4
    assert good["match"] > 3 * poor["match"]


def test_one_thing_alone_has_the_same_colours_whatever_the_harmony() -> None:
    """Accents are uniform, so only the agreement of several things tells harmony."""
    rng = np.random.default_rng(0)
    for harmony in (0.05, 0.95):
        seen = Counter(matching(rng, harmony, ACCENTS[int(rng.integers(len(ACCENTS)))]) for _ in range(10_000))
        assert all(850 < seen[accent] < 1150 for accent in ACCENTS)


def test_levels_are_quantiles() -> None:
    assert [round(level(z), 3) for z in (-1.96, 0.0, 1.96)] == [0.025, 0.5, 0.975]


@given(st.tuples(*[st.integers(0, 255)] * 3), st.tuples(*[st.integers(0, 255)] * 3), st.floats(0, 1))
def test_mixed_colours_lie_between(a: tuple[int, int, int], b: tuple[int, int, int], share: float) -> None:
    assert all(min(x, y) <= z <= max(x, y) for x, y, z in zip(a, b, mix(a, b, share), strict=True))


@pytest.mark.parametrize("scene", SCENES)
def test_every_scene_draws_at_any_quality(scene: str) -> None:
    """Also at the extremes, for every country and type that 24 listings bring; the same stream draws the same."""
    params = WorldParams(drift=0.5)
    for number in range(24):
        look = look_of(draw_listing(params, number), params)
        for quality in (0.0, 1.0):
            extreme = replace(look, **dict.fromkeys(QUALITIES, quality))
            image = draw_scene(stream(9, number), extreme, scene)
            assert image.size == (160, 160)
            assert image.tobytes() == draw_scene(stream(9, number), extreme, scene).tobytes()


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_quality_changes_photos_but_hardly_their_colour(quality: str) -> None:
    """Same listings, drawn poor and good: details move, the mean colour stays within a small part of its spread."""
    params = WorldParams()
    poor, good, differing = [], [], []
    for number in range(40):
        look = look_of(draw_listing(params, number), params)
        for place, scene in enumerate(("room", "bathroom", "dining", "pool", "garden", "facade")):
            pair = [
                np.asarray(draw_scene(stream(3, number, place), replace(look, **{quality: q}), scene), dtype=float)
                for q in (0.1, 0.9)
            ]
            poor.append(pair[0].mean(axis=(0, 1)))
            good.append(pair[1].mean(axis=(0, 1)))
            differing.append(np.abs(pair[0] - pair[1]).max() > 60)
    assert np.mean(differing) > 0.9
    shift = np.abs(np.mean(good, axis=0) - np.mean(poor, axis=0)) / np.std(poor, axis=0)
    assert shift.max() < 0.25
