"""The one player: playlist and state, decoding and mixing, and where the sound goes."""
