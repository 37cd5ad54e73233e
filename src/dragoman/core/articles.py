"""An article of a source as readers of each language write it."""

from __future__ import annotations

import re

IN_ARTICLES = (
    "Regulation (EU)", "UK GDPR", "LGPD", "Marco Civil", "Personal Information Protection Law",
    "Cybersecurity Law", "Measures",
)  # fmt: skip
"""In titles of sources that count articles. Codes and acts count sections: there a number stays as it is."""
_PART = r"\d{1,3}[A-Z]?(?:\(\w+\))*"
NUMBER = rf"{_PART}(?:(?:-|, ){_PART}|, \(\w+\))*"
"""What an article is that is only a number, for the page's script too."""
WORDS = {"en": "Art. {}", "zh": "第 {} 条"}


def article_in_words(source: str, article: str, language: str) -> str:
    """`27` as "Art. 27" or "第 27 条" where the source counts articles; anything else as it is."""
    if not re.fullmatch(NUMBER, article) or not any(one in source for one in IN_ARTICLES):
        return article
    return WORDS[language].format(article)
