"""URIs of resources: what is built is parsed back."""

import pytest

from sigmamind_mcp.errors import InvalidArguments
from sigmamind_mcp.uris import Address, read_uri, uri_of


def test_templates_read_back_what_they_make() -> None:
    for kind, variables in {
        "transcript": {"agentId": "a", "batchId": "b", "jobId": "j"},
        "test-run": {"agentId": "a", "batchId": "b", "jobId": "j"},
        "batch-run": {"agentId": "a", "batchId": "b"},
        "test-case": {"agentId": "a", "testCaseId": "t"},
        "guide": {"topic": "results"},
    }.items():
        assert read_uri(uri_of(kind, **variables)) == Address(kind, variables)  # type: ignore[arg-type]  # keys of a dict
    assert read_uri(
        uri_of("transcript", agentId="a", batchId="b", jobId="j") + "?turns=2&fromTurn=3"
    ) == Address(
        "transcript", {"agentId": "a", "batchId": "b", "jobId": "j", "turns": "2", "fromTurn": "3"}
    )
    with pytest.raises(InvalidArguments):
        read_uri(uri_of("batch-run", agentId="a", batchId="b") + "?")
