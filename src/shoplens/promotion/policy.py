"""gate.yaml: the promotion policy, as a strict schema. Every rule must pass; see docs/gate.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from shoplens.errors import ShoplensError
from shoplens.strict import StrictModel, parse, read_yaml


class FloorRule(StrictModel):
    """The candidate alone, or its gain over a fixed comparison, must clear a number.

    With per-unit outcomes the one-sided bound of the mean must clear it; a scalar is compared as it is.
    """

    kind: Literal["floor"]
    name: str = Field(min_length=1)
    metric: str = Field(min_length=1)
    against: Literal["chance", "reference"] | None = None
    at_least: float | None = None
    at_most: float | None = None
    min_n: int = Field(2, ge=2)
    optional: bool = False

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give exactly one of at_least (higher is better) and at_most (lower is better)")
        if self.against is not None and self.at_least is None:
            raise ValueError("a floor against another model is on the gain over it, so it needs at_least")
        return self


class SliceRule(StrictModel):
    """The same question on every level of a slice column, with a margin of its own."""

    column: str = Field(min_length=1)
    margin: float = Field(gt=0)
    min_n: int = Field(2, ge=2)
    levels: tuple[str, ...] | None = Field(None, min_length=1)


class NonInferiorityRule(StrictModel):
    """The candidate may be worse than the baseline by less than `margin`, on the metric's own units, paired."""

    kind: Literal["non_inferiority"]
    name: str = Field(min_length=1)
    metric: str = Field(min_length=1)
    margin: float = Field(gt=0)
    min_n: int = Field(2, ge=2)
    slices: SliceRule | None = None
    optional: bool = False


Rule = FloorRule | NonInferiorityRule
_KINDS: dict[str, type[FloorRule] | type[NonInferiorityRule]] = {
    "floor": FloorRule,
    "non_inferiority": NonInferiorityRule,
}


class _PolicyFile(StrictModel):
    """gate.yaml with its rules not yet parsed: a rule's kind decides which keys it may have."""

    version: Literal[1]
    bootstrap: bool = False
    alpha: float = Field(0.05, gt=0, lt=0.5)
    resamples: int = Field(10_000, ge=100, le=1_000_000)
    seed: int = Field(0, ge=0)
    rules: tuple[dict[str, Any], ...] = Field(min_length=1)


class Policy(StrictModel):
    """The whole policy.

    Attributes:
        bootstrap: whether a first model may be promoted on the floors alone, there being no baseline.
        alpha: error probability of each one-sided bound.
        resamples: bootstrap samples for each interval.
        seed: of the resampling.
        rules: at least one; names are unique.
    """

    bootstrap: bool = False
    alpha: float = Field(0.05, gt=0, lt=0.5)
    resamples: int = Field(10_000, ge=100, le=1_000_000)
    seed: int = Field(0, ge=0)
    rules: tuple[Rule, ...] = Field(min_length=1)


def read_policy(path: Path) -> Policy:
    """Read gate.yaml.

    Raises:
        ShoplensError: with one line a problem, naming the file, the rule and the key.
    """
    return _assemble(read_yaml(_PolicyFile, path), str(path))


def parse_policy(value: Any, source: str) -> Policy:
    """Validate a policy given as a value.

    Raises:
        ShoplensError: as `read_policy`.
    """
    return _assemble(parse(_PolicyFile, value, source), source)


def _assemble(file: _PolicyFile, source: str) -> Policy:
    problems: list[str] = []
    rules: list[Rule] = []
    for position, value in enumerate(file.rules):
        where = f"{source}: rules[{position}]" + (f" ({value['name']})" if value.get("name") else "")
        model = _KINDS.get(str(value.get("kind")))
        if model is None:
            problems.append(f"{where}: kind: must be one of {', '.join(_KINDS)}, not {value.get('kind')!r}")
            continue
        try:
            rules.append(parse(model, value, where))
        except ShoplensError as error:
            problems.append(str(error))
    names = [rule.name for rule in rules]
    problems += [f"{source}: two rules are named {name!r}" for name in sorted({n for n in names if names.count(n) > 1})]
    certain = [rule for rule in rules if isinstance(rule, FloorRule) and not rule.optional]
    if file.bootstrap and not certain and not problems:
        problems.append(f"{source}: bootstrap: true promotes a first model on its floors, and no floor is obligatory")
    if problems:
        raise ShoplensError("\n".join(problems))
    return Policy(
        bootstrap=file.bootstrap, alpha=file.alpha, resamples=file.resamples, seed=file.seed, rules=tuple(rules)
    )
