"""Bringing published model files onto the machine, in a process of its own, after a yes."""
