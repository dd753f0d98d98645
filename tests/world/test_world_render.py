"""The rendered contract folder: valid, complete, equal byte for byte however it was rendered."""

import io
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from shoplens.contract.checks import check_folder
from shoplens.contract.pixels import decode
from shoplens.contract.spec import read_spec
from shoplens.contract.tables import read_images, read_listings, read_search_log
from shoplens.files import digest_folder
from shoplens.params import WorldParams
from shoplens.world import render
from shoplens.world.gallery import SCENES, gallery, photos
from shoplens.world.listing import draw_listing
from shoplens.world.render import draw_listings, render_world
from shoplens.world.tables import TASKS

SMALL = WorldParams(listings=80, seed=5)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world") / "data"
    render_world(out, SMALL, workers=1)
    return out


def contents(world: Path) -> dict[str, bytes]:
    """Path in the contract's form -> bytes."""
    found = {}
    for shard in sorted((world / "images").iterdir()):
        with tarfile.open(shard) as tar:
            for member in tar:
                stream = tar.extractfile(member)
                assert stream is not None
                found[f"images/{shard.name}::{member.name}"] = stream.read()
    return found


def test_the_contract_reads_it(world: Path) -> None:
    spec = read_spec(world)
    assert [(task.name, task.kind) for task in spec.tasks] == list(TASKS)
    assert spec.holdout is not None
    assert (spec.holdout.name, list(spec.slices)) == ("star_rating", ["market"])
    assert read_listings(world, spec).num_rows == SMALL.listings
    log = read_search_log(world)
    assert log is not None and len(set(log["session_id"].to_pylist())) == 6 * SMALL.listings
    files = ["dataset.yaml", "images", "images.parquet", "listings.parquet", "search_log.parquet"]
    assert sorted(p.name for p in world.iterdir()) == files


def test_a_valid_contract_folder(world: Path) -> None:
    """The galleries of 80 listings fill the splits unevenly, which is no fault of the rows."""
    assert not [finding for finding in check_folder(world) if finding.file == "search_log.parquet"]


def test_without_sessions_there_is_no_log(tmp_path: Path) -> None:
    render_world(tmp_path / "data", WorldParams(listings=20, sessions_per_listing=0), workers=1)
    assert not (tmp_path / "data" / "search_log.parquet").exists()


def test_every_listing_has_its_gallery_and_rows_are_sorted_by_id(world: Path) -> None:
    images = read_images(world).to_pydict()
    counts = Counter(images["listing_id"])
    assert counts == {x.listing_id: len(gallery(x, SMALL)) for x in draw_listings(SMALL)}
    assert images["image_id"] == sorted(set(images["image_id"]))
    ids = pq.read_table(world / "listings.parquet")["listing_id"].to_pylist()
    assert ids == sorted(ids)


def test_photos_decode_and_have_the_size_that_the_table_says(world: Path) -> None:
    files, images = contents(world), read_images(world).to_pylist()
    assert {row["path"] for row in images} == set(files)
    for row in images:
        upright = decode(files[row["path"]])
        assert upright.size == (row["width"], row["height"])
        assert upright.mode == "RGB"
    assert np.median([len(content) for content in files.values()]) < 3300


def test_some_photos_keep_readers_honest() -> None:
    """Grey and turned JPEGs, PNGs with an alpha channel, WebP and other sizes, each about one in a hundred."""
    kinds: Counter[str] = Counter()
    for number in range(150):
        for photo in photos(draw_listing(SMALL, number), SMALL):
            with Image.open(io.BytesIO(photo.content)) as stored:
                turned = stored.getexif().get(0x0112, 1) != 1
                kinds[f"{stored.format} {stored.mode}{' turned' if turned else ''}"] += 1
                kinds["other size"] += stored.size != (96, 96)
                kinds["all"] += 1
    for kind in ("JPEG L", "JPEG RGB turned", "PNG RGBA", "WEBP RGB", "other size"):
        assert 0.002 * kinds["all"] < kinds[kind] < 0.06 * kinds["all"], kind


def test_a_turned_photo_is_upright_after_exif(monkeypatch: pytest.MonkeyPatch) -> None:
    """The EXIF flag undoes the storage: with and without it the decoded photo shows the same."""
    from shoplens.world import camera

    scene = Image.fromarray(np.linspace(0, 255, 96 * 96 * 3).astype(np.uint8).reshape(96, 96, 3))
    decoded = {}
    for kind in ("jpeg", "turned"):
        monkeypatch.setattr(camera, "FORMAT_WEIGHTS", [float(name == kind) for name in camera.FORMATS])
        monkeypatch.setattr(camera, "CROP_WEIGHTS", (0, 1, 0, 0))
        _, content, width, height = camera.encode(np.random.default_rng(0), scene)
        assert (width, height) == (96, 72)
        decoded[kind] = np.asarray(decode(content)).astype(int)
    assert np.abs(decoded["jpeg"] - decoded["turned"]).mean() < 3


def test_equal_bytes_whatever_the_workers(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "ALONE", 0)
    render_world(tmp_path / "again", SMALL, workers=2)
    assert digest_folder(tmp_path / "again") == digest_folder(world)


def test_photos_do_not_depend_on_the_number_of_listings(world: Path) -> None:
    listing = draw_listing(WorldParams(listings=5000, seed=5), 3)
    files = {path.split("::")[1]: content for path, content in contents(world).items()}
    for photo in photos(listing, WorldParams(listings=5000, seed=5)):
        assert files[f"{photo.image_id}.{photo.suffix}"] == photo.content


def test_tars_say_nothing_about_when_and_who(world: Path) -> None:
    with tarfile.open(world / "images" / "000.tar") as tar:
        heads = {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.type) for m in tar}
    assert heads == {(0, 0, 0, "", "", 0o644, tarfile.REGTYPE)}


def test_shards_are_closed_when_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "SHARD", 60)
    render_world(tmp_path / "data", WorldParams(listings=20), workers=1)
    assert sorted(p.name for p in (tmp_path / "data" / "images").iterdir())[:2] == ["000.tar", "001.tar"]
    assert {row["path"] for row in read_images(tmp_path / "data").to_pylist()} == set(contents(tmp_path / "data"))


def test_a_failed_rendering_leaves_the_old_folder(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest_folder(world)

    def fails(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(render, "listings_table", fails)
    with pytest.raises(OSError, match="disk full"):
        render_world(world, WorldParams(listings=20), workers=1)
    assert digest_folder(world) == before


def test_scenes_show_only_what_is_offered() -> None:
    shown: Counter[str] = Counter()
    for listing in draw_listings(WorldParams(listings=800)):
        scenes = gallery(listing, WorldParams())
        shown.update(set(scenes))
        for scene, task in (("pool", "pool"), ("bar", "bar"), ("beach", "beach_access"), ("picnic", "picnic_area")):
            assert scene not in scenes or listing.facts.has(task)
    assert set(shown) == set(SCENES)
    offered = sum(x.facts.has("pool") for x in draw_listings(WorldParams(listings=800)))
    assert 0.4 * offered < shown["pool"] < 0.95 * offered
