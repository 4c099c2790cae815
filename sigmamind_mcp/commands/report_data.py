"""Read what a report shows of a batch run, by the functions of the tools."""

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import TestCase, TestRun
from sigmamind_mcp.commands.api_session import build_call_context, require_ids
from sigmamind_mcp.commands.report_privacy import hide_conversations, mask_report
from sigmamind_mcp.concurrency import gather_errors
from sigmamind_mcp.errors import (
    ConfigurationError,
    InvalidArguments,
    NotAllowed,
    NotFound,
    NotOffered,
    SigmaMindError,
)
from sigmamind_mcp.heavy_work import WorkClock
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.diagnosis import get_case_id
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.tools.answers import Answer, format_time, truncate_text
from sigmamind_mcp.tools.attempt_matrix import build_matrix
from sigmamind_mcp.tools.call_context import CallContext, ProgressReport
from sigmamind_mcp.tools.compare import build_comparison
from sigmamind_mcp.tools.comparison_reading import MAX_POOLED, CompareBatchRuns, read_comparison
from sigmamind_mcp.tools.diagnose import (
    WORK_SECONDS,
    DiagnoseBatchRun,
    KnownBatchRun,
    make_diagnosis,
    read_known_batch_run,
)
from sigmamind_mcp.tools.history import GetTestCaseHistory, read_history
from sigmamind_mcp.tools.runs import GetTestRun, TestRunAnswer
from sigmamind_mcp.tools.transcripts import number_turns
from sigmamind_mcp.tools.unread_notes import describe_notes
from sigmamind_mcp.untrusted_text import clean_json

REMARKS_CHARACTERS = 4_000
JOBS_NAMED = 5
# A report says these once, or its reader has no use for them.
FIELDS_LEFT_OUT = ("notice", "nextCalls", "uri", "transcriptUri")
RUN_FIELDS_LEFT_OUT = ("agentId", "batchId", "label", "successCriteria", *FIELDS_LEFT_OUT)


class WantedReport(NamedTuple):
    """What a report is about, and what it shows.

    `against` are the batch runs to compare with. `candidates` are those to compare, if there are
    more than the one that is shown, of so many planned `looks`. `notes` are sentences of ours that
    it begins with.
    """

    agent_id: str
    batch_id: str
    against: Sequence[str] = ()
    candidates: Sequence[str] = ()
    looks: int = 1
    history: bool = False
    transcripts: bool = False
    mask: bool = False
    notes: Sequence[str] = ()


class ReadReport(NamedTuple):
    """A report's data, and a sentence for each part that is missing."""

    data: JSONObject
    problems: list[str]


async def read_report(
    wanted: WantedReport, api: SigmaMindClient, progress: ProgressReport
) -> ReadReport:
    """Read everything that a report shows.

    Raises:
        ConfigurationError: an id is malformed, or the batch runs cannot be compared.
        SigmaMindError: the batch run or its list of test runs cannot be read.
    """
    _check_against(wanted)
    args = DiagnoseBatchRun.model_validate(_name_batch_run(wanted))
    try:
        known = await read_known_batch_run(args, api, progress)
    except NotOffered as exc:
        raise SigmaMindError(
            "The API does not list the test runs of this batch run, so there is nothing to report."
            " The dashboard shows them."
        ) from exc
    reader = _ReportReader(wanted, api, build_call_context(progress), known)
    diagnosis = await _diagnose(args, known, reader.context)
    if wanted.against:
        await reader.add_part("comparison", reader.read_comparison)
    if wanted.history:
        await reader.add_part("history", reader.read_history)
    if wanted.transcripts:
        await reader.read_missing_conversations()
    return reader.build(diagnosis)


def _check_against(wanted: WantedReport) -> None:
    require_ids(*wanted.against)
    if len(set(wanted.against)) > MAX_POOLED:
        raise ConfigurationError(f"--against takes at most {MAX_POOLED} batch runs.")
    if wanted.batch_id in wanted.against:
        raise ConfigurationError("--against must name another batch run than the report's own.")


def _name_batch_run(wanted: WantedReport) -> dict[str, Any]:
    return {"agentId": wanted.agent_id, "batchId": wanted.batch_id}


async def _diagnose(args: DiagnoseBatchRun, known: KnownBatchRun, context: CallContext) -> Answer:
    clock = WorkClock(WORK_SECONDS)
    return await context.run_heavy(clock, partial(make_diagnosis, args, known, clock))


@dataclass
class _ReportReader:
    """Reads the parts of a report; a part that fails becomes a sentence."""

    wanted: WantedReport
    api: SigmaMindClient
    context: CallContext
    known: KnownBatchRun
    parts: JSONObject = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    read_runs: dict[str, TestRun] = field(default_factory=dict)
    other_cases: list[TestCase] = field(default_factory=list)

    async def add_part(self, name: str, read: Callable[[], Awaitable[Any]]) -> None:
        """Add a part.

        Raises:
            ConfigurationError: the ids or options ask for what cannot be.
            NotFound, NotAllowed: there is no such batch run.
        """
        try:
            self.parts[name] = await read()
        except InvalidArguments as exc:
            raise ConfigurationError(str(exc)) from exc
        except (NotFound, NotAllowed) as exc:
            message = str(exc).replace("baseBatchIds", "--against")
            raise type(exc)(message, status=exc.status, upstream=exc.upstream) from exc
        except SigmaMindError as exc:
            self.problems.append(f"The {name} is missing: {exc}")

    async def read_comparison(self) -> JSONObject:
        wanted = self.wanted
        asked = {
            "agentId": wanted.agent_id,
            "baseBatchIds": list(wanted.against),
            "candidateBatchIds": list(wanted.candidates) or [wanted.batch_id],
            "looks": wanted.looks,
        }
        args = CompareBatchRuns.model_validate(asked)
        compared = await read_comparison(args, self.api, self.context)
        sides = [*compared.read.base.sides, *compared.read.candidates]
        for side in sides:
            self.other_cases += [case.case for case in side.cases.values()]
        answer = build_comparison(args, compared, len(compared.edits))
        answer.add_notes(compared.read.notes)
        self.notes += describe_notes(answer.not_read)
        return _shorten_answer(answer)

    async def read_history(self) -> list[JSONObject]:
        args = GetTestCaseHistory.model_validate({"agentId": self.wanted.agent_id})
        history = await read_history(args, self.api, self.context)
        answer = history.build(history.item_count).add_notes(history.reading.list_notes())
        self._note(answer)
        return [_shorten_answer(answer)]

    def _note(self, answer: Answer) -> None:
        """Keep what an answer says about itself."""
        self.notes += [*describe_notes(answer.not_read), *filter(None, [answer.hint])]

    async def read_missing_conversations(self) -> None:
        """Read the test runs whose conversations are not known yet."""
        runs = self.known.reading.runs
        lacking = [run for run in runs if run.conversation is None and valid_id(run.job_id)]
        job_ids = [run.job_id or "" for run in lacking]
        done = 0

        async def read(job_id: str) -> TestRun:
            nonlocal done
            run = await self.api.get_test_run(job_id, self.wanted.batch_id, self.wanted.agent_id)
            done += 1
            text = f"{done} of {len(job_ids)} conversations read"
            await self.context.report_progress(done, len(job_ids), text)
            return run

        outcomes = await gather_errors([partial(read, job_id) for job_id in job_ids])
        for job_id, outcome in zip(job_ids, outcomes, strict=True):
            if isinstance(outcome, TestRun):
                self.read_runs[job_id] = outcome
        failed = [job_id for job_id in job_ids if job_id not in self.read_runs]
        if failed:
            more = f" and {len(failed) - JOBS_NAMED} more" if len(failed) > JOBS_NAMED else ""
            named = ", ".join(failed[:JOBS_NAMED]) + more
            self.problems.append(f"Conversations that could not be read: {named}.")

    def build(self, diagnosis: Answer) -> ReadReport:
        """Put the parts together, without what the report may not show."""
        wanted, known = self.wanted, self.known
        runs = known.reading.runs
        shown = _shorten_answer(diagnosis)
        self._note(diagnosis)
        if not runs:
            self.notes.append("This batch run shows no test runs.")
        created = known.batch_run.created_date
        data: JSONObject = {
            **_name_batch_run(wanted),
            "state": shown["state"],
            **({"createdDate": format_time(created)} if created else {}),
            "diagnosis": shown,
            "matrix": build_matrix(known.list_results(), runs, most=None),
            **self.parts,
            "definitions": list(self._list_definitions()),
            "runs": [self._show_run(run) for run in runs if valid_id(run.job_id)],
            "notes": list(dict.fromkeys([*wanted.notes, *self.problems, *self.notes])),
        }
        if wanted.transcripts:
            data["conversations"] = dict(self._list_conversations())
        else:
            data = hide_conversations(data)
        # The report is for others, and the API may repeat the key in any text.
        cleaned: JSONObject = self.api.mask_key(clean_json(data))
        if wanted.mask:
            cleaned = mask_report(cleaned, self._list_cases())
        return ReadReport(cleaned, self.problems)

    def _list_definitions(self) -> Iterator[JSONObject]:
        for result in self.known.list_results():
            case = self._find_case(result.case.test_case_id or "") or result.case
            mock = [
                {"variableName": one.variable_name, "value": one.value} for one in case.mock_data
            ]
            definition = {
                "testCaseId": valid_id(case.test_case_id),
                "label": case.title,
                "userPrompt": case.user_prompt,
                "successCriteria": case.success_criteria,
                "mockData": mock or None,
            }
            yield {name: value for name, value in definition.items() if value is not None}

    def _find_case(self, case_id: str) -> TestCase | None:
        return self.known.definitions.cases.get(case_id)

    def _show_run(self, run: TestRun) -> JSONObject:
        remarks = run.remarks or self._take_run(run).remarks or ""
        shown = {
            "jobId": run.job_id,
            "testCaseId": valid_id(get_case_id(run)),
            "verdict": run.verdict,
            "remarks": truncate_text(remarks, REMARKS_CHARACTERS) or None,
        }
        return {name: value for name, value in shown.items() if value is not None}

    def _take_run(self, run: TestRun) -> TestRun:
        """Return the run with its conversation, if that was read."""
        return self.read_runs.get(run.job_id or "", run)

    def _list_conversations(self) -> Iterator[tuple[str, JSONObject]]:
        for listed in self.known.reading.runs:
            run = self._take_run(listed)
            job_id = valid_id(listed.job_id)
            if job_id is None or (run.conversation is None and job_id not in self.read_runs):
                continue
            args = GetTestRun.model_validate({**_name_batch_run(self.wanted), "jobId": job_id})
            answer = TestRunAnswer.of(run, args, number_turns(run.conversation))
            yield job_id, _shorten_answer(answer, RUN_FIELDS_LEFT_OUT)

    def _list_cases(self) -> list[TestCase]:
        """Return every definition whose mock values the report could show."""
        known = self.known
        cases = [*known.batch_run.test_cases, *self.other_cases]
        found = known.definitions
        for group in (found.cases, found.stored, found.previous):
            cases += (group or {}).values()
        return cases + [run.test_case for run in known.reading.runs if run.test_case]


def _shorten_answer(answer: Answer, left_out: Collection[str] = FIELDS_LEFT_OUT) -> JSONObject:
    return {name: value for name, value in answer.structured().items() if name not in left_out}
