"""Formulas as MathML: what is shown, what stays code, and that no formula takes more than its bounds."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.web import maths
from dragoman.web.markdown import nodes
from dragoman.web.maths import FORMULA_CHARS, FORMULA_NODES, NESTED, Formulas, readable
from dragoman.web.nodes import NODES, Element, counted, sanitised, to_html


def shown(text: str) -> str:
    return str(to_html(nodes(text, [])))


def is_formula(source: str) -> bool:
    return Formulas().shown(source, source, block=False).name != "code"


@pytest.mark.parametrize("opening", ["$$", r"\[", r"\("])
def test_a_formula_is_shown_with_its_source(opening: str) -> None:
    closing = {"$$": "$$", r"\[": r"\]", r"\(": r"\)"}[opening]
    html = shown(rf"so {opening}\frac{{a}}{{b}} < 1{closing} holds")
    assert "<mfrac><mi>a</mi><mi>b</mi></mfrac><mo>&lt;</mo><mn>1</mn>" in html
    assert r'alttext="\frac{a}{b} &lt; 1"' in html
    assert r'<annotation encoding="application/x-tex">\frac{a}{b} &lt; 1</annotation>' in html
    assert ('display="block"' in html) == (opening != r"\(")


@pytest.mark.parametrize(
    "text",
    [
        "$$\na\n= b\n- c\n+ d\n# e\n$$",
        "before\n\\[\na\n= b\n- c\n+ d\n# e\n\\]\nafter",
        "- one\n\n  $$\n  a\n  = b\n  - c\n  + d\n  # e\n  $$",
        "> $$\n> a\n> = b\n> - c\n> + d\n> # e\n> $$",
    ],
)
def test_the_lines_of_a_formula_are_no_markdown(text: str) -> None:
    """`# e` makes math-core refuse it: the code shows what was read as one formula."""
    found = shown(text)
    assert re.search(r"<code>(\$\$|\\\[)\na\n= b\n- c\n\+ d\n# e\n(\$\$|\\\])</code>", found), found
    assert "<h" not in found
    assert "<math" in shown(text.replace("# e", "+ e"))


@pytest.mark.parametrize(
    "text",
    [
        "`\\(x\\)`",
        "```\n$$x$$\n```",
        "    $$\n    x\n    $$",
        "$$a\n\nb$$",
        "$5 and $6",
        "\\(x",
        "$$ $$",
        "$$$$",
    ],
)
def test_what_is_no_formula_is_none(text: str) -> None:
    assert "<math" not in shown(text)


@pytest.mark.parametrize(
    "source",
    [
        r"\unknown{x}",
        r"\frac{a",
        "}",
        "a_b_c",
        r"\newcommand{\a}[1]{#1#1}\a{\a{x}}",
        r"\def\a{\a}\a",
        r"\let\a\b",
        r"\DeclareMathOperator{\a}{b}",
        r"\href{javascript:alert(1)}{x}",
        "\ud800",
        "x" * (FORMULA_CHARS + 1),
        "{" * (NESTED + 1) + "x" + "}" * (NESTED + 1),
        r"\hat" * (NESTED + 1) + " x",
        r"\sqrt[" * (NESTED + 1) + "2" + "]x" * (NESTED + 1),
        r"\left(" * (NESTED + 1) + "x" + r"\right)" * (NESTED + 1),
        "x" + "^{x" * 30 + "}" * 30,
        r"\displaystyle x " * 40,
        "\x00",
    ],
)
def test_what_cannot_be_shown_stays_code(source: str) -> None:
    assert not is_formula(source)
    assert Formulas().shown(f"$${source}$$", source, block=True).children == [f"$${source}$$"]


@pytest.mark.parametrize(
    "source",
    [
        r"\int_0^\infty e^{-x^2}\,dx=\frac{\sqrt{\pi}}{2}",
        r"\begin{pmatrix}a&b\\c&d\end{pmatrix}",
        r"\left[\begin{array}{c|c}1&2\\\hline 3&4\end{array}\right]",
        r"\begin{cases}1&x>0\\0&\text{否则}\end{cases}",
        r"\begin{aligned}a&=b\\&=c\end{aligned}",
        r"\text{速度} = \frac{\text{距离}}{\text{时间}}",
        r"\lim_{x\to 0}\operatorname{sinc}(x)\approx 1 \pmod{3}",
        "x" * FORMULA_CHARS,
        "{" * 20 + "x" + "}" * 20,
    ],
)
def test_what_is_common_is_shown(source: str) -> None:
    made = Formulas().shown(source, source, block=True)
    assert made.name == "span"
    assert sanitised([made]) == [made], "nothing of it is left out on the page"


def test_the_formulas_of_an_answer_are_bounded_together() -> None:
    text = ("\\(" + "x+" * 500 + "x\\)\n\n") * 20
    found = nodes(text, [])
    assert counted(found) <= NODES
    assert FORMULA_NODES // 2 < counted(found) < FORMULA_NODES + 100
    html = str(to_html(found))
    assert html.count("<math") + html.count("<code>") == 20
    assert html.index("<code>") > html.rindex("<math"), "the first ones are shown"
    few = shown("\\(x\\) \\(\\what\\) " * 1_500)
    assert few.count("<math") < 1_500


def test_a_fault_of_the_reader_leaves_code(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    class Reader:
        def convert_with_local_state(self, _source: str, *, displaystyle: bool) -> str:
            raise PanicException(displaystyle)

    monkeypatch.setattr(maths, "_READER", Reader())
    assert shown("\\(x\\)") == "<p><code>\\(x\\)</code></p>"


SOURCES = [
    *(
        one * (FORMULA_CHARS // len(one))
        for one in ("{", "x^{", r"\hat", r"\not", r"\sqrt", r"\left(", r"\text{")
    ),
    *(
        one * (FORMULA_CHARS // len(one))
        for one in (r"\rm x", r"\bf ", r"\over ", "'", r"\big", "^", r"\frac")
    ),
    *(
        one * (FORMULA_CHARS // len(one))
        for one in (r"\color{red}x", r"\displaystyle x ", r"\text{\'", r"\sqrt[")
    ),
    *(
        one * (FORMULA_CHARS // len(one))
        for one in (r"\begin{matrix}", r"\begin{array}{c}", r"\middle|", "x_1", r"\\")
    ),
]
NARROW = """
import sys, threading
from dragoman.web.maths import Formulas
threading.stack_size(524288)
for source in eval(sys.stdin.read()):
    thread = threading.Thread(target=lambda: Formulas().shown(source, source, block=True))
    thread.start()
    thread.join()
print("done")
"""


def test_no_formula_exhausts_the_stack() -> None:
    """In a thread with a sixteenth of the usual stack, where the reader alone would end the process."""
    given = repr([*SOURCES, *(f"{one}x" + "}" * FORMULA_CHARS for one in SOURCES)])
    made = subprocess.run(
        [sys.executable, "-c", NARROW], input=given, text=True, capture_output=True, check=False
    )
    assert (made.returncode, made.stdout.strip()) == (0, "done"), made.stderr
    alone = NARROW.replace(
        "Formulas().shown(source, source, block=True)", "reader(source, displaystyle=True)"
    )
    alone = alone.replace(
        "import sys, threading",
        "import sys, threading\nfrom math_core import LatexToMathML\n"
        "reader = LatexToMathML().convert_with_local_state",
    )
    deep = repr([r"\sqrt{" * 20_000 + "}" * 20_000])
    control = subprocess.run(
        [sys.executable, "-c", alone], input=deep, text=True, capture_output=True, check=False
    )
    assert control.returncode < 0, "the control: the reader alone ends the process"


PIECES = st.sampled_from(
    [
        *"{}[]()^_&'x1+-=<>\"#%~ \n",
        "\\\\",
        "\\{",
        "\\left",
        "\\right",
        "\\begin{matrix}",
        "\\end{matrix}",
        "\\hline ",
        "\\frac",
        "\\sqrt[",
        "\\text{",
        "\\mathbb{R}",
        "\\sum",
        "\\color{red}",
        "\\cancel{x}",
        "\\tag{1}",
        "\\ref{x}",
        "\\hspace{9em}",
        "\\operatorname*{a}",
        "\\overset",
        "\\xrightarrow{a}",
        "\\begin{cases}",
        "\\end{cases}",
        "速",
    ]
)


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=60).map("".join))
def test_any_formula_is_a_formula_or_code(source: str) -> None:
    made = Formulas().shown(source, source, block=False)
    if not readable(source):
        assert made.name == "code"
    if made.name == "code":
        assert made.children == [source]
        return
    inner = made if made.name == "math" else made.children[0]
    assert isinstance(inner, Element)
    assert inner.attrs["alttext"] == source.strip()
    assert counted(sanitised([made])) <= 2 * FORMULA_NODES


OPENING = [
    "(",
    "[",
    "[a",
    "\\{",
    "x\\langle ",
    "x\\lgroup ",
    "{(}",
    "x⟨",
    "⌜",
    "\\bigl(",
    "()(",
    "(^)",
    "(_{)}",
]
OPENING += [
    "(\\text{)}",
    "(\\left.x\\right)",
    "(\\operatorname{)}",
    "(\\overset{)}{x}",
    "(\\frac{a})",
    "(\\middle)",
]


@pytest.mark.parametrize("opening", OPENING)
def test_brackets_that_are_not_closed_are_bounded(opening: str) -> None:
    """The reader takes twice as long for each: it did not end for a hundred."""
    assert not maths.readable(opening * (maths.UNCLOSED + 1))


def test_brackets_that_close_are_not_counted() -> None:
    assert is_formula("f(x) + g(x_1, y^{2}) = [\\alpha] " * 30)
    assert is_formula("f(g(h(x)))" * 30)
    assert is_formula("(" * 10 + ")" * 10)


BRACKETS = st.sampled_from(
    [
        *"()[]x^_{}|⟨⟩!'",
        "\\frac",
        "\\text{",
        "\\alpha ",
        "\\left(",
        "\\right)",
        "\\{",
        "\\}",
        "{}",
        "(x)",
        "\\hat",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(BRACKETS, min_size=1, max_size=8).map("".join), st.integers(12, 60))
def test_what_is_read_is_read_soon(piece: str, times: int) -> None:
    source = (piece * times)[:FORMULA_CHARS]
    began = time.process_time()
    if readable(source):
        Formulas().shown(source, source, block=False)
    assert time.process_time() - began < 0.5
