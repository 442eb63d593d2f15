"""The first steps of a deployment of one's own: an organisation, and its owner."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email
from django.urls import reverse

from churnguard import members, organizations
from churnguard.errors import ConfigError
from churnguard.models import Organization
from churnguard.runtime import web


class Command(BaseCommand):
    help = "Make an organisation and print the link by which its owner joins."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("owner_email")
        parser.add_argument("--timezone", default="UTC", help="such as Europe/Berlin")
        parser.add_argument("--currency", default="USD", help="such as EUR")
        parser.add_argument(
            "--url", help="where people open ChurnGuard, such as https://cg.example.com"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        email = options["owner_email"]
        organization = Organization(
            name=options["name"],
            timezone=options["timezone"],
            base_currency=options["currency"].upper(),
        )
        try:
            validate_email(email)
            organizations.check(organization)
        except ValidationError as exc:
            raise CommandError(f"{email!r} is no e-mail address.") from exc
        except ConfigError as exc:
            faults = (f"{name}: {text}" for name, text in exc.fields.items())
            raise CommandError(" ".join(faults)) from exc
        _, token = members.found(organization, email, by="command")
        url = (options["url"] or web.addresses()[0].url).rstrip("/")
        link = reverse("invitation", args=[token])
        self.stdout.write(
            f"{organization.name} is {organization.public_id}. {email} joins as its "
            f"owner within {members.INVITATION_DAYS} days by this link, which works "
            f"once:\n{url}{link}"
        )
