"""RFC 8785 (JCS) encoding and the digests made over it.

Every digest that crosses a boundary (rule sets, relay configuration, questions) is made here, so that both
languages agree on the bytes. Floats are refused: documents of ours hold integers only.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

_SAFE_INTEGER = 2**53 - 1


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes of a JSON value of ours. Raises TypeError for floats, ValueError beyond 2^53 - 1."""
    return json.dumps(_ordered(value), ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def digest(value: Any) -> str:
    """`sha256:<64 hex>` over the RFC 8785 form."""
    return "sha256:" + hashlib.sha256(canonical(value)).hexdigest()


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        # Names are sorted by UTF-16 code units, which differs from code points beyond the basic plane.
        return {name: _ordered(value[name]) for name in sorted(value, key=_utf16)}
    if isinstance(value, (list, tuple)):
        return [_ordered(item) for item in value]
    if isinstance(value, float):
        raise TypeError("a canonical document holds integers only")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _SAFE_INTEGER:
        raise ValueError("an integer beyond 2^53 - 1 has no canonical form")
    return value


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be", "surrogatepass")
