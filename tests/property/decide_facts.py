"""Random facts documents around the places where the shipped rules change their mind."""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import strategies as st

from dragoman.core.facts import EVENTS, Facts, instant

COUNTRIES = [
    "CN",
    "HK",
    "FR",
    "DE",
    "IT",
    "BE",
    "US",
    "SG",
    "JP",
    "KZ",
    "UA",
    "GB",
    "KR",
    "MO",
    "TW",
    "IN",
    "VN",
    "BR",
    "RU",
]
EVIDENCE = [
    "genai_registration", "genai_filing", "icp_filing", "app_filing", "algorithm_filing", "keyword_list",
    "test_bank", "outbound_contract", "outbound_security_assessment", "genai_security_assessment",
    "representative.ie", "representative.gb", "representative.kr", "transfer_mechanism.gb", "transfer_mechanism.kr",
    "self_harm_protocol", "representative.br", "transfer_clauses.br", "transfer_dossier.vn",
]  # fmt: skip
DATES = [
    date(2025, 8, 31), date(2025, 9, 1), date(2026, 7, 14), date(2026, 7, 15), date(2026, 8, 1),
    date(2026, 8, 2), date(2026, 11, 22), date(2026, 12, 1), date(2026, 12, 2), date(2027, 6, 1),
    date(2027, 2, 28), date(2027, 3, 1), date(2025, 6, 30),
]  # fmt: skip


def some(*values: Any) -> st.SearchStrategy[Any]:
    """One of the values, or unknown."""
    return st.sampled_from([None, *values])


def _table(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(fields).map(lambda t: {k: v for k, v in t.items() if v is not None})


def _records() -> st.SearchStrategy[dict[str, Any]]:
    record = st.sampled_from(
        [{"number": "n"}, {"expires": date(2026, 11, 21)}, {"expires": date(2026, 11, 22)}]
    )
    present = st.dictionaries(st.sampled_from(EVIDENCE), record, max_size=4)
    full = st.just({name: {"number": "n"} for name in EVIDENCE})
    return st.one_of(present, full, full)


OPERATOR = _table(
    seat=some("SG", "IE", "CN", "GB", "KR", "RU", "BR"),
    roles=some([], ["ai_provider"], ["ai_deployer", "dsa_hosting"], ["dsa_online_platform"]),
    evidence=_records(),
    counters=st.dictionaries(
        st.sampled_from(
            ["cn_outbound_persons_ytd", "cn_outbound_sensitive_ytd", "us_ca_mau", "kr_dau_3m", "br_minors"]
        ),
        st.sampled_from([0, 1, 9_999, 10_000, 99_999, 100_000, 999_999, 1_000_000, 1_000_001]),
    ),
    placed_on_market=some(date(2026, 2, 28), date(2026, 8, 1), date(2026, 8, 2)),
    data_locations=_table(personal_data=some("RU", "SG")),
    model_use=some("api", "own", "fine_tuned"),
)

DOCUMENTS = _table(
    as_of=st.sampled_from(DATES).map(instant),
    event=some("turn", "turn", "turn", *EVENTS),
    residence=some(*COUNTRIES),
    address_country=some(*COUNTRIES),
    residence_subdivision=some("UA-43", "US-CA", "US-FL"),
    address_subdivision=some("UA-30", "US-NY", "US-WA"),
    address_kind=some("residential", "vpn", "unknown", "mobile", "hosting"),
    phone=some("+86", "+84912345678", "+33123456789", "+79161234567", "+77011234567", "+7", "+85291234567"),
    phone_verified=some(True, False),
    identity=_table(verified=some([], ["residence"], ["real_name", "residence"], ["real_name"])),
    account=some("new", "established"),
    age=some(12, 13, 14, 15, 16, 17, 18, 19, 35),
    age_source=some("declared", "document"),
    guardian_consent=_table(given=some(True, False)),
    legal_basis=some("consent", "contract"),
    agreement=_table(id=some("unlabelled_copy", "other")),
    channel=some("api", "web", "elsewhere"),
    feature=some(
        "assistant",
        "customer_service",
        "companion",
        "companion:partner",
        "companion:coach",
        "mental_health",
        "sales",
        "health",
        "social",
        "age_restricted",
        "high_risk",
        "emotion_recognition",
    ),
    audience=some("public", "internal"),
    modality=some(["text"], ["image"], ["text", "image"], ["video"]),
    content=_table(category=some("selfharm", "hate", "sex.adult")),
    model=some("local", "self-hosted", "openai-api", "google-gemini-api", "anthropic-api", "deepseek-api"),
    offered_markets=some([], ["CN"], ["DE", "US"]),
    opinion_capability=some(True, False),
    organisation=_table(
        seat=some("SG", "CN"),
        owners=some([], [{"country": "CN", "percent": 50}], [{"country": "CN", "percent": 60}]),
    ),
    operator=OPERATOR,
    turn=_table(
        index=some(1, 2, 5),
        continuous_minutes=some(0, 60, 119, 120, 180, 500),
        minutes_since=_table(companion_2h=some(0, 119, 121), us_ny_3h=some(0, 180)),
    ),
    request=_table(unlabelled=some(True, False)),
    order=_table(kind=some("ncii_removal", "lawful_order")),
    media=_table(
        aigc_label=some("none", "1"),
        user_declared=some(True, False),
        detector_hit=some(True, False),
        realistic=some(True, False),
    ),
    publication=_table(
        public_interest=some(True, False),
        human_review=some(True, False),
        editorial_responsibility=some(True, False),
    ),
    list_age_days=st.dictionaries(
        st.sampled_from(["openai", "anthropic", "google-gemini"]), st.sampled_from([0, 30, 31, 90, 91])
    ),
)

FACTS = DOCUMENTS.map(Facts.parse)
