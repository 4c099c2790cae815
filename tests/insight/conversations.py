"""Build test runs for the tests of the diagnosis."""

from collections.abc import Mapping, Sequence

from sigmamind_mcp.api.models import TestRun
from sigmamind_mcp.insight.batch_sides import CaseSide, RunPlace
from sigmamind_mcp.insight.statistics import Counts

WRONG, RIGHT = "There is no fee at all.", "It costs 46 CHF to move the dates."
ENDED = "2026-03-26T10:54:45.565Z"


def make_run(
    *said: str,
    passed: bool = False,
    remarks: str = "",
    criteria: str = "The agent confirms the cancellation.",
    prompt: str = "You want to cancel.",
    mock_data: Mapping[str, str] | None = None,
    case: str = "tc_1",
    job: str = "job_1",
    roles: Sequence[str] = ("user", "assistant"),
) -> TestRun:
    """Build a test run; user and agent take turns unless a turn begins with a role and a bar."""
    conversation = []
    for number, text in enumerate(said):
        role, bar, content = text.partition("|")
        if not bar:
            role, content = roles[number % len(roles)], text
        conversation.append({"role": role, "content": content})
    mocks = [{"variableName": name, "value": value} for name, value in (mock_data or {}).items()]
    return TestRun.read(
        {
            "jobId": job,
            "testCase": {
                "testCaseId": case,
                "userPrompt": prompt,
                "successCriteria": criteria,
                "mockData": mocks,
            },
            "isSuccessful": passed,
            "remarks": remarks,
            "completedDate": ENDED,
            "conversation": conversation,
        }
    )


class PlacedRuns(dict[RunPlace, TestRun]):
    """Test runs by their places."""

    def add_side(self, case: str, batch_id: str, said: Sequence[str]) -> CaseSide:
        places = []
        for text in said:
            place = RunPlace(batch_id, f"job_{len(self)}")
            run = make_run("Hi!", "Hello there!", "And now?", text, passed=text == RIGHT, case=case)
            self[place] = run
            places.append(place)
        failed = tuple(place for place in places if self[place].verdict == "failed")
        counts = Counts(len(places) - len(failed), len(places))
        test_case = self[places[0]].test_case
        assert test_case
        return CaseSide(test_case, counts, decided_runs=tuple(places), failed_runs=failed)
