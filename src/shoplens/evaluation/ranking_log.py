"""What stage evaluate-ranking works on: listings with their features, judgements, training pairs and the test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from shoplens.evaluation.outcomes import Model
from shoplens.ranking.judgements import TEST, Judgements
from shoplens.ranking.modalities import Run, runs_of
from shoplens.ranking.pairs import Pairs
from shoplens.ranking.retrieval import InvertedIndex
from shoplens.ranking.sessions import Judged, judged, sessions_of
from shoplens.ranking.train import Weights, documents_as, score_documents


@dataclass(frozen=True)
class Features:
    """All listings: text (L, V), and image features (L, D) by encoder."""

    text: scipy.sparse.csr_array
    images: Mapping[str, NDArray[np.float32]]

    def scores(self, run: Run, weights: Weights, listings: NDArray[np.int32]) -> NDArray[np.float32]:
        """Scores of some listings, in their order."""
        text = np.zeros(self.text.shape[1], np.float32)
        text[weights.columns] = weights.text
        image = self.images[run.image][listings] if run.image else None
        return score_documents(documents_as(run.modality, self.text[listings], image), text, weights.image)


@dataclass(frozen=True)
class Collection:
    """All L listings: ids ascending, titles, how they are found, their features."""

    listing_ids: Sequence[str]
    titles: Sequence[str]
    index: InvertedIndex
    features: Features


@dataclass(frozen=True)
class HeldOut:
    """What is ranked: the judged test sessions, all of their results or only those of unseen listings.

    Attributes:
        ids: ids of the judged sessions.
        judged: the test sessions that can be scored.
        unseen: of these, the ones that still can with only the listings that no encoder was trained on.
        pairs: the preference pairs of test sessions.
    """

    ids: NDArray[np.object_]
    judged: Judged
    unseen: Judged
    pairs: Pairs


def read_held_out(judgements: Judgements, pairs: Pairs, unseen: NDArray[np.bool_]) -> HeldOut:
    """The test sessions of a log.

    Args:
        judgements: all parts.
        pairs: preference pairs of the test part.
        unseen: (L,) listings that no encoder was trained on.
    """
    every, ids = sessions_of(judgements, TEST)
    able = judged(every)
    return HeldOut(ids[able.chosen], able, judged(able.sessions, unseen[able.sessions.listing]), pairs)


@dataclass(frozen=True)
class Log:
    """Everything that is learnt from and judged by.

    Attributes:
        collection: all listings.
        encoders: whose photos' features there are, `diverged`: the ones among them that are not finite.
        digest: of the candidate's weights.
        with_photos, with_text: (L,) listings with a gallery; with a word in title or tags.
        judgements: of all sessions.
        pairs: training pairs.
        tests: the test set.
    """

    collection: Collection
    encoders: tuple[Model, ...]
    diverged: tuple[Model, ...]
    digest: str
    with_photos: NDArray[np.bool_]
    with_text: NDArray[np.bool_]
    judgements: Judgements
    pairs: Pairs
    tests: HeldOut

    @property
    def runs(self) -> tuple[Run, ...]:
        """What can be trained."""
        return runs_of([encoder for encoder in self.encoders if encoder not in self.diverged])
