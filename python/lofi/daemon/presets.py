"""The built-in styles: what people who did not want to write a prompt can ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BUILT_IN: tuple[tuple[str, str, int, str], ...] = (
    ("lofi", "lofi hip hop, mellow electric piano, soft drums, vinyl crackle", 78, "calm"),
    ("jazz", "jazzy lofi, rhodes chords, walking bass, brushed drums", 84, "warm"),
    ("ambient", "ambient, slow pads, distant piano, no drums, wide and airy", 60, "calm"),
    ("house", "soft deep house, warm chords, round bass, gentle four on the floor", 118, "bright"),
    ("chillhop", "chillhop, boom bap drums, warm bass, guitar licks", 86, "warm"),
    ("dark", "dark lofi, minor key, muted piano, deep bass, slow swing", 72, "moody"),
    ("rain", "rainy lofi, soft piano, rain on the window, sleepy drums", 72, "calm"),
    ("coffee shop", "coffee shop jazz, upright bass, piano trio, brushes, murmur", 92, "warm"),
    ("late night", "late night lofi, mellow rhodes, sparse drums, city hum", 70, "moody"),
    ("study", "study beats, steady lofi groove, unobtrusive piano, no vocals", 80, "focus"),
    ("sleep", "sleep music, very slow pads, soft piano, no drums", 60, "calm"),
    ("city", "city lofi, neon evening, electric piano, tight drums, synth bass", 88, "bright"),
    ("nature", "nature ambient, birds far away, soft guitar, warm pads", 66, "calm"),
    ("gaming", "chill game soundtrack, retro synth, light drums, playful melody", 96, "bright"),
    ("morning", "morning lofi, bright piano, light drums, acoustic guitar", 84, "bright"),
    ("winter", "winter lofi, glassy bells, soft pads, slow warm drums", 70, "calm"),
    ("summer", "summer lofi, sunny guitar, laid back groove, warm bass", 90, "bright"),
    ("autumn", "autumn lofi, nostalgic piano, tape wobble, gentle drums", 76, "moody"),
    ("spring", "spring lofi, airy flute, light guitar, soft shuffle", 86, "bright"),
    ("synthwave", "slow synthwave, analog pads, gated drums, night drive", 84, "moody"),
    ("piano", "solo felt piano, intimate, slow, room sound", 66, "calm"),
    ("guitar", "fingerpicked guitar lofi, soft drums, warm tape", 80, "warm"),
    ("soul", "neo soul lofi, rhodes, laid back drums, round bass", 82, "warm"),
    ("space", "space ambient, long evolving pads, slow pulse, deep reverb", 60, "focus"),
)


def listed(own: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the built-in presets and after them the user's `presets.<name>`."""
    presets: list[dict[str, Any]] = [
        {"name": name, "prompt": prompt, "bpm": bpm, "tags": [tag]}
        for name, prompt, bpm, tag in _BUILT_IN
        if name not in own
    ]
    for name, value in own.items():
        request = {"prompt": value} if isinstance(value, str) else dict(value)
        presets.append(
            {
                "name": name,
                "prompt": request.get("prompt", ""),
                "bpm": request.get("bpm"),
                "tags": list(request.get("tags") or ()),
                "request": request,
            }
        )
    return presets
