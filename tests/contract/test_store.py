"""Photos in files and tar shards: same bytes, from threads and other processes, and never from outside the folder."""

import multiprocessing
import pickle
import tarfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from shoplens.contract.store import PhotoStore
from shoplens.errors import ShoplensError

CONTENTS = {f"{number}.jpg": bytes([number]) * (300 * number) for number in range(60)}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    with tarfile.open(folder / "images/000.tar", "w") as tar:
        for name, content in CONTENTS.items():
            (folder / "images" / name).write_bytes(content)
            tar.add(folder / "images" / name, name)
        tar.add(folder / "images/5.jpg", "./photos/" + "long-é" * 40 + ".jpg")
    return folder


def test_files_and_tar_members_give_their_bytes(data: Path) -> None:
    store = PhotoStore(data)
    for name, content in CONTENTS.items():
        for path in (f"images/{name}", f"images/000.tar::{name}"):
            assert store.read(path) == content
            assert store.size(path) == len(content)


def test_long_and_dotted_member_names(data: Path) -> None:
    store = PhotoStore(data)
    for start in ("", "./"):
        assert store.read("images/000.tar::" + start + "photos/" + "long-é" * 40 + ".jpg") == CONTENTS["5.jpg"]


def test_many_threads_share_one_store(data: Path) -> None:
    store = PhotoStore(data)
    names = list(CONTENTS) * 20
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(store.read, (f"images/000.tar::{name}" for name in names)))
    assert contents == [CONTENTS[name] for name in names]


def test_a_store_travels_to_other_processes(data: Path) -> None:
    store = PhotoStore(data)
    store.read("images/000.tar::1.jpg")
    assert pickle.loads(pickle.dumps(store)).read("images/000.tar::7.jpg") == CONTENTS["7.jpg"]
    paths = [f"images/000.tar::{name}" for name in CONTENTS]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(store.read, paths, chunksize=30)) == list(CONTENTS.values())


def test_the_folder_itself_may_be_a_link(data: Path) -> None:
    link = data.parent / "link"
    link.symlink_to(data)
    assert PhotoStore(link).read("images/3.jpg") == CONTENTS["3.jpg"]


def test_a_truncated_tar_is_refused(data: Path) -> None:
    path = data / "images/000.tar"
    with tarfile.open(path) as tar:
        end = tar.getmember("59.jpg").offset_data + 10
    with path.open("r+b") as handle:
        handle.truncate(end)
    with pytest.raises(ShoplensError, match=r"000\.tar"):
        PhotoStore(data).read("images/000.tar::59.jpg")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/etc/hostname", "is absolute"),
        ("C:\\a.jpg", "is absolute"),
        ("\\\\server\\a.jpg", "is absolute"),
        ("/tmp/a.tar::a.jpg", "is absolute"),
        ("../outside.jpg", "leaves the data folder"),
        ("images/../images/1.jpg", "leaves the data folder"),
        ("../outside.tar::a.jpg", "leaves the data folder"),
        ("images/link.jpg", "leaves the data folder"),
        ("links/outside.jpg", "leaves the data folder"),
        ("images/gone.jpg", "images/gone.jpg"),
        ("images", "images"),
        ("images/a\0b.jpg", "not a file name"),
        ("images/000.tar::gone.jpg", "no member gone.jpg"),
        ("images/gone.tar::a.jpg", "images/gone.tar"),
        ("images/1.jpg::a.jpg", "images/1.jpg is not a readable tar file"),
        ("images/linked.tar::hard.jpg", "no member hard.jpg"),
    ],
)
def test_each_refusal_names_the_path(data: Path, path: str, said: str) -> None:
    outside = data.parent / "outside.jpg"
    outside.write_bytes(b"secret")
    with tarfile.open(data.parent / "outside.tar", "w") as tar:
        tar.add(outside, "a.jpg")
    (data / "images/link.jpg").symlink_to(outside)
    (data / "links").symlink_to(data.parent)
    with tarfile.open(data / "images/linked.tar", "w") as tar:
        info = tarfile.TarInfo("hard.jpg")
        info.type, info.linkname = tarfile.SYMTYPE, "../../outside.jpg"
        tar.addfile(info)
    with pytest.raises(ShoplensError) as raised:
        PhotoStore(data).read(path)
    assert said in str(raised.value)
    with pytest.raises(ShoplensError):
        PhotoStore(data).size(path)
