"""A live repository in a folder and on S3: what is found there is whole, and one process at a time changes it.

S3 is moto's server: a fake that speaks the API, conditional writes included. No server of Triton reads from it here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from stores.s3 import s3 as fake_s3

from shoplens.artifacts import PASSPORT, write_artifact
from shoplens.errors import ShoplensError
from shoplens.files import digest_file, read_json, write_json, write_text
from shoplens.serving import lease, slots, store
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


@pytest.fixture(scope="session")
def s3_root() -> Iterator[S3Store]:
    """A bucket of the fake."""
    with fake_s3() as server, pytest.MonkeyPatch.context() as patch:
        server.create("models")
        for name, value in (server.environment | {"AWS_ENDPOINT_URL": server.endpoint}).items():
            patch.setenv(name, value)
        found = open_store("s3://models")
        patch.undo()
        assert isinstance(found, S3Store)
        yield found


@pytest.fixture
def s3(s3_root: S3Store, tmp_path: Path) -> S3Store:
    """A prefix of its own."""
    return replace(s3_root, prefix=f"{tmp_path.name}/serving")


@pytest.fixture(params=["folder", "s3"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "s3":
        return request.getfixturevalue("s3")  # type: ignore[no-any-return]
    (tmp_path / "volume").mkdir()
    return open_store(str(tmp_path / "volume"))


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


def test_one_process_at_a_time_changes_a_store(either: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 2.0)
    order: list[str] = []

    def second() -> None:
        with either.lock():
            order.append("second")

    with either.lock():
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(3.0 if isinstance(either, S3Store) else 0.2)  # longer than a lease that is not renewed
        order.append("first")
    waiting.join(30)
    assert order == ["first", "second"]


def test_the_lock_of_a_killed_process_is_taken_over_and_a_held_one_is_not(
    s3: S3Store, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 0.4)
    s3.client.put_object(**s3._at(store.LOCK), Body=b'{"host": "node-3", "process": 12}')
    with s3.lock():
        assert "the other deployment was killed" in capfd.readouterr().err
        monkeypatch.setattr(lease, "LEASE_S", 60.0)
        monkeypatch.setattr(lease, "WAIT_S", 0.5)
        with pytest.raises(ShoplensError, match=r"another deployment to s3://.* is still under way"), s3.lock():
            pytest.fail("two hold the lock")
    assert s3.read(store.LOCK) is None


def test_a_write_whose_answer_was_lost_is_not_taken_for_another_s(
    s3: S3Store, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """botocore writes again, and the condition no longer holds, because the first write has arrived."""
    written: list[bytes] = []
    put = s3.client.put_object

    def arrives_twice(**request: Any) -> Any:
        written.append(request["Body"])
        put(**request)
        return put(**request)

    monkeypatch.setattr(lease, "LEASE_S", 0.3)
    monkeypatch.setattr(s3.client, "put_object", arrives_twice)
    with s3.lock():
        deadline = time.monotonic() + 60
        while len(written) < 4:
            assert time.monotonic() < deadline, "the lock is not renewed"
            time.sleep(0.02)
        assert s3.read(store.LOCK) in written[-2:]
    assert s3.read(store.LOCK) is None, "it did not know its own lock again"
    assert "waiting for another deployment" not in capfd.readouterr().err


def test_a_renewal_that_met_another_s_write_is_not_the_end_of_the_lock(
    s3: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 may refuse one of two writes at once with 409, also that of the holder."""
    asked: list[bytes] = []
    conflict = ClientError(
        {"Error": {"Code": "ConditionalRequestConflict"}, "ResponseMetadata": {"HTTPStatusCode": 409}}, "PutObject"
    )

    def refused(**request: Any) -> Any:
        asked.append(request["Body"])
        raise conflict

    monkeypatch.setattr(lease, "LEASE_S", 0.3)
    with s3.lock(), monkeypatch.context() as patch:
        patch.setattr(s3.client, "put_object", refused)
        deadline = time.monotonic() + 60
        while len(asked) < 2:
            assert time.monotonic() < deadline, "it gave up after the first refusal"
            time.sleep(0.02)
    assert s3.read(store.LOCK) is None


def test_who_lost_the_lock_does_not_end_as_if_nothing_had_happened(
    s3: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that slept: another deployment took the lock over, and both have changed what is there."""
    asked: list[bytes] = []
    put = s3.client.put_object

    def counted(**request: Any) -> Any:
        asked.append(request["Body"])
        return put(**request)

    monkeypatch.setattr(lease, "LEASE_S", 0.3)
    with pytest.raises(ShoplensError, match=r"another deployment to s3://.* took over"), s3.lock():
        put(**s3._at(store.LOCK), Body=b"another's")
        monkeypatch.setattr(s3.client, "put_object", counted)
        deadline = time.monotonic() + 60
        while not asked:
            assert time.monotonic() < deadline, "the lock is not renewed"
            time.sleep(0.02)
    assert s3.read(store.LOCK) == b"another's", "it gave back a lock that is not its own"


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
