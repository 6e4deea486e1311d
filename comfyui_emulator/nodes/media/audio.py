"""Nodes for sound: loading, cutting, joining, mixing, saving. An AUDIO is a dictionary, see :mod:`.codecs`."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from comfyui_emulator import runtime
from comfyui_emulator.folders import media_kind, next_save_path
from comfyui_emulator.nodes.base import (
    HIDDEN_METADATA_V3,
    SEED_MAX,
    Entry,
    add,
    branching,
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
_SOUND: dict[str, Any] = {"module": "comfy_extras.nodes_audio", "category": "audio", "v3": True}


def _audio(waveform: Waveform, rate: int) -> tuple[Audio]:
    return ({"waveform": waveform, "sample_rate": rate},)


def media_files(*kinds: str) -> list[str]:
    """The sorted names of files of these kinds in the input folder, without subfolders."""
    folder = runtime.context().folders.input
    return sorted(entry.name for entry in os.scandir(folder) if media_kind(entry.name) in kinds)


def _sounds() -> JsonObject:
    options = {"multiselect": False, "options": media_files("audio", "video"), "audio_upload": True}
    return {"required": {"audio": ["COMBO", options]}}


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
@node("RecordAudio", {"audio": link("AUDIO_RECORD")}, "AUDIO", title="Record Audio", **_SOUND)
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
        name = f"{stem.replace('%batch_num%', str(index))}_{counter + index:05}.{ending}"
        content = encode_audio(resample_audio(channels, given, rate), rate, ending, quality, tags)
        (target / name).write_bytes(content)
        saved.append({"filename": name, "subfolder": subfolder, "type": folder})
    return saved


class _AudioSaver:
    """Node that saves each sound of a batch as a file, and returns the sounds."""

    folder, ending, suffix, name = "output", "flac", "", "SaveAudio"

    def save(
        self,
        audio: Audio | None,
        filename_prefix: str = "ComfyUI",
        quality: str = "128k",
        prompt: Any = None,
        extra_pnginfo: Any = None,
    ) -> JsonObject:
        """Write the files, and list them in the UI part. Raises ``ValueError`` for a video without sound."""
        if audio is None:
            raise ValueError(f"{self.name}: input audio is None (source video may have no audio track).")
        tags = dict(metadata_parts(prompt, extra_pnginfo))
        saved = save_sounds(audio, filename_prefix + self.suffix, self.folder, self.ending, quality, tags)
        return {"ui": {"audio": saved}, "result": (audio,)}


class _AudioPreviewer(_AudioSaver):
    """Node that saves into the temporary folder, each time under another name."""

    folder = "temp"

    def save(self, audio: Audio | None, *_: Any, **hidden: Any) -> JsonObject:
        """Write the files, and list them in the UI part. Raises ``ValueError`` for a video without sound."""
        self.suffix = temporary_suffix()
        return super().save(audio, **hidden)


def _saver(name: str, title: str, inputs: dict[str, Entry], ending: str = "flac", base: type = _AudioSaver) -> None:
    flags: dict[str, Any] = {"title": title, "OUTPUT_NODE": True, "DEPRECATED": base is _AudioSaver}
    attributes = declare(
        {"audio": _AUDIO, **inputs}, "AUDIO", names="audio", hidden=HIDDEN_METADATA_V3, **flags, **_SOUND
    )
    attributes |= {"FUNCTION": "save", "ending": ending, "name": name, "__doc__": base.__doc__}
    add(name, type(name, (base,), attributes))


_PREFIX = {"filename_prefix": text(default="audio/ComfyUI", multiline=False)}
_MP3 = {"quality": choice(["V0", "128k", "320k"], default="V0")}
_OPUS = {"quality": choice(["64k", "96k", "128k", "192k", "320k"], default="128k")}
_saver("SaveAudio", "Save Audio (FLAC) (DEPRECATED)", _PREFIX)
_saver("SaveAudioMP3", "Save Audio (MP3) (DEPRECATED)", _PREFIX | _MP3, "mp3")
_saver("SaveAudioOpus", "Save Audio (Opus) (DEPRECATED)", _PREFIX | _OPUS, "opus")
_saver("PreviewAudio", "Preview Audio", {}, base=_AudioPreviewer)


@node(
    "SaveAudioAdvanced",
    {"audio": _AUDIO, **_PREFIX, "format": branching({"flac": {}, "mp3": _MP3, "opus": _OPUS})},
    "AUDIO",
    names="audio",
    hidden=HIDDEN_METADATA_V3,
    title="Save Audio (Advanced)",
    OUTPUT_NODE=True,
    **_SOUND,
)
def save_audio(
    audio: Audio,
    filename_prefix: str,
    format: JsonObject,  # noqa: A002 - the input's name
    prompt: Any = None,
    extra_pnginfo: Any = None,
) -> JsonObject:
    """Save each sound of a batch as a file of the chosen format, and return the sounds."""
    tags = dict(metadata_parts(prompt, extra_pnginfo))
    quality = format.get("quality") or "128k"
    saved = save_sounds(audio, filename_prefix, "output", format["format"], quality, tags)
    return {"ui": {"audio": saved}, "result": (audio,)}


@node(
    "EmptyAudio",
    {
        "duration": number(60.0, 0.0, SEED_MAX, step=0.01),
        "sample_rate": integer(44100, 1, 192000, advanced=True),
        "channels": integer(2, 1, 2, advanced=True),
    },
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
def trim(audio: Audio | None, start_index: float, duration: float) -> tuple[Audio | None]:
    """Cut to a range in seconds. A negative start counts from the end. Raises ``ValueError`` if nothing is left."""
    if audio is None or audio["waveform"].shape[-1] == 0:
        return (audio,)
    waveform, rate = audio["waveform"], audio["sample_rate"]
    length = waveform.shape[-1]
    start = round(start_index * rate) + (length if start_index < 0 else 0)
    start = max(0, min(start, length))
    end = max(0, min(start + round(duration * rate), length))
    if start >= end:
        raise ValueError("TrimAudioDuration: Start time must be less than end time and be within the audio length.")
    return _audio(waveform[..., start:end], rate)


@node(
    "SplitAudioChannels",
    {"audio": _AUDIO},
    "AUDIO AUDIO",
    names="left right",
    title="Split Audio Channels",
    **_SOUND,
)
def split_channels(audio: Audio | None) -> tuple[Audio | None, Audio | None]:
    """The left and the right channel. Raises ``ValueError`` for anything but stereo."""
    if audio is None:
        return None, None
    waveform, rate = audio["waveform"], audio["sample_rate"]
    if waveform.shape[1] != 2:
        raise ValueError(f"AudioSplit: Input audio must be stereo (2 channels), got {waveform.shape[1]} channel(s).")
    return *_audio(waveform[..., :1, :], rate), *_audio(waveform[..., 1:2, :], rate)


@node(
    "JoinAudioChannels",
    {"audio_left": _AUDIO, "audio_right": _AUDIO},
    "AUDIO",
    names="audio",
    title="Join Audio Channels",
    **_SOUND,
)
def join_channels(audio_left: Audio | None, audio_right: Audio | None) -> tuple[Audio | None]:
    """Stereo of two mono sounds, at the higher sample rate and the shorter length. Raises ``ValueError`` for others."""
    if audio_left is None or audio_right is None:
        return (audio_left or audio_right,)
    if audio_left["waveform"].shape[1] != 1 or audio_right["waveform"].shape[1] != 1:
        raise ValueError("AudioJoin: Both input audios must be mono.")
    left, right, rate = _same_rate(audio_left, audio_right)
    length = min(left.shape[-1], right.shape[-1])
    return _audio(joined([left[..., :1, :length], right[..., :1, :length]], 1), rate)


def _same_rate(first: Audio, second: Audio) -> tuple[Waveform, Waveform, int]:
    rate = max(first["sample_rate"], second["sample_rate"])
    one, two = (resample_audio(audio["waveform"], audio["sample_rate"], rate) for audio in (first, second))
    return one, two, rate


@node(
    "AudioConcat",
    {"audio1": _AUDIO, "audio2": _AUDIO, "direction": choice(["after", "before"], default="after")},
    "AUDIO",
    title="Concatenate Audio",
    **_SOUND,
)
def concat(audio1: Audio | None, audio2: Audio | None, direction: str) -> tuple[Audio | None]:
    """Join two sounds one after the other, in stereo at the higher sample rate."""
    if audio1 is None or audio2 is None:
        return (audio1 or audio2,)
    first, second, rate = _same_rate(audio1, audio2)
    parts = [np.repeat(part, 2, axis=1) if part.shape[1] == 1 else part for part in (first, second)]
    if direction == "before":
        parts.reverse()
    return _audio(joined(parts, 2), rate)


@node(
    "AudioMerge",
    {"audio1": _AUDIO, "audio2": _AUDIO, "merge_method": choice(["add", "mean", "subtract", "multiply"])},
    "AUDIO",
    title="Merge Audio",
    **_SOUND,
)
def merge(audio1: Audio | None, audio2: Audio | None, merge_method: str) -> tuple[Audio | None]:
    """Mix two sounds at the length of the first. The mix is attenuated if it would clip."""
    if audio1 is None or audio2 is None:
        return (audio1 or audio2,)
    first, second, rate = _same_rate(audio1, audio2)
    if first.shape[-1] == 0 or second.shape[-1] == 0:
        return _audio(first, rate)
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
    {"audio": _AUDIO, "volume": integer(1, -100, 100)},
    "AUDIO",
    title="Adjust Audio Volume",
    **_SOUND,
)
def adjust_volume(audio: Audio | None, volume: int) -> tuple[Audio | None]:
    """Change the volume by decibels."""
    if audio is None or volume == 0:
        return (audio,)
    return _audio(audio["waveform"] * np.float32(10 ** (volume / 20)), audio["sample_rate"])
