"""One comment, created or updated, and workflows started, at a FAKE of GitHub's API: pages, refusals, failures."""

import time
from collections.abc import Iterator

import pytest
from ci.fake_github import TOKEN, Failure, FakeGitHub, fake_github

from shoplens.ci import github
from shoplens.ci.comment import MARKER
from shoplens.ci.github import Repository, dispatch, write_comment
from shoplens.errors import ShoplensError

COMMIT = "c" * 40
ON_COMMIT = f"commits/{COMMIT}"
PULLS = [
    {"number": 3, "merged_at": None},
    {"number": 5, "merged_at": "2026-01-02T00:00:00Z"},
    {"number": 4, "merged_at": "2026-01-01T00:00:00Z"},
]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGitHub]:
    monkeypatch.setattr(github, "WAITS_S", (0.0, 0.0))
    with fake_github() as found:
        yield found


def write(fake: FakeGitHub, text: str, token: str = TOKEN, name: str = "team/shop") -> str:
    return write_comment(Repository(fake.url + "/", name, token), COMMIT, MARKER, f"{MARKER}\n{text}")


def test_the_first_run_comments_and_the_next_one_updates(fake: FakeGitHub) -> None:
    fake.say(ON_COMMIT, "a person's words")
    assert write(fake, "first") == "https://github.example/comment/2"
    assert write(fake, "second") == "https://github.example/comment/2"
    assert fake.bodies(ON_COMMIT) == ["a person's words", f"{MARKER}\nsecond"]


def test_a_merged_pull_request_is_where_people_look(fake: FakeGitHub) -> None:
    fake.pulls = PULLS
    write(fake, "first")
    write(fake, "second")
    assert fake.comments.keys() == {"issues/5"}
    assert fake.bodies("issues/5") == [f"{MARKER}\nsecond"]


def test_a_quotation_is_not_taken_for_the_comment(fake: FakeGitHub) -> None:
    fake.say(ON_COMMIT, f"> {MARKER}\n> promoted\n\nwhy?")
    write(fake, "first")
    assert len(fake.bodies(ON_COMMIT)) == 2


def test_the_comment_is_found_on_a_later_page(fake: FakeGitHub) -> None:
    fake.page = 2
    for number in range(5):
        fake.say(ON_COMMIT, f"words {number}")
    write(fake, "first")
    write(fake, "second")
    assert fake.bodies(ON_COMMIT)[5:] == [f"{MARKER}\nsecond"]


def test_the_token_is_not_sent_to_another_host(fake: FakeGitHub) -> None:
    fake.page, fake.further = 1, "http://127.0.0.1:9"
    fake.say(ON_COMMIT, "a")
    fake.say(ON_COMMIT, "b")
    with pytest.raises(ShoplensError, match=r"sends on to http://127\.0\.0\.1:9/.*: not followed"):
        write(fake, "first")
    fake.page = 100
    fake.failures = [Failure("GET", 301, {"Location": "http://127.0.0.1:9/"})]
    with pytest.raises(ShoplensError, match="renamed or moved; correct GITHUB_REPOSITORY"):
        write(fake, "first")


@pytest.mark.parametrize(
    ("method", "status", "remedy"),
    [
        ("GET", 403, "GET .*403 as told: the token may not do this; give the job"),
        ("POST", 403, "POST .*403 as told: the token may not do this; give the job"),
        ("GET", 404, "404 as told: there is no such repository, commit or workflow"),
        ("POST", 422, "422 as told: GitHub does not take this request"),
    ],
)
def test_a_refusal_names_the_remedy_and_is_not_repeated(
    fake: FakeGitHub, method: str, status: int, remedy: str
) -> None:
    fake.failures = [Failure(method, status)]
    with pytest.raises(ShoplensError, match=remedy):
        write(fake, "first")
    assert sum(asked.startswith(method) for asked in fake.asked) == 1


def test_a_wrong_token_is_named_but_not_printed(fake: FakeGitHub) -> None:
    with pytest.raises(ShoplensError, match="401 Bad credentials: GITHUB_TOKEN is wrong") as refused:
        write(fake, "first", token="another-token")
    assert "another-token" not in str(refused.value)
    with pytest.raises(ShoplensError, match="404 Not Found"):
        write(fake, "first", name="team/other")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(fake: FakeGitHub, method: str, status: int) -> None:
    fake.failures = [Failure(method, status, body=b"<html>busy</html>")]
    write(fake, "first")
    assert fake.bodies(ON_COMMIT) == [f"{MARKER}\nfirst"]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_lost_answer_does_not_make_a_second_comment(fake: FakeGitHub, method: str) -> None:
    if method == "PATCH":
        write(fake, "first")
    fake.failures = [Failure(method, 502, done=True)]
    write(fake, "second")
    assert fake.bodies(ON_COMMIT) == [f"{MARKER}\nsecond"]


def test_it_is_given_up_after_the_last_attempt(fake: FakeGitHub) -> None:
    fake.failures = [Failure("GET", 503) for _ in range(3)]
    with pytest.raises(ShoplensError, match="503 as told; given up after 3 attempts"):
        write(fake, "first")
    assert fake.failures == []


def test_a_limit_is_waited_for_as_long_as_github_says(fake: FakeGitHub) -> None:
    fake.failures = [Failure("GET", 403, {"Retry-After": "0"}), Failure("POST", 429, {"Retry-After": "0"})]
    write(fake, "first")
    assert len(fake.bodies(ON_COMMIT)) == 1
    reset = str(int(time.time()) - 1)
    fake.failures = [Failure("GET", 403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset})]
    write(fake, "second")
    fake.failures = [Failure("GET", 429, {"Retry-After": "3600"})]
    with pytest.raises(ShoplensError, match="run it again in 3600 s"):
        write(fake, "third")
    assert fake.bodies(ON_COMMIT) == [f"{MARKER}\nsecond"]


def test_a_server_that_is_not_there_or_not_github_is_named(fake: FakeGitHub) -> None:
    with pytest.raises(ShoplensError, match=r"127\.0\.0\.1:9/.*refused; given up after 3 attempts"):
        write_comment(Repository("http://127.0.0.1:9", "team/shop", TOKEN), COMMIT, MARKER, MARKER)
    fake.failures = [Failure("GET", 200, body=b"<html>welcome</html>")]
    with pytest.raises(ShoplensError, match=r"answered no JSON .*: is GITHUB_API_URL right"):
        write(fake, "first")
    fake.failures = [Failure("GET", 200, body=b"{}")]
    with pytest.raises(ShoplensError, match="something else than a list"):
        write(fake, "first")


def start(fake: FakeGitHub, workflow: str = "retrain.yml", token: str = TOKEN) -> None:
    dispatch(Repository(fake.url, "team/shop", token), workflow, "main", {"reason": "drift"})


def test_a_workflow_is_started_on_a_branch_with_its_inputs(fake: FakeGitHub) -> None:
    fake.workflows = {"retrain.yml": {"reason"}}
    start(fake)
    assert fake.started == [("retrain.yml", "main", {"reason": "drift"})]


def test_a_workflow_that_cannot_be_started_is_an_error_with_a_remedy(fake: FakeGitHub) -> None:
    fake.workflows = {"retrain.yml": set()}
    with pytest.raises(ShoplensError, match=r"422 Unexpected inputs provided: \['reason'\]"):
        start(fake)
    with pytest.raises(ShoplensError, match=r"404 Not Found: .* no such repository, commit or workflow.*: write"):
        start(fake, "other.yml")
    fake.failures = [Failure("POST", 403)]
    with pytest.raises(ShoplensError, match=r"may not do this; give the job `permissions: \{actions: write\}`"):
        start(fake)
    assert fake.started == []


def test_a_workflow_whose_answer_was_lost_is_not_started_again(fake: FakeGitHub) -> None:
    fake.workflows = {"retrain.yml": {"reason"}}
    fake.failures = [Failure("POST", 502, done=True)]
    with pytest.raises(ShoplensError, match=r"502 as told; look under Actions whether retrain\.yml runs"):
        start(fake)
    assert len(fake.started) == 1
