"""Serves one message after the other; whatever goes wrong becomes one typed `Failed`."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from lofi.errors import GenerationCancelled, InternalError, LofiError
from lofi.wire.frames import (
    Cancelled,
    Done,
    Failed,
    Generate,
    Load,
    Message,
    Operate,
    Unload,
)
from lofi.worker import operations
from lofi.worker.backend import Answer, Check, Event, Job, Lora, Model
from lofi.worker.channel import Channel
from lofi.worker.failures import typed
from lofi.worker.process import trim
from lofi.worker.pulse import Pulse
from lofi.worker.report import Report
from lofi.worker.shelf import Shelf
from lofi.worker.track import render

logger = logging.getLogger(__name__)


class Runner:
    """Runs jobs on the backends of a shelf and answers each with exactly one ending."""

    def __init__(self, channel: Channel, shelf: Shelf) -> None:
        self._channel = channel
        self._shelf = shelf

    def serve(self, message: Message) -> None:
        """Does what `message` asks and sends its one ending. A job may fail, this may not."""
        if not isinstance(message, (Generate, Operate, Load, Unload)):
            logger.warning("a %s message is not for a worker", message.kind)
            self._channel.end_job()
            return
        with Pulse(self._channel, message.job_id) as pulse:
            ending = self._ending(message, pulse.check)
        self._channel.end_job()
        self._channel.send(ending)
        # A failure's traceback is gone by now, and with it the tensors of its frames.
        trim()

    def _ending(self, message: Generate | Operate | Load | Unload, check: Check) -> Message:
        job_id = message.job_id
        try:
            check()
            return Done(job_id, self._work(message, check))
        except GenerationCancelled:
            logger.info("job %s was cancelled", job_id)
            return Cancelled(job_id)
        except Exception as error:
            said = typed(error)
            # The traceback goes to the log alone, and only where it can help someone.
            is_ours = isinstance(error, LofiError) and not isinstance(error, InternalError)
            logger.error(
                "job %s failed: %s %s", job_id, said.code, said, exc_info=None if is_ours else error
            )
            return Failed(job_id, said.code, said.message, said.hint, said.data)

    def _work(self, message: Generate | Operate | Load | Unload, check: Check) -> Mapping[str, Any]:
        if isinstance(message, Generate):
            return self._generate(message, check)
        if isinstance(message, Operate):
            return self._operate(message, check)
        if isinstance(message, Load):
            return self._load(message, check)
        self._shelf.unload(message.backend)
        return {}

    def _generate(self, message: Generate, check: Check) -> Mapping[str, Any]:
        report = Report(self._channel, message.job_id)
        job = Job(
            recipe=message.recipe,
            model=model_from(message.model),
            audio={name: Path(path) for name, path in message.audio.items()},
            loras=tuple(
                Lora(Path(lora["path"]), lora["sha256"], lora["scale"]) for lora in message.loras
            ),
            latents_path=Path(message.latents_path) if message.latents_path else None,
        )
        backend = self._make_room(str(message.recipe["backend"]), job.model)

        def events() -> Generator[Event, None, None]:
            yield from backend.load(job, check)
            yield from backend.run(job, check)

        return render(events(), message, report, check)

    def _operate(self, message: Operate, check: Check) -> Mapping[str, Any]:
        if message.backend:
            model = model_from(message.model)
            backend = self._make_room(message.backend, model)
            events = backend.operate(message.operation, message.params, model, check)
        else:
            events = operations.operate(message.operation, message.params, check)
        report = Report(self._channel, message.job_id)
        answer: Mapping[str, Any] | None = None
        for event in events:
            if isinstance(event, Answer):
                answer = event.value
            else:
                report.tell(event)
        if answer is None:
            raise InternalError(f"The operation {message.operation!r} gave no answer")
        return answer

    def _load(self, message: Load, check: Check) -> Mapping[str, Any]:
        report = Report(self._channel, message.job_id)
        job = Job(recipe=message.recipe, model=model_from(message.model))
        for event in self._make_room(message.backend, job.model).load(job, check):
            report.tell(event)
        return {"timings": report.timings(), "devices": report.devices}

    def _make_room(self, name: str, model: Model) -> Any:
        """Returns the backend; the models of the others leave memory unless they may stay."""
        others = [] if model.keep_loaded else list(self._shelf.others(name))
        for other in others:
            self._shelf.unload(other)
        if others:
            trim()
        return self._shelf.backend(name)


def model_from(fields: Mapping[str, Any]) -> Model:
    """Returns the model's fields as they came over the wire, its path as a `Path`."""
    values = dict(fields)
    if values.get("path") is not None:
        values["path"] = Path(values["path"])
    return Model(**values)
