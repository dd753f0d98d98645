"""The part of GitHub's REST API that retraining needs: find and write a comment, start a workflow.

A commit that a pull request brought is talked about there, any other on the commit itself.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from shoplens.errors import ShoplensError
from shoplens.progress import say

WAITS_S: tuple[float, ...] = (1.0, 5.0, 25.0)
"""Seconds before each further attempt."""
LONGEST_WAIT_S = 120.0
"""The longest wait that GitHub may ask for."""
TIMEOUT_S = 30.0
COMMENTING = "`permissions: {contents: write, pull-requests: write}`"
STARTING = "`permissions: {actions: write}`"
REMEDIES = {
    301: "the repository was renamed or moved; correct GITHUB_REPOSITORY",
    401: "GITHUB_TOKEN is wrong or has expired; in a workflow, pass `github.token`",
    403: "the token may not do this; give the job PERMISSIONS",
    404: "there is no such repository, commit or workflow, or the token may not see it; give the job PERMISSIONS",
}


@dataclass(frozen=True)
class Repository:
    """A repository on GitHub: address of the API, owner/name, and the token that may write there."""

    api: str
    name: str
    token: str

    def url(self, path: str) -> str:
        """The address of a path below the repository."""
        return f"{self.api.rstrip('/')}/repos/{self.name}/{path}"


class Passing(Exception):
    """A failure that may be gone in a moment; `wait` is what GitHub asked for, in seconds."""

    def __init__(self, message: str, wait: float | None) -> None:
        super().__init__(message)
        self.wait = wait


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would send the token along to wherever it is sent."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def repository_of_environment() -> Repository:
    """The repository that GitHub's own variables name: GITHUB_REPOSITORY, GITHUB_API_URL; GITHUB_TOKEN is the leave.

    Raises:
        ShoplensError: if a variable is missing.
    """
    missing = [name for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN") if not os.environ.get(name)]
    if missing:
        raise ShoplensError(
            f"{' and '.join(missing)} not set: GitHub Actions sets the first, the step passes the second"
        )
    api = os.environ.get("GITHUB_API_URL") or "https://api.github.com"
    return Repository(api, os.environ["GITHUB_REPOSITORY"], os.environ["GITHUB_TOKEN"])


def dispatch(repository: Repository, workflow: str, branch: str, inputs: Mapping[str, str]) -> None:
    """Start a workflow that has the trigger `workflow_dispatch`.

    It is asked for once: an answer that was lost may have started it.

    Args:
        repository: its token needs the permission `actions: write`.
        workflow: its file's name.
        branch: to run it on.
        inputs: those that the workflow declares.

    Raises:
        ShoplensError: if GitHub refuses, or it is not known whether it did what was asked.
    """
    url = repository.url(f"actions/workflows/{workflow}/dispatches")
    try:
        _call(repository, "POST", url, {"ref": branch, "inputs": dict(inputs)}, permissions=STARTING)
    except Passing as failure:
        raise ShoplensError(f"{failure}; look under Actions whether {workflow} runs before you try again") from None


def write_comment(repository: Repository, commit: str, marker: str, text: str) -> str:
    """Create the comment that starts with `marker`, or give it a new text; its address.

    After a failure it is looked for again, so that an answer that was lost does not make a second comment.

    Raises:
        ShoplensError: if GitHub refuses, or does not answer after several attempts.
    """
    for wait in (*WAITS_S, None):
        try:
            return _write(repository, commit, marker, text)
        except Passing as failure:
            if wait is None:
                raise ShoplensError(f"{failure}; given up after {len(WAITS_S) + 1} attempts, run it again") from None
            pause = wait if failure.wait is None else failure.wait
            if pause > LONGEST_WAIT_S:
                raise ShoplensError(f"{failure}; run it again in {pause:.0f} s") from None
            say(f"{failure}; trying again in {pause:.0f} s")
            time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def _write(repository: Repository, commit: str, marker: str, text: str) -> str:
    comments, comment = _places(repository, commit)
    for found in _pages(repository, comments):
        if (found.get("body") or "").startswith(marker):
            return _address(_call(repository, "PATCH", f"{comment}/{found['id']}", {"body": text})[0])
    return _address(_call(repository, "POST", comments, {"body": text})[0])


def _places(repository: Repository, commit: str) -> tuple[str, str]:
    """Where comments about a commit are listed, and where a single one is changed."""
    merged = [pull for pull in _pages(repository, repository.url(f"commits/{commit}/pulls")) if pull.get("merged_at")]
    if merged:
        number = max(merged, key=lambda pull: str(pull["merged_at"]))["number"]
        return repository.url(f"issues/{number}/comments"), repository.url("issues/comments")
    return repository.url(f"commits/{commit}/comments"), repository.url("comments")


def _pages(repository: Repository, url: str) -> list[dict[str, Any]]:
    """All entries of a list, following GitHub's links to further pages on the same host."""
    found: list[dict[str, Any]] = []
    following: str | None = f"{url}?per_page=100"
    while following:
        page, headers = _call(repository, "GET", following)
        if not isinstance(page, list):
            raise ShoplensError(f"{following} answered something else than a list: is GITHUB_API_URL right?")
        found += page
        following = _next(headers.get("Link", ""))
        if following and urlsplit(following)[:2] != urlsplit(repository.api)[:2]:
            raise ShoplensError(f"{url} sends on to {following}, which is not {repository.api}: not followed")
    return found


def _next(link: str) -> str | None:
    """The address that a Link header calls next."""
    for part in link.split(","):
        address, _, attributes = part.partition(";")
        if 'rel="next"' in attributes:
            return address.strip().strip("<>")
    return None


def _address(comment: Any) -> str:
    return str(comment["html_url"])


def _call(
    repository: Repository, method: str, url: str, body: Any = None, permissions: str = COMMENTING
) -> tuple[Any, Mapping[str, str]]:
    """One request, which takes `permissions`; the answer's JSON (null for an empty one) and headers."""
    headers = {
        "Accept": "application/vnd.github+json",
        "Authorization": f"Bearer {repository.token}",
        "User-Agent": "shoplens",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    data = None if body is None else json.dumps(body).encode()
    try:
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        with _OPENER.open(request, timeout=TIMEOUT_S) as answer:
            return json.loads(answer.read() or b"null"), answer.headers
    except urllib.error.HTTPError as error:
        raise _failure(method, url, error, permissions) from None
    except (urllib.error.URLError, HTTPException, OSError) as error:
        raise Passing(f"{method} {url}: {getattr(error, 'reason', error)}", None) from None
    except ValueError as error:
        raise ShoplensError(f"{method} {url} answered no JSON ({error}): is GITHUB_API_URL right?") from None


def _failure(method: str, url: str, error: urllib.error.HTTPError, permissions: str) -> Exception:
    """What a refusal means: to wait, or what to mend."""
    with error:
        try:
            said = str(json.loads(error.read())["message"])
        except (ValueError, KeyError, TypeError, OSError):
            said = str(error.reason)
    words = f"{method} {url}: {error.code} {said}"
    after = error.headers.get("Retry-After", "")
    limited = error.code in (403, 429) and (after or error.headers.get("X-RateLimit-Remaining") == "0")
    if limited or error.code in (429, 500, 502, 503, 504):
        reset = error.headers.get("X-RateLimit-Reset", "") if limited and not after else ""
        wait = (
            float(after) if after.isdecimal() else max(0.0, float(reset) - time.time()) if reset.isdecimal() else None
        )
        return Passing(words, wait)
    remedy = REMEDIES.get(error.code, "GitHub does not take this request").replace("PERMISSIONS", permissions)
    return ShoplensError(f"{words}: {remedy}")
