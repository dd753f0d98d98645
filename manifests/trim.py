"""Trims CustomResourceDefinitions to what manifests.check holds our objects against, into manifests/schemas.

    python -m manifests.trim crd.yaml ...

Kept: names, the newest served version, and its schema without descriptions, defaults, status, and the parts of KServe's
kinds that we leave to others (a field under them is then an error, as any unknown one).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

SCHEMAS = Path(__file__).parent / "schemas"
HEADER = (
    "# Trimmed by manifests/trim.py from another project's file; version, source and licence: README.md beside this.\n"
)
SAID_ONLY = {
    "default",
    "description",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",  # rules in a language that only an API server evaluates
}
KSERVE_OTHERS = {"canary", "explainer", "transformer", "workerSpec"}
KSERVE_FRAMEWORKS = {
    "huggingface", "lightgbm", "onnx", "paddle", "pmml", "pytorch", "sklearn", "tensorflow", "triton", "xgboost"
}  # fmt: skip


def trim(crd: dict[str, Any]) -> dict[str, Any]:
    """The part of a definition that is kept."""
    spec = crd["spec"]
    version = [version for version in spec["versions"] if version["served"]][-1]
    dropped = KSERVE_OTHERS | KSERVE_FRAMEWORKS if spec["group"] == "serving.kserve.io" else set()
    schema = _trim(version["schema"]["openAPIV3Schema"], dropped)
    schema["properties"].pop("status", None)
    return {
        "kind": crd["kind"],
        "spec": {
            "group": spec["group"],
            "names": {"kind": spec["names"]["kind"]},
            "versions": [{"name": version["name"], "schema": {"openAPIV3Schema": schema}}],
        },
    }


def _trim(schema: Any, dropped: set[str]) -> Any:
    if isinstance(schema, list):
        return [_trim(part, dropped) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _trim(value, dropped) for key, value in schema.items() if key not in {*SAID_ONLY, "properties"}}
    if "properties" in schema:  # its keys are names of fields, whatever they say
        fields = schema["properties"].items()
        kept["properties"] = {name: _trim(field, dropped) for name, field in fields if name not in dropped}
    return kept


def main(paths: list[str]) -> None:
    """Write a file a definition, named by its kind."""
    for path in paths:
        for crd in yaml.safe_load_all(Path(path).read_text()):
            if not crd:
                continue
            trimmed = trim(crd)
            file = SCHEMAS / f"{trimmed['spec']['names']['kind']}.yaml"
            file.write_text(HEADER + yaml.safe_dump(trimmed, sort_keys=False, width=1000))


if __name__ == "__main__":
    main(sys.argv[1:])
