"""Every --help says what the command does, shows it, and names the defaults that are used."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoplens import cli
from shoplens.kubeflow import options


def pages(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of all its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from pages(sub)


PAGES = [*pages(cli.parser()), *pages(options.parser(Path()))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.prog)
def test_a_page_says_what_the_command_does_and_shows_it(page: argparse.ArgumentParser) -> None:
    assert page.description and page.description.strip().endswith(".")
    assert page.epilog and page.prog.partition(" ")[2] in page.epilog
    assert "example" in page.epilog
    assert max(map(len, page.epilog.splitlines())) <= 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.prog)
def test_every_option_is_explained_with_its_default(page: argparse.ArgumentParser) -> None:
    for action in page._actions:
        if isinstance(action, argparse._SubParsersAction | argparse._HelpAction):
            continue
        assert action.help, f"{page.prog}: {action.dest}"
        default = action.default
        if default not in (None, False, "", []):
            shown = action.help % {"default": default}
            number = f"{default:g}" if isinstance(default, float) else str(default)
            assert f"default: {number}" in shown or f"default: {default!r}" in shown, (
                f"{page.prog}: {action.dest}: {shown}"
            )


def test_the_demo_takes_its_sizes_from_the_parameters_and_says_so() -> None:
    page = next(page for page in PAGES if page.prog == "shoplens data demo")
    (products,) = (action for action in page._actions if action.dest == "products")
    assert products.help == "default: world.products of --params, without such a file 0"
