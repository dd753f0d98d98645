"""What the served ranker answers, against a second reading of the bundle: one listing at a time."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ranking.tiny_ranker import LISTINGS, Plan, Weights, expected, retrieved, small_plan, write_ranker

from shoplens.ranking import scoring
from shoplens.ranking.scoring import UNKNOWN, Ranker, candidates, load_ranker, normalise_query, score, words

PLAN = small_plan()


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Ranker:
    return load_ranker(write_ranker(tmp_path_factory.mktemp("ranker") / "ranker", PLAN))


@pytest.mark.parametrize("query", [*filter(None, PLAN.models), "never seen"])
def test_a_score_is_the_product_of_the_querys_weights_with_the_listings_features(ranker: Ranker, query: str) -> None:
    ids = ["loft", "attic", "no-text", "barn", "bungalow-ä", "attic"]
    answer = score(ranker, query, ids)
    assert answer.known.all()
    assert answer.scores.dtype == np.float32
    np.testing.assert_allclose(answer.scores, [expected(PLAN, query, listing) for listing in ids], atol=1e-5)


def test_every_query_says_whose_model_answered_and_what_it_looked_at(ranker: Ranker) -> None:
    said = {query: (score(ranker, query, []).model, score(ranker, query, []).modality) for query in PLAN.models}
    assert said == {
        "sea view pool": ("own", "multimodal"),
        "wood floor": ("own", "text"),
        "häuschen am meer": ("own", "image"),
        "quiet": ("global", "multimodal"),
        "": ("global", "multimodal"),
    }


def test_case_and_white_space_do_not_make_another_query(ranker: Ranker) -> None:
    typed = score(ranker, "  Häuschen\tAM  Meer ", ["loft"])
    assert (typed.model, typed.modality) == ("own", "image")
    assert normalise_query(" Sea\n VIEW  pool") == "sea view pool"


def test_a_listing_that_the_ranker_does_not_know_comes_last_and_its_score_is_a_number(ranker: Ranker) -> None:
    longer_than_any = "bungalow-äx"
    ids = ["", "zebra", "loft", "a", "lofts", longer_than_any, "bungalow-ä", "bungalow-a"]
    answer = score(ranker, "sea view pool", ids)
    assert answer.known.tolist() == [False, False, True, False, False, False, True, False]
    assert (answer.scores[~answer.known] == UNKNOWN).all()
    assert np.isfinite(answer.scores).all()
    np.testing.assert_allclose(answer.scores[2], expected(PLAN, "sea view pool", "loft"), atol=1e-5)


def test_ids_may_be_bytes_and_one_answer_does_not_change_the_next(ranker: Ranker) -> None:
    first = score(ranker, "sea view pool", list(LISTINGS)).scores
    score(ranker, "wood floor", list(LISTINGS))
    again = score(ranker, "sea view pool", [listing.encode() for listing in LISTINGS]).scores
    np.testing.assert_array_equal(again, first)


def test_candidates_hold_a_word_of_the_query(ranker: Ranker) -> None:
    assert candidates(ranker, "SEA, or a Pool?") == ["attic", "bungalow-ä", "loft"]
    assert candidates(ranker, "a") == candidates(ranker, "castle") == candidates(ranker, "") == []
    assert words("Sea sea, a POOL häuschen") == ["sea", "pool", "häuschen"]


TEXTS = st.text(st.sampled_from("abcä ,"), max_size=12)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    titles = draw(st.dictionaries(st.text(st.sampled_from("abcé"), min_size=1, max_size=5), TEXTS, max_size=6))
    width, dim = draw(st.integers(1, 6)), draw(st.integers(0, 3))
    numbers = st.floats(-8, 8, width=32)
    features = st.lists(st.integers(0, width - 1), unique=True).map(sorted)

    def weights(modality: str) -> Weights:
        text = draw(st.dictionaries(st.integers(0, width - 1), numbers)) if modality != "image" else {}
        image = draw(st.lists(numbers, min_size=dim, max_size=dim)) if modality != "text" else [0.0] * dim
        return Weights(text, image)

    modalities = st.sampled_from(["text", "image", "multimodal"])
    queries = draw(st.lists(TEXTS.map(normalise_query), unique=True, max_size=4))
    models = {
        query: ("own", modality, weights(modality)) for query in queries if query for modality in [draw(modalities)]
    }
    shared = draw(modalities)
    return Plan(
        titles,
        {listing: draw(features) for listing in titles},
        {listing: draw(st.lists(numbers, min_size=dim, max_size=dim)) for listing in titles},
        models | {"": ("global", shared, weights(shared))},
        width,
    )


@settings(max_examples=60, deadline=None)
@given(plan=plans(), query=TEXTS, ids=st.lists(st.text(st.sampled_from("abcé"), max_size=6)))
def test_any_bundle_scores_and_retrieves_as_read_one_listing_at_a_time(
    plan: Plan, query: str, ids: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    opened = load_ranker(write_ranker(tmp_path_factory.mktemp("any") / "ranker", plan))
    for asked in [query, *plan.models]:
        answer = score(opened, asked, [*plan.titles, *ids])
        assert answer.known.tolist() == [listing in plan.titles for listing in [*plan.titles, *ids]]
        wanted = [expected(plan, normalise_query(asked), listing) for listing in plan.titles]
        np.testing.assert_allclose(answer.scores[: len(wanted)], wanted, rtol=1e-5, atol=1e-4)
        assert candidates(opened, asked) == retrieved(plan, asked)


def test_a_bundle_of_another_format_or_with_parts_that_do_not_fit_is_refused(tmp_path: Path) -> None:
    folder = write_ranker(tmp_path / "ranker", PLAN)
    info = json.loads((folder / "ranker.json").read_text())
    (folder / "ranker.json").write_text(json.dumps(info | {"format": 2}))
    with pytest.raises(ValueError, match="format 2"):
        load_ranker(folder)
    (folder / "ranker.json").write_text(json.dumps(info | {"listings": 4}))
    with pytest.raises(ValueError, match=r"listing_ids.*shape \(5,\)"):
        load_ranker(folder)


def test_the_file_travels_alone() -> None:
    tree = ast.parse(Path(scoring.__file__).read_text())
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert {str(name).split(".")[0] for name in names} <= {"numpy", *sys.stdlib_module_names}
