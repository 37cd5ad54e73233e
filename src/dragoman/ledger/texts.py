"""What `dragoman ledger` says, in Chinese beside the English of the code. Changes words, never a fact.

English sentences are the keys: the commands' own, and those that native checks and errors are made of.
A part without an entry (a path, a name, an operating system's message) stays as it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache

from dragoman.ledger.logs import LedgerError

LANGUAGES = ("en", "zh")
_ENVIRONMENT = ("LC_ALL", "LC_MESSAGES", "LANG")
"""POSIX: the first of these that is set and not empty names the locale of messages."""

ZH: Mapping[str, str] = {
    # The commands' own lines.
    "{}: holds": "{}：成立",
    "{}: DOES NOT HOLD ({} findings)": "{}：不成立（发现 {} 处问题）",
    "  key       {}": "  密钥      {}",
    "to check: {}": "核验方法：{}",
    "  proven    {} entries, root {}": "  已证明  {} 条，根 {}",
    "  unproven  {} entries behind the newest checkpoint": "  未证明  {} 条，位于最新检查点之后",
    "  torn      {} bytes at the end, never acknowledged; cut at the next start": (
        "  残缺    末尾 {} 字节，从未确认；下次启动时截去"
    ),
    "  open      {} turns without a result yet": "  未结    {} 次对话尚无结果",
    "WRONG: {}": "问题：{}",
    "note: {} is not in the registry yet": "注意：{} 尚未列入登记簿",
    "note: {} continues the registry after a restore; no earlier key names it": (
        "注意：{} 在恢复后接续登记簿；没有更早的密钥为其作证"
    ),
    "unwitnessed: nobody outside has cosigned; who holds the keys could have rewritten everything": (
        "无见证：没有外部方共同签名；持有密钥者可能已改写全部内容"
    ),
    "the registry's key was taken from the folder itself; keep it elsewhere and give it with --key:": (
        "登记簿的密钥取自该文件夹本身；请另行保存，并用 --key 给出："
    ),
    "The record holds.": "记录成立。",
    "The record DOES NOT HOLD.": "记录不成立。",
    "Entry {} is in the signed log of {} entries (root {}):": (
        "第 {} 条在已签名的日志中，该日志共 {} 条（根 {}）："
    ),
    "The file is exactly what `{}` of this entry commits to.": "该文件与此条的 `{}` 所承诺的内容完全一致。",
    # Findings of the native verification.
    "{}: no log is there": "{}：其中没有日志",
    "{}: the registry names it, and it is missing": "{}：登记簿列有此日志，但它不存在",
    "{}: its key or origin is not the one the registry admitted": "{}：其密钥或来源与登记簿所接纳的不同",
    "{}: {} continues it, and it is missing": "{}：{} 接续此日志，但它不存在",
    "{}: it is not as {} found it": "{}：与 {} 接续时所见不同",
    "the records carry another log's id than entry 0 names": "各记录所带的日志标识与第 0 条所写的不同",
    "entry {}: the intent of {} never got a result, although the log was resumed": (
        "第 {} 条：{} 的意图始终没有结果，而日志已恢复运行"
    ),
    "there is no checkpoint: nothing is proven": "没有检查点：什么都未得到证明",
    "checkpoint: {}": "检查点：{}",
    "checkpoint: another origin than entry 0 names": "检查点：来源与第 0 条所写的不同",
    "the journal's entries do not have the checkpoint's root: an entry was changed": (
        "日志各条算出的根与检查点的根不同：有条目被改动"
    ),
    "the checkpoint covers {} entries, the journal has fewer": "检查点涵盖 {} 条，日志中的条数更少",
    "segments/{}: not a file of a journal": "segments/{}：不是日志的文件",
    "the segment before entry {} is damaged at entry {}": "第 {} 条之前的段在第 {} 条处损坏",
    "segments between entries {} and {} are missing or damaged": "第 {} 条与第 {} 条之间的段缺失或损坏",
    "entry {} is damaged although a group from {} on follows": "第 {} 条损坏，而其后有自第 {} 条开始的一组",
    "entry {}: {}": "第 {} 条：{}",
    "{} is missing": "{} 缺失",
    "{} is not what the entries give": "{} 与各条算出的内容不同",
    "{}: not a file of this log": "{}：不是此日志的文件",
    # Notes and canonical form.
    "malformed note: {}": "签名文本格式有误：{}",
    "the signature is invalid": "签名无效",
    "no signature of the expected key": "没有所期望密钥的签名",
    "unusable key: {}": "密钥不可用：{}",
    "not RFC 8785 canonical JSON: {}": "不是 RFC 8785 规范 JSON：{}",
    # Reading and proving.
    "{}: entry 0 opens no log": "{}：第 0 条不是日志的开始",
    "there is no checkpoint yet": "尚无检查点",
    "entry {} is not under a checkpoint yet ({})": "第 {} 条尚未被检查点涵盖（{}）",
    "there is no entry {}": "没有第 {} 条",
    "{} is damaged": "{} 损坏",
    "{} is damaged or cut short at entry {} of {}": "{} 在第 {} 条（共 {} 条）处损坏或被截断",
    "{} is damaged: it is no checkpoint that its log signed": "{} 损坏：不是其日志所签的检查点",
    "the entry is not in the signed tree at this index": "该条不在已签名的树的此位置上",
    "the entry is too long": "该条过长",
    # Errors of the commands.
    "{} is no folder; give the zone's data folder with --data": (
        "{} 不是文件夹；请用 --data 给出区域的数据文件夹"
    ),
    "{} holds no log; expected {} and {} with folders like {}": (
        "{} 中没有日志；应有 {} 与 {}，其中有 {} 这样的文件夹"
    ),
    "{} holds no log: the registry names all others, so nothing can be verified": (
        "{} 中没有日志：其余日志都由登记簿列出，因此无法验证任何内容"
    ),
    "the registry's key is {}, not the one you gave": "登记簿的密钥是 {}，与您给出的不同",
    "no log {} under {}": "{1} 下没有日志 {0}",
    "no entry of turn {} under {}": "{1} 下没有对话 {0} 的条目",
    "name a turn, or a log with --log and an entry with --index": (
        "请给出对话，或用 --log 与 --index 给出日志与条目"
    ),
    "{}; a checkpoint follows within a second while the process runs": "{}；进程运行时一秒内会有检查点",
    "{}; or give the zone's data folder with --data": "{}；或用 --data 给出区域的数据文件夹",
    "the proof does not hold: {}": "证明不成立：{}",
    "a receipt begins with v=1": "回执以 v=1 开头",
    "the receipt lacks {}": "回执缺少 {}",
    "the receipt cannot be read: {}": "回执无法读取：{}",
    "the receipt's salt has {} bytes, expected {}": "回执的盐为 {} 字节，应为 {} 字节",
    "the proof is about turn {}, the receipt about {}": "证明关于对话 {}，回执关于 {}",
    "the value is not what the entry commits to (bytes must be exactly those sent or received)": (
        "该内容与条目所承诺的不同（字节须与所发送或收到的完全一致）"
    ),
    "give the log's verifier key with --key; `dragoman ledger verify` prints it": (
        "请用 --key 给出日志的验证密钥；`dragoman ledger verify` 会显示它"
    ),
    "--receipt and --value belong together": "--receipt 与 --value 须一并给出",
    "--lang is one of {}": "--lang 须为 {} 之一",
    "{}: {}": "{}：{}",
}


def language(wish: str | None, environ: Mapping[str, str] | None = None) -> str:
    """`en` or `zh`: the wish, else by the environment's locale. Raises LedgerError for another wish."""
    if wish is not None:
        if wish not in LANGUAGES:
            raise LedgerError(f"--lang is one of {', '.join(LANGUAGES)}")
        return wish
    env = os.environ if environ is None else environ
    locale = next((env[name] for name in _ENVIRONMENT if env.get(name)), "")
    return "zh" if locale.startswith("zh") else "en"


def say(lang: str, sentence: str) -> str:
    """A finished English sentence in `lang`, its parts too where they are sentences of ours."""
    if lang != "zh":
        return sentence
    for pattern, chinese in _patterns():
        if found := pattern.fullmatch(sentence):
            return chinese.format(*(say(lang, part) for part in found.groups()))
    return sentence


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """The sentences as patterns, those with the most words of their own first."""
    ordered = sorted(ZH.items(), key=lambda item: -len(item[0].replace("{}", "")))
    return [
        (re.compile("(.+?)".join(map(re.escape, english.split("{}"))), re.DOTALL), chinese)
        for english, chinese in ordered
    ]
