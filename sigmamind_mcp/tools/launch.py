"""Start batch runs: above a limit, get a person's confirmation first; refuse duplicates."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from sigmamind_mcp.api.client import ReadyLaunch, RecentLaunch, SigmaMindClient
from sigmamind_mcp.api.models import BatchRun, BatchRunState
from sigmamind_mcp.errors import InvalidArguments, NotConfirmed
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.tools.answers import (
    Answer,
    CallArguments,
    Link,
    NextCall,
    Rendered,
    Time,
    format_time,
)
from sigmamind_mcp.tools.argument_forms import NotBool, list_of
from sigmamind_mcp.tools.arguments import AnsweringAgentId, ForAgent, Id
from sigmamind_mcp.tools.call_context import CallContext, Confirmation
from sigmamind_mcp.tools.launch_plan import (
    CASES_NAMED,
    LaunchCost,
    LaunchPlan,
    read_plan,
    word_attempts,
)
from sigmamind_mcp.tools.unread_notes import NO_ID
from sigmamind_mcp.untrusted_text import fence
from sigmamind_mcp.uris import uri_of

LOST_ID = "The API gave no usable id. list_batch_runs will show the batch run."


class CreateBatchRun(ForAgent):
    agent_id: AnsweringAgentId
    test_cases: Annotated[
        list[Id],
        Field(
            min_length=1,
            description="From list_test_cases, each once; simulated independently.",
        ),
        list_of("test case ids"),
    ]
    confirm_attempts: Annotated[
        int,
        Field(ge=0, description="Its attempts, if a person agreed; needed when high."),
        NotBool,
    ] = 0
    allow_duplicate: Annotated[
        bool, Field(description="Start the same again within 10 minutes.")
    ] = False


class CreatedBatchRun(Answer):
    """A batch run that has just been started."""

    batch_id: str | None = Field(
        default=None, description="Absent when the API confirmed without an id."
    )
    agent_id: str
    state: BatchRunState | None = None
    created_date: Time | None = None
    test_cases: list[str] = Field(description="Ids of the test cases it runs.")
    expected_attempts: int | None = Field(
        default=None, description="Simulated conversations it makes in all."
    )
    uri: str | None = None
    repeated: bool | None = Field(
        default=None, description="True when this is the result of the same call before."
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
            name = "Not started again: a" if self.repeated else "Started a"
            return Rendered([f"{name} batch run {place}. {LOST_ID}", cases], [], [])
        if self.repeated:
            repeated = f"Not started again: batch run {self.batch_id} {place}."
            return Rendered([repeated, cases], [], [f"Resource: {self.uri}"])
        created = "" if self.created_date is None else f" Created {format_time(self.created_date)}."
        started = f"Started batch run {self.batch_id} {place}: {self.state}.{created}"
        return Rendered([started, cases], [], [f"Resource: {self.uri}"])


@dataclass
class Preparation:
    """Reads what a batch run will start and gets a person's confirmation, before the POST."""

    args: CreateBatchRun
    api: SigmaMindClient
    confirmation: Confirmation
    plan: LaunchPlan | None = None
    earlier: RecentLaunch | None = None

    @asynccontextmanager
    async def prepare(self) -> AsyncIterator[ReadyLaunch]:
        """Set `plan` and `earlier`; count the attempts unless the API refuses them.

        Raises:
            InvalidArguments: the same was started recently, or a test case is unknown.
            NotConfirmed: the attempts need a confirmation and have none.
            SigmaMindError: the test cases cannot be read.
        """
        # No other call may come between the last check and the count: nothing here waits.
        plan = await self._agree_on_plan()
        with self.confirmation.started.count(self.api.caller, plan.attempts):
            self.plan = plan
            yield ReadyLaunch(plan.definition, plan.batch_runs)

    async def _agree_on_plan(self) -> LaunchPlan:
        agreed: str | None = None
        while True:
            plan = await read_plan(self.args.agent_id, self.args.test_cases, self.api)
            self.earlier = await self.api.find_recent_launch(plan.definition)
            if self.earlier and not self.args.allow_duplicate:
                raise InvalidArguments(_explain_duplicate(self.earlier))
            before = self.confirmation.started.total(self.api.caller)
            cost = LaunchCost(plan, before.plus(plan.attempts))
            if cost.identify() == agreed:
                return plan
            if not await _require_agreement(cost, self.args, self.confirmation):
                return plan
            # A person may take minutes to answer: read again, to start only what they agreed to.
            agreed = cost.identify()


async def create_batch_run(
    args: CreateBatchRun, api: SigmaMindClient, context: CallContext
) -> CreatedBatchRun:
    """Start a batch run: all attempts of these test cases, in parallel, against the agent.

    For existing results use list_batch_runs. Costs model calls, one conversation an attempt,
    and cannot be stopped. Many attempts an hour need a person's yes. Returns at once; follow it
    with wait_for_batch_run.
    """
    _refuse_repeated_cases(args.test_cases)
    preparation = Preparation(args, api, context.confirmation)
    written = await api.create_batch_run(
        args.agent_id,
        args.test_cases,
        preparation.prepare,
        call=f"{args.confirm_attempts} {args.allow_duplicate}",
        confirmation=context.confirmation.answer_state,
    )
    plan = preparation.plan
    batch_run = written.record or BatchRun()
    earlier = preparation.earlier
    answer = CreatedBatchRun(
        batch_id=valid_id(batch_run.batch_id),
        agent_id=args.agent_id,
        # An earlier call may have started it minutes ago.
        state=None if written.repeated else "running",
        created_date=batch_run.created_date,
        test_cases=args.test_cases,
        expected_attempts=plan.attempts.least if plan and plan.attempts.is_exact else None,
        repeated=written.repeated or None,
        identical_batch_id=valid_id(earlier.batch_id) if earlier else None,
    )
    answer.hint = _write_hint(answer, plan, batch_run)
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


def _write_hint(
    answer: CreatedBatchRun, plan: LaunchPlan | None, batch_run: BatchRun
) -> str | None:
    hints = []
    shown_ids = {valid_id(case.test_case_id) or NO_ID for case in batch_run.test_cases}
    if shown_ids and shown_ids != set(answer.test_cases):
        named = ", ".join(sorted(shown_ids)[:CASES_NAMED])
        hints.append(f"The API's answer names other test cases than were asked for: {named}.")
    if plan and not plan.attempts.is_exact:
        hints.append(f"It makes {word_attempts(plan.attempts)}.")
    if plan and plan.warning:
        hints.append(plan.warning)
    if answer.repeated:
        hints.append("The same call was made before, and this is its result.")
    if answer.identical_batch_id:
        hints.append(
            f"Batch run {answer.identical_batch_id}, started within the last 10 minutes, runs the"
            " same test cases."
        )
    return " ".join(hints) or None


def _explain_duplicate(earlier: RecentLaunch) -> str:
    same = "the same test cases with the same definitions"
    batch_id = valid_id(earlier.batch_id)
    if not earlier.is_certain:
        subject = f"A batch run of {same} may have started within the last 10 minutes"
        look = "Look with list_batch_runs."
    elif batch_id is None:
        subject = f"A batch run of {same} was started within the last 10 minutes"
        look = "list_batch_runs shows it."
    else:
        subject = f"Batch run {batch_id}, started within the last 10 minutes, runs {same}"
        look = "Follow it with wait_for_batch_run."
    return (
        f"{subject}. Nothing was started now. {look}"
        " To start another one all the same, call again with allowDuplicate: true."
    )


async def _require_agreement(
    cost: LaunchCost, args: CreateBatchRun, confirmation: Confirmation
) -> bool:
    """Return whether a person was asked during this call and agreed.

    Raises:
        NotConfirmed: the launch needs a confirmation and has none.
    """
    given = args.confirm_attempts or None
    size, number = cost.describe(), cost.describe_number()
    if given not in (None, cost.plan.attempts.least):
        raise NotConfirmed(
            f"confirmAttempts is {given:,}, but the {size}. The person must agree to this"
            f" number; then confirmAttempts is {number}. Nothing was started."
        )
    reason = cost.find_reason_to_ask(confirmation.limit)
    if reason is None:
        return False
    question = cost.word_question()
    agreed = await confirmation.ask(question, cost.identify())
    if agreed is None and given is None:
        raise NotConfirmed(
            f"The {size}. {reason} Nothing was started. Put this to the person; after a yes call"
            f" again with confirmAttempts {number}.\n\n{fence(question)}"
        )
    if agreed is False:
        raise NotConfirmed(
            f"The {size}. The person was asked about that and did not say yes. Nothing was started."
        )
    return agreed is True and confirmation.answer_state is None
