"""The parameters of a run: one section a stage, as written in params.yaml. Unknown keys are errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from shoplens.strict import StrictModel, parse, read_yaml


class WorldParams(StrictModel):
    """The demo marketplace (`shoplens data demo`)."""

    listings: int = Field(5600, ge=20)
    seed: int = Field(1, ge=0)
    label_noise: float = Field(0.05, ge=0, le=1)
    drift: float = Field(0.0, ge=0, le=1)
    star_signal: float = Field(1.0, ge=0, le=1)
    false_claims: float = Field(0.25, ge=0, le=1)
    sessions_per_listing: float = Field(6.0, ge=0)
    products: int = Field(0, ge=0)


class ValidateParams(StrictModel):
    """Checks of the data contract."""

    decode: Literal["all", "headers"] = "all"


class PrepareParams(StrictModel):
    """Split and near duplicates."""

    duplicate_bits: int = Field(2, ge=0, le=16)
    duplicate_correlation: float = Field(0.98, ge=0, le=1)


class TrainParams(StrictModel):
    """The encoder, and its training on galleries and image sources together."""

    seed: int = Field(1, ge=0)
    backbone: str = "efficientnet_lite0"
    pretrained: Literal["package", "download", "none"] = "package"
    frozen_blocks: int = Field(7, ge=0)
    image_size: int = Field(96, ge=32, le=1024)
    short_side: int | None = Field(None, ge=32, le=2048)
    augment: bool = False
    views: int = Field(0, ge=0)
    embedding_dim: int | None = Field(256, ge=2)
    module: Literal["projection", "binarisation", "layer_norm"] = "binarisation"
    groups: int = Field(32, ge=1)
    dropout: float = Field(0.5, ge=0, lt=1)
    head_width: int = Field(128, ge=2)
    sources: tuple[str, ...] | None = Field(None, min_length=1)
    mixing: Literal["even", "by_size"] = "even"
    loss: Literal["pseudo_uniform", "kendall"] = "pseudo_uniform"
    balance: Literal["equal", "gradnorm"] = "equal"
    gallery_weight: float = Field(0.1, gt=0)
    gallery_share: float | None = Field(None, gt=0, lt=1)
    contrast_weight: float = Field(0.0, ge=0)
    sampled: Mapping[str, Annotated[int, Field(ge=2)]] = Field(default_factory=dict)
    proxy_momentum: Literal["lazy", "scaled"] = "lazy"
    proxy_memory_gib: float = Field(16.0, ge=0)
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    proxy_learning_rate: float | None = Field(None, gt=0)
    decay_every: int | None = Field(2, ge=1)
    batch_photos: int = Field(208, ge=1)
    warm_up_epochs: int = Field(0, ge=0)
    warm_up_batch_photos: int = Field(416, ge=1)
    max_epochs: int = Field(3, ge=1)
    patience: int | None = Field(1, ge=1)
    cache_gib: float = Field(8.0, ge=0)
    workers: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.augment and self.frozen_blocks:
            raise ValueError("augment changes the pixels, so nothing can be frozen and kept: set frozen_blocks to 0")
        if self.augment and (self.short_side is None or self.short_side < self.image_size):
            raise ValueError("augment crops image_size from photos of short_side: set short_side above image_size")
        if self.views and not self.frozen_blocks:
            raise ValueError("views are of what frozen blocks make, and none are: set views to 0, or use augment")
        if self.warm_up_epochs >= self.max_epochs:
            raise ValueError("warm_up_epochs are the first of max_epochs: set fewer of them")
        return self


class EmbedParams(StrictModel):
    """Gallery embeddings of candidate, baseline and the ImageNet reference."""

    cache_gib: float = Field(8.0, ge=0)


class EvaluateStarsParams(StrictModel):
    """The hold-out task: the same shallow head on every model's embeddings."""

    seed: int = Field(1, ge=0)
    fractions: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
    resamples: int = Field(10_000, ge=100)


class EvaluateTasksParams(StrictModel):
    """The training tasks on the hold-out listings."""

    seed: int = Field(1, ge=0)
    resamples: int = Field(2_000, ge=100)


class EvaluateRankingParams(StrictModel):
    """Learning to rank from the search log: features, the grid that validation chooses from, intervals."""

    seed: int = Field(1, ge=0)
    centre: bool = True
    image_scale: float = Field(4.0, gt=0, le=1e6)
    min_pairs: int = Field(20, ge=1)
    rates: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field((0.1, 1.0), min_length=1)
    l1: tuple[Annotated[float, Field(ge=0)], ...] = Field((0.0, 0.3), min_length=1)
    l2: tuple[Annotated[float, Field(ge=0)], ...] = Field((10.0, 30.0, 100.0, 300.0), min_length=1)
    steps: int = Field(200, ge=1, le=1_000_000)
    global_pairs: int = Field(50_000, ge=1)
    resamples: int = Field(10_000, ge=100)
    workers: int = Field(0, ge=0)


class EvaluateRetrievalParams(StrictModel):
    """Search in the corpora of the image sources."""

    seed: int = Field(1, ge=0)
    resamples: int = Field(10_000, ge=100)


class PackageParams(StrictModel):
    """ONNX export, Triton model repository and the trial in a real server."""

    examples: int = Field(8, ge=1)
    latency_requests: int = Field(60, ge=20)


class RegisterParams(StrictModel):
    """The registry entry that promotion moves."""

    model: str = Field("shoplens-encoder", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    ranker: str = Field("shoplens-ranker", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    alias: str = Field("champion", pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")

    @field_validator("alias")
    @classmethod
    def _not_reserved(cls, value: str) -> str:
        if value.lower() == "latest" or value.lower().removeprefix("v").isdigit():
            raise ValueError(f"MLflow keeps the alias {value!r} for itself; choose another")
        return value

    @model_validator(mode="after")
    def _two_models(self) -> Self:
        if self.ranker == self.model:
            raise ValueError(f"encoder and ranker are registered apart, and both are called {self.model!r}")
        return self


class Params(StrictModel):
    """params.yaml as a whole; a section that is left out has the default values."""

    world: WorldParams = WorldParams()
    validate_: ValidateParams = Field(ValidateParams(), alias="validate")
    prepare: PrepareParams = PrepareParams()
    train: TrainParams = TrainParams()
    embed: EmbedParams = EmbedParams()
    evaluate_stars: EvaluateStarsParams = Field(EvaluateStarsParams(), alias="evaluate-stars")
    evaluate_tasks: EvaluateTasksParams = Field(EvaluateTasksParams(), alias="evaluate-tasks")
    evaluate_ranking: EvaluateRankingParams = Field(EvaluateRankingParams(), alias="evaluate-ranking")
    evaluate_retrieval: EvaluateRetrievalParams = Field(EvaluateRetrievalParams(), alias="evaluate-retrieval")
    package: PackageParams = PackageParams()
    register_: RegisterParams = Field(RegisterParams(), alias="register")

    def section(self, name: str) -> StrictModel:
        """The section with this name in params.yaml."""
        for attribute, field in type(self).model_fields.items():
            if name in (attribute, field.alias):
                found: StrictModel = getattr(self, attribute)
                return found
        raise KeyError(name)


def read_params(path: Path) -> Params:
    """Read params.yaml (or a recipe).

    Raises:
        ShoplensError: with one line a problem.
    """
    return read_yaml(Params, path)


def parse_params(value: Any, source: str) -> Params:
    """Validate parameters that came as JSON.

    Raises:
        ShoplensError: with one line a problem.
    """
    return parse(Params, value, source)
