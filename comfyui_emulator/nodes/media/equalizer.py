"""A node that makes low, middle and high tones louder or softer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from comfyui_emulator.nodes.base import integer, link, node, number
from comfyui_emulator.nodes.media.codecs import Audio, Waveform

Coefficients = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Of a second-order filter: for the present and the last two inputs, and for the present and the last two outputs."""

_BLOCK = 256
_SHELF_Q = 0.707


def shelf(gain: float, frequency: float, rate: float, *, high: bool) -> Coefficients:
    """All tones below a frequency (or above) by ``gain`` decibels; Bristow-Johnson's formulas, as in torchaudio."""
    angle = 2 * math.pi * frequency / rate
    width = math.sin(angle) / 2 / _SHELF_Q
    amount = math.exp(gain / 40 * math.log(10))
    slope, sign = 2 * math.sqrt(amount) * width, 1 if high else -1
    inner, outer = sign * (amount - 1) * math.cos(angle), sign * (amount + 1) * math.cos(angle)
    above = (
        amount * ((amount + 1) + inner + slope),
        -2 * sign * amount * ((amount - 1) + outer),
        amount * ((amount + 1) + inner - slope),
    )
    below = ((amount + 1) - inner + slope, 2 * sign * ((amount - 1) - outer), (amount + 1) - inner - slope)
    return above, below


def peak(gain: float, frequency: float, quality: float, rate: float) -> Coefficients:
    """Tones around a frequency by ``gain`` decibels."""
    angle = 2 * math.pi * frequency / rate
    amount = math.exp(gain / 40 * math.log(10))
    width, middle = math.sin(angle) / 2 / quality, -2 * math.cos(angle)
    return (1 + width * amount, middle, 1 - width * amount), (1 + width / amount, middle, 1 - width / amount)


def filtered(waveform: Waveform, coefficients: Coefficients) -> Waveform:
    """Apply a filter along the last axis. The result is cut to -1 to 1.

    Blocks are filtered at once, as if before each there were silence; then the echo of what was before is added.
    """
    above, below = (np.array(part) / coefficients[1][0] for part in coefficients)
    rows = waveform.reshape(-1, waveform.shape[-1]).astype(np.float64)
    padded = np.pad(rows, ((0, 0), (2, 0)))
    given = above[0] * padded[:, 2:] + above[1] * padded[:, 1:-1] + above[2] * padded[:, :-2]
    count = -(-given.shape[1] // _BLOCK)
    blocks = np.pad(given, ((0, 0), (0, count * _BLOCK - given.shape[1]))).reshape(len(rows), count, _BLOCK)
    response = _echo((1.0, 0.0), below)
    places = np.arange(_BLOCK)
    steps = places[:, None] - places
    own = np.where(steps >= 0, response[steps], 0.0)
    result = blocks @ own.T
    echoes = np.stack([_echo((-below[1], -below[2]), below), _echo((-below[2], 0.0), below)])
    last = np.zeros((len(rows), 2))
    for block in range(count):
        result[:, block] += last @ echoes
        last = result[:, block, :-3:-1]
    cut: Waveform = result.reshape(len(rows), -1)[:, : waveform.shape[-1]].clip(-1, 1)
    return cut.reshape(waveform.shape).astype(np.float32)


def _echo(first: tuple[float, float], below: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The outputs of a block of silence, of which the first two get something from before."""
    outputs = np.zeros(_BLOCK)
    for place in range(_BLOCK):
        before = outputs[place - 1] if place else 0.0
        earlier = outputs[place - 2] if place > 1 else 0.0
        outputs[place] = (first[place] if place < 2 else 0.0) - below[1] * before - below[2] * earlier
    return outputs


_GAIN: list[Any] = number(0.0, -24.0, 24.0, step=0.1)


@node(
    "AudioEqualizer3Band",
    {
        "audio": link("AUDIO"),
        "low_gain_dB": _GAIN,
        "low_freq": integer(100, 20, 500),
        "mid_gain_dB": _GAIN,
        "mid_freq": integer(1000, 200, 4000),
        "mid_q": number(0.707, 0.1, 10.0, step=0.1),
        "high_gain_dB": _GAIN,
        "high_freq": integer(5000, 1000, 15000),
    },
    "AUDIO",
    title="Audio Equalizer (3-Band)",
    module="comfy_extras.nodes_audio",
    category="audio",
    v3=True,
    EXPERIMENTAL=True,
)
def equalize(audio: Audio | None, low_freq: int, mid_freq: int, mid_q: float, high_freq: int, **gains: float) -> Any:
    """Change the loudness of three ranges, each by its own decibels."""
    if audio is None or audio["waveform"].shape[-1] == 0:
        return (audio,)
    waveform, rate = audio["waveform"], audio["sample_rate"]
    low, middle, high = (gains[f"{name}_gain_dB"] for name in ("low", "mid", "high"))
    if low:
        waveform = filtered(waveform, shelf(low, low_freq, rate, high=False))
    if middle:
        waveform = filtered(waveform, peak(middle, mid_freq, mid_q, rate))
    if high:
        waveform = filtered(waveform, shelf(high, high_freq, rate, high=True))
    return ({"waveform": waveform, "sample_rate": rate},)
