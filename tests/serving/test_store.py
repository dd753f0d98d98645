"""A live repository in a folder and on S3: what is found there is whole.

S3 is moto's server: a fake that speaks the API, conditional writes included. No server of Triton reads from it here.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from shoplens.artifacts import PASSPORT, write_artifact
from shoplens.errors import ShoplensError
from shoplens.files import digest_file, read_json, write_json, write_text
from shoplens.serving import slots, store
from shoplens.serving.repository import MODELS, VARIANTS, Description
from shoplens.serving.store import FolderStore, S3Store, Store, open_store


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with every model, of files that no server could load."""
    out = tmp_path_factory.mktemp("made") / "package"
    described = Description(size=8, short_side=None, dim=4, ranker="r", search="s", codes=True)
    with write_artifact(out, "package", {}, {}) as folder:
        write_json(folder / "description.json", {"weights": "w", "description": asdict(described)})
        write_json(folder / "examples" / "examples.json", [])
        for variant in VARIANTS:
            for name in MODELS:
                write_text(folder / "repository" / variant / name / "config.pbtxt", f"{variant} {name}")
                write_text(folder / "repository" / variant / name / "1" / "model.py", f"{name}")
    return out


def tree(found: Store) -> dict[str, str | None]:
    """Every file below a store, with its digest; the lock is none."""
    if isinstance(found, S3Store):
        start = len(found.prefix) + 1
        names = [key[start:] for key in found._keys("repository") + found._keys("slots")]
    else:
        assert isinstance(found, FolderStore)
        names = [path.relative_to(found.root).as_posix() for path in found.root.rglob("*") if path.is_file()]
    return {name: found.digest(name) for name in sorted(names)}


def publish(found: Store, package: Path, version: str = "7") -> str:
    return slots.publish(found, package, "gpu", version, slots.models_digest(package))


def test_what_is_published_are_the_packages_own_files(either: Store, package: Path) -> None:
    slot = publish(either, package)
    assert slot == f"v7_{slots.models_digest(package)[:8]}"
    wanted = {
        f"repository/{name}_{slot}/{path.relative_to(source).as_posix()}": digest_file(path)
        for name in MODELS
        for source in [package / "repository" / "gpu" / name]
        for path in source.rglob("*")
        if path.is_file()
    }
    wanted |= {f"slots/{slot}/{name}": digest for name, digest in read_json(package / PASSPORT)["files"].items()
               if name == "description.json" or name.startswith("examples/")}  # fmt: skip
    found = tree(either)
    found.pop(f"slots/{slot}/published.json")
    assert found == wanted


def test_publishing_again_changes_nothing_and_other_bytes_are_an_error(
    either: Store, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot, before = publish(either, package), tree(either)
    with monkeypatch.context() as patch:
        patch.setattr(type(either), "put", lambda *_: pytest.fail("it was published again"))
        assert publish(either, package) == slot
    with pytest.raises(ShoplensError, match=f"slot {slot} with other models than the package's"):
        slots.publish(either, package, "embedded", "7", slots.models_digest(package))

    model = f"repository/encoder_{slot}/1/model.py"
    content = either.read(model)
    assert content is not None
    either.write(model, content[:-1])
    with pytest.raises(ShoplensError, match=rf"{model} is missing or was changed .*remove .*{slot}/published.json"):
        publish(either, package)
    either.remove(f"slots/{slot}")
    assert publish(either, package) == slot
    assert tree(either) == before


def test_half_a_folder_is_never_found(either: Store, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("one")
    files = {"1/model.py": tmp_path / "model.py", "config.pbtxt": b"config", "1/zz.py": tmp_path / "missing"}
    with pytest.raises(OSError, match="missing"):
        either.put("repository/gallery_v1_a", files)
    assert either.read("repository/gallery_v1_a/config.pbtxt") is None, "Triton would load half a model"
    if isinstance(either, FolderStore):
        assert either.names("repository") == []
    files.pop("1/zz.py")
    either.put("repository/gallery_v1_a", files)
    assert tree(either).keys() == {"repository/gallery_v1_a/1/model.py", "repository/gallery_v1_a/config.pbtxt"}
    either.put("repository/gallery_v1_a", {"config.pbtxt": b"anew"})
    assert tree(either).keys() == {"repository/gallery_v1_a/config.pbtxt"}, "what was there before was left"


def test_an_interrupted_publication_is_done_again(
    either: Store, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    puts: list[str] = []
    put = type(either).put

    def killed(self: Store, folder: str, files: store.Files) -> None:
        puts.append(folder)
        if len(puts) == 3:
            raise KeyboardInterrupt
        put(self, folder, files)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(type(either), "put", killed)
        with pytest.raises(KeyboardInterrupt):
            publish(either, package)
    assert either.names("slots") == []
    slot = publish(either, package)
    assert publish(either, package) == slot
    slots.remove_stale(either, keep=())
    assert tree(either) == {}


def test_names_point_at_a_slot_and_are_taken_away(either: Store, package: Path) -> None:
    slot = publish(either, package)
    slots.point(either, "7", slot)
    config = either.read("repository/ranker/config.pbtxt")
    assert config is not None
    assert f'model_name: "ranker_{slot}"' in config.decode()
    assert "versions: 7" in config.decode()
    assert set(either.names("repository")) == {
        *("gallery", "photo", "ranker", "search"),
        *(f"{name}_{slot}" for name in ("encoder", "gallery", "photo", "ranker", "search")),
    }
    slots.remove_names(either, keep=("gallery", "photo"))
    assert either.read("repository/ranker/config.pbtxt") is None
    assert either.read("repository/gallery/config.pbtxt") is not None
    assert either.names("slots") == [slot]


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]", b"{}", b'{"description": {"colour": 1}}'])
def test_a_damaged_description_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    found = FolderStore(tmp_path)
    found.write("slots/v7_1a2b3c4d/description.json", content)
    with pytest.raises(ShoplensError, match=r"description.json is not a description that this version of shoplens"):
        slots.described(found, "v7_1a2b3c4d")


def test_a_server_sees_every_change_of_an_object(s3: S3Store) -> None:
    times = []
    for content in (b"one", b"two"):
        s3.write("repository/gallery/config.pbtxt", content)
        times.append(s3.client.head_object(**s3._at("repository/gallery/config.pbtxt"))["LastModified"])
    assert s3.read("repository/gallery/config.pbtxt") == b"two"
    assert times[0] != times[1], "Triton tells by whole seconds"


def test_what_is_no_place_is_a_clear_error(s3: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ShoplensError, match="none is not a folder: mount the volume"):
        open_store(str(tmp_path / "none"))
    with pytest.raises(ShoplensError, match=r"s3://no-such-bucket/x: .*NoSuchBucket.*correct the bucket"):
        replace(s3, bucket="no-such-bucket", prefix="x").read("state.json")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(ShoplensError, match="Could not connect to the endpoint URL"):
        open_store("s3://bucket/x").read("state.json")
