"""Nodes for sound: loading, cutting, joining, mixing, saving. An AUDIO is a dictionary, see :mod:`.codecs`."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from comfyui_emulator import runtime
from comfyui_emulator.folders import media_kind, next_save_path
from comfyui_emulator.nodes.base import (
    HIDDEN_METADATA,
    SEED_MAX,
    Entry,
    add,
    choice,
    declare,
    integer,
    link,
    node,
    number,
    text,
)
from comfyui_emulator.nodes.images.files import (
    existing_file,
    file_digest,
    input_path,
    metadata_parts,
    temporary_suffix,
)
from comfyui_emulator.nodes.media.codecs import Audio, Waveform, encode_audio, read_audio, resample_audio
from comfyui_emulator.nodes.wording import check_axis, joined

JsonObject = dict[str, Any]
_AUDIO = link("AUDIO")
_SOUND: dict[str, Any] = {"module": "comfy_extras.nodes_audio", "category": "audio"}


def _audio(waveform: Waveform, rate: int) -> tuple[Audio]:
    return ({"waveform": waveform, "sample_rate": rate},)


def media_files(*kinds: str) -> list[str]:
    """The sorted names of files of these kinds in the input folder, without subfolders."""
    folder = runtime.context().folders.input
    return sorted(entry.name for entry in os.scandir(folder) if media_kind(entry.name) in kinds)


def _sounds() -> JsonObject:
    return {"required": {"audio": [media_files("audio", "video"), {"audio_upload": True}]}}


@node(
    "LoadAudio",
    None,
    "AUDIO",
    title="Load Audio",
    INPUT_TYPES=_sounds,
    IS_CHANGED=file_digest,
    VALIDATE_INPUTS=lambda audio: existing_file(audio, "audio"),
    **_SOUND,
)
@node("RecordAudio", {"audio": ["AUDIO_RECORD", {}]}, "AUDIO", title="Record Audio", **_SOUND)
def load_audio(audio: str) -> tuple[Audio]:
    """Load the sound of a file in the input folder, which may be a video."""
    return (read_audio(input_path(audio)),)


_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
"""The sample rates that the Opus codec supports."""


def save_sounds(
    audio: Audio, prefix: str, folder: str, ending: str, quality: str, tags: dict[str, str]
) -> list[dict[str, str]]:
    """Save each sound of a batch as a file and return references. Opus gets the next higher rate that it supports."""
    root = runtime.context().folders.by_type(folder)
    assert root is not None  # noqa: S101 - callers name existing folders
    target, stem, counter, subfolder = next_save_path(prefix, root)
    rate = given = int(audio["sample_rate"])
    if ending == "opus":
        rate = next((known for known in _OPUS_RATES if known >= given), _OPUS_RATES[-1])
    saved = []
    for index, channels in enumerate(audio["waveform"]):
        check_axis(channels, 1)
        name = f"{stem.replace('%batch_num%', str(index))}_{counter + index:05}_.{ending}"
        content = encode_audio(resample_audio(channels, given, rate), rate, ending, quality, tags)
        (target / name).write_bytes(content)
        saved.append({"filename": name, "subfolder": subfolder, "type": folder})
    return saved


class _AudioSaver:
    """Node that saves each sound of a batch as a file."""

    folder, ending, suffix = "output", "flac", ""

    def save(
        self,
        audio: Audio,
        filename_prefix: str = "ComfyUI",
        quality: str = "128k",
        prompt: Any = None,
        extra_pnginfo: Any = None,
    ) -> JsonObject:
        """Write the files, and list them in the UI part."""
        tags = dict(metadata_parts(prompt, extra_pnginfo))
        saved = save_sounds(audio, filename_prefix + self.suffix, self.folder, self.ending, quality, tags)
        return {"ui": {"audio": saved}}


class _AudioPreviewer(_AudioSaver):
    """Node that saves into the temporary folder, with its own suffix."""

    folder = "temp"

    def __init__(self) -> None:
        self.suffix = temporary_suffix()


def _saver(name: str, title: str, inputs: dict[str, Entry], ending: str = "flac", base: type = _AudioSaver) -> None:
    attributes = declare(
        {"audio": _AUDIO, **inputs}, "", hidden=HIDDEN_METADATA, title=title, OUTPUT_NODE=True, **_SOUND
    )
    add(name, type(name, (base,), attributes | {"FUNCTION": "save", "ending": ending, "__doc__": base.__doc__}))


_PREFIX = {"filename_prefix": text(default="audio/ComfyUI")}
_saver("SaveAudio", "Save Audio (FLAC)", _PREFIX)
_saver("SaveAudioMP3", "Save Audio (MP3)", _PREFIX | {"quality": choice(["V0", "128k", "320k"], default="V0")}, "mp3")
_saver(
    "SaveAudioOpus",
    "Save Audio (Opus)",
    _PREFIX | {"quality": choice(["64k", "96k", "128k", "192k", "320k"], default="128k")},
    "opus",
)
_saver("PreviewAudio", "Preview Audio", {}, base=_AudioPreviewer)


@node(
    "EmptyAudio",
    {"duration": number(60.0, 0.0, SEED_MAX, step=0.01), "sample_rate": integer(44100), "channels": integer(2, 1, 2)},
    "AUDIO",
    title="Empty Audio",
    **_SOUND,
)
def empty_audio(duration: float, sample_rate: int, channels: int) -> tuple[Audio]:
    """Make silence of a given length."""
    return _audio(np.zeros((1, channels, round(duration * sample_rate)), dtype=np.float32), sample_rate)


@node(
    "TrimAudioDuration",
    {
        "audio": _AUDIO,
        "start_index": number(0.0, -SEED_MAX, SEED_MAX, step=0.01),
        "duration": number(60.0, low=0.0, step=0.01),
    },
    "AUDIO",
    title="Trim Audio Duration",
    **_SOUND,
)
def trim(audio: Audio, start_index: float, duration: float) -> tuple[Audio]:
    """Cut to a range in seconds. A negative start counts from the end. Raises ``ValueError`` if nothing is left."""
    waveform, rate = audio["waveform"], audio["sample_rate"]
    length = waveform.shape[-1]
    start = round(start_index * rate) + (length if start_index < 0 else 0)
    start = max(0, min(start, length - 1))
    end = max(0, min(start + round(duration * rate), length))
    if start >= end:
        raise ValueError("AudioTrim: Start time must be less than end time and be within the audio length.")
    return _audio(waveform[..., start:end], rate)


@node(
    "SplitAudioChannels",
    {"audio": _AUDIO},
    "AUDIO AUDIO",
    names="left right",
    title="Split Audio Channels",
    **_SOUND,
)
def split_channels(audio: Audio) -> tuple[Audio, Audio]:
    """The left and the right channel. Raises ``ValueError`` for anything but stereo."""
    waveform, rate = audio["waveform"], audio["sample_rate"]
    if waveform.shape[1] != 2:
        raise ValueError("AudioSplit: Input audio has only one channel.")
    return *_audio(waveform[:, :1], rate), *_audio(waveform[:, 1:], rate)


def _same_rate(first: Audio, second: Audio) -> tuple[Waveform, Waveform, int]:
    rate = max(first["sample_rate"], second["sample_rate"])
    one, two = (resample_audio(audio["waveform"], audio["sample_rate"], rate) for audio in (first, second))
    return one, two, rate


@node(
    "AudioConcat",
    {"audio1": _AUDIO, "audio2": _AUDIO, "direction": choice(["after", "before"], default="after")},
    "AUDIO",
    title="Audio Concat",
    **_SOUND,
)
def concat(audio1: Audio, audio2: Audio, direction: str) -> tuple[Audio]:
    """Join two sounds one after the other, in stereo at the higher sample rate."""
    first, second, rate = _same_rate(audio1, audio2)
    parts = [np.repeat(part, 2, axis=1) if part.shape[1] == 1 else part for part in (first, second)]
    if direction == "before":
        parts.reverse()
    return _audio(joined(parts, 2), rate)


@node(
    "AudioMerge",
    {"audio1": _AUDIO, "audio2": _AUDIO, "merge_method": [["add", "mean", "subtract", "multiply"], {}]},
    "AUDIO",
    title="Audio Merge",
    **_SOUND,
)
def merge(audio1: Audio, audio2: Audio, merge_method: str) -> tuple[Audio]:
    """Mix two sounds at the length of the first. The mix is attenuated if it would clip."""
    first, second, rate = _same_rate(audio1, audio2)
    second = second[..., : first.shape[-1]]
    missing = first.shape[-1] - second.shape[-1]
    second = np.pad(second, [(0, 0)] * (second.ndim - 1) + [(0, missing)])
    if merge_method == "subtract":
        mixed = first - second
    elif merge_method == "multiply":
        mixed = first * second
    else:
        mixed = first + second
        if merge_method == "mean":
            mixed = mixed / np.float32(2)
    peak = np.abs(mixed).max()
    return _audio(mixed / peak if peak > 1 else mixed, rate)


@node(
    "AudioAdjustVolume",
    {"audio": _AUDIO, "volume": ["INT", {"default": 1.0, "min": -100, "max": 100}]},
    "AUDIO",
    title="Audio Adjust Volume",
    **_SOUND,
)
def adjust_volume(audio: Audio, volume: int) -> tuple[Audio]:
    """Change the volume by decibels."""
    if volume == 0:
        return (audio,)
    return _audio(audio["waveform"] * np.float32(10 ** (volume / 20)), audio["sample_rate"])
