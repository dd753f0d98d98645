"""`shoplens drift`: what came since, beside what the champion was trained on; and the start of retraining."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shoplens.ci.github import dispatch, repository_of_environment
from shoplens.contract.spec import read_spec
from shoplens.errors import ShoplensError
from shoplens.files import write_json, write_text
from shoplens.home import home
from shoplens.params import Params
from shoplens.progress import say

if TYPE_CHECKING:
    import numpy as np

    from shoplens.drift.incoming import Listings
    from shoplens.models.encoder import PhotoEncoder
    from shoplens.serving.reference import Cloud, Reference

WORKFLOW, BRANCH = "retrain.yml", "main"


@dataclass(frozen=True)
class Champion:
    """The model that is compared with: in words, its reference, the embeddings of its examples, and its encoder."""

    name: str
    reference: Reference
    examples: np.ndarray
    encoder: PhotoEncoder


def measure_drift(
    *,
    data: Path | None,
    log: Path | None,
    artifacts: Path | None,
    out: Path,
    params: Params,
    alpha: float,
    seed: int,
    retrain: bool,
) -> bool:
    """Compare, print a table, write drift.json and drift.html; whether there is drift.

    Args:
        data: a contract folder whose new listings are compared.
        log: the folder of a log of requests, which are compared.
        artifacts: compare with this run's candidate; None: with the registry's champion.
        out: the folder to write to.
        params: sections `register` (names and alias) and `embed` (cache).
        alpha: false-alarm rate of the whole comparison.
        seed: of samples and permutations.
        retrain: on drift, start the retraining workflow on GitHub.

    Raises:
        NothingNew: if nothing that came is new, or too little of it to compare.
        ShoplensError: if something cannot be read, or retraining cannot be started.
    """
    from shoplens.drift.compare import compare
    from shoplens.drift.findings import comparison_text
    from shoplens.drift.incoming import NothingNew, check_log, compared_with
    from shoplens.drift.page import comparison_page

    # Before the work, what would be missing after it.
    repository = repository_of_environment() if retrain else None
    if data is not None:
        read_spec(data)
    if log is not None:
        check_log(log)
    champion = _champion_of_run(artifacts) if artifacts else _champion(params)
    reference = champion.reference
    listings, requests, notes = _incoming(data, log, champion, seed, params.embed.cache_gib)
    say("drift: comparing")
    comparison = compare(
        reference, listings, requests, champion=champion.name, alpha=alpha, seed=seed, notes=tuple(notes)
    )
    if not comparison.findings:
        reasons = [f"{one.area} {one.name}: {one.reason}" for one in comparison.skipped]
        raise NothingNew("\n  ".join(["nothing to compare", *notes, *reasons]))
    clouds: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    if listings is not None:
        clouds["listings"] = reference.galleries.embeddings, listings.galleries.embeddings
    for kind, cloud in requests.items():
        stored = compared_with(kind, reference)
        if stored is not None:
            clouds[f"requests {kind}"] = stored.embeddings, cloud.embeddings
    write_json(out / "drift.json", comparison.as_json())
    write_text(out / "drift.html", comparison_page(comparison, clouds))
    print(comparison_text(comparison))
    say(f"drift: {out / 'drift.html'} shows it all")
    if comparison.drifted and repository is not None:
        dispatch(repository, WORKFLOW, BRANCH, {"reason": comparison.verdict})
        print(f"Retraining is started: {WORKFLOW} on {BRANCH} of {repository.name}")
    return bool(comparison.drifted)


def _incoming(
    data: Path | None, log: Path | None, champion: Champion, seed: int, cache_gib: float
) -> tuple[Listings | None, dict[str, Cloud], list[str]]:
    """New listings, new requests by kind, and what was left out: one without anything new leaves the other."""
    from shoplens.drift.incoming import NothingNew, read_new_listings, read_new_requests

    listings, notes = None, list[str]()
    requests: dict[str, Cloud] = {}
    if data is not None:
        try:
            listings = read_new_listings(data, champion.reference, champion.encoder, seed, cache_gib)
            notes += listings.notes
        except NothingNew as nothing:
            notes.append(str(nothing))
    if log is not None:
        try:
            requests, left_out = read_new_requests(log, champion.reference, champion.examples)
            notes += left_out
        except NothingNew as nothing:
            notes.append(str(nothing))
    return listings, requests, notes


def _champion(params: Params) -> Champion:
    """The registry's champion."""
    from shoplens.promotion.registry import champion_version, fetch_version

    model, alias = params.register_.model, params.register_.alias
    version = champion_version(model, alias)
    if version is None:
        raise ShoplensError(
            f"{model}@{alias} names no version yet: run the pipeline first, or name a run's --artifacts"
        )
    with tempfile.TemporaryDirectory(dir=home()) as temporary:
        folder = Path(temporary)
        fetch_version(model, version, "encoder", folder / "encoder")
        fetch_version(model, version, "package/examples", folder / "examples")
        try:
            fetch_version(model, version, "package/reference", folder / "reference")
        except ShoplensError as error:
            raise ShoplensError(
                f"{error}\nA version that was registered before packages had a reference has none: run the pipeline "
                "again, or name a run's --artifacts"
            ) from None
        return _read(f"version {version} of {model}", folder, folder / "encoder")


def _champion_of_run(artifacts: Path) -> Champion:
    """A run's candidate."""
    from shoplens.artifacts import read_artifact

    read_artifact(artifacts / "package", "package", {"train": artifacts / "train"})
    return _read(f"the candidate in {artifacts}", artifacts / "package", artifacts / "train" / "encoder")


def _read(name: str, package: Path, encoder: Path) -> Champion:
    from shoplens.models.bundle import load_bundle
    from shoplens.serving.examples import read_embeddings
    from shoplens.serving.reference import FOLDER, read_reference

    reference, bundle = read_reference(package / FOLDER), load_bundle(encoder)
    if bundle.config.weights_digest != reference.facts.weights:
        raise ShoplensError(f"the reference and the encoder of {name} are of different weights: package it again")
    return Champion(name, reference, read_embeddings(package / "examples", "served"), bundle.encoder)
