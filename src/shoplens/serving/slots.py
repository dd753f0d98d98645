"""What lies in a live repository, wherever that is (`store.Store`): packages side by side, and which one is served.

repository/gallery, photo, ranker, search     the public names: ensembles that point at one slot
repository/{encoder,gallery,...}_<slot>       a package's models; a slot is a version and a digest of models
slots/<slot>/                                 description and examples of that package; published.json, digests of all
state.json                                    the version that is served (the truth after a restart)
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from shoplens.artifacts import PASSPORT
from shoplens.errors import ShoplensError
from shoplens.files import digest_json, read_json
from shoplens.serving.repository import MODELS, PUBLIC, Description, Variant, config_text, in_slot, switch_config
from shoplens.serving.store import Files, Store

STATE = "state.json"
PUBLISHED = "published.json"


@dataclass(frozen=True)
class Live:
    """What is served: registered model, version, digests of its weights and models, and the answers at its check.

    Ranker and search, where the package has them, are served under the version of their encoder.
    """

    model: str
    version: str
    weights: str
    models: str
    answers: dict[str, dict[str, float]]
    rankings: dict[str, dict[str, float]] = field(default_factory=dict)
    searches: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def slot(self) -> str:
        """Where its models lie in the live repository."""
        return slot_name(self.version, self.models)


def models_digest(package: Path) -> str:
    """What a package serves: its description and models, without its timings and examples, which a rerun changes."""
    files: dict[str, str] = read_json(package / PASSPORT)["files"]
    return digest_json({name: file for name, file in files.items() if name.startswith(("description", "repository/"))})


def slot_name(version: str, models: str) -> str:
    """One set of models under one version number: registries may be begun anew, and a version packaged again."""
    return f"v{version}_{models[:8]}"


def read_live(store: Store) -> Live | None:
    """What is served, or None before the first deployment.

    Raises:
        ShoplensError: if the record is damaged, or another version of shoplens wrote it.
    """
    content = store.read(STATE)
    if content is None:
        return None
    try:
        return Live(**json.loads(content))
    except (ValueError, TypeError):
        raise unreadable(f"{store.where}/{STATE}") from None


def unreadable(record: str) -> ShoplensError:
    """What to say of a record with other fields."""
    return ShoplensError(
        f"{record} is not a record that this version of shoplens reads: end `shoplens serve`, delete the file and run "
        "`shoplens deploy`"
    )


def write_live(store: Store, live: Live) -> None:
    """Record what is served."""
    store.write(STATE, (json.dumps(asdict(live), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())


def publish(store: Store, package: Path, variant: Variant, version: str, models: str) -> str:
    """Copy a variant of a package into the live repository, under a slot of its own; the slot is returned.

    Nothing that is served changes. What is published already stays; what a killed run left is written anew.

    Raises:
        ShoplensError: if the slot is published with other files: what is published does not change.
    """
    slot = slot_name(version, models)
    folders = _folders(package, variant, slot)
    passport: dict[str, str] = read_json(package / PASSPORT)["files"]
    digests = {
        f"{folder}/{name}": passport[source.relative_to(package).as_posix()]
        for folder, files in folders.items()
        for name, source in files.items()
    }
    found = store.read(f"slots/{slot}/{PUBLISHED}")
    if found is not None:
        _check_published(store, slot, digests, found)
        return slot
    for folder, files in folders.items():
        published: Files = {PUBLISHED: (json.dumps(digests, indent=2, sort_keys=True) + "\n").encode()}
        store.put(folder, files if folder.startswith("repository/") else {**files, **published})
    return slot


def _folders(package: Path, variant: Variant, slot: str) -> dict[str, dict[str, Path]]:
    """Folder of the live repository -> path in it -> the package's file; the slot's own folder comes last."""
    folders = {}
    for name in read_description(package / "description.json").models:
        source = package / "repository" / variant / name
        folders[f"repository/{in_slot(name, slot)}"] = _files(source)
    examples = {f"examples/{name}": file for name, file in _files(package / "examples").items()}
    folders[f"slots/{slot}"] = {"description.json": package / "description.json", **examples}
    return folders


def _files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _check_published(store: Store, slot: str, digests: Mapping[str, str], found: bytes) -> None:
    remedy = f"what is published does not change; to publish it anew, remove {store.where}/slots/{slot}/{PUBLISHED}"
    # Examples are compared with what was published, not with the package: packaging again may answer other timings.
    models = {name: digest for name, digest in digests.items() if name.startswith("repository/")}
    try:
        published: dict[str, str] = json.loads(found)
        same = models == {name: digest for name, digest in published.items() if name.startswith("repository/")}
    except (ValueError, AttributeError):
        same = False
    if not same:
        raise ShoplensError(f"{store.where} holds slot {slot} with other models than the package's: {remedy}")
    for name, digest in published.items():
        if store.digest(name) != digest:
            raise ShoplensError(f"{store.where}/{name} is missing or was changed after it was published: {remedy}")


def point(store: Store, version: str, slot: str) -> None:
    """Make the public names mean the models of a slot; a server takes it over when it loads them.

    What is there already is left as it is, so that a server does not load it anew.
    """
    description = described(store, slot)
    for name in description.public:
        config = config_text(switch_config(description, name, version, slot))
        # Triton wants a folder of the version, and object storage has no empty ones.
        files = {f"{version}/.keep": b"", "config.pbtxt": config.encode()}
        for file, content in files.items():
            if store.read(f"repository/{name}/{file}") != content:
                store.write(f"repository/{name}/{file}", content)


def remove_names(store: Store, keep: Collection[str]) -> None:
    """Remove all public names but these; after the servers have unloaded them: they do not list what has no folder."""
    for name in PUBLIC:
        if name not in keep:
            store.remove(f"repository/{name}")


def remove_slot(store: Store, slot: str) -> None:
    """Remove a published package; a server that has loaded it goes on answering."""
    store.remove(f"slots/{slot}")  # first: it says that the models are whole
    for name in MODELS:
        store.remove(f"repository/{in_slot(name, slot)}")


def remove_stale(store: Store, keep: Collection[str]) -> None:
    """Remove all slots but these, also what a killed deployment left; after servers have unloaded them."""
    parts = [name.partition("_") for name in store.names("repository")]
    for slot in {*store.names("slots"), *(slot for name, _, slot in parts if name in MODELS and slot)}:
        if slot not in keep:
            remove_slot(store, slot)


def described(store: Store, slot: str) -> Description:
    """What a published package says of itself.

    Raises:
        ShoplensError: if that is missing or of another version of shoplens.
    """
    path = f"slots/{slot}/description.json"
    content = store.read(path)
    if content is None:
        raise ShoplensError(f"{store.where}/{path} is missing: it is a part of what was deployed")
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    return _description(found, f"{store.where}/{path}")


def read_description(path: Path) -> Description:
    """A package's `description.json`.

    Raises:
        ShoplensError: if it is missing or of another version of shoplens.
    """
    return _description(read_json(path), str(path))


def _description(content: object, source: str) -> Description:
    try:
        return Description(**content["description"])  # type: ignore[index]
    except (KeyError, TypeError) as error:
        raise ShoplensError(f"{source} is not a description that this version of shoplens reads ({error})") from None
