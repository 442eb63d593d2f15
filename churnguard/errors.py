"""The errors of the house.

    ChurnGuardError              anything we raise on purpose
    ├── ConfigError              a person must act; retrying changes nothing
    │   └── AuthenticationError  the provider refused our credentials
    ├── TransientError           try again, not before `retry_after_s`
    │   └── RateLimitedError     the provider told us to slow down
    └── RecordError              one record is bad; quarantine it and go on

Anything else is a bug and must be loud.
"""

from __future__ import annotations


class ChurnGuardError(Exception):
    """Base. `code` is a stable slug, `message` a sentence a person can act on."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class ConfigError(ChurnGuardError):
    """A setting, a permission or an account is wrong; `fields` names form fields."""

    code = "config_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        fields: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.fields = fields or {}


class AuthenticationError(ConfigError):
    """The provider rejected the credentials; a person must reconnect."""

    code = "authentication_failed"


class TransientError(ChurnGuardError):
    """Worth another try. `retry_after_s` is the least wait; None = our back-off."""

    code = "transient"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class RateLimitedError(TransientError):
    """HTTP 429 or its provider-specific twin; does not use up an attempt."""

    code = "rate_limited"


class RestingError(TransientError):
    """Its host is given a rest after failures; nothing was asked of it."""

    code = "circuit_open"


class RecordError(ChurnGuardError):
    """One record cannot be used; `field` names the culprit, if one is known."""

    code = "bad_record"

    def __init__(
        self, message: str, *, code: str | None = None, field: str | None = None
    ) -> None:
        super().__init__(message, code=code)
        self.field = field
