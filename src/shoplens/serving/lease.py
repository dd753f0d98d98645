"""A lock on S3: an object that its holder writes anew, by conditional writes, while it lives."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from shoplens.errors import ShoplensError
from shoplens.progress import say

LEASE_S = 60.0
"""A lock whose holder has not renewed it for so long is taken over: its holder was killed."""
WAIT_S = 600.0


@contextlib.contextmanager
def leased(client: Any, place: Mapping[str, str], where: str) -> Iterator[None]:
    """Hold the lock within the block.

    Args:
        client: botocore's, of S3.
        place: bucket and key of the lock's object.
        where: what it locks, for messages.

    Raises:
        ShoplensError: if another process holds the lock for ten minutes, S3 refuses, or the lock was lost within the
            block, which ends without an error of its own.
    """
    lease = _Lease(client, place, where)
    lease.acquire()
    try:
        yield
    finally:
        lease.release()
    if lease.lost:
        raise ShoplensError(
            f"another deployment to {where} took over, as this one gave no sign of life for {LEASE_S:.0f} s: wait for "
            "it, then run this command again"
        )


class _Lease:
    """One holder's, or one who waits."""

    def __init__(self, client: Any, place: Mapping[str, str], where: str) -> None:
        self._client, self._place, self._where = client, place, where
        self._token = uuid.uuid4().hex
        self._holder = {"host": socket.gethostname(), "process": os.getpid(), "token": self._token}
        self._written = 0
        self._tag = ""
        self.lost = False
        self._ended = threading.Event()
        self._renewing = threading.Thread(target=self._renew, daemon=True)

    def acquire(self) -> None:
        """Wait for the lock, and keep it from here on."""
        deadline = time.monotonic() + WAIT_S
        seen, since, holder = "", 0.0, ""
        while not self._write(IfNoneMatch="*"):
            held = self._read()
            if held is not None:
                tag, holder = held[0], held[1].decode(errors="replace")
                if tag != seen:
                    if not seen:
                        say(f"deploy: waiting for another deployment to {self._where} ({holder})")
                    seen, since = tag, time.monotonic()
                elif time.monotonic() - since > LEASE_S and self._write(IfMatch=seen):
                    say(f"deploy: the other deployment was killed ({holder}); going on")
                    break
            if time.monotonic() > deadline:
                raise ShoplensError(
                    f"another deployment to {self._where} is still under way ({holder}): wait for it or end it"
                )
            time.sleep(min(1.0, LEASE_S / 4))
        self._renewing.start()

    def release(self) -> None:
        """Give the lock back."""
        self._ended.set()
        self._renewing.join()
        with contextlib.suppress(ShoplensError), refused(self._where):  # it ends by itself in a minute
            held = self._read()
            if held and held[0] == self._tag:
                self._client.delete_object(**self._place)

    def _renew(self) -> None:
        while not self._ended.wait(LEASE_S / 3):
            with contextlib.suppress(ShoplensError):
                if not self._write(IfMatch=self._tag) and not self._is_ours():
                    self.lost = True
                    return

    def _is_ours(self) -> bool:
        """Whether the object is still this holder's: who waits may have written at the same moment, in vain."""
        held = self._read()
        return held is not None and self._token.encode() in held[1]

    def _read(self) -> tuple[str, bytes] | None:
        """Tag and content of the object; None if nobody holds the lock."""
        with refused(self._where):
            try:
                answer = self._client.get_object(**self._place)
            except self._client.exceptions.NoSuchKey:
                return None
            return str(answer["ETag"]), bytes(answer["Body"].read())

    def _write(self, **condition: str) -> bool:
        """Write the object if the condition holds; whether it did."""
        from botocore.exceptions import ClientError  # type: ignore[import-untyped]

        self._written += 1
        body = json.dumps(self._holder | {"written": self._written}).encode()
        with refused(self._where):
            try:
                self._tag = self._client.put_object(**self._place, Body=body, **condition)["ETag"]
            except ClientError as error:
                # 409: two wrote at once. 404: what was to be replaced is gone.
                if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (404, 409, 412):
                    raise
                # botocore repeats a request whose answer was lost: then it is this write that is in its own way.
                held = self._read()
                if held is None or held[1] != body:
                    return False
                self._tag = held[0]
        return True


@contextlib.contextmanager
def refused(where: str) -> Iterator[None]:
    """What S3 or the way to it refuses within the block, as a ShoplensError that names `where`."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise ShoplensError(
            f"{where}: {error}; correct the bucket, or the endpoint, region and credentials in AWS's variables "
            "(AWS_ENDPOINT_URL, AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
        ) from None
