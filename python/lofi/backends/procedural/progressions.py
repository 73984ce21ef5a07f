"""Chord qualities and progressions. Data only; `harmony` chooses among them.

A chord is written `offset:quality`: its root lies `offset` semitones above the tonic. Four bars
each, `|` between bars, two chords in a bar share it.
"""

from __future__ import annotations

QUALITIES: dict[str, tuple[int, int, int, int]] = {
    "maj7": (4, 11, 7, 14),
    "maj9": (4, 11, 14, 7),
    "69": (4, 9, 14, 7),
    "add9": (4, 14, 7, 0),
    "m7": (3, 10, 7, 14),
    "m9": (3, 10, 14, 7),
    "m11": (3, 10, 17, 7),
    "m6": (3, 9, 7, 14),
    "madd9": (3, 14, 7, 0),
    "7": (4, 10, 7, 14),
    "9": (4, 10, 14, 7),
    "13": (4, 10, 21, 14),
    "7b9": (4, 10, 13, 7),
    "7b13": (4, 10, 20, 13),
    "9sus": (5, 10, 14, 7),
    "m7b5": (3, 10, 6, 12),
    "dim7": (3, 9, 6, 0),
}
"""Semitones above the root; the root itself belongs to the bass."""

PROGRESSIONS: dict[tuple[str, bool], tuple[str, ...]] = {
    ("lofi", False): (
        "0:maj9|9:m9|2:m9|7:9sus",
        "5:maj9|4:m7|2:m9|0:maj9",
        "2:m9|7:13|0:maj9|9:m9",
        "0:maj9|4:7b9|9:m9|5:maj9 5:m6",
        "5:maj9|5:m6|0:maj9|9:7b13",
        "0:69|5:maj9|4:m7 9:m7|2:m9 7:13",
        "9:m9|2:m9|7:13|0:maj9",
    ),
    ("lofi", True): (
        "0:m9|8:maj7|3:maj9|10:9",
        "0:m9|5:m9|8:maj7|7:7b9",
        "5:m9|10:13|3:maj9|8:maj7",
        "0:m9|3:maj7|8:maj9|7:7b9",
        "8:maj9|7:m7|5:m9|0:m9",
        "0:m9|10:69|8:maj9|10:9sus",
        "0:m11|0:m9|5:m9|7:7b13",
    ),
    ("jazz", False): (
        "2:m9|7:13|0:maj9|9:7b9",
        "0:69 9:7b9|2:m9 7:13|4:m7 9:7b13|2:m9 1:9",
        "0:maj9|0:7|5:maj9|10:9",
        "4:m7 9:7b9|2:m9 7:13|0:69 9:m7|2:m9 7:7b9",
        "5:maj9|5:m6|4:m7 9:7b9|2:m9 7:13",
    ),
    ("jazz", True): (
        "2:m7b5|7:7b9|0:m9|0:m6",
        "0:m9 8:maj7|2:m7b5 7:7b13|0:m9|5:m9",
        "5:m9|10:13|3:maj9|2:m7b5 7:7b9",
        "0:m6|0:m9|8:9|7:7b9",
        "0:m9 9:m7b5|2:m7b5 7:7b9|3:maj9 8:maj7|2:m7b5 7:7b13",
    ),
    ("ambient", False): (
        "0:add9|0:maj9|5:maj9|5:add9",
        "0:maj9|9:m11|5:maj9|7:9sus",
        "0:add9|4:m7|5:maj9|0:69",
        "5:maj9|0:add9|9:m9|7:9sus",
    ),
    ("ambient", True): (
        "0:madd9|0:m11|8:maj9|8:maj7",
        "0:m9|3:maj9|8:maj9|10:69",
        "0:madd9|8:maj7|5:m9|10:9sus",
        "0:m11|10:69|8:maj9|0:m9",
    ),
    ("house", False): (
        "0:maj9|9:m9|2:m9|7:9sus",
        "2:m9|2:m9|0:maj9|9:m9",
        "5:maj9|7:9sus|9:m9|0:69",
        "0:69|0:maj9|5:maj9|5:m6",
    ),
    ("house", True): (
        "0:m9|0:m9|8:maj7|10:9sus",
        "0:m9|5:m9|0:m9|10:9sus",
        "0:m9|3:maj9|5:m9|8:maj7",
        "0:m11|10:69|8:maj9|7:m7",
    ),
    ("rain", False): (
        "0:maj9|5:maj9|9:m9|7:9sus",
        "5:maj9|5:m6|0:maj9|0:69",
        "0:add9|4:m7|5:maj9|5:m6",
        "9:m9|5:maj9|0:maj9|7:9sus",
    ),
    ("rain", True): (
        "0:m9|8:maj9|5:m9|7:7b9",
        "0:m9|10:69|8:maj9|5:m9",
        "5:m9|0:m9|8:maj7|7:7b9",
        "0:madd9|8:maj7|3:maj9|10:9sus",
    ),
}

HOME_MINOR: dict[str, tuple[str, ...]] = {
    "lofi": (
        "0:m9|5:m9|8:maj7|7:7b9",
        "0:m11|0:m9|5:m9|7:7b13",
        "0:m9|8:maj9|5:m9|7:7b9",
        "0:m9|7:m7|5:m9|0:m9",
    ),
    "jazz": (
        "0:m6|0:m9|8:9|7:7b9",
        "0:m9 8:maj7|2:m7b5 7:7b13|0:m6|5:m9",
        "0:m6|5:m6|2:m7b5 7:7b9|0:m9",
        "2:m7b5|7:7b9|0:m9|0:m6",
    ),
    "ambient": (
        "0:madd9|0:m11|5:madd9|0:madd9",
        "0:madd9|8:maj7|5:m9|0:madd9",
        "0:madd9|5:madd9|0:m9|7:m7",
    ),
    "house": (
        "0:m9|0:madd9|5:m9|7:m7",
        "0:madd9|5:m9|0:m9|7:7b13",
        "0:madd9|8:maj7|5:m9|7:7b13",
    ),
    "rain": (
        "0:madd9|8:maj9|5:m9|7:7b9",
        "0:madd9|5:m9|0:m9|7:7b9",
        "0:madd9|8:maj7|2:m7b5|7:7b13",
    ),
}
"""Where the words ask for minor: no third or seventh degree lends its root, so that nobody takes
the relative major for home."""

CADENCES: dict[bool, tuple[str, ...]] = {
    False: ("2:m9 7:13", "5:maj9 5:m6", "5:maj9 7:9sus"),
    True: ("2:m7b5 7:7b9", "5:m9 7:7b13", "8:maj7 10:9sus"),
}
FINALS: dict[bool, tuple[str, ...]] = {
    False: ("maj9", "69", "add9"),
    True: ("m9", "madd9", "m6"),
}
DOMINANTS: dict[bool, tuple[str, ...]] = {
    False: ("7:9sus", "7:13"),
    True: ("7:9sus", "7:7b9"),
}
TURNAROUNDS: dict[bool, tuple[str, ...]] = {
    False: ("2:m9 7:13", "2:m9 1:9", "5:maj9 7:9sus", "4:m7 9:7b9"),
    True: ("2:m7b5 7:7b9", "8:9 7:7b9", "5:m9 7:7b13", "2:m7b5 1:9"),
}
"""How a jazz player turns the last bar of eight back to the top."""
RELATIVES: dict[str, str] = {
    "0:maj9": "4:m7",
    "5:maj9": "2:m9",
    "9:m9": "0:69",
    "8:maj7": "5:m9",
    "3:maj9": "0:m9",
    "5:m9": "2:m7b5",
}
"""What may stand for a chord in a returning section."""
