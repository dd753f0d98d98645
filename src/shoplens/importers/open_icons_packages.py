"""The npm packages that open-icons is made of: pinned versions, pinned contents, licences and attributions."""

from __future__ import annotations

import base64
from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """One npm package at one version.

    `integrity` is npm's Subresource Integrity string (sha512 of the tarball), `licence` the SPDX id of what open-icons
    takes from it (which for emoji-datasource is the artwork's licence, not the package's own MIT), and `attribution`
    the line that whoever shares the folder must keep.
    """

    name: str
    version: str
    integrity: str
    licence: str
    source: str
    attribution: str

    @property
    def tarball(self) -> str:
        """The tarball's path below a registry's address."""
        return f"{self.name}/-/{self.name.rsplit('/', 1)[-1]}-{self.version}.tgz"

    @property
    def file_name(self) -> str:
        """The name of the tarball in the cache folder."""
        return f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz"

    @property
    def sha512(self) -> str:
        """The pinned sha512 in hex."""
        return base64.b64decode(self.integrity.removeprefix("sha512-")).hex()


EMOJIBASE = Package(
    "emojibase-data",
    "17.0.0",
    "sha512-Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
    "MIT",
    "https://github.com/milesj/emojibase",
    "Names, keywords and groups: emojibase-data, copyright Miles Johnson, MIT; from Unicode CLDR, Unicode License.",
)
GOOGLE = Package(
    "emoji-datasource-google",
    "16.0.0",
    "sha512-ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A==",
    "Apache-2.0",
    "https://github.com/googlefonts/noto-emoji",
    "Noto Emoji artwork, copyright Google, Apache License 2.0, as packaged by emoji-data (Cal Henderson, MIT).",
)
TWITTER = Package(
    "emoji-datasource-twitter",
    "16.0.0",
    "sha512-7F+uCuHH+7Qnrc15P5tnbvKkg9E6tlzi4MnT2uW1RlN4pLYTza6cP/dstIfSDMtpjFLWuZewWg8jBbuL2eyELQ==",
    "CC-BY-4.0",
    "https://github.com/jdecked/twemoji",
    "Twemoji artwork, copyright Twitter, Inc and other contributors, CC BY 4.0, as packaged by emoji-data "
    "(Cal Henderson, MIT).",
)
OPENMOJI = Package(
    "openmoji",
    "17.0.0",
    "sha512-EBnYrNGdcdw+OSXmENeNE1yBNRu6tOraTmoOyUbJkTmvT/+XETp8RZLSJFzD3lrPc5N9CzsyPnRTk0Vp4UaI9w==",
    "CC-BY-SA-4.0",
    "https://github.com/hfg-gmuend/openmoji",
    "All emojis designed by OpenMoji, the open-source emoji and icon project. License: CC BY-SA 4.0. "
    "Changed: rendered from SVG to PNG.",
)
FLUENT = Package(
    "@lobehub/fluent-emoji-3d",
    "1.1.0",
    "sha512-Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
    "MIT",
    "https://github.com/microsoft/fluentui-emoji",
    "Fluent Emoji artwork, copyright Microsoft Corporation, MIT, as packaged by LobeHub (MIT).",
)

EMOJILIB = Package(
    "emojilib",
    "4.0.3",
    "sha512-KbWiYre9aRSaPbHrHZIz9zmoM+21LAsK1VFJtnTh1VCtWE/rNMDviGhQTmselFl95dhqtGlY22iH0leG5BuW0g==",
    "MIT",
    "https://github.com/muan/emojilib",
    "What fits a query: emojilib, copyright Mu-An Chiou, MIT. The searches in search_log.parquet are simulated.",
)

PACKAGES = (EMOJIBASE, GOOGLE, TWITTER, OPENMOJI, FLUENT, EMOJILIB)
