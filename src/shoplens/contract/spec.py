"""dataset.yaml: what the tables of a data folder mean. Unknown keys are errors with a suggestion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from shoplens.contract.columns import LISTING_ID, SHOP_ID, SPEC_FILE, TAGS, TITLE
from shoplens.strict import StrictModel, read_yaml

Name = Annotated[str, StringConstraints(pattern=r"^[^\s/](?:[^/\x00-\x1f]*[^\s/])?$")]

GALLERIES = "galleries"
"""What the tasks of listings are called where image sources are called by their names."""

OUTCOME_COLUMNS = ("metric", "model", "unit", "value")
"""Columns that stand beside the slice columns in outcomes.parquet, so no slice may have their names."""


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


class TaskSpec(StrictModel):
    """A training target: its name is its column in listings.parquet."""

    name: Name
    kind: Literal["binary", "multiclass", "regression"]


class HoldoutSpec(StrictModel):
    """The target that is never trained on. `levels`, lowest first, make a multiclass hold-out ordinal."""

    name: Name
    kind: Literal["multiclass", "regression"]
    levels: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        if self.levels is None:
            return self
        if self.kind == "regression":
            raise ValueError("a regression hold-out has no levels: remove them or make its kind multiclass")
        if len(self.levels) < 2 or "" in self.levels:
            raise ValueError("levels must be at least two non-empty strings, lowest first")
        if repeated := _repeated(self.levels):
            raise ValueError(f"levels are listed twice: {', '.join(repeated)}")
        return self


class GallerySpec(StrictModel):
    """How many photos a listing has, both ends included."""

    min: int = Field(ge=1)
    max: int = Field(ge=1)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is greater than max {self.max}")
        return self


class EvalSpec(StrictModel):
    """How a source is judged: retrieval on the query and corpus rows of one of its tasks."""

    task: Name
    metric: Literal["p@1", "avg_p@20"]


class SourceSpec(StrictModel):
    """An image-level label set in labels.parquet."""

    name: Name
    tasks: tuple[Name, ...] = Field(min_length=1)
    eval: EvalSpec

    @model_validator(mode="after")
    def _check_tasks(self) -> Self:
        if repeated := _repeated(self.tasks):
            raise ValueError(f"tasks are listed twice: {', '.join(repeated)}")
        if self.eval.task not in self.tasks:
            raise ValueError(f"eval.task {self.eval.task!r} is none of the source's tasks: {', '.join(self.tasks)}")
        return self


class DatasetSpec(StrictModel):
    """dataset.yaml as a whole."""

    name: Name
    contract: Literal[1]
    tasks: tuple[TaskSpec, ...]
    holdout: HoldoutSpec
    slices: tuple[Name, ...] = ()
    gallery: GallerySpec
    sources: tuple[SourceSpec, ...] = ()
    licence: str = Field(min_length=1)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        tasks = [task.name for task in self.tasks]
        own = {LISTING_ID, SHOP_ID, TITLE, TAGS}
        if not tasks and not self.sources:
            raise ValueError("nothing to train on: name at least one task or one source")
        if repeated := _repeated(tasks):
            raise ValueError(f"tasks are listed twice: {', '.join(repeated)}")
        if repeated := _repeated([source.name for source in self.sources]):
            raise ValueError(f"sources are listed twice: {', '.join(repeated)}")
        if GALLERIES in [source.name for source in self.sources]:
            raise ValueError(f"a source cannot be called {GALLERIES!r}: that is what the tasks of listings are called")
        if repeated := _repeated(self.slices):
            raise ValueError(f"slices are listed twice: {', '.join(repeated)}")
        if self.holdout.name in tasks:
            raise ValueError(f"{self.holdout.name!r} is both a task and the hold-out: it would be trained on")
        if taken := sorted(own & {*tasks, self.holdout.name}):
            raise ValueError(f"{', '.join(taken)}: a column of every listings.parquet cannot be a task or the hold-out")
        numbers = {task.name for task in self.tasks if task.kind == "regression"}
        numbers |= {self.holdout.name} if self.holdout.kind == "regression" else set()
        if wrong := sorted({*numbers, LISTING_ID, TITLE, TAGS} & set(self.slices)):
            raise ValueError(f"{', '.join(wrong)}: a slice is a string or bool column that groups listings")
        if wrong := sorted(set(OUTCOME_COLUMNS) & set(self.slices)):
            raise ValueError(f"{', '.join(wrong)}: this name is taken in outcomes.parquet; rename the slice column")
        return self


def read_spec(data: Path) -> DatasetSpec:
    """Read `data`/dataset.yaml.

    Raises:
        ShoplensError: if it is missing, not UTF-8, not YAML or not valid; one line a problem.
    """
    return read_yaml(DatasetSpec, data / SPEC_FILE)
