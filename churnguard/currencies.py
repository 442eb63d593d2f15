"""ISO 4217: the currency codes in use, and how many decimals their minor unit has.

Source: ISO 4217 list one (six-group.com), 2026. Codes of funds and metals are left out.
"""

from __future__ import annotations

_TWO = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD
CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP
GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD
LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB
PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC
SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW
ZWG ANG CUC HRK SLL ZWL
"""
_ZERO = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"

ISO_4217 = frozenset(f"{_TWO} {_ZERO} {_THREE}".split())
ZERO_DECIMAL = frozenset(_ZERO.split()) | {"UYI"}
"""With a unit of funds, in which amounts are shown although none are taken in."""
THREE_DECIMAL = frozenset(_THREE.split())


def minor_places(currency: str) -> int:
    """Decimal places of a currency's minor unit: `JPY` -> 0, `USD` -> 2."""
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
