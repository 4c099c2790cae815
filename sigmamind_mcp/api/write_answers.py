"""Decide what the answer to a write confirms."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from sigmamind_mcp.api.asked_ids import AskedIDs, RecordT, find_foreign_id, list_ids
from sigmamind_mcp.api.case_fields import is_as_sent
from sigmamind_mcp.api.models import BatchRun, TestCase
from sigmamind_mcp.api.records import Record
from sigmamind_mcp.api.refusals import find_reasons, has_error, has_fields
from sigmamind_mcp.errors import (
    APIError,
    ConnectionFailed,
    InvalidRequest,
    NotOffered,
    OutcomeUnknown,
    SigmaMindError,
)
from sigmamind_mcp.strict_json import JSONObject

logger = logging.getLogger(__name__)

SURELY_NOT_WRITTEN = frozenset({400, 401, 403, 404, 405, 409, 422, 429})


class Write(NamedTuple):
    """A write in words: what it makes, and the tool that shows whether it did."""

    noun: str
    reading_tool: str


class WriteAnswer(NamedTuple):
    """The 2xx answer to a write; `data` is None too if its body is unreadable."""

    data: object
    is_empty: bool


@contextmanager
def report_unknown_outcome(write: Write) -> Iterator[None]:
    """Turn a bug of ours into OutcomeUnknown: the request has left, so it may have written."""
    try:
        yield
    except SigmaMindError:
        raise
    except Exception as exc:
        logger.exception("failed after a write")
        raise build_unknown_outcome(write) from exc


def build_unknown_outcome(
    write: Write,
    reasons: Mapping[str, str] | None = None,
) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"The request was sent, but no readable answer confirms it. The {write.noun} may have"
        f" been made: check with {write.reading_tool} first.",
        upstream=reasons,
    )


def read_written_record(
    answer: WriteAnswer,
    kind: type[RecordT],
    id_name: str,
    agent_id: str,
) -> RecordT | None:
    """Return the record that a write's answer shows.

    None if it has no id, names another agent, or names an error beside the id.
    """
    if not isinstance(answer.data, dict) or has_error(answer.data):
        return None
    record = kind.read(answer.data)
    if not list_ids(record, id_name) or find_foreign_id(record, {"agentId": agent_id}):
        return None
    return record


def confirms_change(answer: WriteAnswer, asked: AskedIDs) -> bool:
    """Return whether the answer shows the test case that was asked for."""
    if not has_fields(answer.data, TestCase.input_names):
        return False
    return find_foreign_id(TestCase.read(answer.data), asked) is None


def check_confirmed(record: Record | None, answer: WriteAnswer, write: Write) -> None:
    """Raise OutcomeUnknown if neither the answer nor the API's list shows what a write stored."""
    # Older versions of the API confirm a write with an empty body.
    if record is not None or answer.is_empty:
        return
    reasons = find_reasons(answer.data) if isinstance(answer.data, dict) else {}
    raise build_unknown_outcome(write, reasons)


def is_surely_not_written(exc: SigmaMindError) -> bool:
    if isinstance(exc, ConnectionFailed):
        return not exc.sent
    if isinstance(exc, APIError):
        return exc.status in SURELY_NOT_WRITTEN or isinstance(exc, NotOffered | InvalidRequest)
    return False


def has_fields_of(case: TestCase, body: JSONObject) -> bool:
    """Return whether the listed case has all fields of the body; its agent is not among them."""
    sent = TestCase.read(body)
    return all(is_as_sent(name, case, sent) for name in body if name != "agentId")


def has_cases_of(batch_run: BatchRun, test_case_ids: Sequence[str]) -> bool:
    own_ids = [case.test_case_id or "" for case in batch_run.test_cases]
    return sorted(own_ids) == sorted(test_case_ids)
