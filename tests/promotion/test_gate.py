"""The gate: when it says yes, when it says no, and that bad numbers never promote."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoplens.evaluation.outcomes import Scores
from shoplens.promotion.gate import Measurements, decide, decision_json, decision_text
from shoplens.promotion.policy import parse_policy
from shoplens.promotion.rules import Measurement

N = 200


def scores(values, units=None, market=None):
    values = np.asarray(values, dtype=float)
    units = [f"u{i:04}" for i in range(len(values))] if units is None else units
    market = ["north" if i % 2 else "south" for i in range(len(values))] if market is None else market
    return Scores(np.array(units, dtype=object), values, {"market": np.array(market, dtype=object)})


def losses(shift=0.0, seed=0, n=N):
    """Per-listing losses around 0.15 + shift; two seeds differ as two trainings do."""
    hard = np.random.default_rng(99).normal(0.15, 0.05, n)
    return hard + shift + np.random.default_rng(seed).normal(0, 0.01, n)


def world(candidate=None, baseline=None, chance=None, cosine=0.99999, **changes):
    models = {
        "candidate": scores(losses(seed=1) if candidate is None else candidate),
        "baseline": scores(losses(seed=2) if baseline is None else baseline),
        "chance": scores(losses(0.05, seed=3) if chance is None else chance),
    }
    metrics = {
        "stars/rps": Measurement("lower", models),
        "package/served_cosine": Measurement("higher", {}, {"candidate": cosine}),
    }
    return replace(Measurements("abc", {"train": "d1"}, True, metrics), **changes)


def policy(**changes):
    rules = [
        {"kind": "floor", "name": "beats chance", "metric": "stars/rps", "against": "chance", "at_least": 0.01},
        {
            "kind": "non_inferiority",
            "name": "not worse",
            "metric": "stars/rps",
            "margin": 0.01,
            "min_n": 50,
            "slices": {"column": "market", "margin": 0.02, "min_n": 20},
        },
        {"kind": "floor", "name": "served", "metric": "package/served_cosine", "at_least": 0.9999},
    ]
    return parse_policy({"version": 1, "resamples": 300, "rules": rules} | changes, "gate.yaml")


def without(measurements, model):
    metrics = dict(measurements.metrics)
    stars = metrics["stars/rps"]
    metrics["stars/rps"] = replace(stars, scores={k: v for k, v in stars.scores.items() if k != model})
    return replace(measurements, metrics=metrics)


def test_an_equal_model_is_promoted_with_a_line_for_every_rule_and_slice():
    decision = decide(world(), policy())
    assert decision.promote
    assert [(r.name, r.slice, r.status) for r in decision.rules] == [
        ("beats chance", None, "pass"),
        ("not worse", None, "pass"),
        ("not worse", "market=north", "pass"),
        ("not worse", "market=south", "pass"),
        ("served", None, "pass"),
    ]
    assert (decision.split, decision.judged) == ("abc", {"train": "d1"})


def test_the_very_same_model_passes_with_an_interval_of_no_width():
    same = losses(seed=1)
    decision = decide(world(candidate=same, baseline=same), policy())
    assert decision.promote
    assert decision.rules[1].low == decision.rules[1].high == 0


def test_a_worse_model_is_refused_and_the_reason_has_the_numbers():
    decision = decide(world(candidate=losses(0.03, seed=1)), policy())
    assert not decision.promote
    [reason] = [r for r in decision.reasons if r.startswith("not worse: fail: stars/rps: ")]
    line = decision.rules[1]
    assert line.status == "fail"
    for number in (line.candidate, line.other, line.low, line.high):
        assert f"{number:.4g}" in reason
    assert "may be worse by 0.01" in reason
    assert "n = 200" in reason
    assert "worse by 0.0" in reason


def test_too_little_data_is_inconclusive_and_says_how_much_would_decide():
    noise = np.random.default_rng(5).normal(0, 0.1, N)
    noisy = losses(0.005, seed=1) + noise - noise.mean()
    line = decide(world(candidate=noisy), policy()).rules[1]
    assert line.status == "inconclusive"
    assert line.needed > N
    assert f"about n = {line.needed}" in line.reason


def test_a_model_without_signal_is_caught_by_the_floor():
    no_signal = losses(0.05, seed=1)
    decision = decide(world(candidate=no_signal, baseline=no_signal), policy())
    assert not decision.promote
    assert decision.reasons[0].startswith("beats chance: fail: stars/rps: candidate")
    assert "must be better by 0.01" in decision.reasons[0]


def test_one_bad_market_is_refused_although_the_mean_is_fine():
    candidate = losses(-0.01, seed=1)
    candidate[1::2] += 0.035
    candidate[0::2] -= 0.03
    decision = decide(world(candidate=candidate), policy())
    assert not decision.promote
    assert [r.slice for r in decision.rules if r.status == "fail"] == ["market=north"]


@pytest.mark.parametrize("cosine", [0.9998, float("nan"), float("inf"), None, "1.0"])
def test_a_scalar_that_misses_its_floor_or_is_no_number_is_refused(cosine):
    decision = decide(world(cosine=cosine), policy())
    assert not decision.promote
    assert decision.rules[-1].status == "fail"


def spoil(values, position, bad):
    changed = np.array(values)
    changed[position] = bad
    return changed


@given(st.integers(0, N - 1), st.sampled_from([np.nan, np.inf, -np.inf]), st.sampled_from(["candidate", "baseline"]))
def test_one_number_that_is_not_finite_never_promotes(position, bad, model):
    decision = decide(world(**{model: spoil(losses(-0.1, seed=1), position, bad)}), policy())
    assert not decision.promote
    assert any(f"1 of {N} values of the {model}" in r.reason for r in decision.rules)
    json.dumps(decision_json(decision), allow_nan=False)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=0, max_size=12))
def test_no_list_of_numbers_makes_the_gate_raise(values):
    decision = decide(world(candidate=values, baseline=values[::-1], chance=values), policy())
    assert not decision.promote
    json.dumps(decision_json(decision), allow_nan=False)
    assert "DO NOT PROMOTE" in decision_text(decision)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(-0.02, 0.02),
    st.lists(st.floats(0, 0.05), min_size=N, max_size=N),
    st.integers(0, 5),
)
def test_a_worse_candidate_never_turns_no_into_yes(shift, harm, seed):
    candidate = losses(shift, seed=seed)
    worse = candidate + np.array(harm)
    before, after = decide(world(candidate=candidate), policy()), decide(world(candidate=worse), policy())
    assert before.promote or not after.promote
    for first, second in zip(before.rules, after.rules, strict=True):
        assert first.status == "pass" or second.status != "pass"


@given(st.randoms(), st.floats(-0.01, 0.02))
def test_the_order_of_units_and_rules_does_not_matter(random, shift):
    measurements = world(candidate=losses(shift, seed=1))
    order = list(range(N))
    shuffled = {}
    for model, found in measurements.metrics["stars/rps"].scores.items():
        random.shuffle(order)
        shuffled[model] = Scores(found.units[order], found.values[order], {"market": found.slices["market"][order]})
    stars = replace(measurements.metrics["stars/rps"], scores=shuffled)
    rules = list(policy().rules)
    random.shuffle(rules)
    first = decide(measurements, policy())
    second = decide(
        replace(measurements, metrics=dict(measurements.metrics) | {"stars/rps": stars}),
        policy().model_copy(update={"rules": tuple(rules)}),
    )
    assert first.promote == second.promote
    assert set(first.rules) == set(second.rules)


@given(st.lists(st.floats(-0.05, 0.05), min_size=3, max_size=3), st.floats(0.9998, 1.0))
def test_it_promotes_only_if_every_rule_passes(shifts, cosine):
    candidate, baseline, chance = (losses(s, seed=i) for i, s in enumerate(shifts))
    decision = decide(world(candidate, baseline, chance, cosine), policy())
    assert decision.promote == all(line.status == "pass" for line in decision.rules)
    assert decision.promote or decision.reasons


def test_different_units_are_not_compared():
    other = world()
    moved = replace(
        other.metrics["stars/rps"],
        scores=dict(other.metrics["stars/rps"].scores)
        | {"baseline": scores(losses(seed=2), units=[f"v{i:04}" for i in range(N)])},
    )
    decision = decide(replace(other, metrics=dict(other.metrics) | {"stars/rps": moved}), policy())
    assert not decision.promote
    assert "not judged on the same units: 200 only here, 200 only there" in decision.reasons[0]


def test_a_missing_metric_is_a_no_unless_the_rule_is_optional():
    rule = {"kind": "floor", "name": "ranking", "metric": "ranking/ndcg", "at_least": 0.1}
    base = {"kind": "floor", "name": "served", "metric": "package/served_cosine", "at_least": 0.9}
    assert not decide(world(), policy(rules=[base, rule])).promote
    decision = decide(world(), policy(rules=[base, rule | {"optional": True}]))
    assert decision.promote
    assert [r.status for r in decision.rules] == ["pass", "skipped"]


def test_a_missing_metric_names_its_relatives():
    rule = {"kind": "floor", "name": "stars", "metric": "stars/log_loss", "against": "chance", "at_least": 0.1}
    [reason] = decide(world(), policy(rules=[rule])).reasons
    assert reason.endswith("stars/log_loss: not evaluated; a missing metric is a no (of stars/ there is stars/rps)")


def test_a_policy_whose_rules_are_all_skipped_promotes_nothing():
    rule = {"kind": "floor", "name": "ranking", "metric": "ranking/ndcg", "at_least": 0.1, "optional": True}
    assert not decide(world(), policy(rules=[rule])).promote


@pytest.mark.parametrize("model", ["candidate", "baseline", "chance"])
def test_missing_outcomes_of_a_model_are_a_no_even_if_the_rule_is_optional(model):
    rules = [rule.model_dump() | {"optional": True} for rule in policy().rules]
    decision = decide(without(world(), model), policy(rules=rules))
    assert not decision.promote
    assert f"no outcomes of the {model}" in " ".join(decision.reasons)


def test_a_missing_slice_column_and_a_missing_level_are_a_no():
    rule = policy().rules[1].model_dump()
    column = decide(world(), policy(rules=[rule | {"slices": {"column": "country", "margin": 1}}]))
    assert "no slice column 'country'" in column.reasons[0]
    level = decide(world(), policy(rules=[rule | {"slices": {"column": "market", "margin": 1, "levels": ["west"]}}]))
    assert "too few units: n = 0" in level.reasons[0]
    assert not column.promote
    assert not level.promote


def test_too_few_units_are_a_no():
    few = losses(-0.1, seed=1)[:49]
    models = {m: scores(few) for m in ("candidate", "baseline", "chance")}
    measurements = world()
    metrics = dict(measurements.metrics) | {"stars/rps": Measurement("lower", models)}
    decision = decide(replace(measurements, metrics=metrics), policy())
    assert "too few units: n = 49, required 50" in " ".join(decision.reasons)


def test_a_first_model_needs_the_policys_leave_and_then_only_the_floors():
    first = replace(without(world(), "baseline"), has_baseline=False)
    assert not decide(first, policy()).promote
    assert "bootstrap: true" in decide(first, policy()).reasons[0]
    allowed = decide(first, policy(bootstrap=True))
    assert allowed.promote
    assert [r.status for r in allowed.rules] == ["pass", "skipped", "pass"]
    hopeless = replace(without(world(candidate=losses(0.06, seed=1)), "baseline"), has_baseline=False)
    assert not decide(hopeless, policy(bootstrap=True)).promote


def test_leave_to_start_does_not_excuse_from_an_existing_baseline():
    assert not decide(world(candidate=losses(0.03, seed=1)), policy(bootstrap=True)).promote


def test_a_baseline_that_the_champion_stage_denies_is_a_no():
    assert not decide(replace(world(), has_baseline=False), policy(bootstrap=True)).promote


def test_floors_on_the_candidate_alone_use_the_cautious_bound_in_the_metrics_direction():
    def verdict(**floor):
        return decide(world(), policy(rules=[{"kind": "floor", "name": "f", "metric": "stars/rps", **floor}])).rules[0]

    line = verdict(at_most=0.2)
    assert line.status == "pass"
    assert line.low < line.candidate < line.high < 0.2
    assert verdict(at_most=line.high).status == "pass"
    assert verdict(at_most=(line.candidate + line.high) / 2).status == "inconclusive"
    assert verdict(at_most=line.low - 0.001).status == "fail"
    assert "must be at_most" in verdict(at_least=0.1).reason


def test_higher_is_better_metrics_are_judged_the_other_way_round():
    right = np.random.default_rng(0).random(N) < 0.7
    worse = right & (np.random.default_rng(1).random(N) < 0.7)
    rule = {"kind": "non_inferiority", "name": "accuracy", "metric": "acc", "margin": 0.02}

    def verdict(candidate, baseline):
        models = {"candidate": scores(candidate), "baseline": scores(baseline)}
        found = Measurements("abc", {}, True, {"acc": Measurement("higher", models)})
        return decide(found, policy(rules=[rule])).promote

    assert verdict(right, worse)
    assert not verdict(worse, right)
