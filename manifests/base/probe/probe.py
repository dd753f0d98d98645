"""Asks the Triton of this pod for the embedding of a known gallery, and compares values: READY alone proves nothing.

    python3 probe.py ready FOLDER   exit 0: `gallery` answers the example of the version that it serves
    python3 probe.py alive FOLDER   exit 1: a loaded `gallery` answers wrongly, or with an error

Slow is not dead: a server with a long queue stays alive, so that load does not restart it; it is not ready. A server
that nothing was deployed to is alive and not ready. FOLDER has `repository/` and `slots/<slot>/examples/`, as shoplens
deploys them. Needs numpy, like the models beside it.
"""

import json
import struct
import sys
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np

SERVER = "http://127.0.0.1:8000"
TIMEOUT_S = 8  # of each of its requests; the kubelet must wait for longer, or slow would be dead
# TensorRT on another card adds up in another order; two versions of an encoder do not come this close.
SAME_ANSWER = 0.9999


class Wrong(Exception):
    """The server answered, and not as it should."""


def infer_request(photos):
    """Headers and body of a request to `gallery`: Triton's binary extension of the v2 protocol.

    Args:
        photos: photo files' bytes.
    """
    tensor = b"".join(struct.pack("<I", len(photo)) + photo for photo in photos)
    described = {
        "name": "PHOTOS",
        "datatype": "BYTES",
        "shape": [len(photos)],
        "parameters": {"binary_data_size": len(tensor)},
    }
    head = json.dumps({"inputs": [described], "outputs": [{"name": "EMBEDDING"}]}).encode()
    return {"Inference-Header-Content-Length": str(len(head))}, head + tensor


def example(folder, version):
    """Photos of the smallest example gallery of a version, and the embeddings that its packages promise.

    Several, if a version was packaged again: which of them is served, the answer shows.

    Raises:
        Wrong: if no such version was deployed here.
    """
    photos, promised = [], []
    for slot in sorted(Path(folder, "slots").glob(f"v{version}_*")):
        galleries = json.loads((slot / "examples" / "examples.json").read_text())
        at = min(range(len(galleries)), key=lambda n: len(galleries[n]["photos"]))
        photos.append([(slot / "examples" / name).read_bytes() for name in galleries[at]["photos"]])
        promised.append(np.load(slot / "examples" / "served.npy", allow_pickle=False)[at])
    if not photos:
        raise Wrong(f"version {version} is served, and {folder}/slots has no examples of it")
    return photos, promised


def cosine(left, right):
    """Of two vectors; 0 if one is all zeros or not finite, which no example is."""
    left, right = (np.asarray(vector, dtype=np.float64) for vector in (left, right))
    if left.shape != right.shape or not (np.isfinite(left).all() and np.isfinite(right).all()):
        return 0.0
    scale = np.linalg.norm(left) * np.linalg.norm(right)
    return float(left @ right / scale) if scale > 0 else 0.0


def served_version(server):
    """The version that `gallery` serves; None if it is not loaded."""
    try:
        with urlopen(f"{server}/v2/models/gallery", timeout=TIMEOUT_S) as answer:
            versions = json.load(answer)["versions"]
    except HTTPError:
        return None
    return versions[-1] if versions else None


def check(folder, server=SERVER):
    """The version that answers as promised; None if nothing is loaded.

    Raises:
        Wrong: if the answer is an error, or another embedding.
        OSError, HTTPException: if there is no answer in time, or half of one.
    """
    version = served_version(server)
    if version is None:
        return None
    found = []
    for photos, promised in zip(*example(folder, version), strict=True):
        headers, body = infer_request(photos)
        try:
            with urlopen(Request(f"{server}/v2/models/gallery/infer", body, headers), timeout=TIMEOUT_S) as answer:
                outputs = json.load(answer)["outputs"]
        except HTTPError as error:
            raise Wrong(f"version {version} answers {error.code}: {error.read()[:300]!r}") from None
        found.append(cosine(outputs[0]["data"], promised))
    if max(found) < SAME_ANSWER:
        raise Wrong(f"version {version}: cosine {max(found):.6f} to its own example, {SAME_ANSWER} is promised")
    return version


def main(mode, folder, server=SERVER):
    """The exit status, and what is wrong on standard output, where `kubectl describe pod` shows it."""
    try:
        version = check(folder, server)
    except Wrong as problem:
        print(problem)
        return 1
    except (OSError, HTTPException) as problem:
        print(f"no answer: {problem}")
        return 1 if mode == "ready" else 0
    if version is None:
        print("no gallery model is loaded: deploy one")
        return 1 if mode == "ready" else 0
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
