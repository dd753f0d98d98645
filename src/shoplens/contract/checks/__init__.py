"""All checks of the data contract, in one pass: every problem of a folder is found, not only the first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shoplens.contract.checks.folder import Folder, load_folder
from shoplens.contract.checks.galleries import check_galleries
from shoplens.contract.checks.labels import check_labels
from shoplens.contract.checks.listings import check_listings
from shoplens.contract.checks.photos import Photos, check_photos, measure_photos
from shoplens.contract.checks.search_log import check_search_log
from shoplens.contract.checks.values import check_values
from shoplens.contract.findings import Finding, format_findings

__all__ = ["Finding", "Inspection", "check_folder", "format_findings", "inspect_folder"]


@dataclass(frozen=True)
class Inspection:
    """A folder as far as it could be read, what opening its photos showed, and every finding."""

    folder: Folder
    photos: Photos | None
    findings: tuple[Finding, ...]


def inspect_folder(data: Path, decode: Literal["all", "headers"] = "all") -> Inspection:
    """Read and check a data folder.

    A broken table or dataset.yaml is a finding and does not stop the checks that can do without it.

    Args:
        data: the contract folder.
        decode: "all" decodes every photo; "headers" reads their sizes only, which is faster and misses truncation.

    Raises:
        ShoplensError: only if `data` is no folder.
    """
    folder, findings = load_folder(data)
    photos = measure_photos(folder, decode)
    findings += check_values(folder)
    findings += check_listings(folder)
    findings += check_galleries(folder)
    findings += check_photos(folder, photos)
    findings += check_search_log(folder)
    findings += check_labels(folder, photos)
    return Inspection(folder, photos, tuple(findings))


def check_folder(data: Path, decode: Literal["all", "headers"] = "all") -> list[Finding]:
    """The findings of `inspect_folder`.

    Raises:
        ShoplensError: only if `data` is no folder.
    """
    return list(inspect_folder(data, decode).findings)
