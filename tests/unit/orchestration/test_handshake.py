"""The handshake: what a client learns of a server from the definition of the loader."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discomfort.context.exchange import HANDSHAKE, LOADER, VERSION, Handshake
from discomfort.exceptions import ServerError
from discomfort.nodes.context_loader import DiscomfortContextLoader
from discomfort.orchestration.handshake import read_handshake


def definitions(told: object) -> dict[str, Any]:
    hidden = {"prompt": "PROMPT", HANDSHAKE: ["DISCOMFORT", {"default": told}]}
    return {LOADER: {"input": {"hidden": hidden}, "python_module": "custom_nodes.discomfort"}}


def test_server_without_the_nodes() -> None:
    """That is no error: there are other ways to pass values."""
    assert read_handshake({"KSampler": {}}, is_ours=True) is None


def test_our_nodes_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the loader declares is what is read."""
    monkeypatch.delenv("DISCOMFORT_CONTEXTS", raising=False)
    assert read_handshake({LOADER: {"input": DiscomfortContextLoader.INPUT_TYPES()}}, is_ours=True) == Handshake(1)


@pytest.mark.parametrize("sees", [["ram", "disk"], ["disk"], []])
def test_what_it_sees(sees: list[Any]) -> None:
    """It counts for a server that we told where our files are: another one may see those of somebody else."""
    told = definitions({"version": VERSION, "sees": sees})
    assert read_handshake(told, is_ours=True) == Handshake(VERSION, tuple(sees))
    assert read_handshake(told, is_ours=False) == Handshake(VERSION, ())


def test_original_discomfort() -> None:
    """Its loader has no version; the error names its folder and a remedy."""
    original = {LOADER: {"input": {"required": {"run_id": ["STRING"]}}, "python_module": "custom_nodes.old"}}
    with pytest.raises(ServerError, match=r"from custom_nodes\.old: an original Discomfort.*Replace that folder"):
        read_handshake(original, is_ours=True)


@pytest.mark.parametrize("version", [0, VERSION + 1, "1", None])
def test_other_version(version: object) -> None:
    """Older or newer: the error names both."""
    told = definitions({"version": version, "sees": ["ram"]})
    with pytest.raises(
        ServerError, match=rf"version {version!r}, from custom_nodes\.discomfort, and .* needs {VERSION}"
    ):
        read_handshake(told, is_ours=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["input", "hidden", HANDSHAKE, "default", "version", "sees"]), inner)
    ),
)


@settings(deadline=None)
@given(JSON)
def test_any_definition(definition: object) -> None:
    """A server may say what it likes: an answer, or the typed error."""
    try:
        found = read_handshake({LOADER: definition}, is_ours=True)
    except ServerError:
        return
    assert found is None or set(found.sees) <= {"ram", "disk"}
