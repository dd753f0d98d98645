"""Stage champion: fetches the baseline, the model that the candidate must not fall behind."""

from __future__ import annotations

from pathlib import Path

from shoplens.artifacts import read_artifact, write_artifact
from shoplens.errors import ShoplensError
from shoplens.files import read_json, write_json
from shoplens.params import RegisterParams
from shoplens.progress import say
from shoplens.promotion import registry


def champion(*, train: Path, out: Path, params: RegisterParams) -> None:
    """Write champion.json (the baseline's version and weights digest, or nulls) and its bundle in encoder/.

    The baseline is the current champion or, if that is the candidate itself (same weights digest), the version that
    it replaced: so a second run finds the baseline of the first one, and writes the same bytes.

    Raises:
        ShoplensError: if the registry does not answer, or what it holds is not what its tags say.
    """
    read_artifact(train, "train")
    weights = read_json(train / "encoder" / "encoder.json")["weights_digest"]
    version = registry.baseline_version(params.model, params.alias, weights)
    with write_artifact(out, "champion", {"train": train}, params.model_dump()) as folder:
        digest = None if version is None else _fetch(params.model, version, folder / "encoder")
        write_json(folder / "champion.json", {"version": version, "weights_digest": digest})
    say(f"baseline: version {version} of {params.model}" if version else "baseline: none yet")


def _fetch(model: str, version: str, folder: Path) -> str:
    registry.fetch_version(model, version, "encoder", folder)
    digest = str(read_json(folder / "encoder.json")["weights_digest"])
    if digest != registry.read_version(model, version).weights:
        raise ShoplensError(
            f"the encoder stored with version {version} of {model} is not the one that was registered; restore the "
            "registry's artifact store"
        )
    return digest
