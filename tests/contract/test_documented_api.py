"""The documented interface, word for word: names, parameters, return shapes, states, internal methods."""

from __future__ import annotations

import inspect
import json
import logging
import uuid
from pathlib import Path

import pytest
from contract.engines import EngineUnderTest
from contract.graphs import picture_prompt, picture_workflow, record_of

from discomfort import ComfyConnector, Discomfort
from discomfort.connector.states import State

PARAMETERS = {
    "create": {"config_path": None},
    "kill_api": {},
    "run_workflow": {"payload": inspect.Parameter.empty, "use_workflow_json": True},
    "get_prompt_from_workflow": {"workflow": inspect.Parameter.empty},
    "upload_data": {
        "source_path": inspect.Parameter.empty,
        "folder_type": "input",
        "subfolder": None,
        "overwrite": False,
        "is_ephemeral": False,
    },
}
COROUTINES = [
    "create", "kill_api", "run_workflow", "get_prompt_from_workflow", "_ensure_initialized", "_validate_resources",
    "_init_playwright", "_start_api", "_is_api_running", "_restart_browser",
    "_attempt_workflow_to_prompt_conversion", "_execute_prompt_and_wait", "_test_server", "_ensure_fresh_websocket",
]  # fmt: skip
PLAIN = ["upload_data", "_find_available_port", "_delete_data", "_sync_cleanup"]


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_the_documented_ones(name: str) -> None:
    """Positional parameters have the documented names, order and defaults; anything more is keyword-only."""
    parameters = inspect.signature(getattr(ComfyConnector, name)).parameters.values()
    positional = {p.name: p.default for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"}
    assert positional == PARAMETERS[name]
    assert list(positional) == list(PARAMETERS[name])


@pytest.mark.parametrize("name", COROUTINES)
def test_documented_coroutines(name: str) -> None:
    """What the documentation awaits is a coroutine function."""
    assert inspect.iscoroutinefunction(getattr(ComfyConnector, name))


@pytest.mark.parametrize("name", PLAIN)
def test_documented_plain_methods(name: str) -> None:
    """What the documentation calls without await is a plain function."""
    method = getattr(ComfyConnector, name)
    assert callable(method)
    assert not inspect.iscoroutinefunction(method)


def test_documented_import_path() -> None:
    """The documented modules lead to the same classes as the short names."""
    from discomfort import comfy_serverless
    from discomfort import discomfort as orchestration

    assert comfy_serverless.ComfyConnector is ComfyConnector
    assert orchestration.Discomfort is Discomfort


def test_states_are_the_documented_ones() -> None:
    """There are five states, and each is the documented word."""
    assert [str(state) for state in State] == ["uninit", "initializing", "ready", "error", "killed"]
    assert State.READY == "ready"


async def test_ready_connector_describes_itself(connector: ComfyConnector, engine: EngineUnderTest) -> None:
    """Addresses, client id, state and engine of a ready connector."""
    host, _, port = connector.server_address.removeprefix("http://").partition(":")
    assert (host, int(port) >= engine.settings["initial_port"]) == ("127.0.0.1", True)
    assert connector.ws_address == f"ws://127.0.0.1:{port}/ws?clientId={connector.client_id}"
    assert str(uuid.UUID(connector.client_id)) == connector.client_id
    assert connector.state == "ready"
    assert connector.engine == engine.kind
    assert "ready" in repr(connector)


async def test_history_has_the_documented_shape(connector: ComfyConnector) -> None:
    """``{prompt_id: {"outputs": {node_id: {"images": […]}}, "status": {…}}}``, with prompt and meta beside."""
    history = await connector.run_workflow(picture_prompt(prefix="documented/shape"), use_workflow_json=False)
    ((prompt_id, record),) = history.items()
    assert set(record) >= {"prompt", "outputs", "status", "meta"}
    assert record["prompt"][1] == prompt_id
    assert record["prompt"][2].keys() == {"1", "2"}
    assert list(record["outputs"]) == ["2"]
    (image,) = record["outputs"]["2"]["images"]
    assert image["filename"].startswith("shape_")
    assert (image["subfolder"], image["type"]) == ("documented", "output")
    status = record["status"]
    assert (status["status_str"], status["completed"]) == ("success", True)
    names = [message[0] for message in status["messages"]]
    assert names == ["execution_start", "execution_cached", "execution_success"]
    assert all(message[1]["prompt_id"] == prompt_id for message in status["messages"])
    assert record["meta"]["2"] == {"node_id": "2", "display_node": "2", "parent_node": None, "real_node_id": "2"}


@pytest.mark.parametrize("form", ["object", "path", "path object", "text"])
async def test_payload_forms(connector: ComfyConnector, tmp_path: Path, form: str) -> None:
    """A prompt may be given as an object, a path, a path object, or JSON text."""
    prompt = picture_prompt()
    path = tmp_path / "prompt.json"
    path.write_text(json.dumps(prompt))
    payload = {"object": prompt, "path": str(path), "path object": path, "text": path.read_text()}[form]
    history = await connector.run_workflow(payload, False)
    assert record_of(history)["outputs"]["2"]["images"]


async def test_prompt_in_its_api_envelope(connector: ComfyConnector) -> None:
    """The body of a request to ``/prompt`` runs as the prompt inside it."""
    history = await connector.run_workflow({"prompt": picture_prompt(), "client_id": "someone"}, False)
    assert record_of(history)["outputs"]["2"]["images"]


async def test_payload_of_the_other_kind_runs_with_a_log_line(
    connector: ComfyConnector, caplog: pytest.LogCaptureFixture
) -> None:
    """A prompt given as a workflow is recognised and run, and one line says so."""
    with caplog.at_level(logging.INFO, "discomfort"):
        history = await connector.run_workflow(picture_prompt(), use_workflow_json=True)
    assert record_of(history)["status"]["completed"] is True
    assert [r for r in caplog.records if "use_workflow_json=True" in r.message and "prompt" in r.message]


@pytest.mark.browser
async def test_conversion_gives_the_prompt(connector: ComfyConnector) -> None:
    """A workflow becomes the prompt that the frontend would send; the workflow itself is not touched."""
    workflow = picture_workflow(prefix="converted")
    before = json.dumps(workflow)
    prompt = await connector.get_prompt_from_workflow(workflow)
    assert json.dumps(workflow) == before
    assert {key: value["class_type"] for key, value in prompt.items()} == {"1": "EmptyImage", "2": "SaveImage"}
    assert prompt["1"]["inputs"] == {"width": 32, "height": 32, "batch_size": 1, "color": 0x336699}
    assert prompt["2"]["inputs"] == {"filename_prefix": "converted", "images": ["1", 0]}
    assert prompt["2"]["_meta"] == {"title": "Out"}


@pytest.mark.browser
async def test_one_isolated_conversion_attempt(connector: ComfyConnector) -> None:
    """``_attempt_workflow_to_prompt_conversion`` gives the same as the public method."""
    workflow = picture_workflow()
    assert await connector._attempt_workflow_to_prompt_conversion(workflow) == await connector.get_prompt_from_workflow(
        workflow
    )


@pytest.mark.browser
async def test_internal_methods_on_a_ready_connector(connector: ComfyConnector) -> None:
    """The internal methods by their documented returns; each leaves the connector ready."""
    assert await connector._ensure_initialized() is None
    assert await connector._validate_resources() is True
    assert await connector._is_api_running() is True
    assert await connector._test_server() is True
    assert await connector._start_api() is None
    assert await connector._init_playwright() is None
    assert await connector._restart_browser() is None
    assert await connector._validate_resources() is True
    port = connector._find_available_port()
    assert connector.server_address.endswith(f":{port}")
    history = await connector._execute_prompt_and_wait(picture_prompt())
    assert record_of(history)["status"]["completed"] is True
    assert connector._delete_data() is None
    assert connector.state == "ready"


async def test_fresh_websocket_has_a_new_client_id(connector: ComfyConnector) -> None:
    """``_ensure_fresh_websocket`` replaces the socket and its id; runs work afterwards."""
    before = connector.client_id
    await connector._ensure_fresh_websocket()
    assert connector.client_id != before
    assert connector.client_id in connector.ws_address
    history = await connector.run_workflow(picture_prompt(), False)
    assert record_of(history)["status"]["completed"] is True
