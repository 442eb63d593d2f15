"""The product's settings, on servers of the test session's own."""

from __future__ import annotations

from tests import servers

servers.ensure()

from churnguard.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
CELERY_TASK_ALWAYS_EAGER = True
CELERY_TASK_EAGER_PROPAGATES = True
ALLOWED_HOSTS = ["*"]
API_RATE_LIMITING_ENABLED = False
