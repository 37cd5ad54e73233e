"""A new pack to begin from: it loads, it says nothing of any law, and it shows where each thing goes.

The one rule is a draft in doubt, which can only warn, with a hit and a miss. Texts alone.
"""

from __future__ import annotations

from dragoman.decide.schema import check

KINDS = ("jurisdiction", "provider", "channel")

_HEAD = """[pack]
id = "{id}"
version = "0.1.0"
schema_version = "1"
status = "unreviewed"
title = {{ en = "{id}", zh = "{id}" }}
{place}
[[sources]]
id = "source"
title = "The title of what you read"
official = false
# article = "4", url = "https://…", lang = "en", retrieved_on = 2026-01-31 (only where the text was read)
"""
_RULE = """
[[rules]]
rule_id = "{id}.first"
kind = "notice"
applies_when = {{ event = ["turn"]{more} }}
# A draft in doubt, which only warns. What is law has effective_from, "in_force" and a certainty of V, v or g.
enforcement = "draft"
on_missing = "warn"
source_refs = ["source"]
certainty = "?"
reason_code = "{code}_FIRST"
title = {{ en = "A first rule, to be replaced", zh = "示例规则，待替换" }}

[rules.notice]
id = "{code_low}_first"
trigger = "first_turn"
locale_text = {{ en = "What the person reads", zh = "向用户显示的文字" }}
"""
_PROVIDER = """
# Without territory_allow no list is known: every use warns PROV_TERRITORY_UNKNOWN and nothing is claimed.
# With it: basis, snapshot_date, and for each term a source in cites and a mark in certainty.
[provider]
id = "{id}"
route = "direct_api"
title = {{ en = "{id}", zh = "{id}" }}

[provider.wire]
fields = []
headers = []
blocks = []
"""
_CHANNEL = """
[channel]
id = "{id}"
capabilities = ["visible_text", "first_turn_notice"]
"""
_CASES = """# The cases of {id}: edits of the baseline document, and what must and must not come out.
[[cases]]
rule_id = "{id}.first"
as_of = 2026-01-31
given = {hit}

[cases.expect]
reason_codes = ["{code}_FIRST"]

[[cases]]
rule_id = "{id}.first"
as_of = 2026-01-31
given = {miss}

[cases.expect]
absent_codes = ["{code}_FIRST"]
"""
_PROVIDER_CASES = """# The cases of {id}.
[[cases]]
name = "{id}: nothing is known, so nothing is claimed"
as_of = 2026-01-31
given = {{ model = "{id}" }}

[cases.expect]
warnings = ["PROV_TERRITORY_UNKNOWN"]

[[cases]]
name = "another model is not concerned"
as_of = 2026-01-31

[cases.expect]
absent_warnings = ["PROV_TERRITORY_UNKNOWN"]
"""


def skeleton(pack_id: str, kind: str, iso: str | None, parent: str | None = None) -> dict[str, str]:
    """Texts by path below an overlay. Raises PackError for a code that is none.

    `iso`: the place of a jurisdiction pack; a part of a country has the country's pack as `parent`.
    """
    names = {"id": pack_id, "code": pack_id.upper().replace("-", "_"), "code_low": pack_id.replace("-", "_")}
    if kind == "provider":
        return {
            f"providers/{pack_id}.toml": _HEAD.format(**names, place="") + _PROVIDER.format(**names),
            f"cases/{pack_id}.toml": _PROVIDER_CASES.format(**names),
        }
    if kind == "channel":
        hit, miss, place, more = f'{{ channel = "{pack_id}" }}', '{ channel = "api" }', "", ""
        middle = _CHANNEL.format(**names)
    else:
        code = check("place", iso, "--iso")
        above = f'parent = "{parent}"\n' if parent else ""
        hit, miss = _hit(code), '{ event = "signup" }'
        place, more, middle = f'{above}iso = ["{code}"]\n', "", ""
    folder = f"{kind}s"
    return {
        f"{folder}/{pack_id}.toml": _HEAD.format(**names, place=place)
        + middle
        + _RULE.format(**names, more=more),
        f"cases/{pack_id}.toml": _CASES.format(**names, hit=hit, miss=miss),
    }


def _hit(code: str) -> str:
    country = code.partition("-")[0]
    part = f', residence_subdivision = "{code}", address_subdivision = "{code}"' if "-" in code else ""
    return f'{{ residence = "{country}", address_country = "{country}"{part} }}'
