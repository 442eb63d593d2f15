"""Celery: carries nudges (ids only) and the clock; the truth is in tables.

The worker process also runs the loops of `churnguard.loops`, so that work goes on
when the broker is down or a message is lost.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from celery import Celery
from celery.signals import beat_init, setup_logging, worker_init, worker_shutting_down

from churnguard import garbage

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "churnguard.settings")

app = Celery("churnguard")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {
    "tick-syncs": {
        "task": "integrations.tick",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "tick-scores": {
        "task": "analytics.tick",
        "schedule": 5.0,
        "options": {"expires": 5},
    },
    "tick-watch": {
        "task": "monitoring.tick",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
}

_threads: list[threading.Thread] = []


@setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """Connected so that Celery leaves the logging of Django's settings alone."""


@worker_init.connect
def _start_loops(**_: Any) -> None:
    from churnguard import loops  # needs the apps, which are not ready at import

    garbage.settle()
    _threads.extend(loops.start())


@worker_shutting_down.connect
def _stop_loops(**_: Any) -> None:
    from churnguard import loops  # see above

    loops.stopping.set()


@beat_init.connect
def _beat_lives(**_: Any) -> None:
    import logging

    logging.getLogger(__name__).info("beat.started")
