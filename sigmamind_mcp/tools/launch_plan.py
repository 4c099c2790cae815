"""What a batch run would run and cost, read before it starts."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.models import Agent, BatchRun, TestCase
from sigmamind_mcp.concurrency import gather, gather_errors
from sigmamind_mcp.errors import InvalidArguments, NotOffered, SigmaMindError
from sigmamind_mcp.ids import strip_agent_prefix, valid_id
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.tools.answers import one_line, truncate_text
from sigmamind_mcp.tools.started_attempts import AttemptCount
from sigmamind_mcp.tools.suggestions import suggest_ids
from sigmamind_mcp.tools.unread_notes import count_shown
from sigmamind_mcp.untrusted_text import clean

CASES_NAMED = 10
QUESTION_LABEL_CHARACTERS = 60
MOST_READ_AGAIN = 100
"""Listed test cases without a number of attempts that are read one by one."""


class LaunchPlan(NamedTuple):
    """What a launch will run, and what was read with it.

    `batch_runs` are the existing ones, None if they cannot be listed.
    """

    agent_id: str
    cases: list[TestCase]
    warning: str | None
    batch_runs: Sequence[BatchRun] | None

    @property
    def attempts(self) -> AttemptCount:
        """How many attempts it makes; an unknown number of a test case counts as 1."""
        least = sum(case.attempt or 1 for case in self.cases)
        return AttemptCount(least, is_exact=not self.uncounted_ids)

    @property
    def uncounted_ids(self) -> list[str]:
        """Ids of the test cases whose number of attempts is unknown."""
        return [case.test_case_id or "" for case in self.cases if case.attempt is None]

    @property
    def definition(self) -> str:
        return identify_definition(self.agent_id, self.cases)


class LaunchCost(NamedTuple):
    """What a launch makes; `hour_total` are its caller's attempts of the last hour with it."""

    plan: LaunchPlan
    hour_total: AttemptCount

    def identify(self) -> str:
        """Return exactly what a person agrees to."""
        cases = []
        for case in self.plan.cases:
            cases.append([case.test_case_id, case.attempt, case.llm_model])
        return json.dumps([self.plan.agent_id, cases, str(self.hour_total)])

    def describe(self) -> str:
        """Return the attempts of this launch and of the hour, as a clause."""
        count = len(self.plan.cases)
        verb = "makes" if count == 1 else "make"
        size = f"{pluralize(count, 'test case')} {verb} {word_attempts(self.plan.attempts)}"
        return f"{size}; with those started in the last hour, {self.hour_total}"

    def describe_number(self) -> str:
        """Return the value of confirmAttempts that stands for this launch."""
        least = self.plan.attempts.least
        return f"{least}" if self.plan.attempts.is_exact else f"{least}, where unknown counts as 1"

    def find_reason_to_ask(self, limit: int) -> str | None:
        """Return why a person must agree, or None if nobody has to."""
        if uncounted := self.plan.uncounted_ids:
            named = ", ".join(uncounted[:CASES_NAMED])
            return (
                f"The API's answers have no usable number of attempts for {named}, and an unknown"
                " number always needs a person's yes."
            )
        if not self.hour_total.is_exact:
            return "The hour's total is not exactly known, and so needs a person's yes."
        if self.hour_total.least > limit:
            return f"More than {limit:,} in an hour need a person's yes."
        return None

    def word_question(self) -> str:
        """Return what a person is asked."""
        plan = self.plan
        start = f"Start {pluralize(plan.attempts.least, 'simulated conversation')}"
        if not plan.attempts.is_exact:
            start = f"Start {word_attempts(plan.attempts)}, each a simulated conversation,"
        lines = [f"{start} with agent {plan.agent_id}?"]
        lines += map(_describe_case, plan.cases[:CASES_NAMED])
        if len(plan.cases) > CASES_NAMED:
            lines.append(f"- and {pluralize(len(plan.cases) - CASES_NAMED, 'more test case')}")
        lines.append(
            f"With those started in the last hour, that makes {self.hour_total}."
            " Each costs model calls, and a batch run cannot be stopped."
        )
        if plan.warning:
            lines.append(plan.warning)
        return "\n".join(lines)


def word_attempts(attempts: AttemptCount) -> str:
    if attempts.is_exact:
        return pluralize(attempts.least, "attempt")
    return f"an unknown number of attempts ({attempts})"


def identify_definition(agent_id: str, cases: Sequence[TestCase]) -> str:
    """Return what a batch run of these cases runs, equal for any order of the cases."""
    definitions = []
    for case in cases:
        fields = [
            case.attempt or case.raw.get("attempt"),
            case.raw.get("userPrompt") or None,
            case.raw.get("successCriteria") or None,
            case.raw.get("mockData") or None,
            case.raw.get("llmModel") or None,
        ]
        definitions.append(json.dumps([case.test_case_id, fields], sort_keys=True))
    return json.dumps([strip_agent_prefix(agent_id), sorted(definitions)])


async def read_plan(
    agent_id: str, test_case_ids: Sequence[str], api: SigmaMindClient
) -> LaunchPlan:
    """Read the test cases, the agent and the existing batch runs.

    Raises:
        InvalidArguments: the agent has no such test case.
        SigmaMindError: the test cases cannot be read.
    """
    reads: list[Callable[[], Awaitable[object]]] = [
        partial(_read_cases, agent_id, test_case_ids, api),
        partial(api.get_agent, agent_id),
        partial(api.list_batch_runs, agent_id),
    ]
    cases, agent, batch_runs = await gather_errors(reads)
    if isinstance(cases, SigmaMindError):
        raise cases
    assert isinstance(cases, list)
    return LaunchPlan(
        agent_id=agent_id,
        cases=cases,
        warning=_warn_of_side_effects(agent if isinstance(agent, Agent) else None),
        batch_runs=batch_runs[0].items if isinstance(batch_runs, tuple) else None,
    )


async def _read_cases(
    agent_id: str, test_case_ids: Sequence[str], api: SigmaMindClient
) -> list[TestCase]:
    try:
        listing = await api.list_test_cases(agent_id)
    except NotOffered:
        return await _read_one_by_one(test_case_ids, agent_id, api)
    listed = {case.test_case_id or "": case for case in listing.items}
    unlisted = [case_id for case_id in test_case_ids if case_id not in listed]
    if unlisted and not listing.is_partial:
        noun = f"test case of agent {agent_id}"
        known = list(filter(valid_id, listed))
        suggestion = await suggest_ids(noun, unlisted, known, "list_test_cases shows them.")
        raise InvalidArguments(f"{suggestion} Nothing was started.")
    # An entry that was left out of the list may be the one that is asked for.
    repeated = _find_repeated(listing.items)
    unclear = unlisted + [case_id for case_id in test_case_ids if case_id in repeated]
    for case in await _read_one_by_one(unclear, agent_id, api):
        listed[case.test_case_id or ""] = case

    cases = {}
    uncounted = []
    for case_id in test_case_ids:
        cases[case_id] = listed[case_id]
        if listed[case_id].attempt is None and case_id not in unclear:
            uncounted.append(partial(_read_case, case_id, agent_id, api))
    for again in await gather_errors(uncounted[:MOST_READ_AGAIN]):
        if isinstance(again, TestCase):
            cases[again.test_case_id or ""] = again
    return list(cases.values())


def _find_repeated(cases: Sequence[TestCase]) -> set[str]:
    """Return the ids that are listed twice, perhaps with different numbers of attempts."""
    times = Counter(case.test_case_id or "" for case in cases)
    return {case_id for case_id, count in times.items() if count > 1}


async def _read_one_by_one(
    test_case_ids: Sequence[str], agent_id: str, api: SigmaMindClient
) -> list[TestCase]:
    return await gather([partial(_read_case, case, agent_id, api) for case in test_case_ids])


async def _read_case(test_case_id: str, agent_id: str, api: SigmaMindClient) -> TestCase:
    case = await api.get_test_case(test_case_id, agent_id)
    # Trust the id that was asked for: the one in the API's answer may be anything.
    return case.model_copy(update={"test_case_id": test_case_id})


def _describe_case(case: TestCase) -> str:
    attempts = "unknown number of attempts"
    if case.attempt is not None:
        attempts = pluralize(case.attempt, "attempt")
    model = _shorten_label(case.llm_model or "") or "default model"
    return f"- {_shorten_label(case.title)} ({case.test_case_id}): {attempts}, {model}"


def _shorten_label(text: str) -> str:
    # Cleaned again: truncating leaves stray characters that had joined two others.
    return clean(truncate_text(one_line(clean(text)), QUESTION_LABEL_CHARACTERS))


def _warn_of_side_effects(agent: Agent | None) -> str | None:
    """Return what runs may do outside the simulation; the API's documentation does not say."""
    if agent is None:
        return (
            "The agent could not be read. It may have webhooks or tools, and simulations may call"
            " them."
        )
    settings = agent.agent_settings
    counts = {
        "webhook": count_shown(settings, "webhooks", settings.webhooks),
        "tool": count_shown(agent, "tools", agent.tools),
    }
    has = [pluralize(count, noun) for noun, count in counts.items() if count]
    hidden = [f"{noun}s" for noun, count in counts.items() if count is None]
    sentences = []
    if has:
        sentences.append(
            f"The agent has {' and '.join(has)};"
            " the API does not say whether a simulation really calls them."
        )
    if hidden:
        sentences.append(
            f"The API does not show whether the agent has {' or '.join(hidden)}, which simulations"
            " may call."
        )
    return " ".join(sentences) or None
