"""Tiny npm packages in npm's real format, and a local web server that serves them as the registry does."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from shoplens.importers import open_icons_packages as packages
from shoplens.importers.open_icons_packages import Package


def pack(files: dict[str, bytes], root: str = "package/") -> bytes:
    """A .tgz as `npm pack` makes it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(root + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def pinned(package: Package, content: bytes) -> Package:
    """The package with the integrity of `content`."""
    return replace(package, integrity="sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode())


def picture(colour: str, side: int, kind: str) -> bytes:
    """A drawing: a disc's worth of colour on a transparent background."""
    image = Image.new("RGBA", (side, side))
    image.paste(colour, (side // 4, side // 4, 3 * side // 4, 3 * side // 4))
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def emoji_row(hexcode: str, label: str, group: int, tags: list[str], order: int, **more: object) -> dict[str, object]:
    """A row of emojibase's data.json."""
    row = {"hexcode": hexcode, "label": label, "group": group, "tags": tags, "order": order, "type": 1, "version": 1}
    return row | more


EMOJIS = [
    {"hexcode": "1F1E6", "label": "regional indicator A", "type": 1, "version": 0},
    emoji_row("1F600", "grinning face", 0, ["face", "grin"], 1, version=0.6),
    emoji_row("1F44B", "waving hand", 1, ["wave", "hello"], 2, skins=[{"hexcode": "1F44B-1F3FB"}]),
    emoji_row("1F3FB", "light skin tone", 2, ["skin"], 3),
    emoji_row("2764-FE0F", "red heart", 0, ["heart", "love"], 4, type=0),
    emoji_row("1F1E8-1F1FD", "flag: Christmas Island", 9, ["CX", "flag"], 5, version=2),
    emoji_row("1FAEA", "distorted face", 0, ["face"], 6, version=17),
]
GROUPS = {"0": "smileys-emotion", "1": "people-body", "2": "component", "9": "flags"}
CARRIERS = [
    {"unified": "1F600", "docomo": None, "au": "E471", "softbank": None},
    {"unified": "1F44B", "docomo": "E695", "au": None, "softbank": None},
    {"unified": "2764-FE0F", "docomo": None, "au": None, "softbank": None},
    {"unified": "1F1E8-1F1FD", "docomo": None, "au": None, "softbank": None},
]
KEYWORDS = {"\U0001f600": ["grinning_face", "Face"], "\u2764\ufe0f": ["love", "face"], "\U0001f1e8\U0001f1fd": ["flag"]}
SVG = '<svg viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg"><circle cx="36" cy="36" r="23" fill="{}"/></svg>'


def tiny_files() -> dict[Package, dict[str, bytes]]:
    """The files of six tiny packages: six emojis of which one is drawn by OpenMoji only."""
    google = {f"img/google/64/{n}.png": picture(c, 64, "PNG") for n, c in DRAWN.items()}
    twitter = {f"img/twitter/64/{n}.png": picture(c, 64, "PNG") for n, c in DRAWN.items()}
    fluent = {f"assets/{n}.webp": picture(c, 256, "WEBP") for n, c in DRAWN.items()}
    openmoji = {f"color/svg/{n.upper().replace('-FE0F', '')}.svg": SVG.format(c).encode() for n, c in DRAWN.items()}
    return {
        packages.EMOJIBASE: {
            "en/data.json": json.dumps(EMOJIS).encode(),
            "meta/groups.json": json.dumps({"groups": GROUPS}).encode(),
            "LICENSE": b"MIT",
        },
        packages.GOOGLE: google | {"emoji.json": json.dumps(CARRIERS).encode()},
        packages.TWITTER: twitter,
        packages.FLUENT: fluent | {"assets/2764.webp": picture("blue", 256, "WEBP")},
        packages.OPENMOJI: openmoji | {"color/svg/1FAEA.svg": SVG.format("#0f0").encode(), "LICENSE.txt": b"CC BY-SA"},
        packages.EMOJILIB: {"dist/emoji-en-US.json": json.dumps(KEYWORDS).encode(), "LICENSE": b"MIT too"},
    }


DRAWN = {"1f600": "gold", "1f44b": "orange", "1f44b-1f3fb": "wheat", "2764-fe0f": "red", "1f1e8-1f1fd": "navy"}


@dataclass
class Registry:
    """A web server on this machine: `bodies` by path; `answer` may replace what a request gets."""

    url: str
    bodies: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    answer: Callable[[BaseHTTPRequestHandler, bytes], None] | None = None

    def publish(self, package: Package, content: bytes) -> Package:
        """Serve `content` as the package's tarball; returns the package pinned to it."""
        self.bodies["/" + package.tarball] = content
        return pinned(package, content)


def send(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """Answer 200 with `body`."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """An empty registry that `npm_config_registry` names."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            body = state.bodies.get(self.path)
            if body is None:
                self.send_error(404)
            else:
                (state.answer or send)(self, body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Registry(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setenv("npm_config_registry", state.url + "/")
    yield state
    server.shutdown()
    server.server_close()


@pytest.fixture
def tarballs(tmp_path: Path) -> dict[str, Path]:
    """Package name -> tarball of the six tiny packages."""
    folder = tmp_path / "tarballs"
    folder.mkdir()
    for package, files in tiny_files().items():
        (folder / package.file_name).write_bytes(pack(files))
    return {package.name: folder / package.file_name for package in tiny_files()}


@pytest.fixture
def tiny_packages(registry: Registry) -> tuple[Package, ...]:
    """The six tiny packages, published and pinned, in the order of PACKAGES."""
    files = tiny_files()
    return tuple(registry.publish(package, pack(files[package])) for package in packages.PACKAGES)
