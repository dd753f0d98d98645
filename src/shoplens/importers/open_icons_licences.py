"""The licence files of an open-icons folder: who made what, under which terms, and the licence texts delivered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shoplens.files import write_bytes, write_json, write_text
from shoplens.importers.open_icons_archive import read_members
from shoplens.importers.open_icons_packages import PACKAGES

LICENCE = "CC-BY-SA-4.0 AND CC-BY-4.0 AND Apache-2.0 AND MIT (by drawing; see LICENCES.md)"
TEXTS = ("LICENSE", "LICENSE.txt")

HEADER = """# Licences

Each drawing keeps the licence of its vendor (column `domain` of images.parquet). Whoever shares this folder, a part
of it or something derived from it keeps these attributions; OpenMoji's drawings may only be shared under CC BY-SA 4.0.

| package | version | licence | source |
|---|---|---|---|
"""


def write_licences(folder: Path, tarballs: Mapping[str, Path]) -> None:
    """Write LICENCES.md, licences.json and `licences/` (the texts that the packages carry) into `folder`.

    Args:
        folder: the contract folder.
        tarballs: package name -> its tarball.

    Raises:
        ShoplensError: if a tarball cannot be read.
    """
    table = "".join(f"| {p.name} | {p.version} | {p.licence} | <{p.source}> |\n" for p in PACKAGES)
    credits = "".join(f"- {package.attribution}\n" for package in PACKAGES)
    write_text(folder / "LICENCES.md", f"{HEADER}{table}\n{credits}")
    entries = [
        {
            "package": package.name,
            "version": package.version,
            "integrity": package.integrity,
            "licence": package.licence,
            "source": package.source,
            "attribution": package.attribution,
        }
        for package in PACKAGES
    ]
    write_json(folder / "licences.json", entries)
    for package in PACKAGES:
        texts = read_members(tarballs[package.name], lambda name: name in TEXTS)
        for content in texts.values():
            write_bytes(folder / "licences" / f"{Path(package.file_name).stem}.txt", content)
