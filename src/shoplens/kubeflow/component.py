"""What the Kubeflow graph and its components share: parameters as text, and a component's one call into shoplens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shoplens.files import canonical_json
from shoplens.params import Params, parse_params
from shoplens.stages import BY_NAME, run_stage


def section_text(params: Params, section: str) -> str:
    """A section of the parameters as canonical JSON: the one form in which parameters travel through Kubeflow."""
    return canonical_json(params.section(section).model_dump(mode="json"))


def run_component(stage: str, arguments: Mapping[str, Any]) -> None:
    """Run a stage on the arguments of its component.

    Args:
        stage: its name.
        arguments: the component's `locals()`: Kubeflow artifacts for the stage's inputs by keyword (hyphens as
            underscores) and for `out`, and `params`, the canonical JSON of its section, if it has one. Anything else
            is ignored.

    Raises:
        ShoplensError: if the parameters are not valid, or what the stage raises.
    """
    section = BY_NAME[stage].section
    inputs = {name: Path(arguments[name.replace("-", "_")].path) for name in BY_NAME[stage].inputs}
    values = {section: json.loads(arguments["params"])} if section else {}
    run_stage(stage, inputs, Path(arguments["out"].path), parse_params(values, f"parameters of {stage}"))
