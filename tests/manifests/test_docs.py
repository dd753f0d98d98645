"""What the pages about clusters name is there: tests, files, folders of manifests, other pages."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import pytest

from shoplens.cli import parser as cli_parser
from shoplens.kubeflow.options import parser as pipeline_parser

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


def commands(page: str) -> list[list[str]]:
    """The commands of a page's consoles, by words, without variables before them."""
    text = (ROOT / "docs" / f"{page}.md").read_text().replace("\\\n", " ")
    found = []
    for line in re.findall(r"^\$ (.+)$", text, re.MULTILINE):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        for end, group in itertools.groupby(lexer, lambda word: set(word) <= set("&|;")):
            if not end:
                found.append(list(itertools.dropwhile(lambda word: re.match(r"\w+=", word), group)))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_exist_with_these_options(page: str) -> None:
    found = commands(page)
    for program, *words in found:
        if program == "shoplens":
            assert cli_parser().parse_args(words)
        elif (program, *words[:1]) == ("python", "pipeline.py"):
            assert pipeline_parser(ROOT).parse_args(words[1:])
    assert found


HEAD = "| executed here | validated only |"
TABLES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if HEAD in path.read_text()]


def executed(page: Path) -> list[tuple[str, str]]:
    """What each row of a page's table is about, and its cell about what was executed here."""
    rows = page.read_text().split(HEAD)[1].split("\n\n")[0].strip().splitlines()[1:]
    return [(cells[1].strip(), cells[2].strip()) for cells in (row.split("|") for row in rows)]


@pytest.mark.parametrize("page", TABLES, ids=lambda page: page.stem)
def test_what_is_said_to_be_executed_names_the_tests_that_do_it(page: Path) -> None:
    rows = executed(page)
    assert rows
    for part, cell in rows:
        named = re.findall(r"`(tests/[\w./]+)`", cell)
        assert named or not cell, part
        assert [name for name in named if not (ROOT / name).exists()] == [], part


def test_the_pages_about_clusters_say_what_was_executed() -> None:
    assert {"README", *PAGES} <= {page.stem for page in TABLES}
