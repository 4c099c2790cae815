"""The page as a file: small, alone, and without a way for text to become code."""

import re

import pytest

from sigmamind_mcp.ids import ID_PATTERN
from sigmamind_mcp.insight.statistics import ALPHA
from sigmamind_mcp.viewer.page import read_page

MOST_BYTES = 20_480
OWN_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
# Each would let the page read or write elsewhere, or would make elements or code of text.
FORBIDDEN = (
    r"https?:", r"//\w", r"url\(", r"@import", r"innerHTML", r"outerHTML", r"insertAdjacent",
    r"document\.write", r"\beval\b", r"new Function", r"setTimeout\([\"'`]", r"\bfetch\b",
    r"XMLHttpRequest", r"WebSocket", r"EventSource", r"sendBeacon", r"\bimport\b", r"\bWorker\b",
    r"localStorage", r"sessionStorage", r"cookie", r"\bopen\(", r"location", r"\.href", r"\.src\b",
    r"DOMParser", r"createContextualFragment", r"srcdoc", r" on\w+=",
)  # fmt: skip
TOOLS_CALLED = {
    "diagnose_batch_run",
    "compare_batch_runs",
    "get_test_case_history",
    "get_batch_run",
    "get_test_run",
}


def test_page_is_small() -> None:
    assert len(read_page().encode()) <= MOST_BYTES


def test_page_calls_a_change_proven_at_the_level_of_the_answers() -> None:
    assert f"p <= {ALPHA} ? direction" in read_page()


def test_page_has_a_policy_of_its_own_before_its_code() -> None:
    page = read_page()

    policy = page.index(f'<meta http-equiv="Content-Security-Policy" content="{OWN_POLICY}">')
    assert policy < page.index("<style") < page.index("<script")


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_page_has_no_address_and_no_way_from_text_to_code(pattern: str) -> None:
    assert re.findall(pattern, read_page()) == []


def test_page_names_only_tools_that_read() -> None:
    names = set(re.findall(r'"([a-z]+(?:_[a-z]+)+)"', read_page()))

    # It follows what create_batch_run has started, and never calls it.
    assert names - {"create_batch_run"} == TOOLS_CALLED
    assert 'callTool("create' not in read_page() and "callTool(CREATE" not in read_page()


def test_page_listens_to_its_host_only() -> None:
    assert 'if (source !== parent || data?.jsonrpc !== "2.0") return;' in read_page()


def test_page_finds_a_whole_id_in_the_text_of_a_launch() -> None:
    (pattern,) = re.findall(r"match\(/(.*batch_.*?)/\)", read_page())

    for batch_id in ("batch_CBeIZMjFgNZJBIwX", "batch_a-B_9-c", "batch_1"):
        found = re.search(pattern, f"Started {batch_id}: 3 attempts of 1 test case.")
        assert found and found[0] == batch_id
        assert re.fullmatch(ID_PATTERN, found[0])
