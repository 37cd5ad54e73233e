"""What the first page offers to ask, in English and Chinese. Data only."""

from __future__ import annotations

STARTERS: dict[str, tuple[tuple[str, str], ...]] = {
    "en": (
        ("question", "How long do I have to return an item?"),
        ("essay", "Write a short essay: what is a jurisdiction pack?"),
        ("story", "Tell a story of somebody who returns a lamp"),
        ("code", "Show me the code that asks this server by its API"),
    ),
    "zh": (
        ("question", "退货期限是多久？"),
        ("essay", "写一篇短文：什么是规则包？"),
        ("story", "讲一个退货的故事"),
        ("code", "给出在命令行提问的命令"),
    ),
}
"""What to begin with where a language model answers, each with its kind."""
STARTER_SOURCES = {
    "question": "osmanthus-lane",
    "essay": "dragoman",
    "story": "osmanthus-lane",
    "code": "dragoman",
}
"""The sample source that each kind of these questions is about."""
SAMPLE_QUESTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "en": (
        ("osmanthus-lane", "How long do I have to return an item?"),
        ("dragoman", "What is a jurisdiction pack?"),
        ("osmanthus-lane", "How long is the warranty of a lamp?"),
        ("dragoman", "How do I ask on the command line?"),
    ),
    "zh": (
        ("osmanthus-lane", "退货期限是多久？"),
        ("dragoman", "什么是规则包？"),
        ("osmanthus-lane", "电器保修多久？"),
        ("dragoman", "怎么在命令行提问？"),
    ),
}
"""What to begin with where no language model answers, each with the sample source that answers it."""
