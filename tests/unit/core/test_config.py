"""Settings: where they come from, and what is said of wrong ones."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from discomfort.config import SettingArguments, Settings, load_settings
from discomfort.exceptions import ConfigurationError

DOCUMENTED = {
    "API_COMMAND_LINE": "python3 main.py",
    "API_WORKING_DIRECTORY": "./",
    "API_URL": "127.0.0.1",
    "INITIAL_PORT": 8189,
    "TEST_PAYLOAD_FILE": "test_server.json",
    "MAX_COMFY_START_ATTEMPTS": 20,
    "COMFY_START_ATTEMPTS_SLEEP": 2.0,
    "COMFYUI_PATH": "./",
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("DISCOMFORT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(path: Path, value: object) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_defaults_are_the_documented_ones() -> None:
    """Without any configuration the documented defaults hold."""
    settings = load_settings()

    assert (settings.api_url, settings.initial_port, settings.engine) == ("127.0.0.1", 8188, "auto")
    assert (settings.max_comfy_start_attempts, settings.comfy_start_attempts_sleep) == (10, 1.0)
    assert settings.sources == {}


def test_documented_file_is_read(tmp_path: Path) -> None:
    """Every documented key is taken, paths relative to the working directory."""
    settings = load_settings(write(tmp_path / "c.json", DOCUMENTED))

    assert settings.initial_port == 8189
    assert settings.comfyui_path == tmp_path
    assert settings.api_command_line == "python3 main.py"
    assert settings.test_payload_file is None, "the documented default names the bundled self-test"
    assert settings.sources["initial_port"] == str(tmp_path / "c.json")


def test_a_test_payload_that_exists_under_the_default_name_is_used(tmp_path: Path) -> None:
    """A test_server.json in the working directory goes before the bundled one."""
    write(tmp_path / "test_server.json", {})

    assert load_settings(write(tmp_path / "c.json", DOCUMENTED)).test_payload_file == tmp_path / "test_server.json"


def test_file_in_the_working_directory_is_found(tmp_path: Path) -> None:
    """comfy_serverless.json is read without being named."""
    write(tmp_path / "comfy_serverless.json", {"initial_port": 9001})

    assert load_settings().initial_port == 9001


def test_order_of_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments go before the environment, the environment before the file."""
    path = write(tmp_path / "c.json", {"INITIAL_PORT": 1001, "API_URL": "localhost", "ENGINE": "emulator"})
    monkeypatch.setenv("DISCOMFORT_INITIAL_PORT", "1002")
    monkeypatch.setenv("DISCOMFORT_API_URL", "127.0.0.2")

    settings = load_settings(path, initial_port=1003)

    assert (settings.initial_port, settings.api_url, settings.engine) == (1003, "127.0.0.2", "emulator")
    assert settings.sources["api_url"] == "environment variable DISCOMFORT_API_URL"


def test_config_file_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DISCOMFORT_CONFIG names the file where no argument does."""
    monkeypatch.setenv("DISCOMFORT_CONFIG", str(write(tmp_path / "c.json", {"INITIAL_PORT": 1004})))

    assert load_settings().initial_port == 1004


def test_missing_file() -> None:
    """A named file that is not there is the builtin error, with the path in it."""
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        load_settings("nowhere.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[1]", "must contain a JSON object"),
        ('{"INITIAL_PROT": 1}', "nearest known key is INITIAL_PORT"),
        ('{"COLOUR": 1}', "unknown key"),
        ('{"INITIAL_PORT": 0}', "INITIAL_PORT=0"),
        ('{"INITIAL_PORT": 70000}', "INITIAL_PORT=70000"),
        ('{"INITIAL_PORT": true}', "must be a number"),
        ('{"INITIAL_PORT": "x"}', "INITIAL_PORT='x'"),
        ('{"MAX_COMFY_START_ATTEMPTS": 0}', "MAX_COMFY_START_ATTEMPTS=0"),
        ('{"COMFY_START_ATTEMPTS_SLEEP": -1}', "COMFY_START_ATTEMPTS_SLEEP=-1"),
        ('{"COMFY_START_ATTEMPTS_SLEEP": NaN}', "COMFY_START_ATTEMPTS_SLEEP=nan"),
        ('{"API_COMMAND_LINE": ""}', "the command is empty"),
        ('{"API_COMMAND_LINE": "python \\"main.py"}', "No closing quotation"),
        ('{"API_URL": "127.0.0.1:8188"}', "the port is INITIAL_PORT"),
        ('{"API_URL": "http://host/path"}', "a host name or address"),
        ('{"COMFYUI_PATH": "a\\u0000b"}', "NUL"),
        ('{"ENGINE": "comfy"}', "ENGINE='comfy'"),
        ('{"BROWSER": "never"}', "BROWSER='never'"),
        ('{"PROMPT_CACHE": "onn"}', "'on', 'off' or a folder"),
        ('{"PROMPT_CACHE": false}', "'on', 'off' or a folder"),
        ('{"START_TIMEOUT": 0}', "START_TIMEOUT=0"),
        ('{"START_TIMEOUT": true}', "must be a number"),
        ('{"STOP_GRACE": -1}', "STOP_GRACE=-1"),
        ('{"STOP_GRACE": Infinity}', "STOP_GRACE=inf"),
        ('{"SERVER_ARGUMENTS": 5}', "SERVER_ARGUMENTS=5"),
        ('{"SERVER_ARGUMENTS": ["--cpu", 5]}', "SERVER_ARGUMENTS=5"),
        ('{"SERVER_ARGUMENTS": "--name \\"a"}', "No closing quotation"),
        ('{"SERVER_ARGUMENTS": ["a\\u0000b"]}', "NUL"),
        ('{"ENVIRONMENT": "A=1"}', "is not JSON"),
        ('{"ENVIRONMENT": "[]"}', "must be an object"),
        ('{"ENVIRONMENT": ["A"]}', "must be an object"),
        ('{"ENVIRONMENT": {"": "1"}}', "'' is not the name of a variable"),
        ('{"ENVIRONMENT": {"A=B": "1"}}', "'A=B' is not the name of a variable"),
        ('{"ENVIRONMENT": {"A": 5}}', "the value of 'A' must be a text"),
        ('{"ENVIRONMENT": {"A": "x\\u0000"}}', "the value of 'A' contains a NUL"),
        (
            '{"ENVIRONMENT": {"DISCOMFORT_SERVER_OWNER": "1"}}',
            "'DISCOMFORT_SERVER_OWNER' is set by the connector itself",
        ),
    ],
)
def test_wrong_configuration(tmp_path: Path, content: str, message: str) -> None:
    """Each wrong file is a ConfigurationError, which is a ValueError, that names key, value and source."""
    path = write(tmp_path / "c.json", content)

    with pytest.raises(ConfigurationError) as caught:
        load_settings(path)

    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_wrong_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source of a wrong value is part of the message."""
    monkeypatch.setenv("DISCOMFORT_INITIAL_PORT", "many")

    with pytest.raises(ConfigurationError, match="environment variable DISCOMFORT_INITIAL_PORT"):
        load_settings()


def test_unknown_environment_variable_is_only_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A variable that is not a setting may belong to another program: a warning with the nearest name."""
    monkeypatch.setenv("DISCOMFORT_INITIAL_PROT", "1")

    load_settings()

    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "variable DISCOMFORT_INITIAL_PROT is not a setting" in record.getMessage()
    assert record.getMessage().endswith("the nearest known key is DISCOMFORT_INITIAL_PORT")


def test_unknown_argument() -> None:
    """A misspelt argument is an error too."""
    with pytest.raises(ConfigurationError, match="nearest known key is ENGINE"):
        load_settings(engin="emulator")


@pytest.mark.parametrize(
    ("api_url", "host"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("localhost", "localhost"),
        ("http://127.0.0.1/", "127.0.0.1"),
        ("[::1]", "[::1]"),
    ],
)
def test_connect_host(api_url: str, host: str) -> None:
    """Wildcards connect through loopback, IPv6 addresses are bracketed."""
    assert Settings(api_url=api_url).connect_host == host


@pytest.mark.parametrize(("value", "meant"), [("on", "on"), ("off", "off"), ("./cache", "cache"), ("/c", Path("/c"))])
def test_prompt_cache(tmp_path: Path, value: str, meant: str | Path) -> None:
    """A switch or a folder, relative to the working directory."""
    expected = tmp_path / meant if meant == "cache" else meant

    assert load_settings(prompt_cache=value).prompt_cache == expected


@pytest.mark.parametrize("given", ["--cpu --name 'a b'", ["--cpu", "--name", "a b"], ("--cpu", "--name", "a b")])
def test_server_arguments(given: str | list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A text is split as a shell would, words stay as they are; equal words are equal settings."""
    settings = load_settings(server_arguments=given)
    monkeypatch.setenv("DISCOMFORT_SERVER_ARGUMENTS", "--cpu --name 'a b'")

    assert settings.server_arguments == ("--cpu", "--name", "a b")
    assert settings == load_settings()
    assert hash(settings) == hash(load_settings())
    assert load_settings(server_arguments="").server_arguments == ()


def test_environment_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes from arguments, variable or file; equal variables are equal settings; the caller's object is copied."""
    given = {"CUDA_VISIBLE_DEVICES": "1", "HF_TOKEN": "hunter2"}
    settings = load_settings(environment=given)
    path = write(tmp_path / "c.json", {"ENVIRONMENT": given})
    from_file = load_settings(path)
    monkeypatch.setenv("DISCOMFORT_ENVIRONMENT", json.dumps(given))
    copied = dict(given)
    given.clear()

    assert settings.server_environment == copied
    assert settings == from_file == load_settings()
    assert hash(settings) == hash(load_settings())
    assert settings != load_settings(environment={**copied, "HF_TOKEN": "hunter3"})


@pytest.mark.parametrize(
    "given",
    [
        {"environment": {"HF_TOKEN": "hunter2", "COUNT": 5}},
        {"environment": ["hunter2"]},
        {"environment": "hunter2"},
        {"environment": {"HF_TOKEN": "hunter2"}, "initial_port": 0},
        {"enviroment": {"NAME": "hunter2"}},
        {"api_key": "hunter2 and more"},
        {"api_kye": "hunter2"},
        {"api_key": "hunter2", "initial_port": 0},
    ],
)
def test_values_for_the_environment_are_secrets(given: dict[str, object]) -> None:
    """No error about them, or what caused it, shows a value."""
    with pytest.raises(ConfigurationError) as caught:
        load_settings(**given)  # type: ignore[arg-type]
    error = caught.value

    assert error.__cause__ is None
    assert "hunter2" not in "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


def test_settings_show_no_variables() -> None:
    """Their names are shown, without values."""
    settings = load_settings(environment={"HF_TOKEN": "hunter2"}, api_key="hunter2")

    assert settings.shown("environment") == {"HF_TOKEN": "***"}
    assert settings.shown("api_key") == "***"
    assert "HF_TOKEN" in repr(settings)
    assert "hunter2" not in repr(settings) + str(settings)


def test_what_is_shown_of_settings(tmp_path: Path) -> None:
    """Paths are texts; an argument that looks like a secret is not shown."""
    settings = load_settings(comfyui_path=tmp_path, server_arguments="--api-key hunter2 --cpu")

    assert settings.shown("comfyui_path") == str(tmp_path)
    assert settings.shown("server_arguments") == ["--api-key", "***", "--cpu"]
    assert settings.shown("initial_port") == 8188


def test_keyword_arguments_are_the_settings() -> None:
    """What editors offer as arguments of ``create`` are the settings, each of the type that it takes, or ``None``."""
    offered = get_type_hints(SettingArguments)

    assert list(offered) == list(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        assert type(None) in get_args(offered[name]), name
        if name != "prompt_cache":  # a folder, too: any text
            assert _words(offered[name]) == _words(field.annotation), name


def _words(kind: object) -> set[object]:
    if get_origin(kind) is Literal:
        return set(get_args(kind))
    return {word for member in get_args(kind) for word in _words(member)}
