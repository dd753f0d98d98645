"""Values for the parameters of a graph, from `name=value` on the command line, checked before anything is sent."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shoplens.errors import ShoplensError
from shoplens.kubeflow.component import section_text
from shoplens.params import parse_params
from shoplens.stages import STAGES

OPTIONS = ("source", "revision", "image")
"""Parameters that have options of their own, or are nothing to a run on this machine."""
SUFFIX = "_params"
"""A parameter with this ending holds a section of params.yaml as JSON."""


def parse_arguments(spec: Mapping[str, Any], given: Sequence[str], fixed: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of a run.

    Args:
        spec: the compiled graph (PipelineSpec as JSON).
        given: `name=value`, a value as text.
        fixed: arguments that are known already, with their values.

    Raises:
        ShoplensError: if a name is unknown or given twice, a value has another type, or a parameter has none.
    """
    known: Mapping[str, Any] = spec["root"]["inputDefinitions"]["parameters"]
    found: dict[str, Any] = dict(fixed)
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise ShoplensError(f"--param {text}: give name=value")
        if name in found or name in OPTIONS:
            raise ShoplensError(
                f"--param {name}: {'no --param sets it: see --help' if name in OPTIONS else 'given twice'}"
            )
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise ShoplensError(f"--param {name}: unknown parameter; {remedy}")
        found[name] = _value(name, value, known[name]["parameterType"])
    missing = [name for name, entry in known.items() if name not in found and not _optional(entry)]
    if missing:
        raise ShoplensError(f"no value for {', '.join(missing)}: give --param {missing[0]}=...")
    return found


def _optional(entry: Mapping[str, Any]) -> bool:
    return "defaultValue" in entry or bool(entry.get("isOptional"))


def _value(name: str, text: str, kind: str) -> Any:
    if kind == "STRING":
        return _section(name, text)
    convert, words = TYPES[kind]
    try:
        return convert(text)
    except ValueError:
        raise ShoplensError(f"--param {name}={text}: must be {words}") from None


def _section(name: str, text: str) -> str:
    """A section of the parameters in its canonical form, so that the cache knows it again; other texts as they are."""
    section = next((s.section for s in STAGES if s.section and s.section.replace("-", "_") + SUFFIX == name), None)
    if section is None:
        return text
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ShoplensError(f"--param {name}: not JSON ({error}); give all of section {section} as JSON") from None
    return section_text(parse_params({section: values}, f"--param {name}"), section)


def _json(kind: type) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        value = json.loads(text)
        if not isinstance(value, kind):
            raise ValueError
        return value

    return convert


TYPES: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "NUMBER_INTEGER": (int, "a whole number"),
    "NUMBER_DOUBLE": (float, "a number"),
    "BOOLEAN": (_json(bool), "true or false"),
    "LIST": (_json(list), "a list as JSON"),
    "STRUCT": (_json(dict), "an object as JSON"),
}
