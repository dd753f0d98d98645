"""Strict configuration: unknown keys are errors with a suggestion, and every message names the file and the key."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from shoplens.errors import ShoplensError


class StrictModel(BaseModel):
    """Base of everything that users write as YAML: frozen, no unknown keys; "3" is 3, and 3.5 is no integer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


Model = TypeVar("Model", bound=BaseModel)

PLAIN = {
    "model_type": "must be keys with values",
    "dict_type": "must be keys with values",
    "tuple_type": "must be a list",
    "too_short": "has too few entries",
}
"""Words for YAML, where pydantic's are about Python."""


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys allowed at `location` (the place of an unknown key) inside `model`, as far as types tell."""
    current: Any = model
    for part in location[:-1]:
        fields = _by_key(current)
        if isinstance(part, int) or part not in fields:
            continue
        annotation = fields[part].annotation
        candidates = [annotation, *getattr(annotation, "__args__", ())]
        current = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), current)
    return list(_by_key(current))


def _by_key(model: Any) -> dict[str, FieldInfo]:
    """A model's fields by what the file calls them."""
    fields: dict[str, FieldInfo] = getattr(model, "model_fields", {})
    return {field.alias or name: field for name, field in fields.items()}


def describe_errors(error: ValidationError, model: type[BaseModel], source: str) -> list[str]:
    """One line a problem: file, key, what is wrong, and for an unknown key the nearest known one."""
    lines = []
    items = error.errors()
    for item in items:
        if item["type"] == "too_short" and any(item["loc"] == other["loc"][:-1] for other in items):
            continue  # it is short of the entries that were wrong
        key = ".".join(str(part) for part in item["loc"]) or "(whole file)"
        message = PLAIN.get(item["type"], item["msg"])
        if item["type"] == "extra_forbidden":
            known = _known_keys(model, item["loc"])
            near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
            message = "unknown key" + (f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}")
        lines.append(f"{source}: {key}: {message}")
    return lines


def parse(model: type[Model], value: Any, source: str) -> Model:
    """Validate `value` (from YAML or JSON) as `model`; `source` names it in messages.

    Raises:
        ShoplensError: with one line a problem.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ShoplensError("\n".join(describe_errors(error, model, source))) from None


def _marked(error: yaml.MarkedYAMLError) -> str:
    """Where and why text is no YAML: the parser knows the place, and not the file."""
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{place}not valid YAML: " + ", ".join(filter(None, (error.context, error.problem)))


def read_yaml(model: type[Model], path: Path) -> Model:
    """Read and validate a YAML file.

    Raises:
        ShoplensError: if the file is missing, not UTF-8, not YAML or not valid.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ShoplensError(f"{path} is missing: name another one, or run this in the folder that has it") from None
    except yaml.MarkedYAMLError as error:
        raise ShoplensError(f"{path}: {_marked(error)}; correct it") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ShoplensError(f"{path}: not valid YAML: {error}") from None
    return parse(model, value, str(path))
