"""Records of values in a history: those of this run count, and what no saver makes is an error."""

from __future__ import annotations

from typing import Any

import pytest

from discomfort.exceptions import DamagedDataError
from discomfort.orchestration.saved_values import SavedValue, saved_values

SAVED = {
    "unique_id": "x", "nonce": "n", "codec": "tensors", "storage": "ram", "blob": "b" * 32, "size": 9,
    "digest": "d" * 64, "text": None, "is_list": False,
}  # fmt: skip


def history(*entries: Any) -> dict[str, Any]:
    """One run, in which one node published these."""
    return {"id": {"outputs": {"3": {"discomfort": list(entries)}, "4": {"images": []}, "5": None}, "status": {}}}


def test_records() -> None:
    """A file, a text, and an object that stays in the server."""
    text = {**SAVED, "unique_id": "t", "codec": "json", "text": "[1]", "blob": None}
    kept = {**SAVED, "unique_id": "o", "codec": None, "storage": None, "blob": None, "digest": None}
    assert saved_values(history(SAVED, text, kept), "n") == {
        "x": SavedValue("x", "tensors", "ram", "b" * 32, 9, None, "d" * 64),
        "t": SavedValue("t", "json", "ram", "", 9, "[1]", "d" * 64),
        "o": SavedValue("o", None, "ram", "", 9, None, ""),
    }


def test_records_of_other_runs() -> None:
    """D3: a server's cache may have them; their files may be gone."""
    assert saved_values(history(SAVED, "text", {"nonce": "n2"}), "other") == {}


@pytest.mark.parametrize(
    "change",
    [{"unique_id": 3}, {"codec": 3}, {"storage": "tape"}, {"blob": None}, {"size": "9"}, {"size": True}],
)  # fmt: skip
def test_damaged_records(change: dict[str, Any]) -> None:
    """Are errors."""
    with pytest.raises(DamagedDataError, match="the server's record of a value is not one of ours"):
        saved_values(history({**SAVED, **change}), "n")


@pytest.mark.parametrize("found", [{}, {"id": None}, {"id": {"outputs": None}}, {"id": {"outputs": {"3": []}}}])
def test_histories_without_records(found: dict[str, Any]) -> None:
    """Have no values."""
    assert saved_values(found, "n") == {}
