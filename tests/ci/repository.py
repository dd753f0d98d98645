"""A real git repository with what a model is made from, and a bare one beside it as its origin."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

WHO = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "core.fsync=none")


class Checkout:
    """A working copy: write files, commit them, push."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def git(self, *words: str) -> str:
        done = subprocess.run(["git", *WHO, *words], cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def write(self, **files: str) -> None:
        """Write files; two underscores in a keyword are a slash, one is a dot."""
        for name, text in files.items():
            path = self.root / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self, **files: str) -> str:
        """Commit the files (or nothing at all); the new commit."""
        self.write(**files)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "a change")
        return self.head

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")


def pin(md5: str, desc: str = "the data") -> str:
    return yaml.safe_dump({"desc": desc, "outs": [{"md5": f"{md5}.dir", "path": "data", "hash": "md5"}]})


def new_checkout(folder: Path) -> Checkout:
    """A first commit, pushed to an origin."""
    origin, root = folder / "origin.git", folder / "checkout"
    for path, words in ((origin, ["--bare"]), (root, [])):
        subprocess.run(["git", "init", "-q", "--template=", "-b", "main", *words, str(path)], check=True)
    checkout = Checkout(root)
    checkout.git("remote", "add", "origin", str(origin))
    checkout.write(_gitignore="/artifacts/\n")
    checkout.commit(
        src__model_py="width = 1\n",
        params_yaml="epochs: 1\n",
        gate_yaml="version: 1\n",
        dvc_yaml="stages: {}\n",
        data_dvc=pin("a" * 32),
        dvc_lock="schema: '2.0'\n",
        README_md="read me\n",
    )
    checkout.git("push", "-q", "origin", "main")
    return checkout


def clone_of(checkout: Checkout, folder: Path) -> Checkout:
    """What a fresh job has: the newest commit of origin's main, detached, with the whole history."""
    subprocess.run(["git", "clone", "-q", str(checkout.root.parent / "origin.git"), str(folder)], check=True)
    found = Checkout(folder)
    found.git("checkout", "-q", "--detach")
    return found
