"""Inputs of stage evaluate-retrieval made by hand: examples as prepare leaves them, embeddings as embed does."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from shoplens.artifacts import write_artifact
from shoplens.data.examples import BOX, FILE, Crops, crops_of
from shoplens.files import write_bytes, write_json
from shoplens.retrieval.codes import pack_codes

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Example:
    """A row of examples.parquet."""

    source: str
    task: str
    label: str | None
    role: str
    image_id: str
    box: Box | None = None


Activations = Callable[[Crops], np.ndarray]
"""What a model's activations of the held-out crops are, (C, D)."""


def source(name: str, *tasks: str, metric: str = "p@1") -> dict[str, object]:
    """A source of dataset.yaml, judged by the first of its tasks."""
    return {"name": name, "tasks": list(tasks), "eval": {"task": tasks[0], "metric": metric}}


def write_inputs(
    root: Path,
    sources: Sequence[Mapping[str, object]],
    examples: Sequence[Example] | None,
    models: Mapping[str, Activations],
) -> dict[str, Path]:
    """The folders data, prepare and embed, by name; without examples there is no labels.parquet."""
    spec = {"name": "hand-made", "contract": 1, "tasks": [{"name": "pool", "kind": "binary"}], "slices": []}
    spec |= {"holdout": {"name": "stars", "kind": "multiclass"}, "gallery": {"min": 1, "max": 9}, "licence": "CC0-1.0"}
    data, prepare, embed = (root / name for name in ("data", "prepare", "embed"))
    data.mkdir(parents=True)
    (data / "dataset.yaml").write_text(yaml.safe_dump(spec | {"sources": list(sources)}))
    for image_id in sorted({example.image_id for example in examples or ()}):
        write_bytes(data / "images" / f"{image_id}.jpg", photo(image_id))
    with write_artifact(prepare, "prepare", {"data": data}, {}) as folder:
        write_json(folder / "split.json", {"hash": "split-1"})
        if examples is not None:
            pq.write_table(examples_table(examples), folder / FILE)
    with write_artifact(embed, "embed", {"data": data, "prepare": prepare}, {}) as folder:
        write_json(folder / "embed.json", {})
        held = [example for example in examples or () if example.role in ("query", "corpus")]
        if examples is not None:
            crops, _ = crops_of(examples_table(held))
            write_crops(folder, crops, models)
    return {"data": data, "prepare": prepare, "embed": embed}


def write_crops(folder: Path, crops: Crops, models: Mapping[str, Activations]) -> None:
    """What stage embed writes of the held-out crops."""
    boxes = {name: pa.array(crops.boxes[:, side], from_pandas=True) for side, name in enumerate(BOX)}
    pq.write_table(pa.table({"image_id": pa.array(crops.image_ids, pa.string()), **boxes}), folder / "crops.parquet")
    for model, activations in models.items():
        found = np.asarray(activations(crops), np.float32)
        np.save(folder / f"{model}_crops.npy", np.maximum(found, 0))
        np.save(folder / f"{model}_crop_codes.npy", pack_codes(np.nan_to_num(found)))


def examples_table(examples: Sequence[Example]) -> pa.Table:
    """Rows as stage prepare writes them."""
    boxes = np.array([example.box or (np.nan,) * 4 for example in examples], float).reshape(-1, 4)
    texts = {name: [getattr(e, name) for e in examples] for name in ("source", "task", "label", "role", "image_id")}
    texts |= {
        "path": [f"images/{e.image_id}.jpg" for e in examples],
        "sha256": [f"{e.image_id:0>64}" for e in examples],
    }
    columns = {name: pa.array(values, pa.string()) for name, values in texts.items()}
    return pa.table({**columns, **{name: pa.array(boxes[:, i], from_pandas=True) for i, name in enumerate(BOX)}})


def photo(image_id: str) -> bytes:
    """A small JPEG of its own for each id, wider than high."""
    coarse = np.random.default_rng(list(image_id.encode())).integers(0, 255, (3, 4, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(coarse).resize((48, 36), Image.Resampling.BICUBIC).save(content, "JPEG")
    return content.getvalue()


def named(places: Mapping[str, Sequence[float]]) -> Activations:
    """Activations by photo, the same for all crops of it."""
    return lambda crops: np.array([places[image_id] for image_id in crops.image_ids])


def scattered(seed: int, width: int = 16, coarse: bool = False) -> Activations:
    """Activations by chance; coarse ones have few values, so that many distances are equal."""

    def activations(crops: Crops) -> np.ndarray:
        found = np.random.default_rng(seed).normal(size=(len(crops), width))
        return np.round(found) if coarse else found

    return activations


def shop(seed: int = 0, queries: int = 12, corpus: int = 60, classes: int = 6) -> list[Example]:
    """Two sources.

    `shop`: crops of scenes search for instances among whole photos, a tenth of which are distractors; a task `kind`
    names the category of the instance. Some corpus photos show two instances, and some queries stand in the corpus too.
    `street`: whole photos of three known classes, of which training has two.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(queries):
        label, box = f"item-{rng.integers(classes)}", (0.0, round(0.01 * number, 2), 0.5, 1.0)
        rows += [Example("shop", "instance", label, "query", f"scene-{number // 2:02}", box)]
        rows += [Example("shop", "kind", f"kind-{int(label[-1]) % 2}", "query", f"scene-{number // 2:02}", box)]
        if number % 4 == 0:
            rows += [Example("shop", "instance", label, "corpus", f"scene-{number // 2:02}", box)]
    for number in range(corpus):
        label = None if number % 10 == 0 else f"item-{rng.integers(classes)}"
        rows += [Example("shop", "instance", label, "corpus", f"shop-{number:03}")]
        if number % 7 == 1:
            rows += [Example("shop", "instance", "item-0", "corpus", f"shop-{number:03}")]
    rows += [Example("shop", "instance", f"item-{k}", "train", f"train-{k}") for k in (0, 1, 99)]
    for number in range(30):
        role = "query" if number % 3 == 0 else "corpus"
        rows += [
            Example(
                "street", "look", f"look-{number % 3 if role == 'corpus' else number // 3 % 3}", role, f"s{number:02}"
            )
        ]
    rows += [Example("street", "look", f"look-{k}", "train", f"t{k}") for k in (0, 1)]
    rows += [Example("street", "look", "look-2", "validation", "t2")]
    return rows


SOURCES = (source("shop", "instance", "kind"), source("street", "look", metric="avg_p@20"))
