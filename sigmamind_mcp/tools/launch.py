"""Launch batch runs: read what one costs and, above a limit, get a confirmation first."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, NamedTuple

from pydantic import Field

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import Agent, BatchRun, BatchRunState, TestCase
from sigmamind_mcp.concurrency import gather, gather_errors
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
    one_line,
    pluralize,
    truncate_text,
)
from sigmamind_mcp.tools.arguments import ForAgent, Id, NotBool, SentAsList
from sigmamind_mcp.tools.call_context import CallContext, Confirmation
from sigmamind_mcp.tools.suggestions import suggest_ids
from sigmamind_mcp.untrusted_text import clean, fence
from sigmamind_mcp.uris import uri_of

CASES_NAMED = 10
LABEL_CHARACTERS = 60
LOST_ID = "The API gave no id that can be used; list_batch_runs shows the new one, once listed."


class CreateBatchRun(ForAgent):
    test_cases: Annotated[
        list[Id],
        Field(min_length=1, description="Ids from list_test_cases, each once."),
        SentAsList,
    ]
    confirm_attempts: Annotated[
        int | None,
        Field(ge=1, description="Total attempts that a person agreed to; needed when high."),
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
        default=None, description="A batch run of the same test cases, minutes ago."
    )

    def render(self) -> Rendered:
        size = pluralize(len(self.test_cases), "test case")
        if self.expected_attempts:
            size += f", {pluralize(self.expected_attempts, 'attempt')} in all,"
        place = f"of {size} on agent {self.agent_id}"
        cases = f"Test cases: {', '.join(self.test_cases)}."
        if self.batch_id is None:
            return Rendered([f"Started a batch run {place}. {LOST_ID}", cases], [], [])
        created = "" if self.created_date is None else f" Created {format_time(self.created_date)}."
        started = f"Started batch run {self.batch_id} {place}: {self.state}.{created}"
        return Rendered([started, cases], [], [f"Resource: {self.uri}"])


class Plan(NamedTuple):
    """What a launch will run, and what was read with it.

    `batch_runs` are the existing ones, None if they cannot be listed.
    """

    cases: list[TestCase]
    warning: str | None
    batch_runs: Sequence[BatchRun] | None

    @property
    def attempts(self) -> int:
        return sum(case.attempt or 1 for case in self.cases)

    def identify(self, args: "CreateBatchRun") -> str:
        """Return exactly what would run: agent, test cases, their attempts and models."""
        cases = [(case.attempt, case.llm_model) for case in self.cases]
        return json.dumps([args.agent_id, args.test_cases, cases])


@dataclass
class Preparation:
    """Read the plan of a launch, and get it confirmed, just before it is sent."""

    args: CreateBatchRun
    api: SigmaMindClient
    confirmation: Confirmation
    plan: Plan | None = None

    async def prepare(self) -> Sequence[BatchRun] | None:
        """Set `plan`; return the existing batch runs, None if they cannot be listed.

        Raises:
            NotConfirmed: too many attempts without a confirmation.
            SigmaMindError: the test cases cannot be read.
        """
        plan = await _read_plan(self.args, self.api)
        # A person may take minutes to answer: read again, to start only what they agreed to.
        while await _require_agreement(plan, self.args, self.confirmation):
            agreed = plan.identify(self.args)
            plan = await _read_plan(self.args, self.api)
            if plan.identify(self.args) == agreed:
                break
        self.plan = plan
        return plan.batch_runs


async def create_batch_run(
    args: CreateBatchRun, api: SigmaMindClient, context: CallContext
) -> CreatedBatchRun:
    """Start a batch run: every attempt of the given test cases, in parallel, against the agent.

    For existing results use list_batch_runs. Costs model calls, one conversation an attempt,
    and cannot be stopped; calling again starts another. Many attempts need a person's yes.
    Returns at once; follow it with wait_for_batch_run.
    """
    _refuse_repeated_cases(args.test_cases)
    preparation = Preparation(args, api, context.confirmation)
    written = await api.create_batch_run(
        args.agent_id,
        args.test_cases,
        preparation.prepare,
        call=f"{args.confirm_attempts or ''}",
        yes=context.confirmation.answer_state,
    )
    plan = preparation.plan
    batch_run = written.record or BatchRun()
    earlier_id = valid_id(written.earlier.batch_id) if written.earlier else None
    hints = [plan.warning] if plan and plan.warning else []
    if written.repeated:
        hints.append(
            "The same call was already under way: this is its outcome,"
            " and no second batch run was started."
        )
    if earlier_id:
        hints.append(
            f"Batch run {earlier_id}, started within the last 10 minutes, runs the same test cases."
        )
    answer = CreatedBatchRun(
        batch_id=valid_id(batch_run.batch_id),
        agent_id=args.agent_id,
        state="running",
        created_date=batch_run.created_date,
        test_cases=args.test_cases,
        expected_attempts=plan.attempts if plan else None,
        repeated=written.repeated or None,
        identical_batch_id=earlier_id,
        hint=" ".join(hints) or None,
    )
    if answer.batch_id is None:
        answer.next_calls = [NextCall(tool="list_batch_runs", arguments={"agentId": args.agent_id})]
        return answer
    here: CallArguments = {"agentId": args.agent_id, "batchId": answer.batch_id}
    answer.next_calls = [NextCall(tool="wait_for_batch_run", arguments=here)]
    answer.uri = uri_of("batch-run", agentId=args.agent_id, batchId=answer.batch_id)
    return answer.add_links(Link(answer.uri, f"Batch run {answer.batch_id}", "application/json"))


def _refuse_repeated_cases(test_cases: Sequence[str]) -> None:
    repeated = [case for case, times in Counter(test_cases).items() if times > 1]
    if repeated:
        named = ", ".join(repeated[:CASES_NAMED])
        raise InvalidArguments(f"testCases must name each test case once; {named} is there twice.")


async def _read_plan(args: CreateBatchRun, api: SigmaMindClient) -> Plan:
    reads: list[Callable[[], Awaitable[object]]] = [
        partial(_read_cases, args, api),
        partial(api.get_agent, args.agent_id),
        partial(api.list_batch_runs, args.agent_id),
    ]
    cases, agent, batch_runs = await gather_errors(reads)
    if isinstance(cases, SigmaMindError):
        raise cases
    assert isinstance(cases, list)
    return Plan(
        cases=cases,
        warning=_warn_of_side_effects(agent if isinstance(agent, Agent) else None),
        batch_runs=batch_runs[0].items if isinstance(batch_runs, tuple) else None,
    )


async def _read_cases(args: CreateBatchRun, api: SigmaMindClient) -> list[TestCase]:
    try:
        cases = (await api.list_test_cases(args.agent_id)).items
    except NotOffered:
        return await _read_cases_one_by_one(args, api)
    listed = {case.test_case_id: case for case in cases}
    unknown = [case for case in args.test_cases if case not in listed]
    if unknown:
        noun = f"test case of agent {args.agent_id}"
        known = [case for case in listed if case and valid_id(case)]
        suggestion = suggest_ids(noun, unknown, known, "list_test_cases shows them.")
        raise InvalidArguments(f"{suggestion} Nothing was started.")
    return [listed[case] for case in args.test_cases]


async def _read_cases_one_by_one(args: CreateBatchRun, api: SigmaMindClient) -> list[TestCase]:
    cases = await gather(
        [partial(api.get_test_case, case, args.agent_id) for case in args.test_cases]
    )
    # Trust the id that was asked for: the one in the API's answer may be anything.
    return [
        case.model_copy(update={"test_case_id": asked_id})
        for asked_id, case in zip(args.test_cases, cases, strict=True)
    ]


async def _require_agreement(plan: Plan, args: CreateBatchRun, confirmation: Confirmation) -> bool:
    """Return whether a person was asked during this call and agreed.

    Raises:
        NotConfirmed: the launch needs a confirmation and has none.
    """
    total, given = plan.attempts, args.confirm_attempts
    verb = "makes" if len(plan.cases) == 1 else "make"
    cost = f"{pluralize(len(plan.cases), 'test case')} {verb} {total:,} attempts"
    if given not in (None, total):
        raise NotConfirmed(
            f"confirmAttempts is {given:,}, but the {cost}, which the person must agree to."
            " Nothing was started."
        )
    if total <= confirmation.limit:
        return False
    question = _word_question(plan, args.agent_id)
    agreed = await confirmation.ask(question, plan.identify(args))
    if agreed is None and given is None:
        raise NotConfirmed(
            f"The {cost}, more than the {confirmation.limit:,} that may start without a person's"
            " yes. Nothing was started. Put this to the person; after a yes call again with"
            f" confirmAttempts {total}.\n\n{fence(question)}"
        )
    if agreed is False:
        raise NotConfirmed(
            f"The person was asked about {total:,} attempts and did not say yes."
            " Nothing was started."
        )
    return agreed is True and confirmation.answer_state is None


def _word_question(plan: Plan, agent_id: str) -> str:
    lines = [f"Start {plan.attempts:,} simulated conversations with agent {agent_id}?"]
    lines += [_describe_case(case) for case in plan.cases[:CASES_NAMED]]
    if len(plan.cases) > CASES_NAMED:
        lines.append(f"- and {pluralize(len(plan.cases) - CASES_NAMED, 'more test case')}")
    lines.append("Each costs model calls, and a batch run cannot be stopped.")
    if plan.warning:
        lines.append(plan.warning)
    return "\n".join(lines)


def _describe_case(case: TestCase) -> str:
    attempts = pluralize(case.attempt or 1, "attempt")
    model = _shorten_label(case.llm_model or "") or "default model"
    return f"- {_shorten_label(case.title)} ({case.test_case_id}): {attempts}, {model}"


def _shorten_label(text: str) -> str:
    # Cleaned again: truncating leaves stray characters that had joined two others.
    return clean(truncate_text(one_line(clean(text)), LABEL_CHARACTERS))


def _warn_of_side_effects(agent: Agent | None) -> str | None:
    """Return what runs may do outside the simulation; the API's pages do not say."""
    if agent is None:
        return (
            "The agent could not be read, so whether it has webhooks or tools, which runs might"
            " call, is not known."
        )
    has = []
    if webhooks := len(agent.agent_settings.webhooks):
        has.append(pluralize(webhooks, "webhook"))
    if tools := len(agent.tools):
        has.append(pluralize(tools, "tool"))
    if not has:
        return None
    return (
        f"The agent has {' and '.join(has)};"
        " the API does not say whether simulations call them for real."
    )
