"""MRR movements between two days, and the ratios made of them. Pure.

A customer's MRR is an integer in minor units of one currency. Definitions: new (never
paid before), reactivation (paid before, not at the start), expansion, contraction,
churn; what only the exchange rate moved is `fx`. So that always

    end = start + new + reactivation + expansion - contraction - churn + fx

Ratios follow the common definitions (ChartMogul's net churn counts reactivation,
Baremetrics' does not); a denominator of 0 gives None, never 0 %.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class CustomerMonth:
    """start, end: MRR in minor units, both at the start day's exchange rate. end_now:
    the end at the end day's rate (None = the same). paid_before: ever above 0 before
    the start."""

    customer_id: int
    start: int
    end: int
    paid_before: bool
    end_now: int | None = None


@dataclass(frozen=True, slots=True)
class Movement:
    """What one customer did. kind: new, reactivation, expansion, contraction, churn."""

    customer_id: int
    kind: str
    amount: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Sums of a period in minor units, and customers counted. lost: paid at the start
    and nothing at the end; joined: new or reactivated."""

    start: int
    new: int
    reactivation: int
    expansion: int
    contraction: int
    churn: int
    fx: int
    end: int
    customers_start: int
    customers_end: int
    customers_lost: int
    customers_joined: int

    def __post_init__(self) -> None:
        moved = self.new + self.reactivation + self.expansion
        moved -= self.contraction + self.churn
        if self.start + moved + self.fx != self.end:
            raise ValueError(f"The movements do not add up: {self}.")

    @property
    def gross_churn(self) -> Fraction | None:
        """(churn + contraction) / start."""
        return _ratio(self.churn + self.contraction, self.start)

    @property
    def net_churn(self) -> Fraction | None:
        """(churn + contraction - expansion - reactivation) / start."""
        lost = self.churn + self.contraction - self.expansion - self.reactivation
        return _ratio(lost, self.start)

    @property
    def net_churn_without_reactivation(self) -> Fraction | None:
        """(churn + contraction - expansion) / start."""
        return _ratio(self.churn + self.contraction - self.expansion, self.start)

    @property
    def grr(self) -> Fraction | None:
        """1 - gross churn: what is left of the start without expansion."""
        gross = self.gross_churn
        return None if gross is None else 1 - gross

    @property
    def nrr(self) -> Fraction | None:
        """(start - churn - contraction + expansion) / start; no new, no returns."""
        kept = self.start - self.churn - self.contraction + self.expansion
        return _ratio(kept, self.start)

    @property
    def logo_churn(self) -> Fraction | None:
        """Customers lost / customers at the start."""
        return _ratio(self.customers_lost, self.customers_start)

    @property
    def logo_churn_with_joined(self) -> Fraction | None:
        """Customers lost / (customers at the start + joined)."""
        return _ratio(self.customers_lost, self.customers_start + self.customers_joined)

    @property
    def quick_ratio(self) -> Fraction | None:
        """(new + expansion) / (contraction + churn)."""
        return _ratio(self.new + self.expansion, self.contraction + self.churn)

    @property
    def quick_ratio_with_reactivation(self) -> Fraction | None:
        """(new + expansion + reactivation) / (contraction + churn)."""
        gained = self.new + self.expansion + self.reactivation
        return _ratio(gained, self.contraction + self.churn)

    @property
    def arpa(self) -> Fraction | None:
        """MRR at the end / paying customers at the end, minor units."""
        return _ratio(self.end, self.customers_end)

    @property
    def arr(self) -> int:
        """12 times the MRR at the end."""
        return 12 * self.end


def lifetime_value(
    arpa: Fraction | None,
    logo_churn: Fraction | None,
    *,
    months: float,
    margin_pct: int,
) -> float | None:
    """What a customer brings before leaving, in the unit of arpa: arpa x margin / logo
    churn a month. months: over which logo_churn was counted; the rate a month is the
    one that comes to it when it goes on. None where nobody left or nobody paid."""
    if arpa is None or not logo_churn:
        return None
    share = float(logo_churn)
    monthly = share if months == 1 else 1 - (1 - min(share, 1.0)) ** (1 / months)
    return float(arpa) * margin_pct / 100 / monthly


def kind_of(start: int, end: int, *, paid_before: bool) -> str | None:
    """The kind of a movement between these MRRs, which is of their difference; None
    when nothing moved."""
    if start == end:
        return None
    if start == 0:
        return "reactivation" if paid_before else "new"
    if end == 0:
        return "churn"
    return "expansion" if end > start else "contraction"


def summarize(rows: Iterable[CustomerMonth]) -> tuple[Summary, list[Movement]]:
    """The period's sums and each customer's movement."""
    sums = dict.fromkeys(
        ("new", "reactivation", "expansion", "contraction", "churn"), 0
    )
    start = end = fx = at_start = at_end = lost = joined = 0
    moved: list[Movement] = []
    for row in rows:
        now = row.end if row.end_now is None else row.end_now
        start, end, fx = start + row.start, end + now, fx + now - row.end
        at_start += row.start > 0
        at_end += row.end > 0
        lost += row.start > 0 and row.end == 0
        joined += row.start == 0 and row.end > 0
        kind = kind_of(row.start, row.end, paid_before=row.paid_before)
        if kind is not None:
            amount = abs(row.end - row.start)
            sums[kind] += amount
            moved.append(Movement(row.customer_id, kind, amount))
    return (
        Summary(
            start=start,
            fx=fx,
            end=end,
            customers_start=at_start,
            customers_end=at_end,
            customers_lost=lost,
            customers_joined=joined,
            **sums,
        ),
        moved,
    )


def _ratio(part: int, whole: int) -> Fraction | None:
    return Fraction(part, whole) if whole else None
