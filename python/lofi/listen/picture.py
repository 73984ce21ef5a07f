"""Draws a sound: waveform, spectrogram, self-similarity, and the figures beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lofi.listen import structure
from lofi.listen.png import Canvas, Colour, heat
from lofi.listen.report import Report, listen
from lofi.listen.sound import Sound, read, spectra

WIDTH, HEIGHT = 1240, 900
LEFT, PLOT = 70, 1140
WAVE_TOP, WAVE_HEIGHT = 30, 130
SPECTRUM_TOP, SPECTRUM_HEIGHT = 200, 300
SQUARE_TOP, SQUARE = 545, 330
TEXT_LEFT = 450
PAPER: Colour = (16, 16, 22)
INK: Colour = (214, 214, 220)
FAINT: Colour = (96, 96, 110)
PEAK: Colour = (92, 128, 168)
BODY: Colour = (160, 200, 236)
LOWEST_HZ, HIGHEST_HZ = 30.0, 16000.0
DEEPEST_DB = -84.0
LINE = 17


def draw(path: str | Path, png_path: str | Path) -> Report:
    """Draws the sound in `path` to a PNG and returns its report.

    Raises:
        InvalidSource: the file is missing, unreadable or empty.
    """
    sound = read(Path(path))
    heard = listen(sound, str(path))
    paint(sound, heard).save(Path(png_path))
    return heard


def paint(sound: Sound, heard: Report) -> Canvas:
    """Returns the picture of a sound."""
    canvas = Canvas(WIDTH, HEIGHT, PAPER)
    _waveform(canvas, sound)
    _spectrogram(canvas, sound)
    _similarity(canvas, sound)
    _seconds(canvas, sound, WAVE_TOP + WAVE_HEIGHT + 6)
    _seconds(canvas, sound, SPECTRUM_TOP + SPECTRUM_HEIGHT + 6)
    for number, line in enumerate(lines(heard)):
        canvas.text(TEXT_LEFT, SQUARE_TOP + number * LINE, line, INK)
    return canvas


def lines(heard: Report) -> list[str]:
    """Returns the report as lines of text."""
    level, pulse, colour = heard.loudness, heard.rhythm, heard.colour
    bands = " ".join(f"{band:.1f}" for band in colour.bands_db)
    parts = " ".join(f"{part.start_sec:.0f}s:{part.lufs:.1f}" for part in heard.parts)
    return [
        f"{heard.duration_sec:.1f} s  {heard.sample_rate} Hz  {heard.channels} ch",
        f"tempo {pulse.tempo.bpm:.1f} bpm  strength {pulse.tempo.strength:.1f}",
        f"onsets {pulse.onsets_per_sec:.2f}/s  regular {pulse.regularity:.2f}"
        f"  spread {pulse.spacing_spread:.2f}  high {pulse.drum_ratio:.2f}",
        f"key {heard.key.name} {heard.key.correlation:.2f}"
        f"  then {heard.key.runner_up} {heard.key.runner_up_correlation:.2f}",
        f"loudness {level.integrated_lufs:.1f} lufs  range {level.range_lu:.1f} lu"
        f"  loudest {level.loudest_lufs:.1f}",
        f"true peak {level.true_peak_db:.1f} dbtp  peak over loudness {level.crest_db:.1f} db",
        f"centroid {colour.centroid_hz:.0f} Hz  rolloff {colour.rolloff_hz:.0f} Hz"
        f"  slope {colour.slope_db_per_octave:.1f} db/oct",
        f"bands {bands}",
        "      -60 -250 -1k -4k -8k 8k+ hz",
        f"stereo {heard.width.correlation:.2f}  low {heard.width.low_correlation:.2f}"
        f"  mono {heard.width.mono_loss_db:.1f} db",
        f"bars alike: wave {heard.repetition.likeness:.2f}"
        f"  notes {heard.repetition.chroma:.2f}  bands {heard.repetition.bands:.2f}",
        f"clicks {heard.faults.clicks} ({heard.faults.click_db:.0f} db)"
        f"  clipped {heard.faults.clipped}  silent {heard.faults.silent_ratio:.2f}",
        f"starts {heard.faults.start_db:.0f} db  ends {heard.faults.end_db:.0f} db"
        f"  dc {heard.faults.dc:.5f}",
        f"parts {parts}"[:96],
    ]


def _waveform(canvas: Canvas, sound: Sound) -> None:
    middle, half = WAVE_TOP + WAVE_HEIGHT // 2, WAVE_HEIGHT // 2
    canvas.text(LEFT, 12, "waveform: peak and rms", FAINT)
    mono = sound.mono
    edges = np.linspace(0, len(mono), PLOT + 1).astype(np.int64)
    for x in range(PLOT):
        piece = mono[edges[x] : max(edges[x] + 1, edges[x + 1])]
        if len(piece) == 0:
            continue
        low, high = float(piece.min()), float(piece.max())
        rms = float(np.sqrt(np.mean(piece**2)))
        canvas.column(LEFT + x, _y(middle, half, high), _y(middle, half, low), PEAK)
        canvas.column(LEFT + x, _y(middle, half, rms), _y(middle, half, -rms), BODY)
    canvas.row(middle, LEFT, LEFT + PLOT - 1, FAINT)


def _y(middle: int, half: int, value: float) -> int:
    return middle - round(half * min(1.0, max(-1.0, value)))


def _spectrogram(canvas: Canvas, sound: Sound) -> None:
    canvas.text(LEFT, SPECTRUM_TOP - 16, "spectrogram, hz", FAINT)
    image = spectrogram(sound, PLOT, SPECTRUM_HEIGHT)
    canvas.paste(heat(image), LEFT, SPECTRUM_TOP)
    for hz, name in (
        (50, "50"),
        (100, "100"),
        (250, "250"),
        (1000, "1K"),
        (4000, "4K"),
        (10000, "10K"),
    ):
        part = np.log(hz / LOWEST_HZ) / np.log(HIGHEST_HZ / LOWEST_HZ)
        y = SPECTRUM_TOP + round((1 - float(part)) * (SPECTRUM_HEIGHT - 1))
        canvas.row(y, LEFT - 6, LEFT - 1, FAINT)
        canvas.text(LEFT - 10 - 8 * len(name), y - 5, name, FAINT)


def spectrogram(sound: Sound, columns: int, rows: int) -> NDArray[np.float64]:
    """Returns [rows, columns] brightness 0…1, high frequencies first, logarithmic in Hz and dB."""
    frame = 8192
    hop = max(256, sound.frames // columns)
    total = [frames for _, frames in spectra(np.pad(sound.mono, frame // 2), frame, hop, 128)]
    magnitudes = np.concatenate(total)
    place = np.clip(
        np.linspace(0, len(magnitudes) - 1, columns).astype(np.int64), 0, len(magnitudes) - 1
    )
    magnitudes = magnitudes[place]
    wanted = np.geomspace(HIGHEST_HZ, LOWEST_HZ, rows)
    bins = wanted / sound.rate * frame
    edges = np.clip(np.rint(bins).astype(np.int64), 1, frame // 2 - 1)
    out = np.empty((rows, columns))
    for row in range(rows):
        low = edges[min(row + 1, rows - 1)]
        out[row] = magnitudes[:, low : max(low, edges[row]) + 1].max(axis=1)
    level = 20 * np.log10(out + 1e-9)
    return np.asarray(np.clip((level - DEEPEST_DB) / (np.max(level) - DEEPEST_DB + 1e-9), 0, 1))


def _similarity(canvas: Canvas, sound: Sound) -> None:
    canvas.text(LEFT, SQUARE_TOP - 14, "self-similarity", FAINT)
    matrix = structure.self_similarity(sound, 110)
    low, high = np.percentile(matrix, [2, 99])
    image = heat(np.clip((matrix - low) / (high - low + 1e-9), 0, 1))
    canvas.paste(np.repeat(np.repeat(image, 3, axis=0), 3, axis=1), LEFT, SQUARE_TOP)


def _seconds(canvas: Canvas, sound: Sound, y: int) -> None:
    step = next((s for s in (1, 2, 5, 10, 30, 60, 120) if sound.seconds / s <= 16), 300)
    for second in range(0, int(sound.seconds) + 1, step):
        x = LEFT + round(second / sound.seconds * (PLOT - 1))
        canvas.column(x, y - 6, y - 2, FAINT)
        canvas.text(min(x, LEFT + PLOT - 24), y, str(second), FAINT)
