"""Error texts: the log first, the problem and the remedy last; each says what helps."""

from __future__ import annotations

from typing import Any

import pytest

from discomfort._error_text import install_command, log_lines, nearest, packs_remedy
from discomfort.client.outcomes import refusal
from discomfort.exceptions import (
    ExecutionError,
    FatalPromptError,
    MissingNode,
    MissingNodesError,
    NodeFailure,
    ServerDiedError,
    ServerStartError,
    ValidationError,
)
from discomfort.workflow.edit import Editor
from discomfort.workflow.model_folders import model_folder
from discomfort.workflow.preflight import check_prompt

USAGE = [
    "usage: main.py [-h] [--listen [IP]] [--port PORT]",
    "               [--tls-keyfile TLS_KEYFILE]",
    "main.py: error: unrecognized arguments: --cpuu",
]


def test_problem_and_remedy_come_last() -> None:
    """A terminal shows the end of a long message: that is where its reader looks first."""
    started = str(ServerStartError("it ended: no GPU", log_tail=["a", "Warning: b"], remedy="Append --cpu"))
    died = str(ServerDiedError("the server (pid 5) died: exit code 3", log_tail=["a"]))
    failure = NodeFailure("3", "KSampler", None, "ValueError", "bad", ("line 1\n", "line 2\n"))

    assert started == "last log lines:\n  a\n  Warning: b\nit ended: no GPU. Append --cpu"
    assert died == "last log lines:\n  a\nthe server (pid 5) died: exit code 3"
    assert str(ExecutionError(failure)).splitlines() == [
        "server traceback:",
        "line 1",
        "line 2",
        "node 3 'KSampler' raised ValueError: bad",
    ]
    assert ExecutionError(failure).problem == "node 3 'KSampler' raised ValueError: bad"


def test_sigkill_names_its_usual_cause() -> None:
    """The system writes nothing into the server's log when it kills for want of memory."""
    killed = ServerDiedError("the server (pid 5) died: killed by SIGKILL", signal="SIGKILL", log_tail=["a"])
    crashed = ServerDiedError("the server (pid 5) died: killed by SIGSEGV", signal="SIGSEGV")

    assert "SIGKILL. Usually the system's out-of-memory killer" in str(killed)
    assert "more memory" in killed.remedy
    assert (crashed.remedy, "memory" in str(crashed)) == ("", False)


def test_the_remedy_of_several_deaths_is_a_line_of_its_own() -> None:
    """The story before it ends with a line of the server's log."""
    death = ServerDiedError("died: killed by SIGKILL", signal="SIGKILL", log_tail=["last words"])

    lines = str(FatalPromptError("it died 2 times:", [death, death])).splitlines()

    assert lines[:3] == ["it died 2 times:", "1. died: killed by SIGKILL", "     last words"]
    assert lines[-2:] == ["     last words", death.remedy]


@pytest.mark.parametrize("before", [[], ["starting"], ["an option", "  an indented line"]])
def test_a_usage_text_is_cut_to_the_line_that_matters(before: list[str]) -> None:
    """Fifteen lines of options hide the one that is wrong, also if the log no longer has their beginning."""
    assert log_lines([*before, *USAGE]).splitlines()[1:] == [f"  {line}" for line in [*before, USAGE[-1]]]
    assert log_lines([*before[:1], *USAGE[1:]]).splitlines()[1:] == [f"  {line}" for line in [*before[:1], USAGE[-1]]]


def test_other_logs_stay_whole() -> None:
    """A traceback's indented lines are not a usage text."""
    lines = ["Traceback (most recent call last):", "  File x", "ValueError: error"]

    assert log_lines(lines).splitlines()[1:] == [f"  {line}" for line in lines]
    assert log_lines([]) == ""


def refused(class_type: str, inputs: dict[str, Any], **error: Any) -> ValidationError:
    """The error for one input that the server refused."""
    name = next(iter(inputs))
    told = {"type": "x", "message": "m", "details": "", "extra_info": {"input_name": name}} | error
    prompt = {"1": {"class_type": class_type, "inputs": inputs}}
    body = {"error": {"message": "failed"}, "node_errors": {"1": {"errors": [told], "class_type": class_type}}}
    found = refusal(prompt, "p", body, None)
    assert isinstance(found, ValidationError)
    return found


def test_a_picture_that_was_not_uploaded() -> None:
    """The usual cause is that it lies beside the program and not in ComfyUI's input folder."""
    error = refused(
        "LoadImage",
        {"image": "photo.png"},
        type="custom_validation_failed",
        message="Custom validation failed for node",
        details="image - Invalid image file: photo.png",
    )

    assert error.remedy == "Upload 'photo.png' first: connector.upload(…), or --input FILE of discomfort run."
    assert str(error).endswith(error.remedy)


@pytest.mark.parametrize("kind", ["audio", "video", "latent"])
def test_other_files_that_were_not_uploaded(kind: str) -> None:
    """All loaders of ComfyUI use the same words."""
    error = refused("Load", {"file": "a.x"}, details=f"file - Invalid {kind} file: a.x")

    assert "Upload 'a.x' first" in str(error)


def test_a_missing_model_names_its_folder() -> None:
    """By the server's refusal, by the check before it is sent, and by the editor; the nearest file comes first."""
    files = ["a.safetensors", "z.safetensors", "sd15-pruned.safetensors"]
    inputs = {"ckpt_name": "sd15.safetensors"}
    config = {"input_name": "ckpt_name", "input_config": [files, {}]}
    definition = {"input": {"required": {"ckpt_name": ["COMBO", {"options": files}]}}, "output_node": True}
    definitions = {"CheckpointLoaderSimple": definition}
    prompt = {"1": {"class_type": "CheckpointLoaderSimple", "inputs": inputs}}
    told = refused("CheckpointLoaderSimple", inputs, type="value_not_in_list", extra_info=config)
    with pytest.raises(ValidationError) as checked:
        check_prompt(prompt, definitions)
    with pytest.raises(ValueError, match="among") as edited:
        Editor(prompt, definitions).set("1.ckpt_name", "sd15.safetensors")

    remedy = "Put 'sd15.safetensors' into ComfyUI's folder models/checkpoints, or use a model of the list."
    for error in (told, checked.value, edited.value):
        assert str(error).endswith(remedy)
    assert "allowed: sd15-pruned.safetensors, " in str(told)


@pytest.mark.parametrize(
    ("class_type", "name", "folder"),
    [
        ("LoraLoader", "lora_name", "models/loras"),
        ("Any", "vae_name", "models/vae"),
        ("CLIPLoader", "clip_name", "models/text_encoders"),
        ("DualCLIPLoader", "clip_name2", "models/text_encoders"),
        ("CLIPVisionLoader", "clip_name", "models/clip_vision"),
        ("UpscaleModelLoader", "model_name", "models/upscale_models"),
        ("Other", "model_name", None),
        ("KSampler", "sampler_name", None),
        (None, None, None),
    ],
)
def test_folders_of_models(class_type: str | None, name: str | None, folder: str | None) -> None:
    """Those of ComfyUI's own loaders; nothing is guessed for others."""
    assert model_folder(class_type, name) == folder


def test_other_problems_have_no_remedy() -> None:
    """Nothing is said that does not help."""
    error = refused("KSampler", {"steps": 0}, type="value_smaller_than_min")

    assert error.remedy == ""
    assert not str(error).endswith(". ")


@pytest.mark.parametrize(
    ("packs", "command"),
    [
        (["gti-pack"], "comfy node install gti-pack"),
        (["a", "b", "a", None], "comfy node install a b"),
        (["owner/name"], "comfy node install https://github.com/owner/name"),
        (["comfy-core"], None),
        (["a; rm -rf ~"], None),
        (["--option"], None),
        (["$(id)", "../x"], None),
        ([None], None),
    ],
)
def test_the_command_that_installs_packs(packs: list[str | None], command: str | None) -> None:
    """Names are data of whoever wrote the workflow: what a shell could understand otherwise is left out."""
    assert install_command(packs) == command


def test_missing_packs_have_a_remedy() -> None:
    """The command where the workflow names the pack, else where to search."""
    named, unnamed, core = MissingNode("A", ("1",), "a-pack"), MissingNode("B"), MissingNode("C", (), "comfy-core")

    assert str(MissingNodesError([named])).endswith("that provide them: comfy node install a-pack.")
    assert "Those without a pack can be searched" in str(MissingNodesError([named, unnamed]))
    assert packs_remedy([None]).startswith("Install the packs that provide them. They can be searched")
    assert MissingNodesError([core]).remedy == "Update ComfyUI: newer versions have them."
    assert MissingNodesError([named], remedy="Ask.").remedy == "Ask."
    assert (named.install, unnamed.install) == ("comfy node install a-pack", None)


def test_nearness() -> None:
    """Regardless of case; equally similar names keep their order, and of thousands none is lost."""
    assert nearest("eulr", ["dpm", "EULER", "euler_a"]) == ["EULER", "euler_a", "dpm"]
    assert nearest("x", ["b", "a"]) == ["b", "a"]
    assert nearest("eulr", ["dpm", "EULER"], cutoff=0.5) == ["EULER"]
    many = [f"folder/model-{number}.safetensors" for number in range(20_000)]
    assert nearest("model-777.safetensors", many)[0] == "folder/model-777.safetensors"
    assert sorted(nearest("zzz", many)) == sorted(many)
