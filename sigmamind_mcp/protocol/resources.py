"""resources/list, resources/templates/list and resources/read.

Each resource is the answer of the tool that reads the same object.
"""

import json
import logging
from importlib.resources import files
from typing import NamedTuple

import anyio
import mcp_types as mcp
from mcp.shared.exceptions import MCPError

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.listings import Page
from sigmamind_mcp.api.models import BatchRun
from sigmamind_mcp.call_deadlines import limit_call
from sigmamind_mcp.errors import (
    InvalidArguments,
    NotAllowed,
    NotFound,
    NotOffered,
    OutOfTime,
    SigmaMindError,
)
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.protocol.api_access import APIAccess, Request
from sigmamind_mcp.protocol.apps import describe_viewer, read_viewer
from sigmamind_mcp.protocol.catalogue import CALL_SECONDS
from sigmamind_mcp.protocol.error_results import add_suggestions, explain_error
from sigmamind_mcp.protocol.skills import read_skill
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.tools.answers import Answer, shorten_to_budget
from sigmamind_mcp.tools.arguments import ArgumentsT, read_arguments
from sigmamind_mcp.tools.batch_runs import GetBatchRun, get_batch_run
from sigmamind_mcp.tools.cases import GetTestCase, get_test_case
from sigmamind_mcp.tools.runs import GetTestRun, get_test_run
from sigmamind_mcp.uris import TEMPLATES, Address, Kind, read_uri, uri_of
from sigmamind_mcp.viewer import VIEWER_URI

logger = logging.getLogger(__name__)

NOT_READ_KEY = "io.github.sigmamind-mcp/notRead"
LIST_SECONDS = 5.0
MAX_URI_CHARACTERS = 2000
TRANSCRIPTS_PER_PAGE = 50
FINAL_TTL_MS = 3_600_000

GUIDES = {
    "getting-started": "The loop: author, run, read",
    "questions": "The usual questions, and the calls that answer them",
    "test-cases": "Writing a test case that can be judged",
    "results": "Reading batch runs, test runs and transcripts",
    "diagnosis": "Reading a diagnosis and a comparison",
    "attempts": "How many attempts are enough",
    "suites": "Test cases as files, and the gate for CI",
    "sandbox": "What the sandbox is, and what it is not",
}


class ResourceKind(NamedTuple):
    title: str
    description: str
    mime_type: str


KINDS: dict[Kind, ResourceKind] = {
    "transcript": ResourceKind(
        "Transcript",
        "A test run's verdict, remarks and conversation, by ranges of turns.",
        "text/markdown",
    ),
    "test-run": ResourceKind(
        "Test run",
        "Every field of a test run, its conversation by ranges of turns.",
        "application/json",
    ),
    "batch-run": ResourceKind(
        "Batch run",
        "Every field of a batch run, and its derived state.",
        "application/json",
    ),
    "test-case": ResourceKind("Test case", "Every field of a test case.", "application/json"),
    "guide": ResourceKind("Guide", "This server's own short guides.", "text/markdown"),
}


class Contents(NamedTuple):
    """The text of a resource, and for how many milliseconds it will not change (0: unknown)."""

    text: str
    ttl_ms: int


class ResourceEntry(NamedTuple):
    """One entry of resources/list."""

    uri: str
    name: str
    title: str
    mime_type: str


class ResourcePage(NamedTuple):
    """One page of resources/list; `not_read` says which transcripts may be missing."""

    entries: list[ResourceEntry]
    next_cursor: str | None
    not_read: str | None = None


def _build_resource(entry: ResourceEntry) -> mcp.Resource:
    return mcp.Resource(
        uri=entry.uri,
        name=entry.name,
        title=entry.title,
        mime_type=entry.mime_type,
    )


class ResourceHandlers:
    """Lists the resources and reads them."""

    def __init__(self, settings: Settings, access: APIAccess) -> None:
        self._settings = settings
        self._access = access

    async def list_resources(
        self, ctx: Request, params: mcp.PaginatedRequestParams | None
    ) -> mcp.ListResourcesResult:
        cursor = params.cursor if params else None
        guides = [] if cursor else list_guides()
        transcripts = await self._list_transcripts(ctx, cursor)
        resources = list(map(_build_resource, guides + transcripts.entries))
        if self._settings.viewer and not cursor:
            resources.insert(len(guides), describe_viewer())
        result = mcp.ListResourcesResult(resources=resources, next_cursor=transcripts.next_cursor)
        if transcripts.not_read:
            result.meta = {NOT_READ_KEY: transcripts.not_read}
        return result

    async def _list_transcripts(self, ctx: Request, cursor: str | None) -> ResourcePage:
        agent_id = self._settings.agent_id
        if not agent_id:
            if cursor:
                raise MCPError(code=mcp.INVALID_PARAMS, message="This list has one page.")
            return ResourcePage([], None)
        try:
            api = self._access.build_client(ctx)
            return await list_transcripts(cursor or "0:0", agent_id, api)
        except InvalidArguments as exc:
            raise MCPError(code=mcp.INVALID_PARAMS, message=str(exc)) from exc
        except SigmaMindError as exc:
            if cursor:
                raise MCPError(code=mcp.INTERNAL_ERROR, message=explain_error(exc)) from exc
            # Without a key the guides can be read all the same.
            logger.warning("resources/list: the transcripts could not be read")
            return ResourcePage([], None, "The transcripts could not be read.")

    async def list_resource_templates(
        self, ctx: Request, params: mcp.PaginatedRequestParams | None
    ) -> mcp.ListResourceTemplatesResult:
        templates = []
        for name, template in TEMPLATES.items():
            kind = KINDS[name]
            resource_template = mcp.ResourceTemplate(
                uri_template=template,
                name=name,
                title=kind.title,
                description=kind.description,
                mime_type=kind.mime_type,
            )
            templates.append(resource_template)
        return mcp.ListResourceTemplatesResult(resource_templates=templates)

    async def read_resource(
        self, ctx: Request, params: mcp.ReadResourceRequestParams
    ) -> mcp.ReadResourceResult:
        uri = str(params.uri)
        if uri == VIEWER_URI and self._settings.viewer:
            return read_viewer()
        skill = read_skill(uri)
        if skill:
            return skill
        data = {"uri": uri[:MAX_URI_CHARACTERS]}
        try:
            address = _parse_uri(uri)
            contents = await self._read_in_time(address, ctx)
        except (InvalidArguments, NotFound) as exc:
            message = explain_error(exc)
            raise MCPError(code=mcp.INVALID_PARAMS, message=message, data=data) from exc
        except SigmaMindError as exc:
            raise MCPError(code=mcp.INTERNAL_ERROR, message=explain_error(exc)) from exc
        mime_type = KINDS[address.kind].mime_type
        text = mcp.TextResourceContents(uri=uri, text=contents.text, mime_type=mime_type)
        return mcp.ReadResourceResult(
            contents=[text],
            ttl_ms=contents.ttl_ms,
            cache_scope="public" if address.kind == "guide" else "private",
        )

    async def _read_in_time(self, address: Address, ctx: Request) -> Contents:
        with limit_call(CALL_SECONDS):
            async with self._access.take_turn(ctx):
                return await self._read(address, ctx)
        raise OutOfTime(f"This resource was not read within {CALL_SECONDS:.0f} s. Read it again.")

    async def _read(self, address: Address, ctx: Request) -> Contents:
        if address.kind == "guide":
            guide = read_guide(address.variables["topic"])
            if guide is None:
                raise InvalidArguments("No guide has that name. resources/list shows all guides.")
            return Contents(guide, FINAL_TTL_MS)
        api = self._access.build_client(ctx)
        try:
            return await read_object(address, api)
        except (NotAllowed, NotFound) as exc:
            raise await add_suggestions(exc, address.variables, api) from exc


def _parse_uri(uri: str) -> Address:
    address = read_uri(uri) if len(uri) <= MAX_URI_CHARACTERS else None
    if address is None:
        raise InvalidArguments(
            "No resource has that URI. resources/templates/list shows the valid forms."
        )
    return address


async def read_object(address: Address, api: SigmaMindClient) -> Contents:
    """Read an object of the API.

    Raises:
        InvalidArguments: an id or a range is malformed.
        SigmaMindError: the API did not return it.
    """
    match address.kind:
        case "transcript":
            run = await get_test_run(_build_arguments(GetTestRun, address), api)
            run = (await shorten_to_budget(run)).answer
            run.next_calls = []  # a reader of resources continues by URI
            return Contents(run.text(), _choose_ttl(run.verdict))
        case "test-run":
            run = await get_test_run(_build_arguments(GetTestRun, address, detail="full"), api)
            return Contents(await _format_json(run), _choose_ttl(run.verdict))
        case "batch-run":
            args = _build_arguments(GetBatchRun, address, detail="full")
            return Contents(await _format_json(await get_batch_run(args, api)), 0)
        case "test-case":
            case_args = _build_arguments(GetTestCase, address, detail="full")
            return Contents(await _format_json(await get_test_case(case_args, api)), 0)
        case "guide":
            raise AssertionError("a guide is not an object of the API")


def read_guide(topic: str) -> str | None:
    """Return the guide in Markdown, or None for an unknown topic."""
    if topic not in GUIDES:
        return None
    return files("sigmamind_mcp").joinpath("guides", f"{topic}.md").read_text(encoding="utf-8")


def list_guides() -> list[ResourceEntry]:
    return [
        ResourceEntry(uri_of("guide", topic=topic), f"guide/{topic}", title, "text/markdown")
        for topic, title in GUIDES.items()
    ]


async def list_transcripts(cursor: str, agent_id: str, api: SigmaMindClient) -> ResourcePage:
    """List the transcripts of an agent, newest batch run first.

    The cursor is `batch-run:test-run`, two positions.

    Raises:
        InvalidArguments: the cursor is not one of this list.
        SigmaMindError: the API did not return the list, or not in time.
    """
    position = _read_cursor(cursor)
    with anyio.move_on_after(LIST_SECONDS):
        page, _ = await api.list_batch_runs(agent_id, page=position.batch_run, size=1)
        listed = await _list_page_runs(page, agent_id, api)
        end = position.test_run + TRANSCRIPTS_PER_PAGE
        entries = [
            _describe_transcript(agent_id, run)
            for run in listed.runs[position.test_run : end]
            if valid_id(run.job_id)
        ]
        following = f"{position.batch_run + 1}:0" if page.has_next else None
        if end < len(listed.runs):
            following = f"{position.batch_run}:{end}"
        return ResourcePage(entries, following, " ".join(listed.not_read) or None)
    raise OutOfTime(f"The API did not list the transcripts within {LIST_SECONDS:.0f} s. Try again.")


class ListedRun(NamedTuple):
    batch_id: str
    job_id: str
    verdict: str


class ListedRuns(NamedTuple):
    """The test runs of a page of batch runs, and sentences about what was not read."""

    runs: list[ListedRun]
    not_read: list[str]


async def _list_page_runs(
    batch_runs: Page[BatchRun], agent_id: str, api: SigmaMindClient
) -> ListedRuns:
    listed = ListedRuns([], [])
    if batch_runs.unreadable:
        listed.not_read.append("A batch run could not be read.")
    for batch_run in batch_runs.items:
        batch_id = valid_id(batch_run.batch_id)
        if not batch_id:
            listed.not_read.append("A batch run has no valid id.")
            continue
        try:
            runs = await api.list_test_runs(batch_id, agent_id)
        except (NotFound, NotOffered):
            # This is so in the next call too, and would hide all older batch runs.
            listed.not_read.append(f"The test runs of {batch_id} cannot be listed.")
            continue
        if runs.unread_count:
            count = pluralize(runs.unread_count, "test run")
            listed.not_read.append(f"{count} of {batch_id} could not be read.")
        for run in runs.items:
            listed.runs.append(ListedRun(batch_id, run.job_id or "", run.verdict))
    return listed


def _describe_transcript(agent_id: str, run: ListedRun) -> ResourceEntry:
    return ResourceEntry(
        uri_of("transcript", agentId=agent_id, batchId=run.batch_id, jobId=run.job_id),
        f"{run.batch_id}/{run.job_id}",
        f"Transcript of {run.job_id} ({run.verdict})",
        "text/markdown",
    )


class CursorPosition(NamedTuple):
    """Where a page of transcripts starts: which batch run, and which of its test runs."""

    batch_run: int
    test_run: int


def _read_cursor(cursor: str) -> CursorPosition:
    batch_run, _, test_run = cursor.partition(":")
    is_ours = batch_run.isdecimal() and test_run.isdecimal() and len(cursor) < 20
    if not is_ours:
        raise InvalidArguments("That cursor did not come from this server's list of resources.")
    return CursorPosition(int(batch_run), int(test_run))


def _build_arguments(model: type[ArgumentsT], address: Address, **more: str) -> ArgumentsT:
    return read_arguments(
        model, {**address.variables, **more}, tool="This resource", default_agent_id=None
    )


async def _format_json(answer: Answer) -> str:
    fitted = await shorten_to_budget(answer)
    return json.dumps(fitted.forms.structured, ensure_ascii=False)


def _choose_ttl(verdict: str) -> int:
    # A verdict is final once it is there.
    return 0 if verdict == "undecided" else FINAL_TTL_MS
