"""A Kubeflow Pipelines server: its address, who may ask, one request, and what an error of it means.

kfp.Client wraps the same generated client. It is not used because its requests have no time limit, it waits 25 seconds
for a server that is not there, prints, and remembers a namespace in the user's home folder.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shoplens.errors import ShoplensError

CONNECT_S, READ_S = 10.0, 60.0
"""Time limits of one request."""
TOKEN = "KF_PIPELINES_TOKEN"
"""Environment variable with a token as text."""
TOKEN_PATH = "KF_PIPELINES_SA_TOKEN_PATH"
"""Environment variable with the file of a token; kfp's own name for it."""
VOLUME = Path("/var/run/secrets/kubeflow/pipelines/token")
"""Where Kubeflow mounts a service account's token for its pipelines."""
PASSING = (409, 429, 500, 502, 503, 504)
"""Statuses that may be gone at the next attempt; 409: somebody else made it meanwhile, so it will be found."""


class Passing(Exception):
    """A failure that may be gone in a moment: no connection, or a server that is busy, broken or restarting."""


class Unanswered(Passing):
    """A failure of which nobody can say whether there is a server at all."""


class Missing(ShoplensError):
    """The server does not have what was asked for."""


@dataclass(frozen=True)
class Token:
    """A bearer token; read anew for every request, because files of tokens are renewed in place."""

    where: str
    read: Callable[[], str]


@dataclass(frozen=True)
class Server:
    """A Kubeflow Pipelines server.

    Attributes:
        host: address of the API, without a slash at the end.
        namespace: on a server for several users, the one to work in.
        token: None where the server asks for none.
        api: kfp_server_api.ApiClient.
    """

    host: str
    namespace: str | None
    token: Token | None
    api: Any

    def run_url(self, run_id: str) -> str:
        """The page of a run in the UI."""
        return f"{os.environ.get('KF_PIPELINES_UI_ENDPOINT', self.host).rstrip('/')}/#/runs/details/{run_id}"


def find_token(file: Path | None) -> Token | None:
    """The token of the file, else of the environment, else of Kubeflow's volume, else none.

    Raises:
        ShoplensError: when it is read, if the file cannot be read or is empty.
    """
    if file is None and os.environ.get(TOKEN):
        return Token(f"${TOKEN}", lambda: os.environ[TOKEN].strip())
    named = os.environ.get(TOKEN_PATH)
    path = file or (Path(named) if named else VOLUME if VOLUME.is_file() else None)
    return None if path is None else Token(str(path), lambda: _read_token(path))


def _read_token(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ShoplensError(f"no token in {path}: {getattr(error, 'strerror', None) or error}") from None
    if not text or len(text.split()) > 1:
        raise ShoplensError(f"no token in {path}: it must hold one word, the token itself")
    return text


def connect(host: str, namespace: str | None, token: Token | None, ca: Path | None = None) -> Server:
    """Prepare to talk to a server; no request is made.

    Args:
        host: http or https address.
        namespace: see Server.
        token: see Server.
        ca: certificates (PEM) to trust instead of the public ones.

    Raises:
        ShoplensError: if the address, the token or the certificates are not usable.
    """
    from kfp_server_api import ApiClient, Configuration  # type: ignore[import-untyped]
    from urllib3 import Retry

    parts = urlsplit(host)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ShoplensError(f"--host {host!r} is no address: give http://... or https://..., as in the browser")
    if ca is not None and not ca.is_file():
        raise ShoplensError(f"{ca} is missing: --ca names a file of certificates (PEM)")
    configuration = Configuration(host=host.rstrip("/"))
    configuration.client_side_validation = False
    # Failures are told apart and tried again here; a redirect is a sign-in page, which must not pass as an answer.
    configuration.retries = Retry(0, redirect=False)
    configuration.ssl_ca_cert = str(ca) if ca else None
    if token is not None:
        token.read()

        def renew(configuration: Any) -> None:
            configuration.api_key["authorization"] = token.read()

        configuration.api_key["authorization"] = ""
        configuration.api_key_prefix["authorization"] = "Bearer"
        configuration.refresh_api_key_hook = renew
    return Server(configuration.host, namespace, token, ApiClient(configuration))


def call(server: Server, method: Callable[..., Any], json_answer: bool = True, **arguments: Any) -> Any:
    """One request; a second one if the token was just renewed.

    Raises:
        Passing: if it may work in a moment; Unanswered, if there was no answer.
        Missing: if the server does not have it.
        ShoplensError: if the server refuses, or is none of Kubeflow Pipelines.
    """
    from kfp_server_api import ApiException
    from urllib3.exceptions import HTTPError, LocationParseError, SSLError

    given = {name: value for name, value in arguments.items() if value is not None}
    for last in (server.token is None, True):
        try:
            answer = method(**given, _request_timeout=(CONNECT_S, READ_S))
            break
        except ApiException as error:
            if error.status != 401 or last:
                raise _failure(server, error) from None
        except HTTPError as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(reason, SSLError | LocationParseError):
                remedy = "correct --host, or name your own authority's certificates by --ca"
                raise ShoplensError(f"{server.host}: {reason}: {remedy}") from None
            raise Unanswered(f"{server.host} does not answer ({_words(reason)})") from None
    if json_answer:
        _check_json(server)
    return answer


def _check_json(server: Server) -> None:
    """A page of HTML would be read as an empty answer."""
    try:
        json.loads(server.api.last_response.data)
    except ValueError:
        raise ShoplensError(
            f"{server.host} answered something else than JSON: is it the address of Kubeflow Pipelines? In a full "
            "Kubeflow that is https://.../pipeline"
        ) from None


def _failure(server: Server, error: Any) -> Exception:
    """What a status means: to wait, or what to mend."""
    words = f"{server.host}: {error.status} {_said(error)}"
    if error.status in PASSING:
        return Passing(words)
    if error.status == 404:
        return Missing(words)
    where = server.token.where if server.token else None
    space = f"namespace {server.namespace!r}" if server.namespace else "no namespace (--namespace)"
    remedies = {
        400: f"correct what it names, or let the account do it; a server for several users needs --namespace (now: "
        f"{space})",
        401: f"the token of {where} is wrong or has expired" if where else f"give a token: --token-file or ${TOKEN}",
        403: f"the account may not do this, or there is no such namespace (now: {space})",
    }
    if 300 <= error.status < 400:
        remedy = "it sends on to another page, as to sign in: " + remedies[401]
    else:
        remedy = remedies.get(error.status, "the server does not take this request")
    return ShoplensError(f"{words}: {remedy}")


def _said(error: Any) -> str:
    """The server's own words."""
    try:
        body = json.loads(error.body)
        said = str(body.get("message") or body.get("error_message") or body.get("error"))
    except (ValueError, AttributeError, TypeError):
        said = str(error.reason)
    return " ".join(said.split())[:400]


def _words(reason: object) -> str:
    """The last part of urllib3's message: what happened, without the objects it happened to."""
    words = re.split(r"[>)]: ", str(reason))[-1]
    return (words.strip("()'\" ") if words.startswith("(") else words) or type(reason).__name__
