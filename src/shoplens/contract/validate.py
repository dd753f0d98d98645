"""Stage validate: check the data folder against the contract, and keep the evidence whatever comes out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from shoplens.artifacts import write_artifact
from shoplens.contract import columns as c
from shoplens.contract.checks import Inspection, inspect_folder
from shoplens.contract.data_docs import Outcome, run_suites
from shoplens.contract.expectations import build_suites
from shoplens.contract.findings import format_findings
from shoplens.errors import ShoplensError
from shoplens.files import digest_file, digest_json, read_json, write_json
from shoplens.params import ValidateParams
from shoplens.progress import say

FINDINGS = "findings.json"
DATA_DOCS = "data_docs"


def validate(*, data: Path, out: Path, params: ValidateParams) -> None:
    """Write findings.json, metrics.json and data_docs/ to `out`; on an error finding they are written as well.

    findings.json holds `valid`, `findings` (see `Finding`) and `expectations` (what Great Expectations said).

    Raises:
        ShoplensError: if a finding is an error or a critical expectation fails; `out` then says `"valid": false`.
    """
    with write_artifact(out, "validate", {"data": data}, params.model_dump()) as folder:
        inspection = inspect_folder(data, params.decode)
        outcomes = run_suites(build_suites(inspection), _run_name(data), folder / DATA_DOCS)
        broken = [outcome for outcome in outcomes if not outcome.success and outcome.severity == "critical"]
        errors = [finding for finding in inspection.findings if finding.level == "error"]
        report = {
            "valid": not errors and not broken,
            "findings": [asdict(finding) for finding in inspection.findings],
            "expectations": [asdict(outcome) for outcome in outcomes],
        }
        write_json(folder / FINDINGS, report)
        write_json(folder / "metrics.json", _metrics(inspection, outcomes))
    if errors:
        raise ShoplensError(f"{format_findings(errors)}\n{data} breaks the contract; see {out / DATA_DOCS}/index.html")
    if broken:
        lines = [f"{outcome.file}, column {outcome.column}: {outcome.expectation} fails" for outcome in broken]
        lines.append(f"{data} breaks the contract; {out / DATA_DOCS}/index.html shows the rows to correct")
        raise ShoplensError("\n".join(lines))
    say(format_findings(inspection.findings))


def require_valid(path: Path) -> None:
    """Refuse a validation artifact of data that breaks the contract; every stage that trusts the data calls this.

    Raises:
        ShoplensError: if `path`/findings.json is missing or does not say that the data is valid.
    """
    if read_json(path / FINDINGS).get("valid") is not True:
        raise ShoplensError(
            f"{path / FINDINGS}: the data breaks the contract; correct what it lists and run validate again"
        )


def _run_name(data: Path) -> str:
    """A name of the tables' contents, for Data Docs."""
    files = (c.SPEC_FILE, c.LISTINGS_FILE, c.IMAGES_FILE, c.SEARCH_LOG_FILE, c.LABELS_FILE)
    return "tables-" + digest_json([[f, digest_file(data / f)] for f in files if (data / f).is_file()])[:12]


def _metrics(inspection: Inspection, outcomes: list[Outcome]) -> dict[str, int]:
    rows = {Path(file).stem: table.num_rows for file, table in inspection.folder.tables().items()}
    levels = [finding.level for finding in inspection.findings]
    return {
        "listings": rows.get("listings", 0),
        "photos": rows.get("images", 0),
        "impressions": rows.get("search_log", 0),
        "labels": rows.get("labels", 0),
        "errors": levels.count("error"),
        "warnings": levels.count("warning"),
        "expectations": len(outcomes),
        "expectations_failed": sum(not outcome.success for outcome in outcomes),
    }
