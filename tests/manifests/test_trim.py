"""What is kept of another project's definition: names and types of fields, whatever the fields are called."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from manifests import trim
from manifests.check import read_crds

DEFINITION = """
kind: CustomResourceDefinition
spec:
  group: serving.kserve.io
  names: {kind: Widget, plural: widgets}
  versions:
    - name: v1alpha1
      served: true
      schema: {openAPIV3Schema: {type: object, properties: {}}}
    - name: v1
      served: true
      schema:
        openAPIV3Schema:
          description: a widget
          type: object
          properties:
            spec:
              type: object
              x-kubernetes-validations: [{rule: "true"}]
              properties:
                default: {type: string, default: x}
                description: {type: string, description: what it is}
                sklearn: {type: object}
                free: {type: object, x-kubernetes-preserve-unknown-fields: true}
            status: {type: object}
    - name: v2
      served: false
      schema: {openAPIV3Schema: {}}
"""


def test_fields_are_kept_and_words_about_them_are_not() -> None:
    assert trim.trim(yaml.safe_load(DEFINITION)) == {
        "kind": "CustomResourceDefinition",
        "spec": {
            "group": "serving.kserve.io",
            "names": {"kind": "Widget"},
            "versions": [
                {
                    "name": "v1",
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {
                                "spec": {
                                    "type": "object",
                                    "properties": {
                                        "default": {"type": "string"},
                                        "description": {"type": "string"},
                                        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                    },
                                }
                            },
                        }
                    },
                }
            ],
        },
    }


def test_the_command_writes_a_file_that_the_check_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "widgets.yaml").write_text(DEFINITION)
    monkeypatch.setattr(trim, "SCHEMAS", tmp_path)
    trim.main([str(tmp_path / "widgets.yaml")])
    assert list(read_crds(tmp_path / "Widget.yaml")) == [("serving.kserve.io/v1", "Widget")]
