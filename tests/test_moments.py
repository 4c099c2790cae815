"""Times in headers: right, or None, and never another exception."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sigmamind_mcp.api.retries import read_retry_after
from sigmamind_mcp.moments import parse_http_date

NOW = datetime(2026, 9, 1, tzinfo=UTC)
WORDS = st.sampled_from(
    ["Mon,", "Tue", "01", "31", "0", "Jan", "Feb", "2024", "99999999999999999999", "-1", "00:00:00"]
    + ["24:61:61", "9:9", "GMT", "+0000", "-2359", "+99999999999", "Z", "Foo", "", "\x00", "١"]
)
HEADERS = st.one_of(st.text(max_size=80), st.lists(WORDS, max_size=8).map(" ".join))


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("Tue, 01 Sep 2026 00:00:00 GMT", NOW),
        ("Tue, 01 Sep 2026 02:00:00 +0200", NOW),
        ("Tue, 01 Sep 2026 00:00:00", None),
        ("Mon, 99999999999999999999 Jan 2024 00:00:00 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 99999999999999999999:00:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
        ("2026-09-01T00:00:00Z", None),
        ("", None),
    ],
)
def test_http_date_is_read_or_none(value: str, moment: datetime | None) -> None:
    assert parse_http_date(value) == moment


@given(HEADERS)
@example("Mon, 01 Jan 0001 00:00:00 +2359")
def test_no_header_makes_a_parser_fail(value: str) -> None:
    moment = parse_http_date(value)
    seconds = read_retry_after({"Retry-After": value}, NOW)

    assert moment is None or moment.tzinfo is UTC
    assert seconds is None or seconds >= 0
