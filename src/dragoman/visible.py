"""Text as it can be seen: which characters cannot, or turn the order of what follows; how those are named."""

from __future__ import annotations

import re
import unicodedata

_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""`web/static/reader.js` has the same for what a script shows."""
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def visible(text: str) -> str:
    """The text with `⟨U+202E⟩` and the like in place of such characters; everything else as it was."""
    return _DIRECTION.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def is_unseen(one: str) -> bool:
    """Whether a character shows nothing, or turns the direction of text; line ends and tabs do not count."""
    return one not in "\r\n\t" and unicodedata.category(one) in _UNSEEN


class AsWritten(str):
    """A text that goes back to who wrote it, as a form's value: it is not to be changed by being shown."""

    __slots__ = ()


def finalized(value: object) -> object:
    """What a template's expression came to, as pages show it; markup and `AsWritten` stay as they are."""
    return visible(value) if type(value) is str else value
