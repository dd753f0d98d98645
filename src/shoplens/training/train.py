"""Stage train: the gallery encoder on all tasks at once."""

from __future__ import annotations

from pathlib import Path

import torch

from shoplens.artifacts import digest_of, read_artifact, write_artifact
from shoplens.contract.spec import read_spec
from shoplens.contract.store import PhotoStore
from shoplens.contract.tables import read_listings
from shoplens.data.galleries import read_galleries, rows_of
from shoplens.data.tasks import Task, read_labels_of
from shoplens.files import read_json, write_csv, write_json
from shoplens.models.activations import FrozenRows
from shoplens.models.bundle import save_bundle
from shoplens.models.encoder import EncoderConfig, PhotoEncoder, Transform
from shoplens.models.heads import TaskHeads, count_parameters
from shoplens.models.memory import keep_freed_pages
from shoplens.params import TrainParams
from shoplens.progress import say
from shoplens.training.checkpoint import checkpoint_path, remove_checkpoint
from shoplens.training.loop import Trainer


def build_model(params: TrainParams, tasks: list[Task]) -> tuple[PhotoEncoder, TaskHeads]:
    """Encoder and heads as the parameters say, initialised from `params.seed`."""
    torch.manual_seed(params.seed)
    config = EncoderConfig(
        backbone=params.backbone,
        frozen_blocks=params.frozen_blocks,
        transform=Transform(size=params.image_size, short_side=params.short_side),
        embedding_dim=params.embedding_dim,
    )
    encoder = PhotoEncoder(config, params.pretrained)
    return encoder, TaskHeads(tasks, encoder.dim, params.head_width)


def train(*, data: Path, prepare: Path, out: Path, params: TrainParams) -> None:
    """Train the encoder and write its bundle, the loss curve and the best epoch.

    A killed run goes on from its last checkpoint and ends with the same weights.

    Raises:
        ShoplensError: if the prepared split was made from other data, or the loss becomes infinite.
    """
    read_artifact(prepare, "prepare", {"data": data})
    keep_freed_pages()
    spec = read_spec(data)
    facts = read_json(prepare / "tasks.json")
    tasks = [Task.model_validate(item) for item in facts["tasks"]]
    galleries = read_galleries(prepare)
    listings = rows_of(read_listings(data, spec), galleries.listing_ids)
    labels = {task.name: read_labels_of(task, listings) for task in tasks}
    encoder, heads = build_model(params, tasks)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    say(
        f"{count_parameters(encoder):,} trainable encoder parameters, {count_parameters(heads):,} in {len(tasks)} "
        f"heads, {encoder.dim}-d embedding, on {device}"
    )
    if facts["skipped"]:
        say(f"Tasks without two different training labels, not trained: {', '.join(facts['skipped'])}")
    inputs = {"data": data, "prepare": prepare}
    settings = params.model_dump(mode="json")
    checkpoint = checkpoint_path(settings, {name: digest_of(path) for name, path in inputs.items()})
    with write_artifact(out, "train", inputs, settings) as folder:
        rows = FrozenRows(encoder.to(device), PhotoStore(data), galleries.paths, galleries.digests, params.cache_gib)
        rows.warm()
        trainer = Trainer(encoder, heads, galleries, labels, rows, params, device)
        trainer.resume(checkpoint)
        result = trainer.run(checkpoint)
        digest = save_bundle(folder / "encoder", trainer.encoder, trainer.heads, params.head_width)
        write_csv(folder / "history.csv", result.history)
        metrics = {
            "best_epoch": result.best_epoch + 1,
            "epochs": result.epoch,
            "validation_loss": result.best_loss,
            "galleries": {part: int((galleries.split == part).sum()) for part in ("train", "validation")},
            "galleries_without_photos": galleries.missing,
            "encoder_parameters": count_parameters(encoder),
            "head_parameters": count_parameters(heads),
        }
        write_json(folder / "metrics.json", metrics)
    remove_checkpoint(checkpoint)
    say(f"Best epoch {result.best_epoch + 1} of {result.epoch}; weights {digest[:12]}")
