"""A FAKE of GitHub's REST API, on this machine: comments, pull requests, started workflows, failures on demand."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "a-token"


@dataclass
class Failure:
    """An answer in place of the real one; `done`: the request is carried out all the same."""

    method: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    done: bool = False
    body: bytes = b'{"message": "as told"}'


@dataclass
class FakeGitHub:
    """What the fake knows and was asked."""

    url: str = ""
    page: int = 100
    pulls: list[dict[str, Any]] = field(default_factory=list)
    comments: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    further: str = ""
    workflows: dict[str, set[str]] = field(default_factory=dict)
    """The inputs that each workflow declares."""
    started: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Workflow, branch and inputs of each run."""

    def bodies(self, place: str) -> list[str]:
        """The comments on a place: `commits/SHA` or `issues/N`."""
        return [comment["body"] for comment in self.comments.get(place, [])]

    def say(self, place: str, body: str) -> None:
        """Write a comment."""
        number = 1 + sum(len(listed) for listed in self.comments.values())
        comment = {"id": number, "body": body, "html_url": f"https://github.example/comment/{number}"}
        self.comments.setdefault(place, []).append(comment)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Carry out a request below /repos/team/shop/."""
        if re.fullmatch(r"commits/\w+/pulls", path):
            return 200, self.pulls
        started = re.fullmatch(r"actions/workflows/([\w.-]+)/dispatches", path)
        if started and method == "POST" and started[1] in self.workflows:
            unknown = sorted(set(body["inputs"]) - self.workflows[started[1]])
            if unknown:
                return 422, {"message": f"Unexpected inputs provided: {unknown}"}
            self.started.append((started[1], body["ref"], body["inputs"]))
            return 204, None
        place = path.removesuffix("/comments")
        if path.endswith("/comments") and method == "GET":
            return 200, self.comments.get(place, [])
        if path.endswith("/comments"):
            self.say(place, body["body"])
            return 201, self.comments[place][-1]
        changed = re.fullmatch(r"(issues/)?comments/(\d+)", path)
        kind = "issues" if changed and changed[1] else "commits"
        for where, listed in self.comments.items():
            for comment in listed:
                if changed and where.startswith(kind) and comment["id"] == int(changed[2]) and method == "PATCH":
                    comment["body"] = body["body"]
                    return 200, comment
        return 404, {"message": "Not Found"}


@contextmanager
def fake_github() -> Iterator[FakeGitHub]:
    """Run the fake until the block ends."""
    fake = FakeGitHub()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = parts.path.removeprefix("/repos/team/shop/")
            fake.asked.append(f"{self.command} {path}")
            failure = next((f for f in fake.failures if f.method == self.command), None)
            headers: dict[str, str] = {}
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, answer = 401, json.dumps({"message": "Bad credentials"}).encode()
            elif failure and not failure.done:
                fake.failures.remove(failure)
                status, answer, headers = failure.status, failure.body, failure.headers
            else:
                status, found = fake.answer(self.command, path, json.loads(raw or b"null"))
                if isinstance(found, list):
                    number = int(parse_qs(parts.query).get("page", ["1"])[0])
                    first = (number - 1) * fake.page
                    if len(found) > first + fake.page:
                        following = f"{fake.further or fake.url}{parts.path}?page={number + 1}"
                        headers = {"Link": f'<{fake.url}/x>; rel="last", <{following}>; rel="next"'}
                    found = found[first : first + fake.page]
                answer = b"" if found is None else json.dumps(found).encode()
                if failure:
                    fake.failures.remove(failure)
                    status, answer = failure.status, failure.body
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PATCH = handle_any

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
