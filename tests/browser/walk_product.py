"""What the walk goes through: whole products on free ports with a model that is played, and what is asked of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))
from whole_product import Server, start

from dragoman.testing.provider import DONE, FakeProvider, Script, chunk

RULES = """
[[rules]]
id = "house.pickup"
words = ["collection point", "代收点"]
action = "redact"
message = { en = "Where parcels go is internal.", zh = "包裹去向属内部信息。" }
placeholder = { en = "[internal]", zh = "[内部]" }
source = { title = "House rules", url = "https://osmanthus.example/rules" }
[[rules]]
id = "house.secret"
words = ["master key", "万能钥匙"]
action = "refuse"
message = { en = "The keys of the shop are not talked about.", zh = "店铺钥匙不予谈论。" }
source = { title = "House rules", url = "https://osmanthus.example/rules" }
"""
BASE = """rules = ["rules.toml"]
[deployment]
contact = "appeals@osmanthus.example"
appeal_answer_days = 14
"""
HOUSE = """[providers.house]
base_url = "{url}"
[models.dragoman]
provider = "house"
model = "m-1"
"""
FAR = """[providers.far]
base_url = "{url}"
pack = "openai-api"
[models.dragoman]
provider = "far"
model = "m-1"
"""
OTHER = """fallbacks = ["house"]
[providers.house]
base_url = "{url}"
[models.house]
provider = "house"
model = "m-1"
"""
CONFIGS = {"local": "", "house": HOUSE, "far": FAR, "other": FAR + OTHER}
"""The built-in model; one of the house; a vendor's with its terms; that one with the house's behind it."""


def fence(text: str) -> str:
    return f"```python\n{text}\n```"


RICH = {
    "en": "## How a lamp is rated\n\nPower is $$P = U \\cdot I$$ and so \\(I = P / U\\).\n\n| lamp | watts |\n|---|---|\n"
    "| desk | 9 |\n| hall | 14 |\n\n" + fence("def current(watts, volts):\n    return watts / volts"),
    "zh": "## 灯的功率\n\n功率为 $$P = U \\cdot I$$，因此 \\(I = P / U\\)。\n\n| 灯 | 瓦 |\n|---|---|\n"
    "| 台灯 | 9 |\n| 廊灯 | 14 |\n\n" + fence("def current(watts, volts):\n    return watts / volts"),
}
HOSTILE = "<img src=x onerror=\"document.title='hit'\"><script>document.title='hit'</script> ![far](https://far.invalid/a.png) [go](javascript:alert(1))"
SENTENCE = {"en": "The lamp of bay {n} is lit at dusk. ", "zh": "第 {n} 号灯在傍晚点亮。"}
PIECES, SLOW_S = 60, 0.06
"""Pieces of the slow answer, and seconds before each."""
LONG_PARTS = 1_500
"""Paragraphs of the long answer, which comes as fast as it can be sent."""


@dataclass(frozen=True)
class Words:
    """What is asked in one language, and what the answer to it holds."""

    cited: str
    sentence: str
    short: str
    answer: str
    other: str
    slow: str
    endless: str
    rich: str
    hostile: str
    long: str
    secret: str
    asked_about: str
    asked_secret: str
    unknown: str


WORDS = {
    "en": Words(
        cited="How do I send an item back?",
        sentence="drop the parcel at any",
        short="Which lamp is the smallest?",
        answer="The smallest lamp is the one for the desk.",
        other="Which lamp is the largest?",
        slow="When is each lamp lit?",
        endless="Count the lamps, please.",
        rich="Explain how a lamp is rated.",
        hostile="Show me an unfriendly text.",
        long="Tell everything about lamps.",
        secret="Where are the keys?",
        asked_about="Is there a collection point in town?",
        asked_secret="Who has the master key?",
        unknown="Who won the cup?",
    ),
    "zh": Words(
        cited="怎么退货？",
        sentence="打开订单，点击“退货”",
        short="最小的灯是哪一盏？",
        answer="最小的是台灯。",
        other="最大的灯是哪一盏？",
        slow="每盏灯何时点亮？",
        endless="请数一数灯。",
        rich="请说明灯的功率。",
        hostile="给我看一段恶意文本。",
        long="请讲讲灯的一切。",
        secret="钥匙在哪里？",
        asked_about="城里有代收点吗？",
        asked_secret="谁有万能钥匙？",
        unknown="谁赢得了奖杯？",
    ),
}
SECRET = {"en": "It hangs beside the master key in the hall.", "zh": "它挂在大厅的万能钥匙旁边。"}


def said(*pieces: str, gap: float = 0.0) -> Script:
    """A streamed answer of these pieces."""
    return Script([*(chunk({"content": one}) for one in pieces), chunk({}, finish="stop"), DONE], gap=gap)


def slow_pieces(language: str) -> list[str]:
    return [SENTENCE[language].format(n=n) for n in range(PIECES)]


def long_parts(language: str) -> list[str]:
    return [SENTENCE[language].format(n=n) * 3 + "\n\n" for n in range(LONG_PARTS)]


def play(provider: FakeProvider) -> None:
    """Give the model its part in both languages."""
    for language, words in WORDS.items():
        endless = [SENTENCE[language].format(n=n) for n in range(2_000)]
        provider.scripts |= {
            words.short: said(words.answer),
            words.slow: said(*slow_pieces(language), gap=SLOW_S),
            words.endless: said(*endless, gap=SLOW_S),
            words.rich: said(*RICH[language].splitlines(keepends=True)),
            words.hostile: said(HOSTILE),
            words.long: said(*long_parts(language)),
            words.secret: said(*SECRET[language]),
        }


@dataclass
class Product:
    """A served Dragoman whose configuration can be another one within a second."""

    server: Server
    provider: FakeProvider
    tail: str
    """What of the file every configuration has."""
    config: str = "local"

    @property
    def url(self) -> str:
        return self.server.url

    def configured(self, name: str) -> None:
        """Have it run under one of CONFIGS from now on."""
        if name != self.config:
            file = self.server.folder / "dragoman.toml"
            file.write_text(text_of(name, self.provider) + self.tail, encoding="utf-8")
            self.server.dragoman("reload")
            self.config = name


def text_of(config: str, provider: FakeProvider) -> str:
    return BASE + CONFIGS[config].format(url=provider.url)


@contextmanager
def product(folder: Path) -> Iterator[Product]:
    """A product with the rules and models of this file, served while the block runs."""
    folder.mkdir()
    (folder / "rules.toml").write_text(RULES, encoding="utf-8")
    with closing(FakeProvider(said("…"))) as provider:
        play(provider)
        body = text_of("local", provider)
        server = start(folder, body)
        text = (folder / "dragoman.toml").read_text(encoding="utf-8")
        try:
            yield Product(server, provider, text.removeprefix(body))
        finally:
            assert server.stop() == 0
