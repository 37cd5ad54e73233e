"""Whether this person, organisation and operator may reach a model under its provider's own terms.

Provider terms combine by deny-overrides and are independent of law: nothing a law pack says lifts a refusal
here. An unclear place never proves permission.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from dragoman.core.decision import Reason, Remark
from dragoman.decide.civil import DAY_MS
from dragoman.decide.context import Context
from dragoman.decide.packs import PackSet
from dragoman.decide.places import UNPROVEN_KINDS
from dragoman.decide.provider import LIST_CLOSED_DAYS, LIST_WARN_DAYS, Provider
from dragoman.decide.texts import list_text, term_text
from dragoman.decide.weigh import remark
from dragoman.decide.world import Offer, World

_TERM_OF = {
    "PROV_TERRITORY_ACCESS": "territory",
    "PROV_TERRITORY_RESIDENCE": "territory",
    "PROV_TERRITORY_PHONE": "territory",
    "PROV_TERRITORY_UNPROVEN": "territory",
    "PROV_SUBDIVISION": "subdivision",
    "PROV_OWNERSHIP": "ownership",
    "PROV_SEAT": "seat",
    "PROV_SEAT_UNKNOWN": "seat",
    "PROV_MIN_AGE": "min_age",
    "PROV_LICENCE": "licence",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One term that stands in the way: the reason, how far it reaches, and what would answer it.

    `signal` is one the person can supply (step_up), `evidence` what the operator has to state (not_ready).
    """

    reason: Reason
    scope: str
    signal: str | None = None
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """What the terms of one offer say. `open` means: permitted, possibly with warnings."""

    denials: tuple[Finding, ...]
    asks: tuple[Finding, ...]
    warnings: tuple[Remark, ...]

    @property
    def open(self) -> bool:
        """Whether nothing stands in the way."""
        return not self.denials and not self.asks


FREE = Access((), (), ())


class Terms:
    """Checks offers for one decision; each pack is checked once."""

    def __init__(self, context: Context, packs: PackSet) -> None:
        self._context = context
        self._packs = packs
        self._seen: dict[tuple[str, frozenset[str]], Access] = {}
        self.used: set[str] = set()

    def access(self, offer: Offer) -> Access:
        """What the terms of this offer say. Raises KeyError for a pack that is not loaded."""
        if offer.pack is None:
            return FREE
        key = (offer.pack, offer.licence_territory_exclude)
        if key not in self._seen:
            pack = self._packs.packs.get(offer.pack)
            if pack is None or pack.provider is None:
                raise KeyError(f"{offer.provider}: no provider pack {offer.pack} is loaded")
            self.used.add(offer.pack)
            self._seen[key] = self._check(pack.provider, offer)
        return self._seen[key]

    def _check(self, provider: Provider, offer: Offer) -> Access:
        check = _Check(provider, self._context)
        if provider.territory_allow is not None:
            check.current_place()
            check.residence()
            check.phone_places()
            check.organisation()
        elif provider.territory_terms:
            check.warn("PROV_TERRITORY_UNKNOWN", None)
        check.age()
        check.licence(provider.licence_territory_exclude | offer.licence_territory_exclude)
        return Access(tuple(check.denials), tuple(check.asks), tuple(check.warnings))


class _Check:
    """The terms of one provider against the facts of one decision."""

    def __init__(self, provider: Provider, context: Context) -> None:
        self.provider = provider
        self.context = context
        self.denials: list[Finding] = []
        self.asks: list[Finding] = []
        self.warnings: list[Remark] = []

    def current_place(self) -> None:
        if "access_location" not in self.provider.basis:
            return
        country = self.context.get("address_country")
        kind = self.context.get("address_kind")
        if country is not None and not self._place("PROV_TERRITORY_ACCESS", country, "address", "turn"):
            return
        vague = country is not None and self._vague_part(country, "address")
        if country is None or kind is None or kind in UNPROVEN_KINDS or vague:
            self._unproven()

    def residence(self) -> None:
        if not self.provider.basis & {"offered_to", "residence"}:
            return
        country = self.context.get("residence")
        if country is None:
            self.ask("PROV_TERRITORY_UNPROVEN", None, "residence")
        elif self._place("PROV_TERRITORY_RESIDENCE", country, "residence", "account") and self._vague_part(
            country, "residence"
        ):
            self.ask("PROV_SUBDIVISION", country, "residence")

    def phone_places(self) -> None:
        """A place that only the phone points to asks for the residence instead of refusing.

        A market that the operator offers is no place of the person: it takes nothing from what a phone says.
        """
        for country in sorted(self.context.phone_regions):
            if self.provider.listed(country) != "no" or country in self._stated():
                continue
            if self.context.verified("residence") and self.context.get("residence") != country:
                self.warn("PROV_TERRITORY_PHONE", country)
            else:
                self.ask("PROV_TERRITORY_PHONE", country, "residence")

    def _stated(self) -> set[str | None]:
        """Where the person lives, and is where the terms ask for that: judged as such."""
        by_place = "access_location" in self.provider.basis
        return {
            self.context.get("residence"),
            self.context.get("address_country") if by_place else None,
        }

    def organisation(self) -> None:
        if "operator_seat" in self.provider.basis:
            for path in ("organisation.seat", "operator.seat"):
                seat = self.context.get(path)
                if seat is not None:
                    self._listed_or("PROV_SEAT", seat, "account")
                elif path == "operator.seat":
                    self.ask_operator("PROV_SEAT_UNKNOWN", path)
        ownership = self.provider.ownership
        owners = self.context.get("organisation.owners") if ownership else None
        if not ownership or not owners:
            return
        share = sum(o.percent for o in owners if self.provider.listed(o.country) == "no")
        outside = next((o.country for o in owners if self.provider.listed(o.country) == "no"), None)
        if share > ownership.pct or (ownership.op == ">=" and share == ownership.pct):
            self.deny("PROV_OWNERSHIP", outside, "account")
        elif share == ownership.pct:
            self.warn("PROV_OWNERSHIP_BOUNDARY", outside)

    def age(self) -> None:
        limit = self.provider.min_age
        if limit is None:
            return
        age = self.context.get("age")
        if age is None:
            self.ask("PROV_MIN_AGE", None, "age_reliable")
        elif age < limit:
            self.deny("PROV_MIN_AGE", None, "account")

    def licence(self, excluded: frozenset[str]) -> None:
        if not excluded:
            return
        seat = self.context.get("operator.seat")
        if seat is None:
            self.ask_operator("PROV_SEAT_UNKNOWN", "operator.seat", "licence")
        elif seat in excluded:
            self.deny("PROV_LICENCE", seat, "session")

    def _place(self, code: str, country: str, which: str, scope: str) -> bool:
        """False where the place is refused; whole countries first, then their parts."""
        if not self._listed_or(code, country, scope):
            return False
        if self.provider.partly(country):
            part = self.context.get(f"{which}_subdivision")
            if part in self.provider.subdivision_exclude:
                self.deny("PROV_SUBDIVISION", part, scope)
                return False
        return True

    def _vague_part(self, country: str, which: str) -> bool:
        return self.provider.partly(country) and self.context.get(f"{which}_subdivision") is None

    def _listed_or(self, code: str, country: str, scope: str) -> bool:
        state = self.provider.listed(country)
        if state == "no":
            self.deny(code, country, scope)
            return False
        if state == "open":
            self.warn("PROV_LIST_OPEN", country)
        return True

    def _unproven(self) -> None:
        established = self.context.get("account") == "established"
        if established and self.context.verified("residence"):
            self.warn("PROV_LOCATION_BY_RESIDENCE", None)
        else:
            self.ask("PROV_TERRITORY_UNPROVEN", None, "residence")

    def deny(self, code: str, place: str | None, scope: str) -> None:
        self.denials.append(Finding(_reason(self.provider, code, place, "deny"), scope))

    def ask(self, code: str, place: str | None, signal: str) -> None:
        self.asks.append(Finding(_reason(self.provider, code, place, "step_up"), "account", signal))

    def ask_operator(self, code: str, evidence: str, term: str = "seat") -> None:
        """A term that cannot be judged until the operator states something; cites that term."""
        reason = _reason(self.provider, code, None, "not_ready", term)
        self.asks.append(Finding(reason, "session", evidence=evidence))

    def warn(self, code: str, place: str | None) -> None:
        self.warnings.append(_remark(self.provider, code, place))


@lru_cache(maxsize=4096)
def _reason(provider: Provider, code: str, place: str | None, effect: str, term: str | None = None) -> Reason:
    term = term or _TERM_OF[code]
    return Reason(
        code, f"{provider.pack}.{term}", provider.title, provider.cites.get(term), effect,
        provider.certainty.get(term), term_text(code, provider, place, effect),
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _remark(provider: Provider, code: str, place: str | None) -> Remark:
    subject = f"{provider.pack}:{place}" if place else provider.pack
    return Remark(code, subject, term_text(code, provider, place))


def list_findings(
    context: Context, packs: PackSet, world: World, names: tuple[str, ...]
) -> tuple[list[Finding], list[Remark]]:
    """Stale territory lists of the providers behind `names`: sign-ups close at 91 days, else a warning."""
    closed, warnings = [], []
    wanted = {offer.pack for name in names for offer in world.models.get(name, ()) if offer.pack}
    for pack_id in sorted(wanted):
        provider = packs.packs[pack_id].provider if pack_id in packs.packs else None
        if provider is None or provider.territory_allow is None:
            continue
        days = _list_age(context, provider)
        if days < LIST_WARN_DAYS:
            continue
        text = list_text(provider, days)
        if days >= LIST_CLOSED_DAYS and context.event == "signup":
            reason = Reason(
                "LIST_STALE", f"{pack_id}.territory", provider.title, provider.cites["territory"],
                "not_ready", provider.certainty["territory"], text,
            )  # fmt: skip
            closed.append(Finding(reason, "session"))
        else:
            warnings.append(Remark("LIST_STALE", pack_id, text))
    return closed, warnings


def _list_age(context: Context, provider: Provider) -> int:
    """Days since the snapshot: the fact if given, else counted to `as_of`, with the flips noted."""
    given = context.get(f"list_age_days.{provider.id}")
    if given is not None:
        return int(given)
    context.instants.update(provider.snapshot_at(days) for days in (LIST_WARN_DAYS, LIST_CLOSED_DAYS))
    return max(0, (context.as_of - provider.snapshot_at(0)) // DAY_MS)


def lifts(finding: Finding) -> Remark | None:
    """What would lift a refusal by current place alone."""
    if finding.scope != "turn" or finding.reason.code not in ("PROV_TERRITORY_ACCESS", "PROV_SUBDIVISION"):
        return None
    return remark("LIFT_BY_PLACE", finding.reason.rule_id,
        "This holds only while you are where you are now; from a place the provider serves you can go on. "
        "Nothing was recorded against your account.",
        "这只在您当前所在地有效；在服务商开放的地区即可继续使用，您的账户没有留下任何不良记录。")  # fmt: skip
