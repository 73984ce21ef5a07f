"""How loud a finished track is played: one gain toward a common loudness, never a changed file."""

from __future__ import annotations

import math

from lofi.daemon.player.mixer import from_db

TARGET_LUFS = -18.0
"""Background listening: quieter than streaming services, so that code stays in front."""
BOOST_LIMIT_DB = 6.0
PEAK_LIMIT_DBTP = -1.0


def playback_gain(lufs: float | None, true_peak_db: float | None) -> float:
    """Returns the linear gain that brings a track to the common loudness.

    At most +6 dB, and never a true peak over −1 dBTP; a track whose peak is not known is only
    turned down. Without a measured loudness (None, or silence) nothing changes: 1.0.
    """
    if lufs is None or not math.isfinite(lufs):
        return 1.0
    gain_db = min(TARGET_LUFS - lufs, BOOST_LIMIT_DB)
    if true_peak_db is not None and math.isfinite(true_peak_db):
        gain_db = min(gain_db, PEAK_LIMIT_DBTP - true_peak_db)
    else:
        gain_db = min(gain_db, 0.0)
    return from_db(gain_db)
