"""Reading npm tarballs without extracting them: no path of an archive ever becomes a path on disk."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from shoplens.errors import ShoplensError

ROOT = "package/"
MAX_MEMBER = 64 << 20


def read_members(tarball: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The contents of the regular files that `wanted` accepts, keyed by their path below npm's `package/` folder.

    Args:
        tarball: a .tgz as npm serves it.
        wanted: says of a path such as `img/google/64/1f600.png` whether it is read.

    Raises:
        ShoplensError: if the archive is damaged, or holds an absolute path, `..`, a link or device among the wanted
            names, the same name twice, or a member of more than 64 MiB.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(tarball, "r|gz") as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise ShoplensError(
                        f"{tarball}: member {member.name!r} points outside the archive; delete the file"
                    )
                name = member.name.removeprefix(ROOT)
                if member.isdir() or not wanted(name):
                    continue
                if not member.isfile() or member.size > MAX_MEMBER or name in found:
                    raise ShoplensError(
                        f"{tarball}: member {member.name!r} is a link, a device, doubled or over {MAX_MEMBER >> 20} "
                        "MiB; delete the file"
                    )
                content = archive.extractfile(member)
                assert content is not None  # only links and devices have none
                found[name] = content.read()
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise ShoplensError(f"{tarball}: not a readable npm tarball ({error}); delete it and import again") from None
    return found
