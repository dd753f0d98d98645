"""gate.yaml: a strict schema whose messages name the rule, the key and the remedy."""

from pathlib import Path

import pytest

from shoplens.errors import ShoplensError
from shoplens.promotion.policy import FloorRule, NonInferiorityRule, parse_policy, read_policy

FLOOR = {"kind": "floor", "name": "beats chance", "metric": "stars/rps", "against": "chance", "at_least": 0.01}
EQUAL = {"kind": "non_inferiority", "name": "not worse", "metric": "stars/rps", "margin": 0.02}


def policy(*rules, **changes):
    return {"version": 1, "rules": list(rules)} | changes


def test_the_committed_policy_is_valid_and_may_start_from_nothing():
    found = read_policy(Path(__file__).parents[2] / "gate.yaml")
    assert found.bootstrap
    assert {type(rule) for rule in found.rules} == {FloorRule, NonInferiorityRule}
    assert not any(rule.optional for rule in found.rules)


def test_bootstrap_is_off_unless_it_is_asked_for():
    assert not parse_policy(policy(FLOOR), "gate.yaml").bootstrap


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            policy(FLOOR | {"at_leest": 1}),
            r"rules\[0\] \(beats chance\): at_leest: unknown key; did you mean 'at_least'",
        ),
        (policy(FLOOR, alfa=0.1), "alfa: unknown key; did you mean 'alpha'"),
        (policy(FLOOR, alpha=0.5), "alpha"),
        (policy(FLOOR, alpha=0), "alpha"),
        (policy(EQUAL | {"margin": 0}), "margin"),
        (policy(EQUAL | {"margin": float("nan")}), "margin"),
        (policy(EQUAL | {"slices": {"column": "market", "margin": -1}}), "slices.margin"),
        (policy(EQUAL | {"slices": {"colum": "market", "margin": 1}}), "colum: unknown key; did you mean 'column'"),
        (policy(FLOOR, FLOOR), "two rules are named 'beats chance'"),
        (policy(FLOOR | {"kind": "ceiling"}), "kind: must be one of floor, non_inferiority, not 'ceiling'"),
        (policy(FLOOR | {"at_most": 1}), "exactly one of at_least"),
        (policy({k: v for k, v in FLOOR.items() if k != "at_least"}), "exactly one of at_least"),
        (policy({**FLOOR, "at_least": None, "at_most": 0.1}), "needs at_least"),
        (policy(), "rules"),
        (policy(FLOOR, version=2), "version"),
        (policy(EQUAL, bootstrap=True), "no floor is obligatory"),
        (policy(FLOOR | {"optional": True}, bootstrap=True), "no floor is obligatory"),
    ],
)
def test_bad_policies_are_refused_by_name(value, message):
    with pytest.raises(ShoplensError, match=message):
        parse_policy(value, "gate.yaml")


def test_all_problems_are_reported_at_once():
    with pytest.raises(ShoplensError) as caught:
        parse_policy(policy(FLOOR | {"metrc": "x"}, EQUAL | {"margin": -1}), "gate.yaml")
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("name", ["gate.yaml", "recipes/open-icons.gate.yaml"])
def test_committed_policies_are_valid(name: str) -> None:
    assert read_policy(Path(__file__).parents[2] / name).rules
