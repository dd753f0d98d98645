"""A fake of S3: moto's server, which speaks S3's protocol over HTTP and keeps everything in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class S3:
    """Where the fake listens, and what its clients need to know."""

    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """Region and keys as in the environment of a pod; the fake takes any."""
        return {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
        }

    def client(self) -> Any:
        import boto3

        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "eu-central-1"}
        return boto3.client("s3", endpoint_url=self.endpoint, **keys)

    def create(self, bucket: str) -> None:
        self.client().create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})

    def names(self, bucket: str, prefix: str = "") -> list[str]:
        """Names of the objects in a bucket, up to the first thousand."""
        found = self.client().list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        return [entry["Key"] for entry in found]

    def delete(self, bucket: str, names: list[str]) -> None:
        client = self.client()
        for name in names:
            client.delete_object(Bucket=bucket, Key=name)


@contextlib.contextmanager
def s3() -> Iterator[S3]:
    """Start the fake in a thread; it answers other processes as well."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield S3(f"http://{host}:{port}")
    finally:
        server.stop()
