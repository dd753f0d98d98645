"""The training loop: ragged batches, masked multi-task loss, Adam, early stopping on the validation loss, resume."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from shoplens.data.galleries import Galleries
from shoplens.data.tasks import Labels
from shoplens.errors import ShoplensError
from shoplens.models.activations import FrozenRows
from shoplens.models.encoder import PhotoEncoder, pool_galleries
from shoplens.models.heads import TaskHeads
from shoplens.params import TrainParams
from shoplens.progress import counter, say
from shoplens.training.batches import BatchReader, epoch_order, targets_of
from shoplens.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from shoplens.training.losses import PseudoUniform, build_loss, task_losses

CHECKPOINT_SECONDS = 30.0
VALIDATION_BATCH = 64


def _loader(
    reader: BatchReader, first: int, workers: int, pin: bool
) -> DataLoader[tuple[torch.Tensor, torch.Tensor, np.ndarray]]:
    return DataLoader(
        reader,
        batch_size=None,
        sampler=range(first, len(reader)),
        num_workers=workers,
        pin_memory=pin,
        multiprocessing_context="spawn" if workers else None,
    )


class Trainer:
    """One training run; the state that a checkpoint holds and the steps that change it."""

    def __init__(
        self,
        encoder: PhotoEncoder,
        heads: TaskHeads,
        galleries: Galleries,
        labels: dict[str, Labels],
        rows: FrozenRows,
        params: TrainParams,
        device: str,
    ) -> None:
        """Set up loss and optimiser (Adam with 0.9, 0.999: section 3.4)."""
        self.encoder, self.heads = encoder.to(device), heads.to(device)
        self.loss = build_loss(params.loss, heads.tasks).to(device)
        self.plain = PseudoUniform(heads.tasks).to(device)
        self.galleries, self.labels, self.rows = galleries, labels, rows
        self.params, self.device = params, device
        trainable = [p for m in (self.encoder, self.heads, self.loss) for p in m.parameters() if p.requires_grad]
        self.optimiser = torch.optim.Adam(trainable, lr=params.learning_rate, betas=(0.9, 0.999), fused=True)
        self.on_gpu = device.startswith("cuda")
        self.amp = torch.bfloat16 if self.on_gpu and torch.cuda.is_bf16_supported() else torch.float16
        self.scaler = torch.amp.GradScaler(enabled=self.on_gpu and self.amp == torch.float16)
        self.progress = Progress()

    def _states(self) -> dict[str, object]:
        parts = {"encoder": self.encoder, "heads": self.heads, "loss": self.loss}
        modules = {name: part.state_dict() for name, part in parts.items()}
        return {**modules, "optimiser": self.optimiser.state_dict(), "scaler": self.scaler.state_dict()}

    def resume(self, path: Path) -> bool:
        """Go on from a checkpoint if there is one; says so."""
        loaded = load_checkpoint(path)
        if loaded is None:
            return False
        self.progress, states = loaded
        self.encoder.load_state_dict(states["encoder"])
        self.heads.load_state_dict(states["heads"])
        self.loss.load_state_dict(states["loss"])
        self.optimiser.load_state_dict(states["optimiser"])
        self.scaler.load_state_dict(states["scaler"])
        say(f"Resuming at epoch {self.progress.epoch + 1}, batch {self.progress.step + 1} ({path})")
        return True

    def _losses(self, frozen: torch.Tensor, counts: torch.Tensor, chosen: np.ndarray) -> torch.Tensor:
        with torch.autocast("cuda", dtype=self.amp, enabled=self.on_gpu):
            photos = self.encoder.finish(frozen.to(self.device, non_blocking=True))
            galleries = pool_galleries(photos, counts.to(self.device))
            outputs = self.heads(galleries)
        outputs = {name: value.float() for name, value in outputs.items()}
        targets = targets_of(self.heads.tasks, self.labels, chosen, self.device)
        return task_losses(self.heads.tasks, outputs, targets)

    def train_epoch(self, checkpoint: Path) -> float:
        """Run the rest of the current epoch.

        Returns:
            Mean total loss over the epoch's batches.

        Raises:
            ShoplensError: if the loss is not finite.
        """
        state = self.progress
        batches = epoch_order(
            np.flatnonzero(self.galleries.split == "train"),
            self.params.seed,
            state.epoch,
            self.params.batch_galleries,
        )
        self.encoder.train()
        self.heads.train()
        loader = _loader(BatchReader(self.rows, self.galleries, batches), state.step, self.params.workers, self.on_gpu)
        saved = time.monotonic()
        with counter(f"Epoch {state.epoch + 1}", total=len(batches), unit="batch") as bar:
            bar.update(state.step)
            for frozen, counts, chosen in loader:
                loss = self.loss(self._losses(frozen, counts, np.asarray(chosen)))
                value = float(loss.detach())
                if not math.isfinite(value):
                    raise ShoplensError(
                        f"training loss is {value} in epoch {state.epoch + 1}, batch {state.step + 1}: "
                        "lower train.learning_rate"
                    )
                self.optimiser.zero_grad(set_to_none=True)
                self.scaler.scale(loss).backward()
                self.scaler.step(self.optimiser)
                self.scaler.update()
                state.step += 1
                state.train_sum += value
                bar.update(1)
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    save_checkpoint(checkpoint, state, self._states())
                    saved = time.monotonic()
        return state.train_sum / max(1, len(batches))

    @torch.inference_mode()
    def validation_losses(self) -> np.ndarray:
        """Unweighted task losses on the validation galleries, each averaged over its labelled ones, (T,)."""
        self.encoder.eval()
        self.heads.eval()
        chosen = np.flatnonzero(self.galleries.split == "validation")
        batches = [chosen[i : i + VALIDATION_BATCH] for i in range(0, len(chosen), VALIDATION_BATCH)]
        sums = np.zeros(len(self.heads.tasks))
        weights = np.zeros(len(self.heads.tasks))
        for frozen, counts, members in _loader(BatchReader(self.rows, self.galleries, batches), 0, 0, self.on_gpu):
            known = np.array([self._labelled(name, np.asarray(members)) for name in self._names()])
            sums += self._losses(frozen, counts, np.asarray(members)).double().cpu().numpy() * known
            weights += known
        return sums / np.maximum(weights, 1)

    def _names(self) -> Sequence[str]:
        return [task.name for task in self.heads.tasks]

    def _labelled(self, name: str, members: np.ndarray) -> int:
        labels = self.labels[name]
        usable = labels.known[members]
        if labels.values.dtype == np.int64:
            usable = usable & (labels.values[members] >= 0)
        return int(usable.sum())

    def run(self, checkpoint: Path) -> Progress:
        """Train until the total validation loss stops decreasing (section 3.4), then restore the best state.

        The validation loss is the pseudo-uniform total for both losses: Kendall's own total can fall for ever by
        shrinking the scales, and the two methods stop by the same yardstick.

        Raises:
            ShoplensError: if a loss is not finite.
        """
        state = self.progress
        while state.epoch < self.params.max_epochs and state.epoch - 1 - state.best_epoch < self.params.patience:
            train_loss = self.train_epoch(checkpoint)
            losses = self.validation_losses()
            with torch.inference_mode():
                value = float(self.plain(torch.from_numpy(losses).float().to(self.device)))
            if not math.isfinite(value):
                raise ShoplensError(f"validation loss is {value} in epoch {state.epoch + 1}: lower train.learning_rate")
            if value < state.best_loss:
                state.best_loss, state.best_epoch = value, state.epoch
                parts = {"encoder": self.encoder, "heads": self.heads}
                state.best = {n: {k: v.clone() for k, v in m.state_dict().items()} for n, m in parts.items()}
            named = {f"val_{name}": float(x) for name, x in zip(self._names(), losses, strict=True)}
            state.history.append({"epoch": state.epoch + 1, "train_loss": train_loss, "val_loss": value, **named})
            say(f"Epoch {state.epoch + 1}: training loss {train_loss:.4f}, validation loss {value:.4f}")
            state.epoch, state.step, state.train_sum = state.epoch + 1, 0, 0.0
            save_checkpoint(checkpoint, state, self._states())
        self.encoder.load_state_dict(state.best["encoder"])
        self.heads.load_state_dict(state.best["heads"])
        return state
