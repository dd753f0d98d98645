"""The vendors' drawings of each emoji, as image files: raster bytes as delivered, OpenMoji's SVG drawn by resvg."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from shoplens.errors import ShoplensError
from shoplens.importers.open_icons_archive import read_members
from shoplens.importers.open_icons_catalogue import Emoji, key_of
from shoplens.importers.open_icons_packages import FLUENT, GOOGLE, OPENMOJI, TWITTER, Package
from shoplens.progress import progress

SVG_SIDE = 128
"""Pixels of OpenMoji's square drawings: between the 64 of Google's and Twitter's and the 256 of Fluent's."""


@dataclass(frozen=True)
class Vendor:
    """Whose drawings, in which package, and the pattern of their paths; group 1 is the code points."""

    domain: str
    package: Package
    pattern: re.Pattern[str]


VENDORS = (
    Vendor("fluent", FLUENT, re.compile(r"assets/([0-9a-f-]+)\.webp")),
    Vendor("google", GOOGLE, re.compile(r"img/google/64/([0-9a-f-]+)\.png")),
    Vendor("openmoji", OPENMOJI, re.compile(r"color/svg/([0-9A-F-]+)\.svg")),
    Vendor("twitter", TWITTER, re.compile(r"img/twitter/64/([0-9a-f-]+)\.png")),
)


@dataclass(frozen=True)
class Drawing:
    """One vendor's drawing of one emoji: its file's bytes, `png` or `webp`, and its size in pixels."""

    domain: str
    content: bytes
    suffix: str
    width: int
    height: int


def has_drawing(vendor: Vendor, emoji: Emoji) -> bool:
    """Whether the vendor's drawing of the emoji is the vendor's: Microsoft draws no country flags.

    The Fluent package fills that gap from a source that it does not name, so its country flags are left out.
    """
    return not (vendor.domain == "fluent" and emoji.is_country_flag)


def rasterise(svg: str) -> bytes:
    """A PNG of `SVG_SIDE` pixels a side with a transparent background, from an SVG without text.

    Raises:
        ShoplensError: if the package resvg-py is missing.
    """
    try:
        import resvg_py  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise ShoplensError("OpenMoji's drawings are SVG files: install the package resvg-py to draw them") from None
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, width=SVG_SIDE, height=SVG_SIDE, skip_system_fonts=True))


def _drawing(domain: str, content: bytes) -> Drawing:
    with Image.open(io.BytesIO(content), formats=("PNG", "WEBP")) as image:
        return Drawing(domain, content, str(image.format).lower(), image.width, image.height)


def read_drawings(vendor: Vendor, tarball: Path, keys: Collection[str]) -> dict[str, Drawing]:
    """Key -> the vendor's drawing, of those emojis in `keys` that it has.

    Where a package holds an emoji under two spellings, the longer one, which is fully qualified, is taken.

    Raises:
        ShoplensError: if the tarball cannot be read.
    """
    wanted = set(keys)

    def key_at(path: str) -> str | None:
        match = vendor.pattern.fullmatch(path)
        return key_of(match[1]) if match else None

    members = read_members(tarball, lambda path: key_at(path) in wanted)
    paths = {key_at(path): path for path in sorted(members, key=len)}
    drawings: dict[str, Drawing] = {}
    for key, path in progress(sorted((k, p) for k, p in paths.items() if k), f"{vendor.domain} drawings"):
        content = rasterise(members[path].decode()) if path.endswith(".svg") else members[path]
        drawings[key] = _drawing(vendor.domain, content)
    return drawings


def read_galleries(emojis: list[Emoji], tarballs: Mapping[str, Path]) -> dict[str, list[Drawing]]:
    """Key -> the emoji's drawings, one a vendor, by domain; emojis that nobody drew are not in it.

    Args:
        emojis: whose drawings are wanted.
        tarballs: package name -> its tarball.

    Raises:
        ShoplensError: as `read_drawings` and `rasterise`.
    """
    galleries: dict[str, list[Drawing]] = {}
    for vendor in VENDORS:
        keys = [emoji.key for emoji in emojis if has_drawing(vendor, emoji)]
        for key, drawing in read_drawings(vendor, tarballs[vendor.package.name], keys).items():
            galleries.setdefault(key, []).append(drawing)
    return galleries
