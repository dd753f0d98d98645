"""A run as far as judgement reads it: photos, evaluate-retrieval's queries and results, answers of workers."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from shoplens.artifacts import write_artifact
from shoplens.judgement.make import Settings, make_questions

Box = tuple[float, float, float, float]
BOXES = ("x0", "y0", "x1", "y1")
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
RED, BLUE = (200, 30, 30), (30, 30, 200)
SETTINGS = Settings("candidate", "baseline", "shop", "binary", 4, 1, "Is it the same product?")
CORPUS = 12


def write_photos(data: Path, queries: int = 6) -> Path:
    """Photos q0.. (left half red, right half blue) and c0.. (grey, each in its own shade), with images.parquet."""
    (data / "images").mkdir(parents=True)
    names = [f"q{at}" for at in range(queries)] + [f"c{at}" for at in range(CORPUS)]
    for name in names:
        image = Image.new("RGB", (40, 20), (20 * int(name[1:]) % 256,) * 3)
        if name[0] == "q":
            image.paste(RED, (0, 0, 20, 20))
            image.paste(BLUE, (20, 0, 40, 20))
        image.save(data / "images" / f"{name}.png")
    count = len(names)
    table = {
        "image_id": names,
        "listing_id": pa.nulls(count, pa.string()),
        "path": [f"images/{name}.png" for name in names],
        "width": pa.array([40] * count, pa.int32()),
        "height": pa.array([20] * count, pa.int32()),
        "domain": ["camera"] * count,
    }
    pq.write_table(pa.table(table), data / "images.parquet")
    return data


def unit(image: str, box: Box | None = None) -> str:
    """Unit id of source `shop`."""
    return f"shop/{image}" + ("" if box is None else "#" + ",".join(f"{x:g}" for x in box))


def write_evaluated(
    artifacts: Path,
    data: Path,
    queries: Sequence[tuple[str, Box | None, str | None]],
    results: Mapping[str, Sequence[Sequence[str]]],
) -> Path:
    """The artifact of evaluate-retrieval for source `shop`.

    Args:
        artifacts: folder of all stages.
        data: the contract folder.
        queries: image, box, category of each.
        results: model -> for each query its results, nearest first; whole photos.
    """
    rows: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for at, (image, box, category) in enumerate(queries):
        same = {"source": "shop", "task": "instance", "query": unit(image, box)}
        place = dict(zip(BOXES, box or (None,) * 4, strict=True))
        rows.append({**same, "image_id": image, **place, "label": "l", "category": category, "in_training": True})
        for model, lists in results.items():
            for kind in ("float", "binary"):
                shown = lists[at] if kind == "binary" else lists[at][::-1]
                found += [
                    {**same, "model": model, "kind": kind, "rank": rank, "image_id": name, **dict.fromkeys(BOXES)}
                    | {"distance": float(rank), "relevant": False}
                    for rank, name in enumerate(shown, 1)
                ]
    texts = ("source", "task", "query", "image_id", "label", "category", "model", "kind")
    kinds: dict[str, pa.DataType] = dict.fromkeys(texts, pa.string()) | dict.fromkeys(BOXES, pa.float64())
    kinds |= {"in_training": pa.bool_(), "relevant": pa.bool_(), "rank": pa.int64(), "distance": pa.float64()}
    with write_artifact(artifacts / "evaluate-retrieval", "evaluate-retrieval", {"data": data}, {}) as folder:
        for name, content in (("queries", rows), ("results", found)):
            schema = pa.schema([(column, kinds[column]) for column in content[0]])
            pq.write_table(pa.Table.from_pylist(content, schema), folder / f"{name}.parquet")
    return artifacts


def corpus(*numbers: int) -> list[str]:
    """Image ids of corpus photos."""
    return [f"c{number}" for number in numbers]


def write_run(root: Path) -> tuple[Path, Path]:
    """Artifacts and data of six queries, two of them crops of one photo, three categories.

    The candidate returns c0 to c4 (and, at rank 6, c9), the baseline c3 to c7, for every query.
    """
    data = write_photos(root / "data")
    queries = [
        ("q0", LEFT, "chairs"),
        ("q0", RIGHT, "lamps"),
        *((f"q{at}", None, "chairs" if at % 2 else None) for at in (1, 2, 3, 4)),
    ]
    results = {"candidate": [corpus(0, 1, 2, 3, 4, 9)] * 6, "baseline": [corpus(3, 4, 5, 6, 7, 8)] * 6}
    return write_evaluated(root / "artifacts", data, queries, results), data


def make(
    root: Path,
    artifacts: Path,
    data: Path,
    settings: Settings = SETTINGS,
    traffic: Path | None = None,
    golden: Path | None = None,
) -> Path:
    """`shoplens judge make` into root/judge."""
    out = root / "judge"
    make_questions(artifacts=artifacts, data=data, out=out, settings=settings, traffic=traffic, golden=golden)
    return out


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def write_lines(path: Path, *lines: str) -> Path:
    """A text file of these lines."""
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def write_answers(path: Path, answers: Iterable[tuple[str, str, bool]], job: str | None = None) -> Path:
    """Answers (worker, question, yes), with a column `job` where one is given."""
    rest = "" if job is None else f",{job}"
    lines = [f"{worker},{question},{'yes' if yes else 'no'}{rest}" for worker, question, yes in answers]
    return write_lines(path, "worker,question,answer" + ("" if job is None else ",job"), *lines)
