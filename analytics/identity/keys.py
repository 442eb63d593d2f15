"""What two identities must share to be the same, and what never counts."""

from __future__ import annotations

import re

_FREE_MAIL = """
    gmail.com googlemail.com outlook.com hotmail.com hotmail.co.uk hotmail.fr live.com
    live.co.uk msn.com yahoo.com yahoo.co.uk yahoo.co.in yahoo.fr yahoo.de yahoo.co.jp
    ymail.com rocketmail.com icloud.com me.com mac.com aol.com aim.com gmx.com gmx.de
    gmx.net gmx.at gmx.ch web.de t-online.de freenet.de mail.com email.com
    protonmail.com proton.me pm.me tutanota.com tuta.io fastmail.com fastmail.fm
    hey.com zoho.com
    zohomail.com yandex.com yandex.ru mail.ru bk.ru inbox.ru list.ru rambler.ru qq.com
    163.com 126.com sina.com foxmail.com naver.com daum.net hanmail.net rediffmail.com
    laposte.net orange.fr wanadoo.fr free.fr sfr.fr libero.it virgilio.it tiscali.it
    alice.it telenet.be skynet.be ziggo.nl kpnmail.nl xs4all.nl planet.nl home.nl
    bluewin.ch btinternet.com sky.com virginmedia.com talktalk.net ntlworld.com
    comcast.net verizon.net att.net sbcglobal.net bellsouth.net cox.net charter.net
    earthlink.net juno.com optonline.net shaw.ca rogers.com sympatico.ca telus.net
    bigpond.com optusnet.com.au uol.com.br bol.com.br terra.com.br ig.com.br
    seznam.cz centrum.cz wp.pl o2.pl onet.pl interia.pl abv.bg ukr.net
    mailinator.com guerrillamail.com 10minutemail.com yopmail.com trashmail.com
    tempmail.com temp-mail.org sharklasers.com getnada.com dispostable.com
    example.com example.org example.net test.com localhost
"""
FREE_MAIL = frozenset(_FREE_MAIL.split())
"""Mailboxes of the public, of access providers, and throw-away ones."""

_ROLE_NAMES = """
    abuse accounting accounts admin administrator billing careers contact dev
    development finance hello help helpdesk hi hr info invoice invoices it jobs legal
    mail marketing me news newsletter no-reply noreply do-not-reply donotreply office
    ops orders payments postmaster press privacy purchasing root sales security service
    services support sysadmin team tech test webmaster
"""
ROLE_NAMES = frozenset(_ROLE_NAMES.split())
"""Local parts that stand for a function, not a person."""

_BLOCKED = """
    0 -1 null none nil n/a na unknown test undefined anonymous guest user admin true
    false [object] nan
"""
BLOCKED = frozenset({"", *_BLOCKED.split()})
"""Values that programs send where they know nothing."""
_EMPTY_ID = re.compile(r"[0{}-]*")
"""Zeros in any form, as the empty UUID."""
_DEVICE = "$device:"
"""What Mixpanel calls a visitor before it knows who that is."""
_DOMAIN = re.compile(
    r"^(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$"
)
_SECOND_LEVEL = frozenset(
    "co com org net ac gov edu ne or go".split()  # noqa: SIM905
)


def company_domain(value: str | None) -> str | None:
    """ "https://www.Acme.example/x" -> "acme.example"; None where it names no company.

    International names become their IDNA form. Sub-domains are cut to the registered
    name where its end is an ordinary one (two labels, three under co.uk and the like).
    """
    text = (value or "").strip().lower().rstrip(".")
    text = text.split("://", 1)[-1].split("/", 1)[0].split("?", 1)[0]
    text = text.rsplit("@", 1)[-1].split(":", 1)[0]
    if not text.isascii():
        try:
            text = text.encode("idna").decode()
        except UnicodeError:
            return None
    if text in BLOCKED or not _DOMAIN.match(text):
        return None
    labels = text.split(".")
    keep = 3 if len(labels) > 2 and labels[-2] in _SECOND_LEVEL else 2
    text = ".".join(labels[-keep:])
    return None if text in FREE_MAIL else text


def mailbox(value: str | None) -> str | None:
    """A personal address, trimmed and lower-cased with its domain in IDNA form; None
    for role addresses and for what is no address. Dots and "+tags" stay: what they
    mean is the provider's affair."""
    text = (value or "").strip().lower()
    local, at, domain = text.rpartition("@")
    if not at or not local or " " in local or "@" in local:
        return None
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode()
        except UnicodeError:
            return None
    name = local.split("+", 1)[0]
    if not _DOMAIN.match(domain) or name in ROLE_NAMES or name in BLOCKED:
        return None
    return f"{local}@{domain}"


def product_user(value: str | None) -> str | None:
    """The id of a user in the product, as it is but trimmed; None where it stands for
    nobody or for a device."""
    text = (value or "").strip()
    is_nobody = text.lower() in BLOCKED or _EMPTY_ID.fullmatch(text)
    return None if is_nobody or text.startswith(_DEVICE) else text
