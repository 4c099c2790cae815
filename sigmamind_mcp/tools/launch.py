"""Launching batch runs: what one costs is read, told, and above a limit agreed to, before it is spent."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, NamedTuple

from pydantic import Field

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import Agent, BatchRun, BatchRunState, TestCase
from sigmamind_mcp.concurrency import gather_errors
from sigmamind_mcp.errors import InvalidArguments, NotConfirmed, NotOffered, SigmaMindError
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.tools.answers import (
    Answer,
    CallArguments,
    Link,
    NextCall,
    Rendered,
    Time,
    format_time,
    pluralize,
)
from sigmamind_mcp.tools.arguments import ForAgent, Id, NotBool, SentAsList
from sigmamind_mcp.tools.call_context import CallContext, Confirmation
from sigmamind_mcp.tools.suggestions import suggest_ids
from sigmamind_mcp.untrusted_text import clean, fence
from sigmamind_mcp.uris import uri_of

CASES_NAMED = 10
LABEL_SHOWN = 60


class CreateBatchRun(ForAgent):
    test_cases: Annotated[
        list[Id],
        Field(min_length=1, description="Ids from list_test_cases, each once."),
        SentAsList,
    ]
    confirm_attempts: Annotated[
        int | None,
        Field(ge=1, description="Total of attempts that a person agreed to; asked for when high."),
        NotBool,
    ] = None


class CreatedBatchRun(Answer):
    """A batch run that has just been started."""

    batch_id: str | None = Field(
        default=None, description="Absent when the API confirmed without an id."
    )
    agent_id: str
    state: BatchRunState
    created_date: Time | None = None
    test_cases: list[str] = Field(description="Ids of the test cases it runs.")
    expected_attempts: int | None = Field(
        default=None, description="Simulated conversations it makes in all."
    )
    uri: str | None = None
    repeated: bool | None = Field(
        default=None, description="True when this is the outcome of the same call before."
    )
    identical_batch_id: str | None = Field(
        default=None, description="Ran the same test cases minutes ago."
    )

    def render(self) -> Rendered:
        size = pluralize(len(self.test_cases), "test case")
        size += (
            f", {pluralize(self.expected_attempts, 'attempt')} in all,"
            if self.expected_attempts
            else ""
        )
        listed = f"Test cases: {', '.join(self.test_cases)}."
        if self.batch_id is None:
            lost = "The API gave no id that can be used; list_batch_runs shows which one it is, once it is listed."
            return Rendered(
                [f"Started a batch run of {size} on agent {self.agent_id}. {lost}", listed], [], []
            )
        created = "" if self.created_date is None else f" Created {format_time(self.created_date)}."
        started = f"Started batch run {self.batch_id} of {size} on agent {self.agent_id}: {self.state}.{created}"
        return Rendered([started, listed], [], [f"Resource: {self.uri}"])


class Plan(NamedTuple):
    """What a launch will do, as far as can be read before it."""

    cases: list[TestCase]
    warning: str | None

    @property
    def attempts(self) -> int:
        return sum(case.attempt or 1 for case in self.cases)

    def about(self, args: "CreateBatchRun") -> str:
        """To the letter what would run: the agent, and each test case with its attempts and model."""
        cases = [(case.attempt, case.llm_model) for case in self.cases]
        return json.dumps([args.agent_id, args.test_cases, cases])


async def create_batch_run(
    args: CreateBatchRun, api: SigmaMindClient, context: CallContext
) -> CreatedBatchRun:
    """Start a batch run: every attempt of the given test cases, in parallel, against the agent.

    For results there are use list_batch_runs. Costs model calls, one conversation an attempt, and cannot be
    stopped; calling again starts another. Many attempts need a person's yes. Returns at once; follow it with
    wait_for_batch_run.
    """
    if repeated := [case for case, times in Counter(args.test_cases).items() if times > 1]:
        named = ", ".join(repeated[:CASES_NAMED])
        raise InvalidArguments(f"testCases must name each test case once; {named} is there twice.")
    plans: list[Plan] = []

    async def prepare() -> Sequence[BatchRun] | None:
        plan, there = await _plan(args, api)
        # A person may take minutes to answer, and what they agreed to has to be what starts.
        while await _agree(plan, args, context.confirmation):
            agreed = plan.about(args)
            plan, there = await _plan(args, api)
            if plan.about(args) == agreed:
                break
        plans.append(plan)
        return there

    call = f"{args.confirm_attempts or ''}"
    written = await api.create_batch_run(
        args.agent_id, args.test_cases, prepare, call=call, yes=context.confirmation.answer_state
    )
    batch_run = written.record or BatchRun()
    batch_id = valid_id(batch_run.batch_id)
    hints = [plan.warning for plan in plans if plan.warning]
    if written.repeated:
        hints.append(
            "The same call was already under way: this is its outcome, and no second batch run was started."
        )
    earlier = valid_id(written.earlier.batch_id) if written.earlier else None
    if earlier:
        hints.append(
            f"Batch run {earlier}, started within the last 10 minutes, runs the same test cases."
        )
    answer = CreatedBatchRun(
        batch_id=batch_id,
        agent_id=args.agent_id,
        state="running",
        created_date=batch_run.created_date,
        test_cases=args.test_cases,
        expected_attempts=plans[0].attempts if plans else None,
        uri=batch_id and uri_of("batch-run", agentId=args.agent_id, batchId=batch_id),
        repeated=written.repeated or None,
        identical_batch_id=earlier,
        hint=" ".join(hints) or None,
    )
    if batch_id is None or answer.uri is None:
        answer.next_calls = [NextCall(tool="list_batch_runs", arguments={"agentId": args.agent_id})]
        return answer
    here: CallArguments = {"agentId": args.agent_id, "batchId": batch_id}
    answer.next_calls = [NextCall(tool="wait_for_batch_run", arguments=here)]
    return answer.linking(Link(answer.uri, f"Batch run {batch_id}", "application/json"))


async def _plan(
    args: CreateBatchRun, api: SigmaMindClient
) -> tuple[Plan, Sequence[BatchRun] | None]:
    """What would run, with what to warn of, and the batch runs that there are, None where they cannot be listed.

    Raises:
        SigmaMindError: the test cases cannot be read, and nothing is sent without them.
    """
    reads: list[Callable[[], Awaitable[object]]] = [
        partial(_read_cases, args, api),
        partial(api.get_agent, args.agent_id),
        partial(api.list_batch_runs, args.agent_id),
    ]
    cases, agent, batch_runs = await gather_errors(reads)
    if isinstance(cases, SigmaMindError):
        raise cases
    assert isinstance(cases, list)
    there = batch_runs[0].items if isinstance(batch_runs, tuple) else None
    return Plan(cases, _warning(agent if isinstance(agent, Agent) else None)), there


async def _read_cases(args: CreateBatchRun, api: SigmaMindClient) -> list[TestCase]:
    try:
        every = {case.test_case_id: case for case in await api.list_test_cases(args.agent_id)}
    except NotOffered:
        read = await gather_errors(
            [partial(api.get_test_case, case, args.agent_id) for case in args.test_cases]
        )
        if failures := [case for case in read if isinstance(case, SigmaMindError)]:
            raise failures[0] from None
        cases = [case for case in read if isinstance(case, TestCase)]
        # Named by the id that was asked for: what the API says that it is may be anything.
        named = zip(args.test_cases, cases, strict=True)
        return [
            case.model_copy(update={"test_case_id": test_case_id}) for test_case_id, case in named
        ]
    if unknown := [case for case in args.test_cases if case not in every]:
        noun = f"test case of agent {args.agent_id}"
        known = [case for case in every if case and valid_id(case)]
        near = suggest_ids(noun, unknown, known, "list_test_cases shows them.")
        raise InvalidArguments(f"{near} Nothing was started.")
    return [every[case] for case in args.test_cases]


async def _agree(plan: Plan, args: CreateBatchRun, confirmation: Confirmation) -> bool:
    """Return when the launch may go on: whether a person was asked now, and said yes.

    Raises:
        NotConfirmed: it costs more than may be spent without a yes, and there is none.
    """
    total, given = plan.attempts, args.confirm_attempts
    makes = f"{pluralize(len(plan.cases), 'test case')} {'makes' if len(plan.cases) == 1 else 'make'} {total:,} attempts"
    if given not in (None, total):
        raise NotConfirmed(
            f"confirmAttempts is {given:,}, but the {makes}, which the person must agree to. Nothing was started."
        )
    if total <= confirmation.limit:
        return False
    agreed = await confirmation.ask(_question(plan, args), plan.about(args))
    if agreed is None and given is None:
        raise NotConfirmed(
            f"The {makes}, more than the {confirmation.limit:,} that may start without a person's yes. Nothing was"
            f" started. Put this to the person; after a yes call again with confirmAttempts {total}.\n\n"
            + fence(_question(plan, args))
        )
    if agreed is False:
        raise NotConfirmed(
            f"The person was asked about {total:,} attempts and did not say yes. Nothing was started."
        )
    return agreed is True and confirmation.answer_state is None


def _question(plan: Plan, args: CreateBatchRun) -> str:
    """The question as a person reads it; labels are the workspace's own words, on one line each."""
    lines = [
        f"- {_on_one_line(case.title)} ({case.test_case_id}):"
        f" {pluralize(case.attempt or 1, 'attempt')}, {_on_one_line(case.llm_model or '') or 'default model'}"
        for case in plan.cases[:CASES_NAMED]
    ]
    if len(plan.cases) > CASES_NAMED:
        lines.append(f"- and {pluralize(len(plan.cases) - CASES_NAMED, 'more test case')}")
    asked = f"Start {plan.attempts:,} simulated conversations with agent {args.agent_id}?"
    costs = "Each costs model calls, and a batch run cannot be stopped."
    return "\n".join([asked, *lines, costs, *([plan.warning] if plan.warning else [])])


def _on_one_line(text: str) -> str:
    """The start of the text; cleaned once more, since a cut leaves stray what joined two characters."""
    return clean(" ".join(clean(text).split())[:LABEL_SHOWN])


def _warning(agent: Agent | None) -> str | None:
    """What may happen outside the simulation; the API's pages do not say whether simulations call either."""
    if agent is None:
        return "The agent could not be read, so whether it has webhooks or tools, which runs might call, is not known."
    found = [(len(agent.agent_settings.webhooks), "webhook"), (len(agent.tools), "tool")]
    has = " and ".join(pluralize(number, noun) for number, noun in found if number)
    return (
        f"The agent has {has}; the API does not say whether simulations call them for real."
        if has
        else None
    )
