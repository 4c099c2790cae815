"""Build batch runs with known failures, and serve them from the fake API."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.fake_api import AGENT, Asked, FakeAPI, page

CREATED, ENDED = "2026-03-26T10:52:45.565Z", "2026-03-26T10:54:45.565Z"


@dataclass
class SampleBatch:
    """A batch run, its listed test runs, and their conversations by job id."""

    batch: dict[str, Any]
    runs: list[dict[str, Any]] = field(default_factory=list)
    conversations: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def add(
        self,
        case: dict[str, Any],
        passed: bool | None,
        remarks: str | None = None,
        turns: Sequence[str] = ("Hi.", "Hello."),
    ) -> str:
        """Add a run of a case and return its job id. User and agent take turns."""
        job_id = f"job_{self.batch['batchId'].removeprefix('batch_')}{len(self.runs)}"
        run = {
            "jobId": job_id,
            "batchId": self.batch["batchId"],
            "testCase": dict(case),
            "isSuccessful": passed,
        }
        ended = {} if passed is None else {"completedDate": ENDED}
        self.runs.append(
            {**run, "agent": AGENT, "createdDate": CREATED, "remarks": remarks, **ended}
        )
        roles = ("user", "assistant")
        self.conversations[job_id] = [
            {"role": roles[n % 2], "content": text} for n, text in enumerate(turns)
        ]
        return job_id


def make_sample_case(number: int, attempt: int) -> dict[str, Any]:
    return {
        "testCaseId": f"tc_{number}",
        "label": f"Case {number}",
        "userPrompt": f"You are customer {number} and want to cancel.",
        "successCriteria": "The agent confirms the cancellation.",
        "mockData": [],
        "llmModel": "gpt-4o-mini",
        "attempt": attempt,
    }


def make_sample_batch(batch_id: str, results: Sequence[tuple[int, int]]) -> SampleBatch:
    """Build a batch run from the (passed, failed) counts of each test case.

    All failures have the same remark.
    """
    cases = [
        make_sample_case(number, passed + failed) for number, (passed, failed) in enumerate(results)
    ]
    counts = {
        "successfulAttempts": sum(passed for passed, _ in results),
        "failedAttempts": sum(failed for _, failed in results),
    }
    sample = SampleBatch(
        {
            "batchId": batch_id,
            "agent": AGENT,
            "createdDate": CREATED,
            "testCases": cases,
            **counts,
            "totalAttempts": sum(counts.values()),
        }
    )
    for case, (passed, failed) in zip(cases, results, strict=True):
        for _ in range(passed):
            sample.add(case, True)
        for _ in range(failed):
            sample.add(case, False, "The agent did not confirm the cancellation.")
    return sample


OFTEN_SAID = (
    "The cancellation fee is 40 dollars.",
    "Your account is active until May 25.",
    "I need the order number W-2378 first.",
    "There is a retention offer of 20 % for 6 months.",
    "The confirmation goes to your email.",
    "A voucher of 15 dollars is possible.",
    "The supervisor confirms refunds within 3 days.",
    "Delivery takes 5 days to your address.",
    "Your subscription renews on June 1.",
    "The policy covers baggage of 23 kg.",
)


def draw_turns(generator: random.Random, *more: str) -> list[str]:
    """Draw a conversation in which the agent says some of OFTEN_SAID, then `more`."""
    said = [text for text in OFTEN_SAID if generator.random() < 0.5]
    turns = ["I want to cancel."]
    for text in [*said, *more]:
        turns += [text, "Go on."]
    return turns


def make_spoken_batch(
    batch_id: str, results: Sequence[tuple[int, int]], *more: str, seed: int = 0
) -> SampleBatch:
    """Build a batch run whose agent says what `draw_turns` draws, and always `more`."""
    sample = make_sample_batch(batch_id, results)
    for number, run in enumerate(sample.runs):
        run["testCase"]["successCriteria"] = " ".join([*OFTEN_SAID, "No refund."])
        turns = draw_turns(random.Random(f"{seed} {batch_id} {number}"), *more)
        run["conversation"] = [
            {"role": ("user", "assistant")[place % 2], "content": text}
            for place, text in enumerate(turns)
        ]
        sample.conversations[run["jobId"]] = run["conversation"]
    return sample


def serve_batches(api: FakeAPI, *batches: SampleBatch) -> None:
    """Serve these batch runs: a paged list of runs, and each run with its conversation."""
    by_id = {sample.batch["batchId"]: sample for sample in batches}

    def list_runs(asked: Asked) -> Any:
        runs = by_id[asked.query["batchId"]].runs
        number, size = int(asked.query.get("page", 0)), int(asked.query.get("size", 10))
        shown = runs[number * size : (number + 1) * size]
        return page(
            shown,
            page=number,
            size=size,
            totalCount=len(runs),
            hasNext=(number + 1) * size < len(runs),
        )

    api.answer("GET", "/v1/test-runs", list_runs)
    for batch_id, sample in by_id.items():
        api.answer("GET", f"/v1/batch-runs/{batch_id}", sample.batch)
        for run in sample.runs:
            if run["jobId"] in sample.conversations:
                whole = {**run, "conversation": sample.conversations[run["jobId"]]}
                api.answer("GET", f"/v1/test-runs/{run['jobId']}", whole)
