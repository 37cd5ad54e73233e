"""What a question wants, as far as words alone tell: writing, a greeting, or the terms it is about. Pure."""

from __future__ import annotations

import re

from dragoman._native import analyse

# Possessive repeats (`*+`) keep matching linear: a question is text from outside.
_ASK_ZH = (
    r"(?:请|請|麻烦|麻煩|能不能|可不可以|可以|能|你|您|帮我|幫我|给我|給我|替我|为我|為我|\s|，|,)*+"
    r"(?:用\s*\S{1,16}?\s*)?"
)
_MAKE_ZH = r"(?:写|寫|创作|創作|编写|編寫|编|編|撰写|撰寫|起草|生成|续写|續寫|改写|改寫|做|画|畫|讲|講|作)"
_WORK_ZH = (
    r"(?:文章|作文|故事|小说|小說|诗|詩|歌词|歌詞|代码|代碼|程序|程式|脚本|腳本|函数|函數|"
    r"论文|論文|散文|文案|剧本|劇本|演讲稿|演講稿|情书|情書|简历|簡歷|笑话|笑話|报告|報告|邮件|郵件|广告|廣告|排序|请假条|請假條)"
)
_WRITE_ZH = re.compile(
    rf"^{_ASK_ZH}{_MAKE_ZH}(?:出|了)?(?:[一两兩几幾]?(?:篇|首|段|封|则|則|幅)|[^。！？!?，,]{{0,16}}?{_WORK_ZH})"
    r"|(?:帮我|幫我|给我|給我|替我|请你|請你)(?:写|寫|画|畫|编|編)"
    r"|^.{0,60}?(?:翻译|翻譯)(?:一下|成|这|這|下面|以下|为|為)"
)
_ASK_EN = (
    r"(?:please|can you|could you|would you|will you|help me(?: to)?|"
    r"i (?:want|need|would like) you to|\s|,)*+"
)
_WRITE_EN = re.compile(
    rf"^{_ASK_EN}\b(?:write|compose|draft|generate|create|make up|code|implement|rewrite|paraphrase|tell)\b"
    r"[^.?!]{0,60}?"
    r"\b(?:essay|story|stories|poem|poems|haiku|song|lyrics|code|program|script|function|class|novel|article|"
    r"email|letter|speech|joke|limerick|blog post|tweet|sql|regex|python|javascript|paragraph|summary)\b"
    rf"|^{_ASK_EN}\btranslate\b",
    re.IGNORECASE,
)
_GREETING = re.compile(
    r"\s*(你好|您好|嗨|哈喽|哈囉|在吗|在嗎|早上好|下午好|晚上好|"
    r"hi|hello|hey|good (morning|afternoon|evening))"
    r"\s*(啊|呀|吗|嗎|there|dragoman)?\s*[!！.。,，~～?？]*\s*",
    re.IGNORECASE,
)

_QUESTION_WORDS_ZH = re.compile(
    r"请问|請問|怎么样|怎麼樣|怎么办|怎麼辦|怎么|怎麼|怎样|怎樣|如何|什么时候|什麼時候|什么|什麼|"
    r"为什么|為什麼|为何|為何|哪里|哪裡|哪儿|哪些|哪个|哪個|哪一|多少|多久|多长时间|多長時間|几|幾|"
    r"是否|能不能|能否|可不可以|可以|可否|有没有|有沒有|是不是|你们|你們|我们|我們|我想|想要|需要|"
    r"告诉我|告訴我|介绍一下|介紹一下|一下|关于|關於|"
    r"[的了吗嗎呢吧啊呀是在有我你您他她它们們和与與跟把被就都也还還要会會能请請]"
)
_STOP_WORDS_EN = """
    a an the this that these those it its i me my we us our you your he him his she her they them their one
    some any is are was were be been being am do does did done doing have has had having can could may might
    must shall should will would to of in on at by for with about from into as if or and but not no so than
    then there here what which who whom whose when where why how much many long please tell know want need
    get give let s t re ve ll m d something anything hi hello thanks thank explain describe mean happen
    after before
"""
_STOP_EN = frozenset(term for term, _, _ in analyse(_STOP_WORDS_EN))


def asks_for_writing(question: str) -> bool:
    """Whether it asks for a text to be made up, and not how or where something is written."""
    return _WRITE_ZH.search(question) is not None or _WRITE_EN.search(question) is not None


def is_greeting(question: str) -> bool:
    """Whether it is a greeting and nothing more."""
    return _GREETING.fullmatch(question) is not None


def search_terms(question: str) -> list[str]:
    """The distinct terms to search for: all but question words; empty where there is nothing else."""
    bare = _QUESTION_WORDS_ZH.sub(" ", question)
    return list(dict.fromkeys(t for t, _, _ in analyse(bare) if t not in _STOP_EN))


def content_terms(question: str) -> list[str]:
    """The search terms that carry its meaning: pairs rather than single characters."""
    found = search_terms(question)
    return [t for t in found if not _single(t)] or found


def _single(term: str) -> bool:
    return len(term) == 1 and ord(term) > 0x2E7F
