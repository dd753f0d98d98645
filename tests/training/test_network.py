"""What one step differentiates: masks, means and sums of losses, sampled proxies, shares of several processes."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training.small import PARAMS

from shoplens.data.tasks import Task
from shoplens.models.encoder import PhotoEncoder
from shoplens.params import TrainParams
from shoplens.training.batches import Material, Members
from shoplens.training.network import Inputs, Network, synchronise_norms
from shoplens.training.processes import Processes
from shoplens.training.train import build_network, read_material

ALONE = Processes(0, 1, "cpu")
TASKS = ["shop/product", "shop/instance", "camera/set"]
ALL = {"shop/product": 2, "shop/instance": 7, "camera/set": 10}


@pytest.fixture(scope="module")
def material(marketplace: Path) -> Material:
    return read_material(marketplace / "data", marketplace / "artifacts/prepare", None)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For banks that do not fit in memory."""
    monkeypatch.setenv("SHOPLENS_HOME", str(tmp_path))
    yield


def network_of(material: Material, **changes: object) -> Network:
    params = TrainParams.model_validate(PARAMS.model_dump() | {"dropout": 0.0} | changes)
    return build_network(params, material.tasks, material.sources)


def batch(material: Material, galleries: int = 5, units: int = 9) -> Members:
    rng = np.random.default_rng(3)
    listed = np.flatnonzero(material.galleries.split == "train")
    pools = [(listed, galleries), *((np.flatnonzero(source.trains), units) for source in material.sources)]
    return tuple(rng.permutation(ids)[:count] for ids, count in pools)


def activations(rows: np.ndarray) -> Tensor:
    """What the frozen blocks might give for these photos, (n, 1, 1, 1280); a photo has the same in every batch."""
    made = [np.random.default_rng(row).standard_normal((1, 1, 1280)) for row in rows.tolist()]
    return torch.from_numpy(np.array(made, np.float32).reshape(-1, 1, 1, 1280))


def inputs_of(material: Material, members: Members, group: Processes = ALONE) -> Inputs:
    own = tuple(group.own(ids) for ids in members)
    return material.inputs(activations(material.photo_rows(own)), own, members, group)


def step(network: Network, inputs: Inputs) -> Tensor:
    """Losses of a batch; its total's gradients are in the parameters and the drawn proxies."""
    network.train()
    losses, _ = network(inputs)
    losses.sum().backward()
    return losses.detach()


def by_hand(network: Network, inputs: Inputs) -> list[float]:
    """The losses by loops over photos and galleries, from the network's embeddings and weights."""
    network.eval()
    with torch.no_grad():
        embeddings = network.embed(inputs.frozen).double()
    parts = torch.split(embeddings, [int(inputs.counts.sum()), *(len(own) for own in inputs.units)])
    pooled = torch.stack([photos.mean(0) for photos in torch.split(parts[0], inputs.counts.tolist())])
    total = 0.0
    for task, layer in zip(network.heads.tasks, network.heads.layers, strict=True):
        hidden = (pooled @ layer[0].weight.T.double() + layer[0].bias).clamp(min=0)
        raw = hidden @ layer[2].weight.T.double() + layer[2].bias
        target = inputs.targets[task.name]
        each = [gallery_loss(task, raw[i], target.values[i]) for i in range(len(raw)) if bool(target.known[i])]
        total += sum(each) / len(each)
    losses = [PARAMS.gallery_weight * total]
    weights = iter(network.softmax)
    for photos, own in zip(parts[1:], inputs.units, strict=True):
        for place in range(own.shape[1]):
            proxies = next(weights).weight.double()
            known = [row for row in range(len(own)) if own[row, place] >= 0]
            each = [-float((proxies @ photos[row]).log_softmax(0)[own[row, place]]) for row in known]
            losses.append(sum(each) / len(each))
    return losses


def gallery_loss(task: Task, raw: Tensor, value: Tensor) -> float:
    """Cross-entropy, or the squared error in units of the labels' variance (Booking, section 3.3)."""
    if task.kind == "multiclass":
        return -float(raw.log_softmax(0)[int(value)])
    if task.kind == "binary":
        return -float(nn.functional.logsigmoid(raw if value else -raw))
    return float((raw * task.variance**0.5 + task.mean - value) ** 2 / task.variance)


def test_losses_are_means_over_the_labelled_photos_and_galleries(material: Material) -> None:
    network, inputs = network_of(material), inputs_of(material, batch(material))
    assert any((own < 0).any() for own in inputs.units), "every photo has every label"
    assert not all(target.known.all() for target in inputs.targets.values()), "every gallery has every label"
    assert step(network, inputs).tolist() == pytest.approx(by_hand(network, inputs), rel=1e-5)


def test_a_photo_gives_no_gradient_to_a_task_without_its_label(material: Material) -> None:
    network, inputs = network_of(material), inputs_of(material, batch(material))
    inputs.frozen.requires_grad_()
    network.train()
    losses, _ = network(inputs)
    galleries = int(inputs.counts.sum())
    starts = np.cumsum([galleries, *(len(own) for own in inputs.units)])
    labelled = [np.arange(len(inputs.frozen)) < galleries]
    for start, own in zip(starts, inputs.units, strict=False):
        for place in range(own.shape[1]):
            labelled.append(np.zeros(len(inputs.frozen), bool))
            labelled[-1][start + np.flatnonzero(own[:, place].numpy() >= 0)] = True
    for loss, expected in zip(losses, labelled, strict=True):
        (gradient,) = torch.autograd.grad(loss, inputs.frozen, retain_graph=True)
        assert ((gradient != 0).flatten(1).any(1).numpy() == expected).all()


def test_unlabelled_photos_change_no_loss_whatever_they_hold(material: Material) -> None:
    network, inputs = network_of(material), inputs_of(material, batch(material))
    before = step(network, inputs)
    strange = inputs.frozen.clone()
    start = int(inputs.counts.sum())
    nothing = torch.full_like(inputs.units[0], -1)
    strange[start : start + len(nothing)] = torch.nan
    after = step(network, replace(inputs, frozen=strange, units=[nothing, inputs.units[1]]))
    assert after[1:3].tolist() == [0, 0]
    assert after[[0, 3]].tolist() == before[[0, 3]].tolist()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in network.heads.parameters())


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("rule", ["lazy", "scaled"])
def test_sampling_all_classes_is_the_full_softmax_in_loss_and_gradients(material: Material, rule: str) -> None:
    """Through the whole network, in its float32; tests/models/test_proxies.py has the softmax itself in float64."""
    inputs = inputs_of(material, batch(material))
    sampled, full = network_of(material, sampled=ALL, proxy_momentum=rule), network_of(material)
    parts = [(full.encoder, sampled.encoder), (full.heads, sampled.heads)]
    for to, source in parts:
        to.load_state_dict(source.state_dict())
    with torch.no_grad():
        for head, name in zip(full.softmax, TASKS, strict=True):
            head.weight.copy_(sampled.sampled[name].bank.read(np.arange(ALL[name])))
    assert step(sampled, inputs).tolist() == pytest.approx(step(full, inputs).tolist(), rel=1e-6)
    for to, source in parts:
        for ours, theirs in zip(source.parameters(), to.parameters(), strict=True):
            if theirs.requires_grad:
                # the two take their products from different libraries, which round alike to within float32's sums
                largest = float(theirs.grad.abs().max())
                torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=2e-6 * largest)
    before = [head.weight.detach().clone() for head in full.softmax]
    for head, old, name in zip(full.softmax, before, TASKS, strict=True):
        sampler = sampled.sampled[name]
        sampler.update(0.1)
        moved = sampler.bank.read(np.arange(ALL[name]))
        change = head.weight.grad + 1e-4 * old
        torch.testing.assert_close(moved, old - {"lazy": 0.1, "scaled": 1.0}[rule] * change, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("galleries", [5, 1], ids=["galleries for both", "a gallery for the first alone"])
@pytest.mark.parametrize(
    "changes", [{}, {"sampled": {"shop/instance": 7, "camera/set": 9}}, {"loss": "kendall"}], ids=str
)
def test_the_mean_over_two_processes_is_the_loss_and_gradient_of_one(
    material: Material, galleries: int, changes: Mapping[str, object]
) -> None:
    members = batch(material, galleries=galleries)
    one = network_of(material, **changes)
    whole = step(one, inputs_of(material, members))
    parts = [network_of(material, **changes) for _ in range(2)]
    losses = [step(part, inputs_of(material, members, Processes(i, 2, "cpu"))) for i, part in enumerate(parts)]
    assert torch.stack(losses).mean(0).tolist() == pytest.approx(whole.tolist(), rel=1e-5)
    for expected, *ours in zip(one.parameters(), *(part.parameters() for part in parts), strict=True):
        if expected.requires_grad:
            assert all(p.grad is not None for p in ours), "distributed data parallel waits for every gradient"
            mean = torch.stack([p.grad for p in ours if p.grad is not None]).mean(0)
            torch.testing.assert_close(mean, expected.grad, rtol=1e-4, atol=1e-6)


def test_galleries_alone_and_images_alone(marketplace: Path, material: Material) -> None:
    folders = marketplace / "data", marketplace / "artifacts/prepare"
    galleries = read_material(*folders, ["galleries"])
    assert (galleries.sources, len(galleries.crops)) == ([], 0)
    assert galleries.paths == galleries.galleries.paths == material.paths[: len(galleries.paths)]
    (ids, *_) = batch(material)
    assert len(step(network_of(galleries), inputs_of(galleries, (ids,)))) == 1

    images = read_material(*folders, ["camera"])
    assert [source.name for source in images.sources] == ["camera"]
    assert images.tasks == [] and images.paths == images.crops.paths and len(images.boxes) == len(images.crops)
    losses = step(network_of(images), inputs_of(images, (np.arange(6),)))
    assert len(losses) == 1 and float(losses) > 0


def test_photo_rows_are_the_galleries_photos_then_the_crops_of_the_units(material: Material) -> None:
    members = batch(material, galleries=2, units=3)
    rows = material.photo_rows(members)
    expected = [material.galleries.paths[row] for row in material.galleries.photo_rows(members[0])]
    for source, units in zip(material.sources, members[1:], strict=True):
        expected += [material.crops.paths[crop] for crop in source.crops[units]]
    assert [material.paths[row] for row in rows] == expected
    boxes = material.boxes[rows[-6:-3]]
    assert np.array_equal(boxes, material.crops.boxes[material.sources[0].crops[members[1]]], equal_nan=True)
    assert np.isnan(material.boxes[: len(material.galleries.paths)]).all()


def test_norms_that_are_synchronised_keep_their_values_and_activations() -> None:
    """Constructed only: they work on GPUs."""
    params = PARAMS.model_copy(update={"frozen_blocks": 8})
    encoder: PhotoEncoder = build_network(params, [], []).encoder
    state = encoder.state_dict()
    synchronise_norms(encoder)
    assert any(isinstance(module, nn.SyncBatchNorm) for module in encoder.tail.modules())
    assert any(isinstance(module, nn.ReLU6) for module in encoder.tail.modules())
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in encoder.prefix.modules())
    converted = encoder.state_dict()
    assert list(converted) == list(state) and all(torch.equal(converted[name], state[name]) for name in state)


@pytest.mark.usefixtures("home")
def test_a_contrastive_loss_is_weighed_and_added_to_its_task_over_what_was_remembered(material: Material) -> None:
    """Product is what `shop` is judged by; a first batch finds an empty memory."""
    plain, weighed = network_of(material, dropout=0.5), network_of(material, dropout=0.5, contrast_weight=3.0)
    weighed.load_state_dict(plain.state_dict(), strict=False)
    inputs, seeded = inputs_of(material, batch(material)), []
    for network in (plain, weighed, weighed):
        torch.manual_seed(1)  # the same dropout
        seeded.append(step(network, inputs))
        if len(seeded) == 2:
            network.remember(ALONE)
    assert seeded[1].tolist() == seeded[0].tolist()
    more = (seeded[2] - seeded[0]).tolist()
    assert (more[0], more[2]) == (0, 0)
    weighed.eval()
    with torch.no_grad():
        parts = torch.split(weighed.embed(inputs.frozen)[int(inputs.counts.sum()) :], [len(u) for u in inputs.units])
        expected = [
            float(contrast(part, places, places))
            for contrast, part, places in zip(weighed.memories, parts, inputs.places, strict=True)
        ]
    assert [more[1], more[3]] == pytest.approx(expected, rel=1e-4) and min(expected) > 0
    assert not network_of(material).memories
