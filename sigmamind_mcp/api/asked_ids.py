"""Check that an answer is about the objects that the request named."""

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from sigmamind_mcp.api.records import Record
from sigmamind_mcp.api.refusals import has_fields, refuse_message
from sigmamind_mcp.errors import UnexpectedAnswer
from sigmamind_mcp.ids import same_id, valid_id

RecordT = TypeVar("RecordT", bound=Record)

# The ids that a request names, by their names in the API; the first is the object's own.
AskedIDs = Mapping[str, str]

_FIELDS = {
    "agentId": "agent_id",
    "batchId": "batch_id",
    "jobId": "job_id",
    "testCaseId": "test_case_id",
}
_NOUNS = {
    "agentId": "agent",
    "batchId": "batch run",
    "jobId": "test run",
    "testCaseId": "test case",
}


class ForeignID(NamedTuple):
    """An id in an answer that is not the one asked for; `name` is its name in the API."""

    name: str
    value: str


def read_asked_object(data: object, kind: type[RecordT], asked: AskedIDs) -> RecordT:
    """Read the object that was asked for.

    Raises:
        InvalidRequest: the answer is a message instead.
        UnexpectedAnswer: it is no such object, or one with another id.
    """
    noun = _NOUNS[next(iter(asked))]
    refuse_message(data, kind.input_names, noun)
    record = kind.read(data)
    if not has_fields(data, kind.input_names):
        raise UnexpectedAnswer(f"The API's answer has none of the fields of this {noun}.")
    foreign = find_foreign_id(record, asked)
    if foreign:
        noun, asked_id = _NOUNS[foreign.name], asked[foreign.name]
        given = valid_id(foreign.value) or "with an invalid id"
        raise UnexpectedAnswer(
            f"The API was asked for {noun} {asked_id}, but its answer is about {noun} {given}."
        )
    return record


def find_foreign_id(record: Record, asked: AskedIDs) -> ForeignID | None:
    """Return the record's first id that is not the one asked for; a missing id is not foreign."""
    for name, asked_id in asked.items():
        for value in list_ids(record, name):
            if value != asked_id and not same_id(value, asked_id):
                return ForeignID(name, value)
    return None


def list_ids(record: Record, name: str) -> list[str]:
    """Return the record's ids under this name; an agent's id may be in the agent object."""
    ids = [getattr(record, _FIELDS[name], None)]
    agent = getattr(record, "agent", None)
    if name == "agentId" and agent is not None:
        ids.append(agent.agent_id)
    return [value for value in ids if value]
