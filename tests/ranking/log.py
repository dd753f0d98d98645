"""A search log written by hand or drawn at random, as rows of the contract."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from contract.builder import SCHEMAS, write_rows
from hypothesis import strategies as st

START = datetime(2024, 5, 1, tzinfo=UTC)
LISTINGS = [f"l{number}" for number in range(8)]
NEVER_TOUCHED = {"clicked": False, "dwell_s": None, "carted": False, "purchased": False, "fair_pair": None}
LONG = {"clicked": True, "dwell_s": 31.0}
SHORT = {"clicked": True, "dwell_s": 30.0}


def row(session: str, query: str, hour: float, position: int, listing: str, **interaction: Any) -> dict[str, Any]:
    """One result shown `hour` hours after the log's start; ignored, unless `interaction` says otherwise."""
    shown = {"session_id": session, "query": query, "shown_at": START + timedelta(hours=hour)}
    return {**shown, "position": position, "listing_id": listing, **NEVER_TOUCHED, **interaction}


def page(session: str, query: str, hour: float, *results: dict[str, Any]) -> list[dict[str, Any]]:
    """A session with the listings l0, l1, ... at positions 1, 2, ...; each result is its interaction."""
    return [
        row(session, query, hour, place + 1, LISTINGS[place], **interaction)
        for place, interaction in enumerate(results)
    ]


def write_log(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """A data folder that has nothing but the log."""
    folder.mkdir(exist_ok=True)
    write_rows(folder, "search_log.parquet", rows, SCHEMAS["search_log.parquet"])
    return folder


@st.composite
def logs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A valid log: pages with gaps and randomised pairs, its rows in any order."""
    rows = []
    for number in range(draw(st.integers(1, 8))):
        query = draw(st.sampled_from(["sea", "Sea ", "pool bar", "été", " ", ""]))
        places = sorted(draw(st.sets(st.integers(1, 9), min_size=1, max_size=6)))
        listings = draw(st.permutations(LISTINGS))
        pairs = dict.fromkeys(places)
        if draw(st.booleans()):
            shuffled = draw(st.permutations(places))
            for pair in range(draw(st.integers(0, len(places) // 2))):
                pairs[shuffled[2 * pair]] = pairs[shuffled[2 * pair + 1]] = draw(st.sampled_from([-7, 0, 5])) + pair
        for place, listing in zip(places, listings, strict=False):
            interaction = {
                "clicked": draw(st.booleans()),
                "dwell_s": draw(st.sampled_from([None, 0.0, 29.9, 30.0, 30.1, 500.0])),
                "carted": draw(st.booleans()) and draw(st.booleans()),
                "purchased": draw(st.booleans()) and draw(st.booleans()),
                "fair_pair": pairs[place],
            }
            hour = draw(st.integers(0, 6))
            rows.append(row(f"s{number}", query, hour, place, listing, **interaction))
    return draw(st.permutations(rows))
