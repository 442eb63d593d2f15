"""The WSGI door, for deployments that put the API and pages on a WSGI server."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "churnguard.settings")
application = get_wsgi_application()
