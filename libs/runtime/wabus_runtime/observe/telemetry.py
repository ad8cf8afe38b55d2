"""Structured logs: one JSON object a line, each with an `action`, never with a payload or a secret.

Also where a library would put one: into its exceptions' words, or beside a request that it could not parse.

Lines within a request or about a record carry its trace id. Which build runs is a metric.
"""

import logging
import sys
import traceback
from collections.abc import Iterator

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError
from prometheus_client import Info

from wabus_runtime.observe import tracing
from wabus_runtime.settings import LogSettings

BUILD = Info("wabus_build", "The release, services and role of this process.")

log = structlog.get_logger()


def configure_logs(settings: LogSettings, service: str) -> None:
    """Send structlog and the standard library's logging to stderr in one format."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _trace_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _exception,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    level = logging.getLevelNamesMapping()[settings.log_level]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _library_action],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.getLogger("aiohttp.server").addFilter(_without_the_bytes_of_requests)
    # aiokafka reports every step of a reconnect as an error; our loops say once that Kafka is away.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def _trace_id(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    trace_id = tracing.trace_id()
    if trace_id:
        event.setdefault("trace_id", trace_id)
    return event


def _without_the_bytes_of_requests(record: logging.LogRecord) -> bool:
    """The server quotes what it could not parse, and anybody can send anything: keep the error's name alone."""
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, HttpProcessingError | RequestPayloadError):
        return True
    log.info("a request could not be read", action="request_unreadable", error=type(error).__name__)
    return False


def _exception(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Where an exception came from and its class. Words only of our own: others quote what they could not handle."""
    info = event.pop("exc_info", None)
    error = info[1] if isinstance(info, tuple) else info if isinstance(info, BaseException) else sys.exc_info()[1]
    if info and error is not None:
        event["exception"] = "".join(_lines_of(error))
    return event


def _lines_of(error: BaseException) -> Iterator[str]:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _lines_of(cause)
        yield "\nThen:\n"
    yield from traceback.format_tb(error.__traceback__)
    words = f": {error}" if type(error).__module__.startswith("wabus_") else ""
    yield f"{type(error).__qualname__}{words}"


def _library_action(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event.setdefault("action", "library")
    return event
