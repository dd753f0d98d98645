"""Units of image sources: what each photo or crop teaches which task, and who trains."""

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplens.contract.spec import EvalSpec, SourceSpec
from shoplens.errors import ShoplensError
from shoplens.training.sources import UNLABELLED, ImageSource, SoftmaxTask, image_sources, sides_of

Row = tuple[str, str, str, int]
"""Source, task, label and crop."""
TASKS = ("category", "instance")


def spec(name: str) -> SourceSpec:
    return SourceSpec(name=name, tasks=TASKS, eval=EvalSpec(task="category", metric="p@1"))


def found(rows: list[Row], validating: set[int], *names: str) -> list[ImageSource]:
    columns = {name: [str(row[at]) for row in rows] for at, name in enumerate(("source", "task", "label"))}
    columns["role"] = ["validation" if crop in validating else "train" for *_, crop in rows]
    table = pa.table({name: pa.array(column, pa.string()) for name, column in columns.items()})
    crops = np.array([crop for *_, crop in rows], np.int64)
    sides = np.stack([crops % 2 == 0, crops % 3 == 0], axis=1)
    return image_sources([spec(name) for name in names], table, crops, sides)


def units(source: ImageSource) -> list[tuple[int, bool, dict[str, str | None]]]:
    """Of each unit: its crop, whether it trains, and its label of each task."""
    return [
        (
            int(crop),
            bool(trains),
            {
                task.name: None if value == UNLABELLED else task.classes[value]
                for task, value in zip(source.tasks, values, strict=True)
            },
        )
        for crop, trains, values in zip(source.crops, source.trains, source.targets, strict=True)
    ]


def expected(rows: list[Row], validating: set[int], name: str) -> list[tuple[int, bool, dict[str, str | None]]]:
    """The same in plain Python: the j-th unit of a crop has the j-th of its labels of every task."""
    known = {
        task: {label for source, its, label, crop in rows if (source, its) == (name, task) and crop not in validating}
        for task in TASKS
    }
    learnable = [task for task in TASKS if len(known[task]) > 1]
    labels: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for source, task, label, crop in rows:
        if source == name and task in learnable:
            labels[crop][task].append(label)
    made = []
    for crop in sorted(labels):
        for turn in range(max(map(len, labels[crop].values()))):
            own = {task: labels[crop][task][turn : turn + 1] for task in learnable}
            found = {task: value[0] if value and value[0] in known[task] else None for task, value in own.items()}
            made.append((crop, crop not in validating, found))
    return made


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"), st.sampled_from((*TASKS, "other")), st.sampled_from("xyzw"), st.integers(0, 5)
        ),
        max_size=30,
    ),
    st.sets(st.integers(0, 5)),
)
def test_units_are_those_of_a_plain_loop(rows: list[Row], validating: set[int]) -> None:
    by_hand = expected(rows, validating, "a")
    if not by_hand:
        with pytest.raises(ShoplensError, match="no task of source 'a' has two classes"):
            found(rows, validating, "a")
        return
    (source,) = found(rows, validating, "a")
    assert (source.searches == (source.crops % 2 == 0)).all() and (source.searched == (source.crops % 3 == 0)).all()
    judged = [place for place, task in enumerate(source.tasks) if task.name == "category"]
    assert source.searched_by == (judged[0] if judged else None)
    assert units(source) == by_hand
    assert source.targets.shape == (len(source.crops), len(source.tasks))


def test_a_crop_with_two_labels_of_a_task_is_two_units_and_its_other_task_is_labelled_once() -> None:
    rows = [("a", "instance", "i", 7), ("a", "instance", "j", 7), ("a", "category", "x", 7), ("a", "category", "y", 9)]
    (source,) = found(rows, set(), "a")
    assert source.tasks == (SoftmaxTask("a", "category", ("x", "y")), SoftmaxTask("a", "instance", ("i", "j")))
    assert units(source) == [
        (7, True, {"category": "x", "instance": "i"}),
        (7, True, {"category": None, "instance": "j"}),
        (9, True, {"category": "y", "instance": None}),
    ]


def test_a_class_that_only_validates_is_no_label() -> None:
    rows = [
        ("a", "category", "x", 0),
        ("a", "category", "y", 1),
        ("a", "category", "new", 2),
        ("a", "category", "x", 3),
    ]
    (source,) = found(rows, {2, 3}, "a")
    assert source.tasks[0].classes == ("x", "y")
    assert units(source)[2:] == [(2, False, {"category": None}), (3, False, {"category": "x"})]


def test_a_class_with_one_photo_is_a_class() -> None:
    (source,) = found([("a", "category", "x", 0), ("a", "category", "y", 1), ("a", "category", "y", 2)], set(), "a")
    assert source.targets.ravel().tolist() == [0, 1, 1]


def test_a_task_with_one_class_is_left_out_with_the_units_that_only_it_has() -> None:
    rows = [("a", "category", "x", 0), ("a", "instance", "i", 0), ("a", "instance", "j", 1), ("a", "category", "x", 2)]
    (source,) = found(rows, set(), "a")
    assert [task.full_name for task in source.tasks] == ["a/instance"]
    assert source.crops.tolist() == [0, 1]


def test_sources_share_neither_classes_nor_units() -> None:
    rows = [("a", "category", "x", 0), ("a", "category", "y", 1), ("b", "category", "x", 0), ("b", "category", "z", 1)]
    one, other = found(rows, set(), "a", "b")
    assert [task.classes for source in (one, other) for task in source.tasks] == [("x", "y"), ("x", "z")]
    assert one.crops.tolist() == other.crops.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("rows", "validating"),
    [
        ([("a", "category", "x", 0), ("a", "category", "x", 1)], set()),
        ([("a", "category", "x", 0), ("a", "category", "y", 1)], {1}),
        ([("a", "category", "x", 0), ("a", "category", "y", 1)], {0, 1}),
        ([("b", "category", "x", 0), ("b", "category", "y", 1)], set()),
    ],
    ids=["one class", "the second class validates", "all rows validate", "all rows were left out"],
)
def test_a_source_without_anything_to_tell_apart_is_an_error(rows: list[Row], validating: set[int]) -> None:
    with pytest.raises(
        ShoplensError, match=r"no task of source 'a' has two classes .* leave the source out of dataset"
    ):
        found(rows, validating, "a")


# --- who searches whom -----------------------------------------------------------------------------------------------


def sides(*rows: tuple[str, str, str]) -> list[str]:
    """Of rows (source, role, domain): "s" if it may search, "f" if it may be found."""
    columns = {name: pa.array([row[at] for row in rows], pa.string()) for at, name in enumerate(("source", "role"))}
    found = sides_of(pa.table(columns), np.array([domain for *_, domain in rows], str))
    return ["s" * int(searches) + "f" * int(searched) for searches, searched in found]


def test_photos_of_the_queries_domains_search_those_of_the_corpus() -> None:
    rows = [("lens", "query", "camera"), ("lens", "corpus", "shop"), ("lens", "corpus", "museum")]
    training = [("lens", "train", domain) for domain in ("camera", "shop", "museum", "scene")]
    assert sides(*rows, *training)[3:] == ["s", "f", "f", ""]


def test_each_source_has_its_own_domains() -> None:
    rows = [("a", "query", "camera"), ("a", "corpus", "shop"), ("b", "query", "shop"), ("b", "corpus", "shop")]
    training = [(source, "train", domain) for source in "ab" for domain in ("camera", "shop")]
    assert sides(*rows, *training)[4:] == ["s", "f", "", "sf"]


@pytest.mark.parametrize(
    "evaluated",
    [[], [("a", "query", ""), ("a", "corpus", "")], [("a", "query", "x"), ("a", "corpus", "y")]],
    ids=["nothing is searched", "unknown domains", "domains that nothing trains of"],
)
def test_where_domains_tell_nothing_all_search_all(evaluated: list[tuple[str, str, str]]) -> None:
    training = [("a", "train", ""), ("a", "validation", ""), ("a", "train", "" if evaluated else "shop")]
    assert sides(*evaluated, *training)[len(evaluated) :] == ["sf", "sf", "sf"]
