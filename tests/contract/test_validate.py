"""The stage validate, with the real Great Expectations."""

import json
from pathlib import Path

import pytest
from contract.builder import rows, write_rows

from shoplens.artifacts import read_artifact
from shoplens.contract.validate import require_valid, validate
from shoplens.errors import ShoplensError
from shoplens.files import digest_folder
from shoplens.params import ValidateParams


def test_valid_data_passes_and_leaves_readable_pages(tiny_data: Path, tmp_path: Path) -> None:
    before = digest_folder(tiny_data)
    out = tmp_path / "out/validate"
    validate(data=tiny_data, out=out, params=ValidateParams())
    require_valid(out)
    read_artifact(out, "validate", {"data": tiny_data})
    report = json.loads((out / "findings.json").read_text())
    assert report["valid"] is True and report["findings"] == []
    assert {entry["file"] for entry in report["expectations"]} == {path.name for path in tiny_data.glob("*.parquet")}
    assert all(entry["success"] for entry in report["expectations"])
    metrics = json.loads((out / "metrics.json").read_text())
    assert (metrics["listings"], metrics["errors"], metrics["warnings"]) == (30, 0, 0)
    assert metrics["photos"] == len(rows(tiny_data, "images.parquet"))
    index = (out / "data_docs/index.html").read_text()
    pages = list((out / "data_docs/validations").rglob("*.html"))
    assert len(pages) == 4 and "listings" in index
    assert "great-expectations-web-assets" not in index
    assert digest_folder(tiny_data) == before
    assert {path.name for path in out.parent.iterdir()} == {"validate", ".validate.lock"}


def test_equal_data_gives_equal_bytes(tiny_data: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        validate(data=tiny_data, out=tmp_path / name, params=ValidateParams())
    assert digest_folder(tmp_path / "first") == digest_folder(tmp_path / "second")


def test_bad_data_stops_with_the_findings_on_disk(tiny_data: Path, tmp_path: Path) -> None:
    listings = rows(tiny_data, "listings.parquet")
    listings[3]["price"] = float("inf")
    write_rows(tiny_data, "listings.parquet", listings)
    photo = tiny_data / "images/photo-0-0.jpg"
    photo.write_bytes(photo.read_bytes()[:200])
    (tiny_data / "labels.parquet").write_bytes(b"no table")
    out = tmp_path / "validate"
    with pytest.raises(ShoplensError) as raised:
        validate(data=tiny_data, out=out, params=ValidateParams())
    for part in ("target-not-finite", "row 3", "photo-unreadable", "table-unreadable", "remedy", "index.html"):
        assert part in str(raised.value)
    report = json.loads((out / "findings.json").read_text())
    assert report["valid"] is False
    assert {finding["check"] for finding in report["findings"]} >= {"target-not-finite", "photo-unreadable"}
    failed = {(entry["file"], entry["column"]) for entry in report["expectations"] if not entry["success"]}
    assert ("listings.parquet", "price_is_finite") in failed
    assert ("images.parquet", "photo_readable") in failed
    assert ("labels.parquet", "role") in failed
    assert (out / "data_docs/index.html").is_file()
    with pytest.raises(ShoplensError, match="breaks the contract"):
        require_valid(out)


def test_warnings_do_not_stop(tiny_data: Path, tmp_path: Path) -> None:
    listings = rows(tiny_data, "listings.parquet")
    listings[3]["title"] = ""
    write_rows(tiny_data, "listings.parquet", listings)
    images = [row for row in rows(tiny_data, "images.parquet") if row["listing_id"] != listings[0]["listing_id"]]
    write_rows(tiny_data, "images.parquet", images)
    validate(data=tiny_data, out=tmp_path / "validate", params=ValidateParams())
    metrics = json.loads((tmp_path / "validate/metrics.json").read_text())
    assert (metrics["errors"], metrics["warnings"]) == (0, 2)


def test_a_missing_artifact_is_not_valid(tmp_path: Path) -> None:
    with pytest.raises(ShoplensError, match="missing"):
        require_valid(tmp_path)
