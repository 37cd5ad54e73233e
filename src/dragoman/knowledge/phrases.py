"""What the offline assistant says in its own words, in English and Chinese. Data only."""

from __future__ import annotations

_CONNECT = "dragoman models add NAME --url URL --model MODEL --key-env VARIABLE"

PHRASES: dict[str, dict[str, str]] = {
    "en": {
        "nothing_found": (
            "I found nothing in my sources that answers this, and I do not guess. "
            "Try other words, or name the product or topic. "
            "The operator can add documents with: dragoman ingest PATH --source ID"
        ),
        "cannot_write": (
            "No language model is connected, so I cannot write essays, stories, poems, translations or code. "
            "I answer questions with passages quoted from indexed documents. "
            f"The operator can connect a model with: {_CONNECT}"
        ),
        "greeting": (
            "Hello. I am an automated assistant and answer questions with passages quoted from "
            "indexed documents, each with its source. What would you like to know?"
        ),
        "no_question": "Please write a question in words; I answer from indexed documents.",
        "see_also": "See also: ",
        "passage": "The passage in “{title}”:",
        "sources": "Sources:",
        "official": "official source",
        "operator": "operator’s source",
        "community": "community source, not checked by the operator",
    },
    "zh": {
        "nothing_found": (
            "我在已有资料中没有找到答案，也不会凭空猜测。请换一种说法，或写明具体的产品或主题。"
            "运营者可以用这条命令补充资料：dragoman ingest PATH --source ID"
        ),
        "cannot_write": (
            "目前没有接入语言模型，所以我不能写文章、故事、诗歌、代码，也不能翻译。"
            "我只能引用已收录资料中的原文来回答问题。"
            f"运营者可以用这条命令接入模型：{_CONNECT}"
        ),
        "greeting": "你好。我是自动应答助手，引用已收录资料中的原文回答问题，并注明出处。请问想了解什么？",
        "no_question": "请用文字写出你的问题，我会从已收录的资料中查找答案。",
        "see_also": "另见：",
        "passage": "《{title}》中的原文：",
        "sources": "来源：",
        "official": "官方来源",
        "operator": "运营者提供的来源",
        "community": "社区来源，未经运营者核实",
    },
}
