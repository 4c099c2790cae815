"""What can be read by URI. Each resource is the answer of the tool that reads the same thing."""

import json
from importlib.resources import files
from typing import NamedTuple

import anyio

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.errors import InvalidArguments, SigmaMindError
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.tools.answers import Answer, shorten_to_budget
from sigmamind_mcp.tools.arguments import ArgumentsT, read_arguments
from sigmamind_mcp.tools.batch_runs import GetBatchRun, get_batch_run
from sigmamind_mcp.tools.cases import GetTestCase, get_test_case
from sigmamind_mcp.tools.runs import GetTestRun, get_test_run
from sigmamind_mcp.uris import Address, Kind, uri_of

LIST_SECONDS = 5.0
TRANSCRIPTS_PER_PAGE = 50
FINISHED_TTL_MS = 3_600_000

GUIDES = {
    "getting-started": "The loop: author, run, read",
    "test-cases": "Writing a test case that can be judged",
    "results": "Reading batch runs, test runs and transcripts",
    "diagnosis": "Reading a diagnosis and a comparison",
    "attempts": "How many attempts are enough",
    "sandbox": "What the sandbox is, and what it is not",
}

TITLES: dict[Kind, tuple[str, str, str]] = {
    "transcript": (
        "Transcript",
        "A test run's verdict, remarks and conversation, by ranges of turns.",
        "text/markdown",
    ),
    "test-run": (
        "Test run",
        "Every field of a test run, its conversation by ranges of turns.",
        "application/json",
    ),
    "batch-run": (
        "Batch run",
        "Every field of a batch run, and its derived state.",
        "application/json",
    ),
    "test-case": ("Test case", "Every field of a test case.", "application/json"),
    "guide": ("Guide", "This server's own short guides.", "text/markdown"),
}
"""Title, description and MIME type of each kind of resource."""


class Contents(NamedTuple):
    """A resource as read; `ttl_ms` is how long it will stay the same, 0 when that is not known."""

    text: str
    ttl_ms: int


class Listed(NamedTuple):
    """One entry of the list of resources."""

    uri: str
    name: str
    title: str
    mime_type: str


class Listing(NamedTuple):
    entries: list[Listed]
    next_cursor: str | None


async def read_resource(address: Address, api: SigmaMindClient) -> Contents:
    """Read what the address names.

    Raises:
        InvalidArguments: an id or a range is malformed.
        SigmaMindError: the API did not give it.
    """
    match address.kind:
        case "transcript":
            run = await shorten_to_budget(await get_test_run(_arguments(GetTestRun, address), api))
            run.next_calls = []  # a reader of resources goes on by URI
            return Contents(run.text(), _ttl(decided=run.verdict != "undecided"))
        case "test-run":
            run = await get_test_run(_arguments(GetTestRun, address, detail="full"), api)
            return Contents(await _json(run), _ttl(decided=run.verdict != "undecided"))
        case "batch-run":
            return Contents(
                await _json(
                    await get_batch_run(_arguments(GetBatchRun, address, detail="full"), api)
                ),
                0,
            )
        case "test-case":
            return Contents(
                await _json(
                    await get_test_case(_arguments(GetTestCase, address, detail="full"), api)
                ),
                0,
            )
        case "guide":
            raise AssertionError("guides are read without the API")


def read_guide(topic: str) -> str | None:
    """Return one of our guides, as Markdown, or None for a topic that we have none on."""
    if topic not in GUIDES:
        return None
    return files("sigmamind_mcp").joinpath("guides", f"{topic}.md").read_text(encoding="utf-8")


def list_guides() -> list[Listed]:
    return [
        Listed(uri_of("guide", topic=topic), f"guide/{topic}", title, "text/markdown")
        for topic, title in GUIDES.items()
    ]


async def list_transcripts(cursor: str, agent_id: str, api: SigmaMindClient) -> Listing:
    """List transcripts of the agent's test runs, newest batch run first; empty where the API gives none in time.

    The cursor counts batch runs and, within one, test runs: `batch-run:test-run`.
    """
    batch_number, first = _read_cursor(cursor)
    with anyio.move_on_after(LIST_SECONDS):
        try:
            page, _ = await api.list_batch_runs(agent_id, page=batch_number, size=1)
            batch_ids = [batch_id for run in page.items if (batch_id := valid_id(run.batch_id))]
            runs = [
                (batch_id, run)
                for batch_id in batch_ids
                for run in await api.list_test_runs(batch_id, agent_id)
            ]
        except SigmaMindError:
            return Listing([], None)
        entries = [
            Listed(
                uri_of("transcript", agentId=agent_id, batchId=batch_id, jobId=job_id),
                f"{batch_id}/{job_id}",
                f"Transcript of {job_id} ({run.verdict})",
                "text/markdown",
            )
            for batch_id, run in runs[first : first + TRANSCRIPTS_PER_PAGE]
            if (job_id := valid_id(run.job_id))
        ]
        if first + TRANSCRIPTS_PER_PAGE < len(runs):
            return Listing(entries, f"{batch_number}:{first + TRANSCRIPTS_PER_PAGE}")
        return Listing(entries, f"{batch_number + 1}:0" if page.has_next else None)
    return Listing([], None)


def _read_cursor(cursor: str) -> tuple[int, int]:
    batch_number, _, first = cursor.partition(":")
    if not (batch_number.isdecimal() and first.isdecimal() and len(cursor) < 20):
        raise InvalidArguments("That cursor did not come from this server's list of resources.")
    return int(batch_number), int(first)


def _arguments(model: type[ArgumentsT], address: Address, **more: str) -> ArgumentsT:
    return read_arguments(
        model, {**address.variables, **more}, tool="This resource", default_agent_id=None
    )


async def _json(answer: Answer) -> str:
    return json.dumps((await shorten_to_budget(answer)).structured(), ensure_ascii=False, indent=1)


def _ttl(*, decided: bool) -> int:
    return FINISHED_TTL_MS if decided else 0
