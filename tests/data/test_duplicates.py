"""Near duplicates: the band join finds exactly what comparing all pairs finds."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shoplens.data.duplicates import difference_hashes, find_matches, thumbnail


def brute_force(train: np.ndarray, test: np.ndarray, bits: int) -> set[tuple[int, int, int]]:
    left, right = difference_hashes(train), difference_hashes(test)
    distance = np.bitwise_count(left[:, None] ^ right[None, :])
    return {(int(i), int(j), int(distance[i, j])) for i, j in zip(*np.nonzero(distance <= bits), strict=True)}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), bits=st.integers(0, 12))
def test_band_join_equals_brute_force(seed: int, bits: int) -> None:
    random = np.random.default_rng(seed)
    base = random.integers(0, 256, (4, 32, 32)).astype(np.int64)
    noisy = [
        np.clip(base[random.integers(4)] + random.normal(0, random.choice([0, 5, 40]), (32, 32)), 0, 255)
        for _ in range(40)
    ]
    photos = np.stack(noisy).astype(np.uint8)
    found = find_matches(photos[:25], photos[25:], bits)
    pairs = set(zip(found.train.tolist(), found.test.tolist(), found.distance.tolist(), strict=True))
    assert pairs == brute_force(photos[:25], photos[25:], bits)
    for row in range(len(found.train)):
        a, b = photos[:25][found.train[row]].ravel(), photos[25:][found.test[row]].ravel()
        assert abs(found.correlation[row] - np.corrcoef(a, b)[0, 1]) < 1e-9


def test_a_photo_saved_again_smaller_is_a_match_and_another_one_is_not() -> None:
    random = np.random.default_rng(0)
    blobs = [random.integers(0, 256, (6, 6, 3), dtype=np.uint8) for _ in range(2)]
    first, other = (Image.fromarray(blob).resize((200, 150), Image.Resampling.BICUBIC) for blob in blobs)
    again = first.resize((120, 90), Image.Resampling.BILINEAR)
    train = np.stack([thumbnail(again), thumbnail(other)])
    matches = find_matches(train, np.stack([thumbnail(first)]), bits=2)
    assert matches.left_out(2, 0.98).tolist() == [0]


def test_flat_photos_match_only_if_equal() -> None:
    flat = np.stack([np.full((32, 32), value, np.uint8) for value in (10, 200, 200)])
    matches = find_matches(flat[:2], flat[2:], bits=0)
    assert matches.left_out(0, 0.98).tolist() == [1]


def test_a_hash_alone_does_not_leave_a_photo_out() -> None:
    ramp = np.tile(np.arange(32, dtype=np.uint8) * 4, (32, 1))
    bent = np.tile((np.arange(32) ** 6 / 32**5 * 4).astype(np.uint8), (32, 1)) + ramp // 8
    matches = find_matches(ramp[None], bent.astype(np.uint8)[None], bits=64)
    assert matches.distance.tolist()[0] <= 64
    assert matches.left_out(64, 0.98).tolist() == []
