"""All settings, from the environment. `X_FILE` names a file that holds secret X.

Without DATABASE_URL the embedded servers of `manage.py up` are used; their address is
in the data folder (`churnguard.runtime.home`).
"""

from __future__ import annotations

import os
from pathlib import Path

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from churnguard.runtime import counters, home

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.FileAwareEnv()
counters.share()

if "DATABASE_URL" not in os.environ and "DATABASE_URL_FILE" not in os.environ:
    for _name, _value in home.running_env().items():
        os.environ.setdefault(_name, _value)


def _required(name: str) -> str:
    value = env.str(name, "")
    if not value:
        raise ImproperlyConfigured(
            f"{name} is not set. Set it, or start the embedded servers with "
            "`make run`, which makes one."
        )
    return value


DEBUG = env.bool("DEBUG", False)
SECRET_KEY = _required("SECRET_KEY")
INTEGRATION_ENCRYPTION_KEY = _required("INTEGRATION_ENCRYPTION_KEY").split(",")
DATABASE_URL = _required("DATABASE_URL")
REDIS_URL = env.str("REDIS_URL", "redis://127.0.0.1:6379/0")
CACHE_URL = env.str("CACHE_URL", REDIS_URL)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "django_prometheus",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "csp",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "channels",
    "churnguard",
    "integrations",
    "analytics",
    "monitoring",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "churnguard.middleware.RequestContextMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "churnguard.middleware.OrganizationMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "churnguard.urls"
WSGI_APPLICATION = "churnguard.wsgi.application"
ASGI_APPLICATION = "churnguard.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "churnguard.context.shell",
            ],
            "builtins": ["churnguard.templatetags.cg"],
        },
    }
]

DATABASES = {"default": env.db_url_config(DATABASE_URL)}
DATABASES["default"].update(
    ENGINE="django.db.backends.postgresql",
    # Under ASGI every request has a thread of its own, whose connection nobody would
    # use again: kept ones would use up PostgreSQL's (docs: "Persistent connections").
    CONN_MAX_AGE=env.int("DATABASE_CONN_MAX_AGE", 0),
    CONN_HEALTH_CHECKS=True,
)
DATABASES["default"].setdefault("OPTIONS", {}).setdefault("connect_timeout", 5)
CACHES = {
    "default": {
        "BACKEND": "churnguard.cache.ForgivingRedisCache",
        "LOCATION": CACHE_URL,
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 2},
        "KEY_PREFIX": "cg",
    }
}
AUTH_USER_MODEL = "churnguard.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "sign-in"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", str(home.home() / "static")))
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
MEDIA_ROOT = Path(env.str("MEDIA_ROOT", str(home.home() / "uploads")))
FILE_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024

# Transport and browser safety. HTTPS_ONLY is the one switch for a TLS deployment.
HTTPS_ONLY = env.bool("HTTPS_ONLY", False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS_ONLY
SESSION_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "churnguard.views.errors.expired_form"
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = HTTPS_ONLY
# Probes and scrapes come from inside, past the proxy that ends TLS.
SECURE_REDIRECT_EXEMPT = [
    r"^webhooks/health$",
    r"^api/dashboard/health$",
    r"^metrics$",
]
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", 31_536_000 if HTTPS_ONLY else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS_ONLY
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https")
    if env.bool("TRUST_PROXY_HEADERS", False)
    else None
)
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "connect-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "manifest-src": [SELF],
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "churnguard.auth.ApiKeyAuthentication",
        "churnguard.auth.SessionOrgAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["churnguard.auth.RoleOrScope"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "churnguard.api.exception_handler",
    "DEFAULT_THROTTLE_CLASSES": ["churnguard.throttle.OrganizationThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "ChurnGuard API",
    "DESCRIPTION": "Ingest customer data, read health, usage and risk, run syncs.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SCHEMA_PATH_PREFIX": r"/api",
    "ENUM_NAME_OVERRIDES": {
        "IntegrationStatusEnum": "integrations.models.IntegrationStatus",
        "RunStatusEnum": "integrations.models.RunStatus",
        "ApiKeyStateEnum": ["active", "expired", "revoked"],
        "DefinitionCheckKindEnum": ["preview", "backtest", "suggestion"],
        "DefinitionCheckStateEnum": [
            "queued",
            "running",
            "succeeded",
            "refused",
            "failed",
        ],
        "PredictionStateEnum": [
            "no_model",
            "training",
            "not_enough_outcomes",
            "ready",
        ],
        "MrrMovementEnum": [
            "new",
            "reactivation",
            "expansion",
            "contraction",
            "churn",
        ],
        "ChurnDefinitionKindEnum": [
            ("subscription", "Subscription ended"),
            ("inactivity", "No activity"),
        ],
        "AnalysisKindEnum": ["daily", "weekly", "monthly"],
        "AnalysisStatusEnum": ["queued", "running", "completed", "failed"],
        "PeriodEnum": ["day", "week", "month"],
        "RevenueIntervalEnum": ["month", "day"],
    },
}

# Celery carries nudges and the clock; jobs are rows (see churnguard.loops).
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://").replace(
    "?db=", "?virtual_host="
)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_TIME_LIMIT = 3600
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "max_retries": 1,
}
CELERY_TIMEZONE = "UTC"

CHURNGUARD_LOOPS: dict[str, float] = {
    "churnguard.loops.heartbeat": 5.0,
    "churnguard.partitions.ensure": 3600.0,
    "integrations.schedules.tick": 1.0,
    "integrations.runs.work": 0.5,
    "analytics.rollups.fold": 0.5,
    "analytics.identity.resolve.tick": 1.0,
    "analytics.identity.suggestions.tick": 600.0,
    "analytics.scoring.score_stale": 1.0,
    "analytics.batch.tick": 30.0,
    "analytics.segments.daily.tick": 10.0,
    "analytics.predict.jobs.work": 10.0,
    "analytics.definitions.rollout.work": 2.0,
    "analytics.definitions.checks.work": 2.0,
    "monitoring.watch.tick": 5.0,
    "monitoring.quality.daily.tick": 5.0,
    "monitoring.quality.refetch.tick": 60.0,
    "monitoring.prune.tick": 3600.0,
}
"""Dotted function -> seconds between calls; each runs in a thread of its own in every
worker, and claims its work by SKIP LOCKED, so any number of workers may run."""

# The specification's variables.
INTEGRATION_ENGINE_LOG_LEVEL = env.str("INTEGRATION_ENGINE_LOG_LEVEL", "").upper()
"""Of the sync engine and the connectors; empty = LOG_LEVEL."""
INTEGRATION_DEFAULT_RETRY_ATTEMPTS = env.int("INTEGRATION_DEFAULT_RETRY_ATTEMPTS", 3)
INTEGRATION_DEFAULT_BATCH_SIZE = env.int("INTEGRATION_DEFAULT_BATCH_SIZE", 1000)
INTEGRATION_ALLOW_PRIVATE_HOSTS = env.list(
    "INTEGRATION_ALLOW_PRIVATE_HOSTS", default=[]
)
FILE_SOURCE_ROOTS = env.list("FILE_SOURCE_ROOTS", default=[])
"""Folders the file connector may read; empty = uploads only."""
SYNC_SLOTS = env.int("SYNC_SLOTS", 2)
SYNC_LEASE_S = env.int("SYNC_LEASE_S", 60)
WEBHOOK_SERVER_HOST = env.str("WEBHOOK_SERVER_HOST", "127.0.0.1")
WEBHOOK_SERVER_PORT = env.int("WEBHOOK_SERVER_PORT", 8080)
DASHBOARD_HOST = env.str("DASHBOARD_HOST", "127.0.0.1")
DASHBOARD_PORT = env.int("DASHBOARD_PORT", 8090)
DASHBOARD_UPDATE_INTERVAL = env.int("DASHBOARD_UPDATE_INTERVAL", 60)
API_RATE_LIMITING_ENABLED = env.bool("API_RATE_LIMITING_ENABLED", True)
API_RATE_LIMIT_PER_MINUTE = env.int("API_RATE_LIMIT_PER_MINUTE", 6000)
INGEST_RATE_LIMIT_PER_MINUTE = env.int("INGEST_RATE_LIMIT_PER_MINUTE", 1_200_000)
INGEST_MAX_BODY_BYTES = env.int("INGEST_MAX_BODY_BYTES", 10 * 1024 * 1024)
INGEST_MAX_DECODED_BYTES = env.int("INGEST_MAX_DECODED_BYTES", 64 * 1024 * 1024)
INGEST_MAX_RECORDS = env.int("INGEST_MAX_RECORDS", 50_000)
EVENT_RETENTION_MONTHS = env.int("EVENT_RETENTION_MONTHS", 0)
"""0 keeps events for ever; else whole months older than this are dropped."""
METRICS_TENANT_LABEL = env.str("METRICS_TENANT_LABEL", "id")
METRICS_TOKEN = env.str("METRICS_TOKEN", "")

SENTRY_DSN = env.str("SENTRY_DSN", "")
EMAIL_URL = env.str("EMAIL_URL", "consolemail://")
vars().update(env.email_url_config(EMAIL_URL))
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "churnguard@localhost")

LOGGING_CONFIG = "churnguard.logs.configure"
LOGGING = {
    "level": env.str("LOG_LEVEL", "INFO").upper(),
    "levels": {"integrations": INTEGRATION_ENGINE_LOG_LEVEL},
}
PROMETHEUS_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SILENCED_SYSTEM_CHECKS = ["fields.W342"]
