"""One shape for every log line of every process, and the context lines carry.

The schema: {timestamp (UTC, ends in Z), level (info, warn, error), service, operation,
tenantId, integrationId, metadata{entity, recordCount, duration (ms), error, ...}}.
JSON, unless stderr is a terminal; LOG_FORMAT=json or console decides otherwise.
Lines of Django, Celery, uvicorn and libraries get the same shape: a message that is
no dotted event name moves to metadata.message, and the logger's name is the operation.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from structlog.contextvars import merge_contextvars
from structlog.typing import EventDict, Processor

from churnguard.crypto import MASK, is_secret_name

LEVELS = {"debug": "info", "warning": "warn", "critical": "error", "exception": "error"}
CONTEXT = ("tenant_id", "integration_id", "request_id")
"""Names that `bind` takes and Celery messages carry."""

_EVENT = re.compile(r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$")
_ADAPTER = re.compile(r"^integrations\.connectors\.(\w+)$")
_SECRET_VALUE = re.compile(
    r"\bcg_[A-Za-z0-9_-]{20,}"
    r"|\b(?:sk|rk|pk|whsec|xox[a-z])[_-][A-Za-z0-9_-]{12,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|(?<=Bearer )[^\s\"',;]+|(?<=Basic )[A-Za-z0-9+/=]{8,}"
    r"|(?<=/invitations/)[A-Za-z0-9_-]{20,}"
    r"|(?<=://)[^\s/:@]*:[^\s/@]+(?=@)"
    r"|(?i:(?<=password=)|(?<=secret=)|(?<=token=)|(?<=api_key=))[^\s&\"',;]+"
)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "request",
    "params",
    "socket",
    "server_time",
    "data",
    "color_message",
    "taskName",
}
"""Attributes that are not facts: the record's own, live objects, SQL parameters."""
_RENAMED = {"record_count": "recordCount", "duration_ms": "duration"}
_TYPED = {"entity": str, "recordCount": int, "duration": float, "error": str}
_OUR_HANDLER = "churnguard"
_CHATTY = (
    "celery.beat",
    "celery.worker.strategy",
    "celery.app.trace",
    "httpx",
    "stripe",
)
"""They report each tick and each call; what matters of it we log ourselves."""
_TAMED = (
    "django",
    "django.server",
    "celery",
    "celery.task",
    "celery.redirected",
    "uvicorn",
    "uvicorn.error",
    "uvicorn.access",
    "py.warnings",
)


def configure(config: Mapping[str, Any]) -> None:
    """Django's LOGGING_CONFIG: `config` is {"level": "INFO", "access": bool,
    "levels": {logger name: level, "" = that of its parent}}.

    Replaces the root handler and takes away the handlers that Django, Celery and
    uvicorn bring, so that each line is written once and in our shape. Idempotent.
    """
    handler = logging.StreamHandler()
    handler.set_name(_OUR_HANDLER)
    handler.setFormatter(make_formatter(_wants_console()))
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if h.get_name() != _OUR_HANDLER]
    root.addHandler(handler)
    root.setLevel(config.get("level", "INFO"))
    for name in _TAMED:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    if not config.get("access", False):
        logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
        logging.getLogger("uvicorn.error").addFilter(_is_no_access_line)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name, level in config.get("levels", {}).items():
        logging.getLogger(name).setLevel(level or logging.NOTSET)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            merge_contextvars,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def make_formatter(console: bool = False) -> logging.Formatter:
    """A formatter that writes a record as one JSON line, or one line for people."""
    render: Processor = _render_console if console else _render_json
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[merge_contextvars, _add_extra],
        processors=[_shape, render],
        use_get_message=True,
    )


def bind(**facts: str) -> None:
    """Add `tenant_id`, `integration_id` or `request_id` to the lines that follow in
    this thread or task."""
    structlog.contextvars.bind_contextvars(**facts)


def clear() -> None:
    """Forget what `bind` added."""
    structlog.contextvars.clear_contextvars()


@contextmanager
def bound(**facts: str) -> Iterator[None]:
    """`bind` for the length of a block; what was bound before comes back."""
    with structlog.contextvars.bound_contextvars(**facts):
        yield


def carry_context_through_celery() -> None:
    """Send the bound context with each task message and bind it in the worker."""
    # Celery is only loaded by the processes that call this once the apps are ready.
    from celery.signals import before_task_publish, task_postrun, task_prerun

    before_task_publish.connect(_pack_context, dispatch_uid="churnguard.logs")
    task_prerun.connect(_unpack_context, dispatch_uid="churnguard.logs")
    task_postrun.connect(_drop_context, dispatch_uid="churnguard.logs")


def redact(value: Any) -> Any:
    """A copy of `value` in which secrets are masked, by key name and by look."""
    if isinstance(value, str):
        return _SECRET_VALUE.sub(MASK, value)
    if isinstance(value, Mapping):
        return {
            str(k): MASK if is_secret_name(str(k)) and v else redact(v)
            for k, v in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact(item) for item in value]
    return value


def _is_no_access_line(record: logging.LogRecord) -> bool:
    """uvicorn tells of each websocket on the logger of its errors."""
    return not str(record.msg).startswith('%s - "WebSocket')


def _wants_console() -> bool:
    chosen = os.environ.get("LOG_FORMAT", "").lower()
    return chosen == "console" or (chosen != "json" and sys.stderr.isatty())


def _pack_context(headers: dict[str, Any] | None = None, **_: Any) -> None:
    if headers is not None:
        bound_now = structlog.contextvars.get_contextvars()
        headers["cg_context"] = {
            name: bound_now[name] for name in CONTEXT if name in bound_now
        }


def _unpack_context(task: Any = None, **_: Any) -> None:
    structlog.contextvars.clear_contextvars()
    carried = task.request.get("cg_context") if task is not None else None
    if isinstance(carried, dict):
        structlog.contextvars.bind_contextvars(
            **{name: str(carried[name]) for name in CONTEXT if name in carried}
        )


def _drop_context(**_: Any) -> None:
    structlog.contextvars.clear_contextvars()


def _add_extra(_logger: Any, _name: str, event: EventDict) -> EventDict:
    for name, value in vars(event["_record"]).items():
        if name not in _STANDARD and name not in event:
            event[name] = value
    return event


def _shape(_logger: Any, _name: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event.pop("_record")
    event.pop("_from_structlog", None)
    text = str(event.pop("event", ""))
    failure = event.pop("exc_info", None)
    stack = event.pop("stack_info", None)
    tenant = event.pop("tenant_id", None) or event.pop("tenantId", None)
    integration = event.pop("integration_id", None) or event.pop("integrationId", None)
    service = event.pop("service", None) or _service(record.name)
    operation = event.pop("operation", None) or text
    seconds = event.pop("duration_s", None)
    metadata = {_RENAMED.get(name, name): value for name, value in event.items()}
    if seconds is not None:
        metadata["duration"] = round(float(seconds) * 1000, 3)
    if record.name == "uvicorn.access" and isinstance(record.args, tuple):
        operation = "http.request"
    if not _EVENT.match(str(operation)):
        metadata.setdefault("message", text)
        operation = record.name
    _add_failure(metadata, failure)
    if stack:
        metadata["stack"] = stack
    for name, kind in _TYPED.items():
        if metadata.get(name) is not None:
            metadata[name] = kind(metadata[name])
        else:
            metadata.pop(name, None)
    level = record.levelname.lower()
    return {
        "timestamp": _utc(record.created),
        "level": LEVELS.get(level, level if level == "error" else "info"),
        "service": str(service),
        "operation": str(operation),
        "tenantId": str(tenant or ""),
        "integrationId": str(integration or ""),
        "metadata": redact(metadata),
    }


def _add_failure(metadata: dict[str, Any], failure: Any) -> None:
    if failure is True:
        failure = sys.exc_info()
    if isinstance(failure, BaseException):
        failure = (type(failure), failure, failure.__traceback__)
    if not failure or failure[0] is None:
        return
    kind, value, _trace = failure
    metadata.setdefault("error", f"{kind.__name__}: {value}")
    metadata["traceback"] = "".join(traceback.format_exception(*failure))


def _service(logger_name: str) -> str:
    adapter = _ADAPTER.match(logger_name)
    if adapter:
        return f"{adapter[1].replace('_', '-')}-adapter"
    return os.environ.get("CHURNGUARD_ROLE", "churnguard")


def _utc(epoch_s: float) -> str:
    at = datetime.fromtimestamp(epoch_s, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _render_json(_logger: Any, _name: str, line: EventDict) -> str:
    return msgspec.json.encode(line, enc_hook=str).decode()


def _render_console(_logger: Any, _name: str, line: EventDict) -> str:
    facts = dict(line["metadata"])
    trace = facts.pop("traceback", "")
    for name in ("integrationId", "tenantId"):
        if line[name]:
            facts = {name: line[name], **facts}
    tail = " ".join(f"{name}={value}" for name, value in facts.items())
    head = f"{line['timestamp'][11:19]} {line['level']:<5} {line['service']}"
    return f"{head} {line['operation']} {tail}".rstrip() + (
        f"\n{trace}" if trace else ""
    )
