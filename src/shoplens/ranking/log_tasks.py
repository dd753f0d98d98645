"""The tasks of a search log's queries, from arrays in a folder that every process maps instead of reading.

The folder holds training pairs and validation sessions; test sessions are not in it, so no choice can depend on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from shoplens.files import digest_file
from shoplens.ranking.judgements import VALIDATION, Judgements
from shoplens.ranking.pairs import Pairs
from shoplens.ranking.sessions import Sessions, judged, sessions_of
from shoplens.ranking.train import QueryTask


def sample_pairs(pairs: Pairs, most: int, seed: int) -> NDArray[np.int64]:
    """At most `most` pairs spread over the queries: each gives one in turn, in a seeded order, until it has no more.

    Returns:
        Numbers of pairs, ascending.
    """
    counts = np.diff(pairs.starts)
    shuffled = np.random.default_rng(seed).permutation(len(pairs.better))
    query = np.repeat(np.arange(len(counts)), counts)
    grouped = shuffled[np.argsort(query[shuffled], kind="stable")]
    turn = np.arange(len(grouped)) - np.repeat(pairs.starts[:-1], counts)
    return np.sort(grouped[np.argsort(turn, kind="stable")[:most]])


def write_log_tasks(
    folder: Path,
    judgements: Judgements,
    pairs: Pairs,
    text: scipy.sparse.csr_array,
    images: Mapping[str, NDArray[np.float32]],
    *,
    global_pairs: int,
    seed: int,
) -> dict[str, str]:
    """Write the arrays that `LogTasks` reads.

    Args:
        folder: exists.
        judgements: all parts; only validation sessions are written.
        pairs: of the training part.
        text: (L, V) binary.
        images: encoder -> (L, D).
        global_pairs: pairs that the global model learns from, at most.
        seed: of their choice.

    Returns:
        Each array's digest: what the tasks depend on.
    """
    sessions = judged(sessions_of(judgements, VALIDATION)[0]).sessions
    of_query = np.searchsorted(sessions.query, np.arange(len(judgements.queries) + 1))
    arrays: dict[str, NDArray[Any]] = {
        "text_indptr": text.indptr.astype(np.int64),
        "text_indices": text.indices.astype(np.int32),
        "pair_starts": pairs.starts,
        "better": pairs.better,
        "worse": pairs.worse,
        "global_pairs": sample_pairs(pairs, global_pairs, seed),
        "query_sessions": of_query.astype(np.int64),
        "listing": sessions.listing,
        "grade": sessions.grade,
        "starts": sessions.starts,
        **{f"image_{name}": values for name, values in images.items()},
    }
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    return {name: digest_file(folder / f"{name}.npy") for name in arrays}


@dataclass(frozen=True)
class LogTasks:
    """Gives the task of query number q; number Q (`queries`) is the global model's, over all of them."""

    folder: Path
    queries: int
    encoders: tuple[str, ...]

    @cached_property
    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {path.stem: np.load(path, mmap_mode="r") for path in self.folder.glob("*.npy")}

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "queries": self.queries, "encoders": self.encoders}

    def __call__(self, number: int) -> QueryTask:
        """The task, with only the documents that its pairs and validation sessions hold."""
        arrays = self._arrays
        whole = number == self.queries
        first, last = (0, self.queries) if whole else (number, number + 1)
        spans = slice(*arrays["pair_starts"][[first, last]].tolist())
        chosen = arrays["global_pairs"] if whole else np.arange(spans.start, spans.stop)
        better, worse = arrays["better"][chosen], arrays["worse"][chosen]
        sessions = slice(*arrays["query_sessions"][[first, last]].tolist())
        starts = arrays["starts"][sessions.start : sessions.stop + 1]
        shown = arrays["listing"][starts[0] : starts[-1]]
        listings = np.unique(np.concatenate([better, worse, shown]))
        text, columns = self._text(listings)
        shown, better, worse = (np.searchsorted(listings, of).astype(np.int32) for of in (shown, better, worse))
        counts = np.diff(arrays["query_sessions"][first : last + 1])
        return QueryTask(
            text=text,
            columns=columns,
            images={name: arrays[f"image_{name}"][listings] for name in self.encoders},
            better=better,
            worse=worse,
            validation=Sessions(
                shown,
                arrays["grade"][starts[0] : starts[-1]],
                starts - starts[0],
                np.repeat(np.arange(last - first), counts),
            ),
        )

    def _text(self, listings: NDArray[np.int32]) -> tuple[scipy.sparse.csr_array, NDArray[np.int32]]:
        first, last = self._arrays["text_indptr"][listings], self._arrays["text_indptr"][listings + 1]
        counts = last - first
        starts = np.append(0, np.cumsum(counts))
        indices = self._arrays["text_indices"][np.repeat(first - starts[:-1], counts) + np.arange(starts[-1])]
        columns, narrow = np.unique(indices, return_inverse=True)
        ones = np.ones(len(indices), np.float32)
        shape = (len(listings), len(columns))
        text = scipy.sparse.csr_array((ones, narrow.astype(np.int32), starts.astype(np.int32)), shape=shape)
        return text, columns
