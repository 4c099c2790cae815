"""Batch runs with known failures planted in them, served by the fake API."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.fake_api import AGENT, Asked, FakeAPI, page

CREATED, ENDED = "2026-03-26T10:52:45.565Z", "2026-03-26T10:54:45.565Z"


@dataclass
class PlantedBatch:
    """A batch run, its test runs as the list gives them, and their conversations by job id."""

    batch: dict[str, Any]
    runs: list[dict[str, Any]] = field(default_factory=list)
    conversations: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def add(
        self,
        case: dict[str, Any],
        passed: bool | None,
        remarks: str | None = None,
        said: Sequence[str] = ("Hi.", "Hello."),
    ) -> str:
        """Add a run of a case; `said` alternates between user and agent. Returns its job id."""
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
            {"role": roles[n % 2], "content": text} for n, text in enumerate(said)
        ]
        return job_id


def planted_case(number: int, attempt: int) -> dict[str, Any]:
    return {
        "testCaseId": f"tc_{number}",
        "label": f"Case {number}",
        "userPrompt": f"You are customer {number} and want to cancel.",
        "successCriteria": "The agent confirms the cancellation.",
        "mockData": [],
        "llmModel": "gpt-4o-mini",
        "attempt": attempt,
    }


def planted_batch(batch_id: str, results: Sequence[tuple[int, int]]) -> PlantedBatch:
    """A batch run whose case n passed and failed as often as `results[n]` says, with one remark for all failures."""
    cases = [
        planted_case(number, passed + failed) for number, (passed, failed) in enumerate(results)
    ]
    counted = {
        "successfulAttempts": sum(p for p, _ in results),
        "failedAttempts": sum(f for _, f in results),
    }
    total = sum(counted.values())
    planted = PlantedBatch(
        {
            "batchId": batch_id,
            "agent": AGENT,
            "createdDate": CREATED,
            "testCases": cases,
            **counted,
            "totalAttempts": total,
        }
    )
    for case, (passed, failed) in zip(cases, results, strict=True):
        for _ in range(passed):
            planted.add(case, True)
        for _ in range(failed):
            planted.add(case, False, "The agent did not confirm the cancellation.")
    return planted


def planted_api(api: FakeAPI, *batches: PlantedBatch) -> None:
    """Serve these batch runs: the list of their runs in pages without conversations, each run with its own."""
    by_id = {planted.batch["batchId"]: planted for planted in batches}

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
    for batch_id, planted in by_id.items():
        api.answer("GET", f"/v1/batch-runs/{batch_id}", planted.batch)
        for run in planted.runs:
            if run["jobId"] in planted.conversations:
                whole = {**run, "conversation": planted.conversations[run["jobId"]]}
                api.answer("GET", f"/v1/test-runs/{run['jobId']}", whole)
