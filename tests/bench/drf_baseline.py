"""Settings of the DRF baseline: the product's, with a URLconf of one view."""

from __future__ import annotations

from churnguard.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.drf_urls"
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
