"""What a run is about: the commit of the source and the hash of its data, which name the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from shoplens.ci.git import attempt, git
from shoplens.ci.state import state_of
from shoplens.errors import ShoplensError
from shoplens.kubeflow.fetch import check_address


@dataclass(frozen=True)
class Source:
    """A state of a git repository.

    Attributes:
        address: of the repository, as the cluster reaches it too.
        commit: full id.
        data: DVC's hash of the data folder.
    """

    address: str
    commit: str
    data: str


def read_source(address: str, revision: str) -> Source:
    """Fetch one commit of a repository, without its history, and read data.dvc.

    Args:
        address: of the repository; a path is taken from the current folder.
        revision: branch, tag or full id of a commit; a branch is its newest commit.

    Raises:
        ShoplensError: if there is no such repository or revision, or the commit has no valid data.dvc.
    """
    check_address(address)
    reached = str(Path(address).absolute()) if Path(address).is_dir() else address
    with TemporaryDirectory() as folder:
        root = Path(folder)
        git(root, "init", "-q", "--bare")
        done = attempt(root, "fetch", "-q", "--depth", "1", "--end-of-options", reached, revision)
        if done.returncode:
            raise ShoplensError(
                f"{address} has no {revision!r}, or it cannot be reached: {done.stderr.strip()}\nGive a branch, a tag "
                "or the full id of a commit, and an address that this machine and the cluster may read"
            )
        commit = git(root, "rev-parse", "FETCH_HEAD^{commit}").strip()
        return Source(address, commit, state_of(root, commit).data)
