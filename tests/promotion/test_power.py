"""The policy's power: normal theory agrees with simulating the gate itself."""

import numpy as np
import pytest

from shoplens.errors import ShoplensError
from shoplens.evaluation.outcomes import Scores
from shoplens.promotion.gate import Measurements, decide
from shoplens.promotion.policy import parse_policy
from shoplens.promotion.power import margin_for, pass_rate, policy_power, power_text
from shoplens.promotion.rules import Measurement

N, SD = 150, 0.04


def policy(margin):
    rule = {"kind": "non_inferiority", "name": "not worse", "metric": "m", "margin": margin}
    return parse_policy({"version": 1, "resamples": 300, "rules": [rule]}, "gate.yaml")


def measured(gains, market=None):
    units = np.array([f"u{i:04}" for i in range(len(gains))], dtype=object)
    slices = {} if market is None else {"market": np.array(market, dtype=object)}
    models = {
        "candidate": Scores(units, -np.asarray(gains), slices),
        "baseline": Scores(units, np.zeros(len(gains)), slices),
    }
    return Measurements("abc", {}, True, {"m": Measurement("lower", models)})


@pytest.mark.parametrize(("margin", "true_gain"), [(0.008, 0.0), (0.01, 0.0), (0.008, -0.004), (0.01, -0.01)])
def test_normal_theory_agrees_with_the_gate_on_simulated_models(margin, true_gain):
    generator = np.random.default_rng(0)
    passed = [decide(measured(generator.normal(true_gain, SD, N)), policy(margin)).promote for _ in range(400)]
    theory = pass_rate(n=N, sd=SD, threshold=-margin, alpha=0.05, true_gain=true_gain)
    assert np.mean(passed) == pytest.approx(theory, abs=0.07)


def test_a_model_worse_by_the_margin_passes_alpha_of_the_time():
    assert pass_rate(n=450, sd=0.03, threshold=-0.01, alpha=0.05, true_gain=-0.01) == pytest.approx(0.05)


def test_the_margin_for_a_rate_gives_that_rate():
    margin = margin_for(n=450, sd=0.03, alpha=0.05, rate=0.9)
    assert pass_rate(n=450, sd=0.03, threshold=-margin, alpha=0.05) == pytest.approx(0.9)


def test_two_points_of_accuracy_block_an_identical_model_most_of_the_time():
    """n = 125 and 20% disagreement: a margin of 2 points refuses an identical model 85% of the time or more."""
    assert pass_rate(n=125, sd=np.sqrt(0.2), threshold=-0.02, alpha=0.05) < 0.15


def test_models_without_any_difference_always_pass():
    assert pass_rate(n=10, sd=0.0, threshold=-0.01, alpha=0.05) == 1.0


def test_the_table_has_a_row_for_each_rule_and_slice_and_the_rate_of_all_together():
    rule = {
        "kind": "non_inferiority",
        "name": "not worse",
        "metric": "m",
        "margin": 0.01,
        "slices": {"column": "market", "margin": 0.015},
    }
    both = parse_policy({"version": 1, "rules": [rule]}, "gate.yaml")
    gains = np.random.default_rng(1).normal(0, SD, N)
    power = policy_power(measured(gains, ["north", "south"] * (N // 2)), both)
    assert [row.rule for row in power.rows] == [
        "not worse",
        "not worse [market=north]",
        "not worse [market=south]",
    ]
    assert [row.n for row in power.rows] == [150, 75, 75]
    assert power.rows[0].sd == pytest.approx(SD, rel=0.15)
    assert power.all_rules < min(row.identical for row in power.rows) + 0.03
    text = power_text(power)
    assert "not worse [market=south]" in text
    assert f"{power.all_rules:.1%}" in text


def test_all_rules_together_agree_with_the_single_rule_when_there_is_one():
    gains = np.random.default_rng(1).normal(0.02, SD, N)
    power = policy_power(measured(gains), policy(0.008))
    assert power.all_rules == pytest.approx(power.rows[0].identical, abs=0.03)


def test_without_a_baseline_there_is_no_power_to_compute():
    found = measured(np.zeros(10))
    with pytest.raises(ShoplensError, match="no baseline"):
        policy_power(Measurements("abc", {}, False, found.metrics), policy(0.01))
