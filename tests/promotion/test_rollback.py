"""Rollback: the version before answers again; the one that left stays out until somebody asks for it."""

import pytest
from stores.marks import on_every_registry

from shoplens.artifacts import digest_of, read_artifact
from shoplens.errors import ShoplensError
from shoplens.promotion import registry
from shoplens.promotion.rollback import rollback


class Server:
    """Stands for serving: remembers what it was given, and checks that it is a whole package."""

    def __init__(self):
        self.served = []

    def __call__(self, package, model, version):
        assert model == "shoplens-encoder"
        read_artifact(package, "package")
        self.served.append((version, digest_of(package)))


def back(run, to=None, server=None):
    return rollback(run.params.model, run.params.ranker, run.params.alias, to, server or Server())


@on_every_registry
def test_the_version_before_is_served_from_the_registry_and_named_by_the_alias(run):
    package = digest_of(run.all("A").path("package"))
    run.all("B")
    server = Server()
    assert back(run, server=server) == run.champion == "1"
    assert server.served == [("1", package)]


@on_every_registry
def test_a_version_that_was_rolled_back_is_not_promoted_again_by_itself(run):
    run.all("A").all("B")
    back(run)
    with pytest.raises(ShoplensError, match=r"version 2 .* was rolled back. .*shoplens rollback --to 2"):
        run.all("B")
    assert run.champion == "1"
    back(run, to="2")
    run.all("B")
    assert run.champion == "2"


def test_another_model_can_be_promoted_after_a_rollback(run):
    run.all("A").all("B")
    back(run)
    run.all("C")
    assert run.champion == "3"
    assert registry.read_version(run.params.model, "3").replaces == "1"


def test_rolling_back_past_a_version_that_was_rolled_back_needs_a_name(run):
    run.all("A").all("B")
    back(run)
    back(run, to="2")
    with pytest.raises(ShoplensError, match="--to 1 if you mean it"):
        back(run)
    assert back(run, to="1") == run.champion == "1"


def test_a_server_that_does_not_take_the_version_leaves_the_alias(run):
    run.all("A").all("B")

    def broken(_package, _model, _version):
        raise ShoplensError("wrong answers")

    with pytest.raises(ShoplensError, match="wrong answers"):
        back(run, server=broken)
    assert run.champion == "2"
    assert not registry.read_version(run.params.model, "2").rolled_back


def test_there_must_be_something_to_go_back_to(run):
    with pytest.raises(ShoplensError, match="nothing to roll back"):
        back(run)
    run.all("A")
    with pytest.raises(ShoplensError, match="name a version with --to"):
        back(run)
    with pytest.raises(ShoplensError, match="no version 9"):
        back(run, to="9")
    assert run.champion == "1"


@on_every_registry
def test_the_ranker_of_the_version_that_comes_back_comes_with_it(run):
    run.all("A", ranker=1).all("B").all("C", ranker=3)
    assert (run.champion, run.ranker) == ("3", "2")
    back(run)
    assert (run.champion, run.ranker) == ("2", None)
    back(run, to="1")
    assert (run.champion, run.ranker) == ("1", "1")


@on_every_registry
def test_a_rollback_killed_between_the_aliases_is_completed_by_the_same_command(run, monkeypatch):
    run.all("A", ranker=1).all("B", ranker=2)
    move = registry.move_alias

    def dies_at_the_encoder(model, *args, **kwargs):
        if model == run.params.model:
            raise KeyboardInterrupt
        move(model, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(registry, "move_alias", dies_at_the_encoder)
        with pytest.raises(KeyboardInterrupt):
            back(run)
    assert back(run) == "1"
    assert (run.champion, run.ranker) == ("1", "1")


def test_a_ranker_that_the_registry_lost_stops_a_rollback_before_anything_changed(run):
    run.all("A", ranker=1).all("B", ranker=2)
    server = Server()
    with pytest.raises(ShoplensError, match=r"registered with a ranker that other-ranker does not have"):
        rollback(run.params.model, "other-ranker", run.params.alias, None, server)
    assert (run.champion, server.served) == ("2", [])
