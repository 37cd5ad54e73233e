"""Sentences that go to a log and a terminal in English, and to a page in its reader's language.

What raises a fault writes both; what shows it chooses. A `Sentence` is the English text, so that whatever
takes a text takes it. Joining two makes plain English: who builds one of others writes both again.
"""

from __future__ import annotations

import errno
import tomllib
from collections.abc import Iterable
from pathlib import Path
from re import compile as pattern
from typing import Self


class Sentence(str):
    """An English sentence with its Chinese, `zh`."""

    __slots__ = ("zh",)
    zh: str

    def __new__(cls, en: str, zh: str) -> Self:
        """The same said in English and in Chinese."""
        made = super().__new__(cls, en)
        made.zh = zh
        return made

    def __reduce__(self) -> tuple[type[Sentence], tuple[str, str]]:
        """Both, for a copy."""
        return Sentence, (str(self), self.zh)

    @property
    def text(self) -> dict[str, str]:
        """By language."""
        return {"en": str(self), "zh": self.zh}


HTTP_ON_LOOPBACK = Sentence("http is for loopback only; use https", "http 仅限本机回环地址，请改用 https")
ONE_KEY = Sentence("give key_env or key_file, not both", "key_env 与 key_file 只能写一项")
NAME_OF_KEY = Sentence(
    "give the NAME of an environment variable (A-Z, 0-9, _), not the key itself",
    "请写环境变量的名称（A-Z、0-9、_），不要写密钥本身",
)

_SYSTEM = {
    errno.ENOENT: "文件不存在",
    errno.EACCES: "没有权限",
    errno.EPERM: "没有权限",
    errno.EISDIR: "是文件夹",
    errno.ENOTDIR: "路径中有一段不是文件夹",
    errno.ENOSPC: "磁盘已满",
    errno.EROFS: "文件系统只读",
    errno.ELOOP: "符号链接过多",
    errno.ENAMETOOLONG: "名称过长",
    errno.EIO: "磁盘读写出错",
    errno.EADDRINUSE: "地址已被占用",
    errno.EADDRNOTAVAIL: "本机没有该地址",
}
"""What the system says, in Chinese; of anything else the error's name."""
_PLACE = pattern(r"\(at line (\d+), column (\d+)\)$")


def texts_of(sentences: Iterable[Sentence]) -> dict[str, str]:
    """Some sentences as one text by language."""
    said = list(sentences)
    return {"en": " ".join(said), "zh": " ".join(one.zh for one in said)}


def by_system(fault: OSError) -> Sentence:
    """Why the system did not do it."""
    name = errno.errorcode.get(fault.errno or 0, type(fault).__name__)
    return Sentence(str(fault.strerror), _SYSTEM.get(fault.errno or 0, f"系统错误 {name}"))


def by_value(fault: ValueError) -> Sentence:
    """What a check of ours said of a value."""
    said = fault.args[0] if fault.args else None
    return said if isinstance(said, Sentence) else Sentence(str(fault), "值无效")


def nearest(close: list[str], en: str, zh: str) -> Sentence:
    """What was meant, or else what is known here."""
    return Sentence(f"did you mean `{close[0]}`?", f"是否指 `{close[0]}`？") if close else Sentence(en, zh)


def no_file_to_read(file: Path | None, fault: OSError) -> Sentence:
    """A file that cannot be read."""
    why = by_system(fault)
    return Sentence(f"{file}: cannot be read: {why}", f"{file}：无法读取（{why.zh}）")


def no_toml(file: Path | None, fault: tomllib.TOMLDecodeError | UnicodeDecodeError) -> Sentence:
    """A file that is no TOML, and where."""
    place = _PLACE.search(str(fault))
    where = f"（第 {place.group(1)} 行第 {place.group(2)} 列）" if place else ""
    return Sentence(f"{file}: not valid TOML: {fault}", f"{file}：不是有效的 TOML{where}")
