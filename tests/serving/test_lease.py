"""One process at a time changes a live repository, in a folder and on S3, which is moto's server: a fake of the API."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from shoplens.errors import ShoplensError
from shoplens.serving import lease, store
from shoplens.serving.store import S3Store, Store


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
