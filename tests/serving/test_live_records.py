"""The records of the live folder: what another version of shoplens wrote is named, not stumbled over."""

from pathlib import Path

import pytest

from shoplens.errors import ShoplensError
from shoplens.serving import live


@pytest.mark.parametrize("content", ['{"version": "1"}', "[]", '{"more": 1}'])
@pytest.mark.parametrize(("name", "read"), [("state", live.read_live), ("server", live.running_server)])
def test_a_record_with_other_fields_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, read: object, content: str
) -> None:
    monkeypatch.setenv("SHOPLENS_HOME", str(tmp_path))
    assert read() is None  # type: ignore[operator]
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / f"{name}.json").write_text(content)
    with pytest.raises(ShoplensError, match=rf"{name}\.json is not a record that this version of shoplens reads"):
        read()  # type: ignore[operator]
