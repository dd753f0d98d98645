"""The model registry: MLflow on sqlite in the home folder, or the team's server (`MLFLOW_TRACKING_URI`).

A version is created complete, its tags in the same call, so that a killed run leaves either a whole version or none
that anybody finds. MLflow's aliases are last-writer-wins; `move_alias` therefore checks right before and re-reads
right after, under a lock that covers this machine.

The variable may also name a database (`postgresql://...`), without a server in front.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shoplens.errors import ShoplensError
from shoplens.files import locked
from shoplens.home import home, tracking_uri
from shoplens.promotion.registry_client import client_of, is_database, mlflow_error, shown, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "shoplens"
IDENTITY = "shoplens.identity"
WEIGHTS = "shoplens.weights"
RANKER = "shoplens.ranker"
"""Tag of an encoder's version: the identity of the ranker that is served with it."""
ENCODER = "shoplens.encoder_version"
REPLACES = "shoplens.replaces"
ROLLED_BACK = "shoplens.rolled_back"
NOTHING = "none"


@dataclass(frozen=True)
class Version:
    """A registered version: its number (as text), what it is, and its place in the history.

    Attributes:
        weights: digest of the encoder's weights.
        identity: digest of what the version is: of an encoder, weights and package; of a ranker, its bundle.
        ranker: identity of the ranker that belongs to an encoder, or None.
        replaces: the version that the alias named before this one, or None.
        rolled_back: whether a rollback took it out of production.
        run_id: the MLflow run that holds its files.
    """

    version: str
    weights: str
    identity: str
    ranker: str | None
    replaces: str | None
    rolled_back: bool
    run_id: str


@contextlib.contextmanager
def registry_lock() -> Iterator[None]:
    """Only one process on this machine changes the registry at a time."""
    with locked(home() / "registry.lock", "the model registry"):
        yield


def champion_version(model: str, alias: str) -> str | None:
    """The version that the alias names, or None if there is no such model or alias.

    Raises:
        ShoplensError: if the registry does not answer.
    """
    with _registry() as client:
        registered = _existing_model(client, model)
        found = None if registered is None else registered.aliases.get(alias)
        return None if found is None else str(found)


def read_version(model: str, version: str) -> Version:
    """What the registry knows about a version.

    Raises:
        ShoplensError: if it does not exist or was not registered by shoplens.
    """
    from mlflow.exceptions import MlflowException

    with _registry() as client:
        try:
            found = client.get_model_version(model, version)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            raise ShoplensError(f"the registry has no version {version} of {model}") from None
    return _version(model, found)


def find_version(model: str, identity: str) -> Version | None:
    """The first version with this identity, or None."""
    with _registry() as client:
        found = client.search_model_versions(f"name = '{model}' and tags.`{IDENTITY}` = '{identity}'")
    return _version(model, min(found, key=lambda item: int(item.version))) if found else None


def baseline_version(model: str, alias: str, weights: str) -> str | None:
    """The version that a candidate with these weights must not fall behind.

    That is the champion, or, where the champion is the candidate itself, the version that it replaced (and so on, as
    the same weights may have been packaged more than once); None at the beginning of the history.
    """
    current = champion_version(model, alias)
    seen: set[str] = set()
    while current is not None and current not in seen:
        found = read_version(model, current)
        if found.weights != weights:
            return current
        seen.add(current)
        current = found.replaces
    return None


def fetch_version(
    model: str,
    version: str,
    part: Literal["encoder", "package", "package/reference", "package/examples"],
    out: Path,
) -> None:
    """Download a version's encoder bundle or package, or a part of that, into the new folder `out`.

    Raises:
        ShoplensError: if the version or its files do not exist.
    """
    found = read_version(model, version)
    with _registry() as client, tempfile.TemporaryDirectory(dir=home()) as temporary:
        try:
            folder = Path(client.download_artifacts(found.run_id, part, temporary))
        except (OSError, mlflow_error()) as error:
            raise ShoplensError(
                f"the {part} of version {version} of {model} cannot be fetched from the registry "
                f"({without_password(error, tracking_uri())}); restore the registry's artifact store"
            ) from None
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder, out)


def create_version(
    model: str,
    *,
    folder: Path,
    metrics: Mapping[str, float],
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> str:
    """Log a run with the files of `folder`, in which `model/` is the model, and register it with `create_version_of`.

    Returns:
        The version's number.
    """
    from mlflow.entities import Metric, Param

    with _registry() as client:
        run = client.create_run(_experiment(client), tags=dict(tags), run_name=tags[WEIGHTS][:12])
        run_id = run.info.run_id
        values = [Metric(name, value, run.info.start_time, 0) for name, value in sorted(metrics.items())]
        texts = [Param(name, value[:6000]) for name, value in sorted(params.items())]
        for start in range(0, len(values), 500):
            client.log_batch(run_id, metrics=values[start : start + 500])
        for start in range(0, len(texts), 100):
            client.log_batch(run_id, params=texts[start : start + 100])
        client.log_artifacts(run_id, str(folder))
        client.set_terminated(run_id)
    return create_version_of(model, run_id, "model", tags)


def create_version_of(model: str, run_id: str, part: Literal["model", "ranker"], tags: Mapping[str, str]) -> str:
    """Register a folder of a run as a new version that carries `tags`.

    Returns:
        The version's number.
    """
    with _registry() as client:
        if _existing_model(client, model) is None:
            client.create_registered_model(model)
        labels = {**tags, "shoplens.run": run_id}
        created = client.create_model_version(model, source=f"runs:/{run_id}/{part}", run_id=run_id, tags=labels)
        return str(created.version)


def tag_version(model: str, version: str, tags: Mapping[str, str | None]) -> None:
    """Set tags of a version; None removes one. Tags that have the wanted value are left alone."""
    with _registry() as client:
        current = client.get_model_version(model, version).tags
        for name, value in tags.items():
            if value is None and name in current:
                client.delete_model_version_tag(model, version, name)
            elif value is not None and current.get(name) != value:
                client.set_model_version_tag(model, version, name, value)


def move_alias(model: str, alias: str, version: str | None, *, expected: str | None) -> None:
    """Point the alias at `version` (None: take it away) if it still names `expected`. Call it under `registry_lock`.

    Raises:
        ShoplensError: if the alias names something else, before or after.
    """
    current = champion_version(model, alias)
    if current == version:
        return
    if current != expected:
        raise ShoplensError(
            f"{model}@{alias} names version {current or NOTHING}, not {expected or NOTHING}: somebody else promoted "
            "in the meantime. The alias is as they left it; run the pipeline again to be compared with it"
        )
    with _registry() as client:
        if version is None:
            client.delete_registered_model_alias(model, alias)
        else:
            client.set_registered_model_alias(model, alias, version)
    after = champion_version(model, alias)
    if after != version:
        raise ShoplensError(
            f"{model}@{alias} names version {after or NOTHING} right after it was set to {version or NOTHING}: "
            "somebody else promoted at the same moment. Run the pipeline again to be compared with it"
        )


def _version(model: str, found: Any) -> Version:
    tags = found.tags
    if WEIGHTS not in tags or IDENTITY not in tags:
        raise ShoplensError(
            f"version {found.version} of {model} was not registered by shoplens (it has no tag {WEIGHTS}); point the "
            "alias at a version that was"
        )
    replaces = tags.get(REPLACES, NOTHING)
    return Version(
        version=str(found.version),
        weights=tags[WEIGHTS],
        identity=tags[IDENTITY],
        ranker=tags.get(RANKER),
        replaces=None if replaces == NOTHING else replaces,
        rolled_back=ROLLED_BACK in tags,
        run_id=found.run_id,
    )


def _existing_model(client: MlflowClient, model: str) -> Any:
    try:
        return client.get_registered_model(model)
    except mlflow_error() as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _experiment(client: MlflowClient) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    uri = tracking_uri()
    if is_database(uri) and not uri.startswith("sqlite"):
        raise ShoplensError(
            f"{shown(uri)} is a database, which does not say where the files of models go. Say it once, with "
            f"MLFLOW_TRACKING_URI as it is now: `mlflow experiments create --experiment-name {EXPERIMENT} "
            "--artifact-location s3://BUCKET/FOLDER`; or put an MLflow server in front, and name that"
        )
    place = (home() / "mlartifacts").as_uri() if is_database(uri) else None
    return str(client.create_experiment(EXPERIMENT, artifact_location=place))


@contextlib.contextmanager
def _registry() -> Iterator[MlflowClient]:
    """The client; what MLflow raises becomes an error for people."""
    uri = tracking_uri()
    try:
        yield client_of(uri)
    except mlflow_error() as error:
        raise ShoplensError(f"the model registry failed ({error.error_code}): {without_password(error, uri)}") from None
