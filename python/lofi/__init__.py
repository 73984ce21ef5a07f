"""Music while you code, made on your own machine."""

__version__ = "0.1.0"
PROTOCOL_VERSIONS = (1,)
