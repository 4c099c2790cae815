"""Times of the API and of headers: right, or None, and never another exception."""

from datetime import UTC, datetime
from operator import itemgetter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sigmamind_mcp.api.retries import read_retry_after
from sigmamind_mcp.moments import parse_http_date, parse_moment, sort_by_date

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


END = datetime(2026, 9, 1, 8, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "2026-09-01T08:01:30Z", "2026-09-01T08:01:30.000Z", "2026-09-01T08:01:30.000000000Z", "2026-09-01T08:01:30",
        "2026-09-01 08:01:30", "2026-09-01 08:01:30 UTC", "2026-09-01 08:01:30 GMT", "2026-09-01t08:01:30z",
        "2026-09-01T03:01:30-05:00", "2026-09-01T10:01:30+0200", "2026-09-01 10:01:30 +02:00", " 2026-09-01T08:01:30Z ",
        "2026-09-01T08:01:30Z[UTC]", "2026-09-01T10:01:30+02:00[Europe/Berlin]", "2026-09-01T08:01:30 +0000 UTC",
        "20260901T080130Z", "20260901080130", "Tue, 01 Sep 2026 08:01:30 GMT", "Tue, 01 Sep 2026 10:01:30 +0200",
        "Tuesday, 01-Sep-26 08:01:30 GMT", "1 Sep 2026 08:01:30 GMT", 1788249690, 1788249690.0, 1788249690000,
        1788249690000000, 1788249690000000000, "1788249690", "1788249690000", "1788249690.000", [2026, 9, 1, 8, 1, 30],
        [2026, 9, 1, 8, 1, 30, 0],
    ],
)  # fmt: skip
def test_time_in_any_usual_form_is_read(value: object) -> None:
    assert parse_moment(value) == END


@pytest.mark.parametrize(
    "value",
    [
        "yesterday", "", " ", "12", 12, 0, -1, True, 10**30, 1e308, float("nan"), {}, {"at": 1}, [], [2026], [2026, 13, 1],
        [2026, "9", 1], [2026, 9, 1, 8, 1, 30, 0, 0], [10**30, 1, 1], "2026-13-01", "2026-09-01 08:01:30 EST",
        "2026-09-01T08:01:30[America/New_York]", "01/09/2026", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00",
        "\u0661\u0667\u0668\u0668\u0662\u0664\u0669\u0666\u0669\u0660", "9" * 19, "9" * 5_000, None,
    ],
)  # fmt: skip
def test_any_other_value_is_no_time(value: object) -> None:
    assert parse_moment(value) is None


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | HEADERS,
    lambda inner: (
        st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=8,
)


@given(JSON_VALUES)
def test_no_value_makes_the_reader_of_times_fail(value: object) -> None:
    moment = parse_moment(value)

    assert moment is None or moment.tzinfo is UTC


def test_items_are_sorted_by_date_unless_one_has_none() -> None:
    days = [datetime(2026, 1, day, tzinfo=UTC) for day in (3, 1, 1, 2)]
    dated = list(enumerate(days))

    assert [number for number, _ in sort_by_date(dated, itemgetter(1))] == [1, 2, 3, 0]
    undated = [*dated, (4, None)]
    assert sort_by_date(undated, itemgetter(1)) == undated
