"""What the pages about clusters name is there: tests, files, folders of manifests, other pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["kubeflow", "kubernetes", "operations", "retraining", "submitting"]


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    named = set(re.findall(r"(?<![\w/])(?:tests|manifests|images|src)/[\w./-]*\w", text))
    assert named and [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_somewhere(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / "docs" / link).exists(), link


@pytest.mark.parametrize("page", ["kubeflow", "operations"])
def test_a_page_says_what_was_executed_and_by_which_test(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text()
    table = text[text.index("| executed here | validated only |") :]
    assert "tests/" in table
