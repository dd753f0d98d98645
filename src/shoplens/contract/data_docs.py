"""Running suites in Great Expectations and keeping its Data Docs, with the same bytes for the same data."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shoplens.contract.expectations import Suite

RUN_TIME = datetime(2000, 1, 1, tzinfo=UTC)
"""Data Docs sort and name runs by time. Equal data must give equal bytes, so the run's name tells it instead."""

STAMP = re.compile(r"\b20\d{6}T\d{6}\.\d{6}Z")
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TRACKED_LOGO = re.compile(r"https://great-expectations-web-assets[^\"')]*")


@dataclass(frozen=True)
class Outcome:
    """What Great Expectations said about one expectation."""

    file: str
    expectation: str
    column: str | None
    severity: str
    success: bool
    unexpected: int | None


def run_suites(suites: Sequence[Suite], run_name: str, docs: Path) -> list[Outcome]:
    """Run every suite and write Data Docs (`index.html`) to the folder `docs`.

    Args:
        run_name: shown in the pages; the same name and data give the same bytes.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    site: Any = {
        "class_name": "SiteBuilder",
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.absolute())},
    }
    context.update_data_docs_site("local_site", site)
    source = context.data_sources.add_pandas("data")
    outcomes: list[Outcome] = []
    for suite in suites:
        name = Path(suite.file).stem
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("whole")
        kinds = [
            getattr(gx.expectations, rule.kind)(**rule.arguments, severity=rule.severity) for rule in suite.expectations
        ]
        expected = context.suites.add(gx.ExpectationSuite(name, expectations=kinds))
        definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=expected))
        results = definition.run(
            batch_parameters={"dataframe": suite.frame},
            run_id=RunIdentifier(run_name, RUN_TIME),
            result_format="SUMMARY",
        )
        outcomes += [_outcome(suite.file, result) for result in results.results]
    context.build_data_docs()
    _make_reproducible(docs)
    return outcomes


def _outcome(file: str, result: Any) -> Outcome:
    config = result.expectation_config
    return Outcome(
        file,
        config.type,
        config.kwargs.get("column"),
        str(config.severity.value),
        bool(result.success),
        result.result.get("unexpected_count"),
    )


def _make_reproducible(docs: Path) -> None:
    """Take out of the pages what differs between equal runs: load times, random ids and a logo that reports home."""
    for page in sorted(docs.rglob("*.html")):
        ids: dict[str, str] = {}
        text = page.read_text(encoding="utf-8")
        up = "../" * (len(page.relative_to(docs).parts) - 1)
        text = TRACKED_LOGO.sub(f"{up}static/images/logo-long.png", text)
        text = STAMP.sub(RUN_TIME.strftime("%Y%m%dT%H%M%S.%fZ"), text)
        text = UUID.sub(lambda match: ids.setdefault(match[0], f"id-{len(ids)}"), text)  # noqa: B023
        page.write_text(text, encoding="utf-8")
    shutil.rmtree(docs / "static/fonts", ignore_errors=True)
    for picture in (docs / "static/images").glob("*.gif"):
        picture.unlink()
