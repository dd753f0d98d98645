"""Stage train: the encoder, on the gallery tasks and all image sources at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from shoplens.artifacts import digest_of, read_artifact, write_artifact
from shoplens.contract.columns import DOMAIN, IMAGE_ID
from shoplens.contract.spec import GALLERIES, DatasetSpec, read_spec
from shoplens.contract.store import PhotoStore
from shoplens.contract.tables import read_images, read_listings
from shoplens.data.examples import Crops, crops_of, read_examples
from shoplens.data.galleries import read_galleries, rows_of
from shoplens.data.tasks import Task, read_labels_of
from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_csv, write_json
from shoplens.home import home
from shoplens.models.activations import FrozenRows
from shoplens.models.bundle import save_bundle
from shoplens.models.encoder import EncoderConfig, PhotoEncoder, Transform
from shoplens.models.heads import TaskHeads, count_parameters
from shoplens.models.memory import keep_freed_pages
from shoplens.models.proxies import SampledSoftmax
from shoplens.models.proxy_bank import Place, ProxyBank, ProxySGD
from shoplens.models.softmax_heads import NormSoftmaxHead, SoftmaxHead
from shoplens.params import TrainParams
from shoplens.progress import say
from shoplens.training.batches import Material
from shoplens.training.checkpoint import (
    Progress,
    checkpoint_path,
    describe_others,
    note_classes,
    remove_checkpoint,
)
from shoplens.training.contrast import Contrast
from shoplens.training.loop import Trainer
from shoplens.training.losses import build_loss
from shoplens.training.network import Network
from shoplens.training.processes import Processes, processes
from shoplens.training.schedule import MOMENTUM, WEIGHT_DECAY
from shoplens.training.sources import ImageSource, image_sources, sides_of
from shoplens.training.views import views_of


def build_model(params: TrainParams, tasks: Sequence[Task]) -> tuple[PhotoEncoder, TaskHeads]:
    """Encoder and gallery heads as the parameters say, initialised from `params.seed`."""
    torch.manual_seed(params.seed)
    config = EncoderConfig(
        backbone=params.backbone,
        frozen_blocks=params.frozen_blocks,
        transform=Transform(size=params.image_size, short_side=params.short_side),
        embedding_dim=params.embedding_dim,
        module=params.module,
        groups=params.groups,
        dropout=params.dropout,
    )
    encoder = PhotoEncoder(config, params.pretrained)
    return encoder, TaskHeads(tasks, encoder.dim, params.head_width)


def build_network(params: TrainParams, tasks: Sequence[Task], sources: Sequence[ImageSource]) -> Network:
    """Everything that learns; banks of sampled proxies live in memory, or beyond `proxy_memory_gib` on disk.

    Raises:
        ShoplensError: if `sampled` names a task that there is not, or settings exclude each other.
    """
    if params.sampled and params.module == "layer_norm":
        raise ShoplensError(
            "train.sampled: NormSoftmax (train.module: layer_norm) has no sampled proxies: set it to {}"
        )
    if params.balance == "gradnorm" and params.loss == "kendall":
        raise ShoplensError(
            "train.balance: gradnorm compares losses with those at the start, and Kendall's falls below 0: "
            "set train.loss to pseudo_uniform"
        )
    encoder, heads = build_model(params, tasks)
    image_tasks = [task for source in sources for task in source.tasks]
    names = [task.full_name for task in image_tasks]
    unknown = sorted(set(params.sampled) - set(names))
    if unknown:
        raise ShoplensError(f"train.sampled: there is no task {unknown[0]!r} to train; tasks: {', '.join(names)}")
    head = NormSoftmaxHead if params.module == "layer_norm" else SoftmaxHead
    softmax: dict[str, SoftmaxHead] = {}
    sampled: dict[str, SampledSoftmax] = {}
    sgd = ProxySGD(params.proxy_momentum, MOMENTUM, WEIGHT_DECAY)
    place = Place(params.proxy_memory_gib, home() / "proxies")
    for number, task in enumerate(image_tasks):
        if task.full_name in params.sampled:
            bank = ProxyBank(task.classes, encoder.dim, sgd, place, params.seed + number)
            sampled[task.full_name] = SampledSoftmax(bank, params.sampled[task.full_name], params.seed + number)
        else:
            softmax[task.full_name] = head(encoder.dim, len(task.classes))
    loss = build_loss(params.loss, tasks)
    weight = params.gallery_weight if sources else 1.0  # there is nothing to weigh galleries against
    contrasts = _contrasts(params, sources, encoder.dim)
    tasks_of = [source.tasks for source in sources]
    return Network(encoder, heads, loss, tasks_of, softmax, sampled, weight, contrasts)


def _contrasts(params: TrainParams, sources: Sequence[ImageSource], dim: int) -> dict[int, Contrast]:
    """By the place of their source; none without a weight, or where what the source is judged by has no two classes."""
    return {
        place: Contrast(source, source.searched_by, dim, params.contrast_weight)
        for place, source in enumerate(sources)
        if params.contrast_weight and source.searched_by is not None
    }


def read_material(data: Path, prepare: Path, wanted: Sequence[str] | None, views: int = 0) -> Material:
    """Photos and labels of the sources that take part: `galleries` and those of dataset.yaml, or all (None).

    Crops that train have `views` views beside themselves.

    Raises:
        ShoplensError: if a wanted source is unknown, or has nothing to learn.
    """
    spec, facts, galleries = read_spec(data), read_json(prepare / "tasks.json"), read_galleries(prepare)
    examples = read_examples(prepare)
    known = [GALLERIES, *(source.name for source in spec.sources if examples is not None)]
    for name in wanted or ():
        if name not in known:
            raise ShoplensError(f"train.sources: the data has no source {name!r}; it has {', '.join(known)}")
    names = known if wanted is None else wanted
    tasks = [Task.model_validate(item) for item in facts["tasks"]] if GALLERIES in names else []
    listings = rows_of(read_listings(data, spec), galleries.listing_ids)
    labels = {task.name: read_labels_of(task, listings) for task in tasks}
    crops, sources = _image_material(data, spec, examples, names)
    train_crops = [source.crops[source.trains] for source in sources]
    shown = views_of(crops, np.unique(np.concatenate(train_crops)) if train_crops else np.empty(0, np.int64), views)
    return Material(PhotoStore(data), galleries, tasks, labels, crops, sources, shown)


def _image_material(
    data: Path, spec: DatasetSpec, examples: pa.Table | None, names: Sequence[str]
) -> tuple[Crops, list[ImageSource]]:
    """Crops that train or validate, and the sources that they belong to."""
    chosen = [source for source in spec.sources if source.name in names]
    if examples is None or not chosen:
        return Crops(np.empty(0, object), [], [], np.empty((0, 4))), []
    examples = examples.filter(pc.is_in(examples["source"], pa.array([source.name for source in chosen])))
    images = read_images(data)
    domains = images[DOMAIN].take(pc.index_in(examples["image_id"], value_set=images[IMAGE_ID]))
    sides = sides_of(examples, pc.fill_null(domains, "").to_numpy().astype(str))
    learning = pc.is_in(examples["role"], pa.array(["train", "validation"]))
    examples, sides = examples.filter(learning), sides[learning.to_numpy().astype(bool)]
    crops, rows = crops_of(examples)
    return crops, image_sources(chosen, examples, rows, sides)


def train(*, data: Path, prepare: Path, out: Path, params: TrainParams) -> None:
    """Train the encoder and write its bundle, the loss curve and the best epoch.

    A killed run goes on from its last checkpoint and ends with the same weights. Started by torchrun, several processes
    train one model, each on its part of every batch, and the first one writes.

    Raises:
        ShoplensError: if the prepared split was made from other data, a source has nothing to learn, or the loss
            becomes infinite.
    """
    inputs = {"data": data, "prepare": prepare}
    read_artifact(prepare, "prepare", {"data": data})
    keep_freed_pages()
    settings = params.model_dump(mode="json")
    digests = {name: digest_of(path) for name, path in inputs.items()}
    with processes() as group:
        checkpoint = checkpoint_path(settings, digests, group.size)
        if not group.first:
            _fit(data, prepare, params, group, checkpoint)
            return
        with write_artifact(out, "train", inputs, settings) as folder:
            trainer, result = _fit(data, prepare, params, group, checkpoint)
            network = trainer.network
            digest = save_bundle(folder / "encoder", network.encoder, network.heads, params.head_width)
            write_csv(folder / "history.csv", result.history)
            write_json(folder / "metrics.json", _metrics(trainer, result))
        remove_checkpoint(checkpoint)
        say(f"Best epoch {result.best_epoch + 1} of {result.epoch}; weights {digest[:12]}")


def _fit(
    data: Path, prepare: Path, params: TrainParams, group: Processes, checkpoint: Path
) -> tuple[Trainer, Progress]:
    material = read_material(data, prepare, params.sources, params.views)
    network = build_network(params, material.tasks, material.sources)
    image_tasks = [task for source in material.sources for task in source.tasks]
    learned = [f"{len(material.tasks)} gallery tasks"] if material.tasks else []
    learned += [f"{task.full_name} ({len(task.classes)} classes)" for task in image_tasks]
    others = f" and {group.size - 1} more" if group.size > 1 else ""
    say(
        f"{count_parameters(network.encoder):,} trainable encoder parameters, {network.encoder.dim}-d embedding, "
        f"on {group.device}{others}: {', '.join(learned)}"
    )
    skipped = read_json(prepare / "tasks.json")["skipped"]
    if skipped and material.tasks:
        say(f"Tasks without two different training labels, not trained: {', '.join(skipped)}")
    encoder = network.encoder.to(group.device)
    if not group.first:
        group.wait()  # for the first one, which fills the cache for all
    paths, digests, boxes, mirrored = material.paths, material.digests, material.boxes, material.mirrored
    rows = FrozenRows(encoder, material.store, paths, digests, params.cache_gib, boxes, mirrored)
    if not params.augment:
        rows.warm()
    if group.first:
        group.wait()
    trainer = Trainer(network, material, rows, params, group)
    trainer.resume(checkpoint)
    if group.first:
        classes = {task.name: task.classes for task in material.tasks}
        classes |= {task.full_name: task.classes for task in image_tasks}
        begun = None if checkpoint.is_file() else describe_others(checkpoint, classes)  # a damaged one was said
        if begun:
            say(begun)
        note_classes(checkpoint, classes)
    return trainer, trainer.run(checkpoint)


def _metrics(trainer: Trainer, result: Progress) -> dict[str, Any]:
    galleries, network = trainer.material.galleries, trainer.network
    return {
        "best_epoch": result.best_epoch + 1,
        "epochs": result.epoch,
        "validation_loss": result.best_loss,
        "photos_learned_from": result.photos,
        "galleries": {part: int((galleries.split == part).sum()) for part in ("train", "validation")},
        "galleries_without_photos": galleries.missing,
        "units": {
            source.name: {"train": int(source.trains.sum()), "validation": int((~source.trains).sum())}
            for source in trainer.material.sources
        },
        "classes": {task.full_name: len(task.classes) for task in trainer.image_tasks},
        "encoder_parameters": count_parameters(network.encoder),
        "head_parameters": count_parameters(network.heads) + count_parameters(network.softmax),
    }
