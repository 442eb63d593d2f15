"""Every thread of every process speaks to our broker."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from celery import current_app
from django.conf import settings


def test_a_thread_that_never_saw_the_app_uses_its_broker() -> None:
    with ThreadPoolExecutor(1) as threads:
        name, broker = threads.submit(
            lambda: (current_app.main, current_app.conf.broker_url)
        ).result()

    assert name == "churnguard"
    assert broker == settings.CELERY_BROKER_URL
