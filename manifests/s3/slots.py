"""Keeps the examples of what is deployed in a folder, as they lie on object storage: the probe compares with them.

    python slots.py BUCKET PREFIX FOLDER

Slots under PREFIX/slots/ become FOLDER/slots/ once they are whole, and go when they are gone there. Without an answer
all stays as it is. Needs boto3; endpoint, region and keys come from AWS's variables.
"""

import shutil
import signal
import sys
import time
from pathlib import Path

import boto3
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

EVERY_S = 5  # a version is loaded and compared for longer than that before it is served
LAST = "published.json"  # a deployment writes it last


def published(client, bucket, prefix):
    """Slot -> names of its files, of the slots that are whole."""
    start = f"{prefix}/slots/"
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=start):
        for entry in page.get("Contents", []):
            slot, _, name = entry["Key"].removeprefix(start).partition("/")
            if not entry["Key"].endswith("/"):  # a folder that was made by hand
                found.setdefault(slot, []).append(name)
    return {slot: names for slot, names in found.items() if LAST in names}


def copy(client, bucket, prefix, folder):
    """Make folder/slots what lies on object storage; a slot is never there in part."""
    there = published(client, bucket, prefix)
    slots, incoming = Path(folder, "slots"), Path(folder, ".incoming")
    slots.mkdir(exist_ok=True)
    for kept in slots.iterdir():
        if kept.name not in there:
            shutil.rmtree(kept)
    for slot in there.keys() - {kept.name for kept in slots.iterdir()}:
        shutil.rmtree(incoming, ignore_errors=True)
        for name in there[slot]:
            (incoming / name).parent.mkdir(parents=True, exist_ok=True)
            client.download_file(bucket, f"{prefix}/slots/{slot}/{name}", str(incoming / name))
        incoming.rename(slots / slot)


def main(bucket, prefix, folder):
    """Copy again and again, until the pod ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # a container's first process ignores it otherwise
    client = boto3.client("s3")
    while True:
        try:
            copy(client, bucket, prefix, folder)
        except (Boto3Error, BotoCoreError, ClientError, OSError) as problem:
            print(f"slots: {problem}", flush=True)
        time.sleep(EVERY_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
