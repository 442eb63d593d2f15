"""The code a person who agrees brings back from a provider's sign-in page."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qs, urlsplit


class CodeGrant:
    """Takes a code once, from whoever asked for it (RFC 6749, RFC 7636)."""

    def __init__(self) -> None:
        self.asked: dict[str, str] = {}

    def authorize(self, url: str) -> dict[str, str]:
        """The query of the callback after the page at `url` was agreed to."""
        query = {
            name: found[0] for name, found in parse_qs(urlsplit(url).query).items()
        }
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        self.asked = query
        return {"code": "c0de-1", "state": query["state"]}

    def takes(self, form: dict[str, str]) -> bool:
        asked, self.asked = self.asked, {}
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return bool(asked) and (
            (form["code"], form["client_id"], form["redirect_uri"], challenge)
            == (
                "c0de-1",
                asked["client_id"],
                asked["redirect_uri"],
                asked["code_challenge"],
            )
        )
