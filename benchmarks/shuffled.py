"""A contract folder whose training teaches nothing, while all that is judged stays as it was."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shoplens.contract.spec import read_spec
from shoplens.contract.split import splits_of


def shuffle_training(data: Path, out: Path, seed: int = 0) -> Path:
    """A copy in which every training listing has the photos of another one, as far as training can tell.

    What moves between training listings is the rows of task labels, all tasks together: an encoder that is trained on
    it sees galleries and labels paired at random, as if the photos had been shuffled. Moving the photos themselves
    would also spoil what the encoder is judged by, since search results of training listings would show other
    listings' photos. Hold-out labels, photos, texts and search log are as they were.

    Args:
        data: a contract folder.
        out: the folder to write; photos are hard links where the file system can.
        seed: of the permutation.
    """

    def link(source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)

    shutil.copytree(data, out, copy_function=link)
    listings = pq.read_table(out / "listings.parquet")
    training = np.flatnonzero(np.array(splits_of(listings["listing_id"].to_pylist())) == "train")
    source = np.arange(len(listings))
    source[training] = np.random.default_rng(seed).permutation(training)
    for task in read_spec(data).tasks:
        place = listings.column_names.index(task.name)
        column = listings[task.name].take(pa.array(source))
        listings = listings.set_column(place, listings.schema.field(place), column)
    (out / "listings.parquet").unlink()  # the link, not the original
    pq.write_table(listings, out / "listings.parquet")
    return out
