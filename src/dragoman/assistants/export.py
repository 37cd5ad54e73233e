"""A branch of a conversation as a file for its owner: JSON, Markdown or HTML.

Pure, and linear in the text: it runs beside turns. Every answer stands as it was shown, with label and
notices, its sources and the addresses of the reasons for what was changed in it. What somebody wrote cannot
become the file's own: in HTML it is text, in Markdown it is quoted and holds neither HTML
nor images outside its code: who opens the file loads nothing by it.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from dragoman.core.decision import AIGC
from dragoman.visible import visible

TURNS = 2_000
"""LIMIT: turns of one file, the newest of the branch."""
BYTES = 8 << 20
"""LIMIT: bytes of text of one file, counted from the newest turn; those of the page that exceeds it go in."""
FENCES = 10_000
"""LIMIT: fences of a text whose code stays as it was written; in a text with more nothing counts as code."""

_TEXTS = {
    "en": {
        "untitled": "Conversation",
        "exported": "Exported {at}. Answers were written by an automated assistant and can be wrong.",
        "left_out": "{n} earlier turns are not in this file.",
        "you": "You",
        "assistant": "Assistant",
        "sources": "Sources",
        "changed": "A rule changed or stopped this answer. Reasons, and how to appeal:",
        "running": "This answer was still being written.",
        "no_answer": "There is no answer to this.",
        "attached": "[attachment]",
    },
    "zh": {
        "untitled": "会话",
        "exported": "导出于 {at}。回答由自动化助手生成，可能有误。",
        "left_out": "较早的 {n} 轮不在此文件中。",
        "you": "您",
        "assistant": "助手",
        "sources": "来源",
        "changed": "有规则更改或终止了该回答。理由与申诉方式：",
        "running": "该回答仍在生成。",
        "no_answer": "该问题没有回答。",
        "attached": "[附件]",
    },
}
_STYLE = (
    "body{font:16px/1.6 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;"
    "color:#1b1b1f;background:#fff}"
    "article{border-top:1px solid #d5d5dc;padding:.75rem 0}h2{font-size:1rem;margin:.25rem 0}"
    "small,.why{color:#55555f}"
    ".said{white-space:pre-wrap;overflow-wrap:anywhere}"
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_IN_ADDRESS = "!#$%&'()*+,/:;=?@[]~"
"""What stays in a link as it is; the rest, `<`, `>` and blanks among it, is percent-encoded."""
_FENCE = re.compile(r"(`{3,})[^`]*|(~{3,}).*")


@dataclass(frozen=True, slots=True)
class Branch:
    """What is exported: the documents of docs/api.md, in the order they were said. `at`: ms UTC."""

    conversation: Mapping[str, Any]
    turns: Sequence[Mapping[str, Any]]
    left_out: int
    lang: str
    at: int


def to_json(branch: Branch) -> str:
    """The documents themselves."""
    head = {"object": "conversation.export", "exported_at": branch.at // 1000, "left_out": branch.left_out}
    label = aigc_of(branch)
    said = {} if label is None else {"AIGC": label}
    document = {**said, **head, "conversation": branch.conversation, "turns": list(branch.turns)}
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def to_markdown(branch: Branch) -> str:
    """Headings are the file's own; what was said is quoted under them."""
    words = _TEXTS[branch.lang]
    label = aigc_of(branch)
    # YAML, of which JSON is a part.
    front = [] if label is None else ["---", f"AIGC: {json.dumps(label, ensure_ascii=False)}", "---", ""]
    title = _plain(branch.conversation.get("title") or words["untitled"])
    lines = [*front, f"# {title}", "", _exported(branch)]
    if branch.left_out:
        lines += ["", words["left_out"].format(n=branch.left_out)]
    for turn in branch.turns:
        lines += ["", f"## {words['you']} · {_time(turn['created_at'])}", "", _quoted(_asked(turn, words))]
        lines += [
            "",
            f"## {words['assistant']} · {_plain(turn['model'])}",
            "",
            _quoted(_answered(turn, branch.lang)),
        ]
        for at, (title, url) in enumerate(_sources(turn), 1):
            lines += [
                "",
                *([f"{words['sources']}:", ""] if at == 1 else []),
                f"{at}. {_plain(title)} {_address(url)}",
            ]
        if addresses := _reasons(turn):
            lines += ["", words["changed"], "", *(f"- {_plain(address)}" for address in addresses)]
    return "\n".join(lines) + "\n"


def to_html(branch: Branch) -> str:
    """A page that stands alone: no script, nothing that it loads."""
    words, escape = _TEXTS[branch.lang], _escaped
    title = escape(str(branch.conversation.get("title") or words["untitled"]))
    body = [f"<main><h1>{title}</h1><p><small>{escape(_exported(branch))}</small></p>"]
    if branch.left_out:
        body.append(f"<p>{escape(words['left_out'].format(n=branch.left_out))}</p>")
    for turn in branch.turns:
        asked, answered = _asked(turn, words), _answered(turn, branch.lang)
        when, model = _time(turn["created_at"]), escape(str(turn["model"]))
        body.append(f"<article><h2>{words['you']} <small>{when}</small></h2>{_text(asked)}")
        body.append(f"<h2>{words['assistant']} <small>{model}</small></h2>{_text(answered)}")
        if sources := _sources(turn):
            items = "".join(f"<li>{escape(title)} <code>{escape(url)}</code></li>" for title, url in sources)
            body.append(f"<p>{words['sources']}</p><ol>{items}</ol>")
        if addresses := _reasons(turn):
            items = "".join(f"<li><code>{escape(address)}</code></li>" for address in addresses)
            body.append(f'<div class="why"><p>{words["changed"]}</p><ul>{items}</ul></div>')
        body.append("</article>")
    label = aigc_of(branch)
    value = "" if label is None else html.escape(json.dumps(label, ensure_ascii=False))
    said = f'<meta name="AIGC" content="{value}">' if value else ""
    head = (
        f'<meta charset="utf-8">{said}'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{_STYLE}</style>'
    )
    lang = "zh-Hans" if branch.lang == "zh" else "en"
    return (
        f'<!doctype html><html lang="{lang}"><head>{head}</head><body>{"".join(body)}</main></body></html>\n'
    )


def aigc_of(branch: Branch) -> dict[str, str] | None:
    """The metadata `AIGC` (GB 45438-2025) of the file: its answers' own, produced as this conversation.

    None where no answer in it had to carry one.
    """
    for turn in branch.turns:
        for label in turn["dragoman"]["labels"]:
            machine = label.get("machine", {})
            if machine.get("format") == AIGC:
                return {**machine["fields"], "ProduceID": str(branch.conversation["id"])}
    return None


FORMATS: dict[str, tuple[str, str, Callable[[Branch], str]]] = {
    "json": ("json", "application/json", to_json),
    "markdown": ("md", "text/markdown; charset=utf-8", to_markdown),
    "html": ("html", "text/html; charset=utf-8", to_html),
}
"""By name: the file's ending, its media type, and what makes it."""


def _exported(branch: Branch) -> str:
    return _TEXTS[branch.lang]["exported"].format(at=_time(branch.at // 1000))


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _asked(turn: Mapping[str, Any], words: Mapping[str, str]) -> str:
    """The texts of the question; what is no text is named."""
    found: list[str] = []
    for message in turn["messages"]:
        content = message.get("content") if isinstance(message, Mapping) else None
        for part in content if isinstance(content, list) else [{"text": content}]:
            text = part.get("text") if isinstance(part, Mapping) else None
            found.append(text if isinstance(text, str) else words["attached"])
    return "\n\n".join(found)


def _message(turn: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = (turn["answer"] or {}).get("choices")
    message = choices[0].get("message") if choices else None
    return message if isinstance(message, Mapping) else {}


def _answered(turn: Mapping[str, Any], lang: str) -> str:
    """The answer as it was shown, and what ended it where it did not come to its end."""
    message, words = _message(turn), _TEXTS[lang]
    text = next((message[name] for name in ("content", "refusal") if isinstance(message.get(name), str)), "")
    if turn["state"] == "running":
        return words["running"]
    why = (turn["error"] or {}).get("message")
    why = why.get(lang) if isinstance(why, Mapping) else why
    said = [text, why if isinstance(why, str) else ""]
    return "\n\n".join(one for one in said if one) or words["no_answer"]


def _sources(turn: Mapping[str, Any]) -> list[tuple[str, str]]:
    notes = _message(turn).get("annotations")
    cited = (
        [note.get("url_citation") for note in notes if isinstance(note, Mapping)]
        if isinstance(notes, list)
        else []
    )
    return [
        (str(one.get("title") or ""), str(one.get("url") or "")) for one in cited if isinstance(one, Mapping)
    ]


def _reasons(turn: Mapping[str, Any]) -> list[str]:
    return [str(one["url"]) for one in turn["dragoman"]["interventions"]]


def _plain(text: object) -> str:
    """One line of Markdown that is only text."""
    line = " ".join(visible(str(text)).split())
    return re.sub(r"([\\\\`*_{}\[\]<>#|~!&])", r"\\\1", line)


def _address(url: str) -> str:
    """A link that shows its whole address, where it leads to a page; else what stood there, as text."""
    if not url.startswith(("https://", "http://")):
        return _plain(url)
    return "<" + quote(url, safe=_IN_ADDRESS, errors="replace") + ">"


def _text(text: str) -> str:
    return f'<div class="said">{_escaped(text)}</div>'


def _escaped(text: str) -> str:
    """Text of a page, in which no character turns what follows it around."""
    return html.escape(visible(text))


def _quoted(text: str) -> str:
    """A Markdown text as a quotation, without HTML and images outside its code."""
    # What is code depends on columns, and a tab's width on what stands before it; spaces stay as wide.
    plain = visible(text).replace("\r\n", "\n").replace("\r", "\n").expandtabs(4)
    inert = plain.replace("<", "&lt;").replace("![", "!\\[")
    code = _code(plain) if inert != plain else ()
    if not code:
        return "> " + inert.replace("\n", "\n> ")
    lines, written = inert.split("\n"), plain.split("\n")
    for at in code:
        lines[at] = written[at]
    return "> " + "\n> ".join(lines)


def _code(text: str) -> set[int]:
    """The lines inside of fences, where every fence stands at the margin and few enough; else none.

    An indented one may belong to a list, and then only a whole reader of Markdown knows where it ends.
    """
    inside: set[int] = set()
    fences = text.count("```") + text.count("~~~")
    if not 0 < fences <= FENCES:
        return inside
    fence = ""
    for at, line in enumerate(text.split("\n")):
        if "```" not in line and "~~~" not in line:
            if fence:
                inside.add(at)
            continue
        if (
            fence
            and line.rstrip(" ") == fence[0] * len(line.rstrip(" "))
            and len(line.rstrip(" ")) >= len(fence)
        ):
            fence = ""
        elif fence or (found := _FENCE.fullmatch(line)) is None:
            return set()
        else:
            fence = found.group(1) or found.group(2)
    return inside
