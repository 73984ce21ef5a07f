"""Operations of the light worker on sound files: hash, analyze, waveform, export, import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lofi.errors import MethodNotFound
from lofi.worker.backend import Check, Event


def operate(operation: str, params: Mapping[str, Any], check: Check) -> Iterator[Event]:
    """Yields progress and ends with one `Answer`.

    Raises:
        MethodNotFound: there is no such operation.
        InvalidSource, UnsupportedFormat, CacheWriteError: the file or the folder is at fault.
    """
    # Imported here: most workers never run one, and each has its own libraries.
    if operation == "hash":
        from lofi.worker.operations.importing import hash_file

        return hash_file(params, check)
    if operation == "analyze":
        from lofi.worker.operations.analysis import analyze

        return analyze(params, check)
    if operation == "waveform":
        from lofi.worker.operations.waveform import waveform

        return waveform(params, check)
    if operation == "export":
        from lofi.worker.operations.exporting import export

        return export(params, check)
    if operation == "import":
        from lofi.worker.operations.importing import import_file

        return import_file(params, check)
    raise MethodNotFound(f"The worker has no operation {operation!r}")
