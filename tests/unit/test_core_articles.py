"""A bare number is called an article where its source counts articles, and nowhere else."""

from __future__ import annotations

import pytest

from dragoman.control.refusal import cited
from dragoman.core.articles import article_in_words

GDPR = "GDPR, Regulation (EU) 2016/679"


@pytest.mark.parametrize("article", ["27", "13-14", "50(4)", "5(1)(c), (e)", "15, 24", "22A-22D"])
def test_numbers_of_articles_are_named(article: str) -> None:
    assert article_in_words(GDPR, article, "en") == f"Art. {article}"
    assert article_in_words(GDPR, article, "zh") == f"第 {article} 条"


@pytest.mark.parametrize(
    ("source", "article"),
    [
        (GDPR, "Annex IV"), (GDPR, "Art. 27"), (GDPR, ""), ("CMA Measures", "2025-04-06"),
        ("Business & Professions Code", "17941"), ("FTC Act", "5"), ("PDPA 2010", "s.12"),
    ],
)  # fmt: skip
def test_all_else_stays(source: str, article: str) -> None:
    assert article_in_words(source, article, "en") == article


def test_a_refusal_names_the_article_in_its_readers_language() -> None:
    citation = {"source": GDPR, "article": "27", "url": "https://x.example/"}
    reason = {"rule_id": "eu.x", "text": {"en": "No.", "zh": "否。"}, "citation": citation}
    assert cited(reason, "en") == f"No. (eu.x: {GDPR}, Art. 27, https://x.example/)"
    assert cited(reason, "zh") == f"否。（eu.x: {GDPR}, 第 27 条, https://x.example/）"
    unsourced = {**reason, "citation": {"source": GDPR, "article": "", "url": ""}}
    assert cited(unsourced, "en") == f"No. (eu.x: {GDPR})", "the control: no article"
