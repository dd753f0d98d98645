"""How MLflow opens a registered ranker: this file and `ranking/scoring.py` lie beside the bundle, without shoplens."""

from pathlib import Path
from typing import Any

import numpy as np
import scoring  # type: ignore[import-not-found]


class Model:
    """Scores of rows of (query, listing_id)."""

    def __init__(self, ranker: Any) -> None:
        self.ranker = ranker

    def predict(self, rows: Any, params: dict[str, Any] | None = None) -> np.ndarray:  # noqa: ARG002
        """A score a row, float64; the lowest float32 number where the listing is not known."""
        scores = np.empty(len(rows))
        for query, at in rows.groupby("query").indices.items():
            scores[at] = scoring.score(self.ranker, query, rows["listing_id"].iloc[at].tolist()).scores
        return scores


def _load_pyfunc(path: str) -> Model:
    """What MLflow calls with the folder of the bundle."""
    return Model(scoring.load_ranker(Path(path)))
