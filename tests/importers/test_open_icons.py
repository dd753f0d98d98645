"""`import_open_icons` writes a contract folder, the same bytes each time, or leaves things as they were."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from shoplens.contract.checks import check_folder
from shoplens.contract.pixels import decode
from shoplens.contract.spec import read_spec
from shoplens.contract.store import PhotoStore
from shoplens.errors import ShoplensError
from shoplens.files import digest_folder
from shoplens.importers import open_icons, open_icons_searches
from shoplens.importers.open_icons import build_folder, import_open_icons, listing_id_of
from shoplens.importers.open_icons_archive import read_members
from shoplens.importers.open_icons_packages import GOOGLE, PACKAGES, Package

Import = Callable[[Path], None]


@pytest.fixture
def do_import(tiny_packages: tuple[Package, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Import:
    """`import_open_icons`, from the tiny packages of the local registry."""
    monkeypatch.setattr(open_icons, "PACKAGES", tiny_packages)
    return lambda out: import_open_icons(out, tmp_path / "cache")


def rows(data: Path, table: str) -> list[dict[str, Any]]:
    return list(pq.read_table(data / f"{table}.parquet").to_pylist())


def test_the_folder_keeps_the_contract(do_import: Import, tmp_path: Path) -> None:
    data = tmp_path / "data"
    do_import(data)
    errors = {finding.check for finding in check_folder(data) if finding.level == "error"}
    assert errors <= {"split-empty"}  # five listings do not fill three splits
    spec = read_spec(data)
    assert (spec.holdout.name, spec.holdout.levels, spec.gallery.min, spec.gallery.max) == ("group", None, 1, 4)
    assert spec.slices == ("era",)


def test_an_emoji_is_a_listing_and_its_vendors_are_the_domains(do_import: Import, tmp_path: Path) -> None:
    data = tmp_path / "data"
    do_import(data)
    names = {row["listing_id"]: row["title"] for row in rows(data, "listings")}
    galleries: dict[str, list[str]] = {}
    for row in rows(data, "images"):
        galleries.setdefault(names[row["listing_id"]], []).append(row["domain"])
    everyone = ["fluent", "google", "openmoji", "twitter"]
    assert galleries == {
        "grinning face": everyone,
        "waving hand": everyone,
        "red heart": everyone,
        "flag: Christmas Island": ["google", "openmoji", "twitter"],
        "distorted face": ["openmoji"],
    }


def test_rasters_are_kept_byte_for_byte_and_svg_is_drawn(
    do_import: Import, tmp_path: Path, tarballs: dict[str, Path]
) -> None:
    data = tmp_path / "data"
    do_import(data)
    store = PhotoStore(data)
    heart = {r["domain"]: r for r in rows(data, "images") if r["listing_id"] == listing_id_of("2764")}
    vendors = read_members(tarballs[GOOGLE.name], lambda name: name.endswith(".png"))
    assert store.read(heart["google"]["path"]) == vendors["img/google/64/2764-fe0f.png"]
    drawn = decode(store.read(heart["openmoji"]["path"]))
    assert drawn.size == (128, 128) == (heart["openmoji"]["width"], heart["openmoji"]["height"])
    assert drawn.getpixel((64, 64)) == (255, 0, 0) and drawn.getpixel((2, 2)) == (255, 255, 255)


def test_of_two_spellings_the_fully_qualified_drawing_is_taken(do_import: Import, tmp_path: Path) -> None:
    data = tmp_path / "data"
    do_import(data)
    path = next(r["path"] for r in rows(data, "images") if r["image_id"] == f"{listing_id_of('2764')}-fluent")
    red, _, blue = decode(PhotoStore(data).read(path)).getpixel((128, 128))  # type: ignore[misc]
    assert red > 200 > blue


def test_names_and_order_say_nothing_about_labels(do_import: Import, tmp_path: Path) -> None:
    data = tmp_path / "data"
    do_import(data)
    listings, images = rows(data, "listings"), rows(data, "images")
    assert [row["listing_id"] for row in listings] == sorted(listing_id_of(row["code_points"]) for row in listings)
    assert [row["image_id"] for row in images] == sorted(f"{row['listing_id']}-{row['domain']}" for row in images)
    assert all(row["path"].partition("::")[2].partition(".")[0] == row["image_id"] for row in images)


def test_licences_are_recorded(do_import: Import, tmp_path: Path) -> None:
    data = tmp_path / "data"
    do_import(data)
    text = (data / "LICENCES.md").read_text()
    for package in PACKAGES:
        assert f"| {package.name} | {package.version} | {package.licence} |" in text
        assert package.attribution in text
    assert "CC-BY-SA-4.0" in read_spec(data).licence
    assert (data / "licences" / "openmoji-17.0.0.txt").read_bytes() == b"CC BY-SA"
    assert (data / "licences" / "emojilib-4.0.3.txt").read_bytes() == b"MIT too"
    assert "simulated" in text


def test_searches_are_written_where_there_are_queries(
    do_import: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_import(tmp_path / "few")
    assert not (tmp_path / "few" / "search_log.parquet").exists()
    monkeypatch.setattr(open_icons_searches, "ENOUGH_RETRIEVED", 2)
    monkeypatch.setattr(open_icons_searches, "ENOUGH_FITTING", 1)
    do_import(tmp_path / "a")
    do_import(tmp_path / "b")
    assert digest_folder(tmp_path / "a") == digest_folder(tmp_path / "b")
    log = rows(tmp_path / "a", "search_log")
    assert {row["query"] for row in log} == {"face", "grinning face"}
    assert {row["listing_id"] for row in log} == {listing_id_of("1f600"), listing_id_of("1faea")}
    assert not {finding for finding in check_folder(tmp_path / "a") if finding.file == "search_log.parquet"}


def test_the_same_packages_give_the_same_bytes_and_replace_an_earlier_import(do_import: Import, tmp_path: Path) -> None:
    do_import(tmp_path / "a")
    (tmp_path / "a" / "old.txt").write_text("from an earlier version")
    do_import(tmp_path / "a")
    do_import(tmp_path / "b")
    assert digest_folder(tmp_path / "a") == digest_folder(tmp_path / "b")


def test_a_folder_with_something_else_in_it_is_left_alone(do_import: Import, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(ShoplensError, match=r"holds something else .*name: open-icons"):
        do_import(mine)
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]


def test_a_failed_download_leaves_the_earlier_import(
    do_import: Import, tmp_path: Path, registry: Any, tiny_packages: tuple[Package, ...]
) -> None:
    data = tmp_path / "data"
    do_import(data)
    before = digest_folder(data)
    registry.bodies.clear()
    (tmp_path / "cache" / tiny_packages[2].file_name).unlink()
    with pytest.raises(ShoplensError, match=r"cannot download emoji-datasource-twitter"):
        do_import(data)
    assert digest_folder(data) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from shoplens.files import replacing_folder
from shoplens.importers import open_icons, open_icons_searches

open_icons.PACKAGES = ()
def half(folder, tarballs):
    open_icons.write_text(folder / "dataset.yaml", "name: open-icons\\n")
    os.kill(os.getpid(), signal.SIGKILL)
open_icons.build_folder = half
open_icons.import_open_icons(Path(sys.argv[1]), Path(sys.argv[1] + "-cache"))
"""


def test_a_killed_import_leaves_the_earlier_one_and_the_next_cleans_up(do_import: Import, tmp_path: Path) -> None:
    data = tmp_path / "data"
    do_import(data)
    before = digest_folder(data)
    assert subprocess.run([sys.executable, "-c", KILLED, str(data)], check=False).returncode == -9
    assert digest_folder(data) == before
    assert list(tmp_path.glob(".data.tmp-*"))
    do_import(data)
    assert digest_folder(data) == before
    assert not list(tmp_path.glob(".data.tmp-*"))


def test_without_the_svg_renderer_the_error_names_it(
    tarballs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(ShoplensError, match="install the package resvg-py"):
        build_folder(tmp_path, tarballs)
