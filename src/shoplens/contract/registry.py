"""The registry of checks: level, what is wrong, remedy. docs/data.md holds the same table; a test compares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """A kind of problem. An error stops the run; a warning is reported and the run goes on."""

    level: Literal["error", "warning"]
    meaning: str
    remedy: str


def _error(meaning: str, remedy: str) -> Check:
    return Check("error", meaning, remedy)


def _warning(meaning: str, remedy: str) -> Check:
    return Check("warning", meaning, remedy)


DROPPED = "drop the row with every row that names it, in the search log whole sessions"

CHECKS: dict[str, Check] = {
    # dataset.yaml
    "spec-missing": _error("dataset.yaml is missing", "write dataset.yaml; docs/data.md has an example"),
    "spec-invalid": _error(
        "dataset.yaml is not valid: not YAML, unknown key, wrong value, name used twice",
        "correct the named key; docs/data.md lists all keys",
    ),
    # every table
    "table-missing": _error(
        "listings.parquet or images.parquet is missing", "write the file; docs/data.md has an example"
    ),
    "table-unreadable": _error("a table is not a Parquet file or is damaged", "write the file again as Parquet"),
    "table-empty": _error("a table has no rows", "fill the table; leave an optional table out altogether"),
    "column-missing": _error(
        "a column of the contract is missing",
        'add the column; unknown is "" in title and query, [] in tags, null where docs/data.md allows it',
    ),
    "column-repeated": _error("a column name occurs twice", "drop or rename one of the two columns"),
    "column-type": _error(
        "a column has a type that does not convert without loss",
        "write the column with the type that docs/data.md names",
    ),
    "not-utf8": _error("text is not UTF-8", "decode the text with its own encoding and write it as UTF-8 strings"),
    "value-null": _error(
        "a null where a value must be", 'fill in the value (unknown: "" in title and query, [] in tags), or ' + DROPPED
    ),
    "value-empty": _error(
        "an empty string where a value must be",
        f"fill in the value, write null where docs/data.md allows it, or {DROPPED}",
    ),
    "id-duplicate": _error("an id occurs twice", "keep one row per id"),
    "column-all-null": _warning(
        "a column has no known value",
        "nothing is learned or measured: fill it, drop a task or slice from dataset.yaml, or name another hold-out",
    ),
    # listings.parquet
    "title-empty": _warning(
        "a listing has no title", "the run goes on, and no query's words find it by its title: write one"
    ),
    "target-not-finite": _error("a target is NaN or infinite", "write null where the value is unknown"),
    "level-unknown": _error(
        "a hold-out value is none of the levels in dataset.yaml",
        "correct the value, or add it to holdout.levels in its place",
    ),
    "target-constant": _warning(
        "a task or hold-out has a single value",
        "nothing can be learned: add listings, drop the task from dataset.yaml, or name another hold-out",
    ),
    "labels-few": _warning(
        "fewer than 10 labelled training listings, or no labelled validation or test listing",
        "its result will say little: label more listings",
    ),
    "class-unseen": _warning(
        "a class of validation or test listings that no training listing has",
        "it cannot be predicted: add listings of the class or merge it into another",
    ),
    "split-empty": _error(
        "no listing falls into one of training, validation, test",
        "add listings: the split follows from listing_id, about 80, 10 and 10 percent",
    ),
    "gallery-empty": _warning("a listing has no photo", "the run goes on without it: add photos"),
    "gallery-small": _error(
        "a gallery has fewer photos than gallery.min", f"add photos, lower gallery.min, or {DROPPED}"
    ),
    "gallery-large": _error(
        "a gallery has more photos than gallery.max", "raise gallery.max, or drop photos with their labels"
    ),
    # images.parquet and the photos
    "listing-unknown": _error(
        "a listing_id that listings.parquet does not have",
        "add the listing; or drop the photo, or the search log's whole session; a photo with a label may have null",
    ),
    "image-unused": _warning(
        "a photo that belongs to no listing and has no label",
        "it is not used: give it a listing_id or a label, or drop it",
    ),
    "path-absolute": _error("a photo's path is absolute", "write the path relative to the data folder"),
    "path-outside": _error(
        "a photo's path leaves the data folder, through .. or a link", "copy the photo into the data folder"
    ),
    "path-repeated": _warning(
        "two rows name the same photo file", "keep one row per photo, and name it wherever the other one was named"
    ),
    "photo-missing": _error(
        "a photo's file or tar member is missing", "deliver the photo, or drop the row and its labels"
    ),
    "tar-unreadable": _error(
        "a tar file is missing, damaged or compressed", "pack it again without compression (tar cf)"
    ),
    "photo-unreadable": _error(
        "a photo is truncated, empty or no JPEG, PNG or WebP", "export the photo again, or drop the row and its labels"
    ),
    "photo-huge": _error("a photo has more than 50 megapixels", "scale the photo down"),
    "size-wrong": _error(
        "width and height differ from the photo's, after EXIF orientation", "write the upright photo's width and height"
    ),
    "photo-across-splits": _warning(
        "the same bytes are a photo of listings in different splits",
        "prepare leaves the training copy out; better drop one copy with its row",
    ),
    # search_log.parquet
    "time-future": _error("shown_at is more than a day ahead", "correct the clock, time zone or unit"),
    "time-ancient": _warning(
        "shown_at is before 1995", "check the unit: seconds written as milliseconds look like 1970"
    ),
    "session-mixed": _error(
        "one session has several queries", "give each page of results its own session_id, with positions from 1"
    ),
    "position-low": _error("a position is below 1", "count positions from 1"),
    "position-duplicate": _error("two rows of one session have the same position", "give each result its own position"),
    "position-gap": _warning(
        "a session's positions have a gap", "pairs of neighbours across the gap are not used: deliver all results"
    ),
    "dwell-invalid": _error("dwell_s is negative, NaN or infinite", "write null where the dwell time is unknown"),
    "fair-pair-size": _error(
        "a fair_pair number does not have exactly two rows in its session",
        "number the two rows of each randomised pair, all others null",
    ),
    # labels.parquet
    "sources-without-labels": _warning(
        "dataset.yaml names sources but labels.parquet is missing", "write labels.parquet or remove the sources"
    ),
    "source-unknown": _error(
        "a source that dataset.yaml does not name", "add the source to dataset.yaml or drop the rows"
    ),
    "task-unknown": _error(
        "a task that its source in dataset.yaml does not have", "add the task to the source or drop the rows"
    ),
    "role-unknown": _error("a role other than train, query, corpus", "write train, query or corpus"),
    "label-null": _error(
        "a train or query row without a label", "fill in the label; only corpus rows may have none (distractors)"
    ),
    "image-unknown": _error(
        "an image_id that images.parquet does not have", "add the photo to images.parquet or drop the row"
    ),
    "role-shared": _error(
        "a photo is in role train and in role query or corpus",
        "keep one of the two: retrieval must be measured on photos never trained on",
    ),
    "role-shared-bytes": _warning(
        "a train photo and a query or corpus photo have the same bytes",
        "drop one of the two: retrieval must be measured on photos never trained on",
    ),
    "box-partial": _error("a box has some of x0 y0 x1 y1 but not all", "write all four or none"),
    "box-range": _error(
        "a box leaves 0..1, is empty or not a number", "write fractions of the photo with x0 < x1 and y0 < y1"
    ),
    "box-small": _error("a box is less than 2 pixels wide or high", "drop the row or enlarge the box"),
    "query-unmatched": _warning(
        "the label of a query row is on no corpus row", "the query can only fail: add corpus rows with its label"
    ),
    "class-single": _warning(
        "a training class has a single photo",
        "a few do no harm, but a single photo teaches no likeness: add photos, or drop its rows",
    ),
    "source-incomplete": _warning(
        "a source's task has no train rows, or its eval task no query or corpus rows",
        "deliver the rows, or drop the task (if it is the eval task, the source) from dataset.yaml and labels.parquet",
    ),
}
