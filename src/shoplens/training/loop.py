"""The training loop: mixed batches of galleries and image units, masked multi-task loss, early stopping, resume."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from shoplens.contract.spec import GALLERIES
from shoplens.errors import ShoplensError
from shoplens.models.activations import FrozenRows
from shoplens.models.proxies import validation_loss
from shoplens.params import TrainParams
from shoplens.progress import counter, say
from shoplens.training.batches import AugmentedRows, BatchReader, Material, Members, read_ahead
from shoplens.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from shoplens.training.gradnorm import GradNorm
from shoplens.training.losses import PseudoUniform, usable
from shoplens.training.mixture import Pool, batches_of, shares
from shoplens.training.network import Inputs, Network, synchronise_norms
from shoplens.training.processes import Processes
from shoplens.training.schedule import MOMENTUM, WEIGHT_DECAY, Epoch, plan_epoch

CHECKPOINT_SECONDS = 30.0
VALIDATION_PHOTOS = 512


def _pools(material: Material) -> list[Pool]:
    """What trains."""
    galleries, pools = material.galleries, []
    if material.tasks:
        ids = np.flatnonzero(galleries.split == "train")
        pools.append(Pool(GALLERIES, ids, float(galleries.counts[ids].mean()) if len(ids) else 1.0))
    return [*pools, *(Pool(source.name, np.flatnonzero(source.trains)) for source in material.sources)]


def _validation_batches(material: Material) -> list[Members]:
    """All validation galleries and units, each once, in batches of about VALIDATION_PHOTOS."""
    members: list[tuple[np.ndarray, int]] = []
    if material.tasks:
        ids = np.flatnonzero(material.galleries.split == "validation")
        mean = material.galleries.counts[ids].mean() if len(ids) else 1
        members.append((ids, max(1, round(VALIDATION_PHOTOS / float(mean)))))
    members += [(np.flatnonzero(~source.trains), VALIDATION_PHOTOS) for source in material.sources]
    none = [np.empty(0, np.int64)] * len(members)
    return [
        (*none[:i], ids[start : start + size], *none[i + 1 :])
        for i, (ids, size) in enumerate(members)
        for start in range(0, len(ids), size)
    ]


class Trainer:
    """One training run; the state that a checkpoint holds and the steps that change it."""

    def __init__(
        self, network: Network, material: Material, rows: FrozenRows, params: TrainParams, group: Processes
    ) -> None:
        """Set up the optimiser: Adam with 0.9, 0.999 (Booking, section 3.4), or SGD (Pinterest, section 4.1).

        Raises:
            ShoplensError: if a source has nothing to train on, nothing validates although training is to stop by it, a
                batch can have more classes than a task samples, or GradNorm cannot balance these losses.
        """
        self.on_gpu = group.device.startswith("cuda")
        if group.size > 1 and self.on_gpu:
            synchronise_norms(network.encoder)
        self.network = network.to(group.device)
        self.plain = PseudoUniform(material.tasks).to(group.device)
        self.material, self.rows, self.params, self.group = material, rows, params, group
        self.pools, self.checked = _pools(material), _validation_batches(material)
        self.image_tasks = [task for tasks in network.tasks for task in tasks]
        terms = len(self.image_tasks) + bool(material.tasks)
        self.gradnorm = GradNorm(terms).to(group.device) if params.balance == "gradnorm" else None
        trainable = [p for p in network.parameters() if p.requires_grad]
        self.optimiser: torch.optim.Optimizer
        if params.optimiser == "adam":
            self.optimiser = torch.optim.Adam(trainable, lr=params.learning_rate, betas=(0.9, 0.999), fused=True)
        else:
            # not fused: after the warm-up only some parameters have a momentum, which torch's fused SGD cannot take
            self.optimiser = torch.optim.SGD(
                trainable, lr=params.learning_rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
            )
        self.amp = torch.bfloat16 if self.on_gpu and torch.cuda.is_bf16_supported() else torch.float16
        self.scaler = torch.amp.GradScaler(enabled=self.on_gpu and self.amp == torch.float16)
        self.progress = Progress()
        self.validates = self._validated()
        self._check()

    def _validated(self) -> np.ndarray:
        """Which tasks have a label that validates, bool (T + K,)."""
        listed = np.flatnonzero(self.material.galleries.split == "validation")
        inside = [bool(usable(task, self.material.target(task, listed)).any()) for task in self.material.tasks]
        outside = [(source.targets[~source.trains] >= 0).any(axis=0) for source in self.material.sources]
        return np.concatenate([np.array(inside, bool), *outside])

    def _check(self) -> None:
        """Whatever would only show in the middle of training."""
        params = self.params
        if params.patience is not None and not self.validates.any():
            raise ShoplensError(
                "nothing that trains has a validation label, so nothing says when to stop: label more, or set "
                "train.patience to null"
            )
        if self.gradnorm is not None:
            self._last_shared()
        for epoch in (0, params.warm_up_epochs):
            photos = plan_epoch(params, epoch, self.group.size).batch_photos * self.group.size
            counts = shares(self.pools, photos, params.mixing, params.gallery_share)[bool(self.material.tasks) :]
            for count, tasks in zip(counts, self.network.tasks, strict=True):
                for task in tasks:
                    most, sampler = min(count, len(task.classes)), self.network.sampled.get(task.full_name)
                    if sampler is not None and sampler.samples < most:
                        raise ShoplensError(
                            f"train.sampled: a batch may have photos of {most} classes of {task.full_name}, and only "
                            f"{sampler.samples} are sampled: sample at least {most}, or make the batches smaller"
                        )

    def _states(self) -> dict[str, object]:
        gradnorm = {} if self.gradnorm is None else {"gradnorm": self.gradnorm.state_dict()}
        return {
            "network": self.network.state_dict(),
            "banks": {name: sampler.bank.state_dict() for name, sampler in self.network.sampled.items()},
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            **gradnorm,
        }

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint if there is one; says so.

        Raises:
            ShoplensError: if it is of other classes, or processes do not all find it.
        """
        loaded = load_checkpoint(path)
        place = np.zeros(2) if loaded is None else np.array([loaded[0].epoch, loaded[0].step], float)
        if (self.group.add_up(place) != self.group.size * place).any():
            raise ShoplensError(
                f"the processes do not all find the same checkpoint {path}: SHOPLENS_HOME must be one folder for all"
            )
        if loaded is None:
            return
        self.progress, states = loaded
        self.network.load_state_dict(states["network"])
        for name, sampler in self.network.sampled.items():
            sampler.bank.load_state_dict(states["banks"][name])
        self.optimiser.load_state_dict(states["optimiser"])
        self.scaler.load_state_dict(states["scaler"])
        if self.gradnorm is not None:
            self.gradnorm.load_state_dict(states["gradnorm"])
        say(f"Resuming at epoch {self.progress.epoch + 1}, batch {self.progress.step + 1} ({path})")

    def _save(self, checkpoint: Path) -> None:
        if self.group.first:
            save_checkpoint(checkpoint, self.progress, self._states())

    def _prepare(self, plan: Epoch) -> nn.Module:
        """The network with what learns in this epoch, as distributed data parallel wants it."""
        tail = self.network.encoder.tail
        tail.requires_grad_(not plan.new_parameters_only)
        self.network.train()
        if plan.new_parameters_only:
            tail.eval()
        for settings in self.optimiser.param_groups:
            settings["lr"] = plan.rate
        if self.group.size == 1:
            return self.network
        return nn.parallel.DistributedDataParallel(self.network)

    def _step(self, network: nn.Module, inputs: Inputs, plan: Epoch) -> float:
        """Learn from one batch; returns its total loss."""
        with torch.autocast("cuda", dtype=self.amp, enabled=self.on_gpu):
            losses, _ = network(inputs)
        if self.gradnorm is None:
            total = losses.sum()
        else:
            total = self.gradnorm(losses)
            self.gradnorm.balance(losses, self._last_shared())
        value = float(self.group.add_up(total.detach().cpu().double().numpy())) / self.group.size
        if not math.isfinite(value):
            state = self.progress
            raise ShoplensError(
                f"training loss is {value} in epoch {state.epoch + 1}, batch {state.step + 1}: "
                "lower train.learning_rate"
            )
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(total).backward()
        self.scaler.step(self.optimiser)
        for sampler in self.network.sampled.values():
            sampler.average_gradient(self.group.average, float(self.scaler.get_scale()))
            sampler.update(plan.proxy_rate)
        self.scaler.update()
        self.network.remember(self.group)
        return value

    def _last_shared(self) -> Tensor:
        """The weights of the last layer that all tasks share and that learns.

        Raises:
            ShoplensError: if there is none.
        """
        encoder = self.network.encoder
        shared = [p for part in (encoder.tail, encoder.ending) for p in part.parameters() if p.requires_grad]
        layers = [p for p in shared if p.ndim > 1]  # without one a norm's own weights have to do
        if not shared:
            raise ShoplensError("train.balance: gradnorm needs a layer that all tasks share: set train.embedding_dim")
        return (layers or shared)[-1]

    def _seed(self) -> None:
        """Let dropout depend on (seed, epoch, step, process) alone: resumed or not, and other photos elsewhere."""
        state = self.progress
        entropy = [self.params.seed, state.epoch, state.step, self.group.rank]
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))

    def train_epoch(self, checkpoint: Path) -> float:
        """Run the rest of the current epoch.

        Returns:
            Mean total loss over the epoch's batches.

        Raises:
            ShoplensError: if the loss is not finite, or a source has nothing to train on.
        """
        state, params, group = self.progress, self.params, self.group
        plan = plan_epoch(params, state.epoch, group.size)
        counts = shares(self.pools, plan.batch_photos * group.size, params.mixing, params.gallery_share)
        batches = batches_of(self.pools, counts, params.seed, state.epoch)
        network = self._prepare(plan)
        rows = (
            AugmentedRows(self.network.encoder, self.material, (params.seed, state.epoch))
            if params.augment
            else self.rows
        )
        reader = BatchReader(rows, self.material, batches, group, (params.seed, state.epoch))
        saved = time.monotonic()
        with counter(f"Epoch {state.epoch + 1}", total=len(batches), unit="batch") as bar:
            bar.update(state.step)
            for frozen, number in read_ahead(reader, state.step, params.workers, self.on_gpu):
                every = batches[number]
                own = tuple(group.own(ids) for ids in every)
                self._seed()
                state.train_sum += self._step(network, self.material.inputs(frozen, own, every, group), plan)
                state.step += 1
                state.photos += len(self.material.photo_rows(every))
                bar.update(1)
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    self._save(checkpoint)
                    saved = time.monotonic()
        group.follow_first(self.network.buffers())  # batch norm's, of which each process has measured its own
        return state.train_sum / max(1, len(batches))

    @torch.inference_mode()
    def validation_losses(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean loss of each gallery task (T,), unweighted, and of each softmax task (K,), on what validates.

        A softmax task's photos of classes that it does not know are left out, like a gallery's.
        """
        self.network.eval()
        tasks, group = self.material.tasks, self.group
        sums, weights = np.zeros((2, len(tasks) + len(self.image_tasks)))
        numbers = group.own(np.arange(len(self.checked)))
        alone = Processes(0, 1, group.device)
        reader = BatchReader(self.rows, self.material, [self.checked[i] for i in numbers], alone)
        for frozen, number in read_ahead(reader, 0, 0, self.on_gpu):
            members = self.checked[numbers[number]]
            inputs = self.material.inputs(frozen, members, members, alone)
            with torch.autocast("cuda", dtype=self.amp, enabled=self.on_gpu):
                embeddings = self.network.embed(inputs.frozen)
                if len(inputs.counts):
                    known = [int(usable(task, inputs.targets[task.name]).sum()) for task in tasks]
                    losses = self.network.gallery_losses(embeddings, inputs)
                    sums[: len(tasks)] += losses.double().cpu().numpy() * known
                    weights[: len(tasks)] += known
                    continue
                place = len(tasks)
                for own_tasks, targets in zip(self.network.tasks, inputs.units, strict=True):
                    for i, task in enumerate(own_tasks):
                        known_units = int((targets[:, i] >= 0).sum()) if len(targets) else 0
                        if known_units:
                            sampler = self.network.sampled.get(task.full_name)
                            loss = (
                                self.network.softmax_loss(task, embeddings, targets[:, i], targets[:, i])
                                if sampler is None
                                else validation_loss(sampler, embeddings, targets[:, i], int(numbers[number]))
                            )
                            sums[place] += float(loss) * known_units
                            weights[place] += known_units
                        place += 1
        means = group.add_up(sums) / np.maximum(group.add_up(weights), 1)
        return means[: len(tasks)], means[len(tasks) :]

    def _names(self) -> Sequence[str]:
        return [*(task.name for task in self.material.tasks), *(task.full_name for task in self.image_tasks)]

    def run(self, checkpoint: Path) -> Progress:
        """Train for `max_epochs`, or until the total validation loss stops decreasing (Booking, section 3.4).

        With `patience` the best state is restored; without, the last one stays (Pinterest's fixed schedule). The
        validation loss adds up pseudo-uniform gallery losses and softmax losses whatever weights training gives them:
        Kendall's own total can fall for ever by shrinking the scales, and methods stop by the same yardstick.

        Raises:
            ShoplensError: if a loss is not finite.
        """
        state, patience = self.progress, self.params.patience
        while state.epoch < self.params.max_epochs and (
            patience is None or state.epoch - 1 - state.best_epoch < patience
        ):
            train_loss = self.train_epoch(checkpoint)
            inside, outside = self.validation_losses()
            with torch.inference_mode():
                value = float(self.plain(torch.from_numpy(inside).float().to(self.group.device)))
            value += float(outside.sum())
            if not math.isfinite(value):
                raise ShoplensError(f"validation loss is {value} in epoch {state.epoch + 1}: lower train.learning_rate")
            if patience is None or value < state.best_loss:
                state.best_loss, state.best_epoch = value, state.epoch
                parts = {"encoder": self.network.encoder, "heads": self.network.heads}
                state.best = {n: {k: v.clone() for k, v in m.state_dict().items()} for n, m in parts.items()}
            losses = [*inside, *outside]
            columns = zip(self._names(), losses, self.validates, strict=True)
            named = {f"val_{name}": float(loss) for name, loss, known in columns if known}
            state.history.append({"epoch": state.epoch + 1, "train_loss": train_loss, "val_loss": value, **named})
            if self.group.first:
                say(f"Epoch {state.epoch + 1}: training loss {train_loss:.4f}, validation loss {value:.4f}")
            state.epoch, state.step, state.train_sum = state.epoch + 1, 0, 0.0
            self._save(checkpoint)
        self.network.encoder.load_state_dict(state.best["encoder"])
        self.network.heads.load_state_dict(state.best["heads"])
        return state
