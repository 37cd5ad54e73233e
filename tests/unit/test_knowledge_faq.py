"""FAQ tables: the reader agrees with the standard library's strict one, and says where a table is broken."""

from __future__ import annotations

import csv
import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.knowledge.faq import _rows, questions
from dragoman.knowledge.faults import FaultError


def by_library(text: str) -> list[list[str]] | None:
    try:
        return [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except csv.Error:
        return None


def by_ours(text: str) -> list[list[str]] | None:
    try:
        return [[cell.text for cell in row] for row in _rows(text)]
    except FaultError:
        return None


@given(st.text(alphabet='a"", \n，', max_size=30))
def test_it_reads_what_the_library_reads_and_refuses_what_it_refuses(text: str) -> None:
    assert by_ours(text) == by_library(text)


@given(st.lists(st.lists(st.text(alphabet='a", \n', max_size=8), min_size=2, max_size=3), max_size=4))
def test_what_the_library_writes_is_read_back(rows: list[list[str]]) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    assert by_ours(out.getvalue()) == rows


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ('question,answer\na,b\n"x\ny,z\n', "csv_quote", (3, 1)),
        ('question,answer\nwho,"it" is\n', "csv_after_quote", (2, 9)),
        ('question,answer\r\n"a\r\nb",c,d\r\n', "csv_surplus", (3, 6)),
        ("question;answer\na;b\n", "csv_columns", (None, None)),
        ("", "csv_columns", (None, None)),
    ],
)
def test_a_broken_table_says_where(text: str, code: str, place: tuple[int | None, int | None]) -> None:
    with pytest.raises(FaultError) as caught:
        list(questions(text))
    fault = caught.value.fault
    assert (fault.code, (fault.line, fault.column)) == (code, place)
    for said in fault.text.values():
        assert "{" not in said
        assert place[0] is None or str(place[0]) in said


def test_rows_without_an_answer_and_empty_columns_are_left_out() -> None:
    text = "id,Question ,ANSWER\n1,a,b,,\n2,c,\n\n3,,d\n4,e,f\n"
    assert list(questions(text)) == [("a", "b"), ("e", "f")]


def test_a_quotation_mark_that_is_never_closed_costs_one_pass() -> None:
    began = time.thread_time()
    with pytest.raises(FaultError):
        list(questions('question,answer\n"' + 'a""' * 1_000_000))
    assert time.thread_time() - began < 5
