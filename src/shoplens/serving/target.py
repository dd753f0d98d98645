"""A remote Triton to deploy to, as a file describes it: `--target`, else the file that SHOPLENS_TARGET names."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from shoplens.errors import ShoplensError
from shoplens.serving.fleet import Fleet
from shoplens.serving.repository import Variant
from shoplens.serving.store import open_store
from shoplens.serving.switch import Place
from shoplens.strict import StrictModel, read_yaml

VARIABLE = "SHOPLENS_TARGET"
HEADER_PREFIX = "triton-grpc-protocol-"
"""Triton's, of the headers that `--grpc-restricted-protocol` names."""
_ADDRESS = re.compile(r"[^\s/:]+:\d{1,5}|\[[0-9a-fA-F:.%]+\]:\d{1,5}")

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class KeyParams(StrictModel):
    """What Triton's restricted protocols want: the header's name, and the environment variable with its value."""

    header: str = Field(pattern=r"^[a-z0-9-]+$")
    variable: Name


class Target(StrictModel):
    """Where a package is served.

    Attributes:
        servers: gRPC addresses, `host:port`; a name stands for every address behind it, such as those of all pods.
        repository: the folder that holds `repository/` and `slots/`, as this machine sees it, or `s3://bucket/prefix`.
        variant: of the package: `gpu` for NVIDIA's image, `embedded` for a tritonserver with only a python backend.
        key: what loading models takes, if it takes anything.
        wait_s: how long a server that does not answer is waited for, in seconds.
    """

    servers: tuple[str, ...] = Field(min_length=1)
    repository: str = Field(min_length=1)
    variant: Variant = "gpu"
    key: KeyParams | None = None
    wait_s: float = Field(300.0, ge=0)

    @field_validator("servers")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            if not _ADDRESS.fullmatch(address):
                raise ValueError(f"{address!r} is not host:port, the gRPC address of a server")
        return value

    @field_validator("repository")
    @classmethod
    def _place(cls, value: str) -> str:
        if "://" in value and not re.fullmatch(r"s3://[^/\s]+(/\S*)?", value):
            raise ValueError(f"{value!r} is neither a folder nor s3://bucket/prefix")
        return value


def place_of(path: Path) -> Place:
    """The place that a target's file describes.

    Raises:
        ShoplensError: if the file is not valid, the key's variable is not set, or the folder is not there.
    """
    target = read_yaml(Target, path)
    headers = {}
    if target.key:
        value = os.environ.get(target.key.variable)
        if not value:
            raise ShoplensError(
                f"{path}: key.variable: the environment has no {target.key.variable}: set it to the key"
            )
        headers = {HEADER_PREFIX + target.key.header: value}
    again = f"mend it, then run the same command again: `shoplens deploy --target {path}`, or `rollback`"
    fleet = Fleet(target.servers, headers, target.wait_s)
    return Place(open_store(target.repository), fleet, target.variant, again)


def chosen() -> Path | None:
    """The file of the target to deploy to; None deploys to the live repository of this machine."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


@contextlib.contextmanager
def choosing(path: Path | None) -> Iterator[None]:
    """Deploy to this target within the block, if one is given.

    Raises:
        ShoplensError: if its file is missing or not valid.
    """
    before = os.environ.get(VARIABLE)
    if path is not None:
        read_yaml(Target, path)  # before the work that leads to a deployment
    try:
        if path is not None:
            os.environ[VARIABLE] = str(path)
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before
