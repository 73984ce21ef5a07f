"""Torch blocks that two or more backends share."""
