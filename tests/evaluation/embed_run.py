"""The tiny marketplace with models of random projections, ready to be embedded."""

from pathlib import Path

import pyarrow as pa
import torch

from shoplens.artifacts import write_artifact
from shoplens.contract.validate import validate
from shoplens.data.examples import Crops, crops_of, read_examples
from shoplens.data.galleries import Galleries, read_galleries
from shoplens.data.prepare import prepare
from shoplens.data.tasks import Task
from shoplens.evaluation.embed import embed, reference_encoder
from shoplens.files import write_json
from shoplens.models.bundle import load_bundle, save_bundle
from shoplens.models.encoder import EncoderConfig, PhotoEncoder, Transform
from shoplens.models.heads import TaskHeads
from shoplens.params import EmbedParams, PrepareParams, ValidateParams

# 12 dimensions fill a byte and a half
CONFIG = EncoderConfig(
    backbone="efficientnet_lite0",
    frozen_blocks=6,
    transform=Transform(size=32),
    embedding_dim=12,
    module="binarisation",
    groups=3,
)
# what is in production may be narrower and end in another module
OLDER = CONFIG.model_copy(update={"embedding_dim": 6, "module": "projection"})


def bundle(folder: Path, seed: int, config: EncoderConfig, diverged: bool = False) -> None:
    torch.manual_seed(seed)
    task = Task(name="has_pool", kind="binary", n=9, prior=(0.5, 0.5))
    encoder = PhotoEncoder(config, "package")
    if diverged:
        torch.nn.init.constant_(encoder.ending.projection.weight, torch.nan)
    save_bundle(folder, encoder, TaskHeads([task], encoder.dim, 4), 4)


class Run:
    """The tiny marketplace, prepared, with a candidate and, if asked for, a baseline, both of random projections."""

    def __init__(self, data: Path, baseline: bool, diverged: bool = False) -> None:
        root = data.parent
        self.data, self.prepare, self.train = data, root / "prepare", root / "train"
        self.champion, self.out = root / "champion", root / "embed"
        validate(data=data, out=root / "validate", params=ValidateParams())
        self.validate = root / "validate"
        prepare(data=data, validate=self.validate, out=self.prepare, params=PrepareParams())
        chain = {"data": data, "prepare": self.prepare}
        with write_artifact(self.train, "train", chain, {"pretrained": "package"}) as folder:
            bundle(folder / "encoder", 1, CONFIG, diverged)
        with write_artifact(self.champion, "champion", {"train": self.train}, {}) as folder:
            write_json(folder / "champion.json", {"version": "3" if baseline else None})
            if baseline:
                bundle(folder / "encoder", 2, OLDER)

    def go(self) -> "Run":
        embed(**self.inputs, out=self.out, params=EmbedParams())
        return self

    @property
    def inputs(self) -> dict[str, Path]:
        return {"data": self.data, "prepare": self.prepare, "train": self.train, "champion": self.champion}

    @property
    def galleries(self) -> Galleries:
        return read_galleries(self.prepare)

    @property
    def crops(self) -> Crops:
        """Of queries and corpora."""
        examples = read_examples(self.prepare)
        assert examples is not None
        return crops_of(examples.filter(pa.array([r in ("query", "corpus") for r in examples["role"].to_pylist()])))[0]

    def encoders(self, for_crops: bool) -> dict[str, PhotoEncoder]:
        return {
            "candidate": load_bundle(self.train / "encoder").encoder,
            "baseline": load_bundle(self.champion / "encoder").encoder,
            "reference": reference_encoder(CONFIG, "package", "layer_norm" if for_crops else "projection"),
        }
