"""A bundle on disk is the model that was saved, or it is refused."""

from pathlib import Path

import pytest
import torch

from shoplens.data.tasks import Task
from shoplens.errors import ShoplensError
from shoplens.models.bundle import load_bundle, save_bundle, weights_digest
from shoplens.params import TrainParams
from shoplens.training.train import build_model

TASKS = [Task(name="a.b", kind="binary", n=3), Task(name="price", kind="regression", n=3, mean=2.0, variance=9.0)]
PARAMS = TrainParams(image_size=32, pretrained="none", embedding_dim=8, groups=4, head_width=4)


def test_a_saved_model_answers_as_before(tmp_path: Path) -> None:
    encoder, heads = build_model(PARAMS, TASKS)
    encoder.eval()
    digest = save_bundle(tmp_path / "encoder", encoder, heads, PARAMS.head_width)
    bundle = load_bundle(tmp_path / "encoder")
    pixels = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    assert bundle.config.weights_digest == digest == weights_digest(encoder)
    assert torch.equal(bundle.encoder(pixels), encoder(pixels))
    assert torch.equal(bundle.heads(encoder(pixels))["price"], heads(encoder(pixels))["price"])
    assert bundle.transform.size == 32


def test_other_weights_give_another_digest() -> None:
    first, _ = build_model(PARAMS, TASKS)
    second, _ = build_model(PARAMS.model_copy(update={"seed": 2}), TASKS)
    assert weights_digest(first) != weights_digest(second)


@pytest.mark.parametrize("damage", ["truncated", "swapped", "missing"])
def test_damaged_weights_are_refused(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "encoder"
    save_bundle(folder, *build_model(PARAMS, TASKS), PARAMS.head_width)
    weights = folder / "encoder.safetensors"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "missing":
        weights.unlink()
    else:
        other = tmp_path / "other"
        save_bundle(other, *build_model(PARAMS.model_copy(update={"seed": 2}), TASKS), PARAMS.head_width)
        weights.write_bytes((other / "encoder.safetensors").read_bytes())
    with pytest.raises(ShoplensError, match=r"encoder"):
        load_bundle(folder)
