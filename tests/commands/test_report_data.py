"""What a report holds: from odd batch runs, from an API that fails, and without what is private."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.records import MAX_SAID_CHARACTERS
from sigmamind_mcp.commands.report_data import ReadReport, WantedReport, read_report
from sigmamind_mcp.commands.report_markdown import (
    _write_groups,
    write_markdown,
)
from sigmamind_mcp.commands.terminal import ignore_progress
from sigmamind_mcp.errors import ConfigurationError, NotFound, SigmaMindError
from sigmamind_mcp.tools.diagnosis_rows import GroupRow
from sigmamind_mcp.viewer.page import embed_report
from tests.conftest import KEY
from tests.support.fake_api import ERROR, FakeAPI, page
from tests.support.sample_batches import SampleBatch, make_sample_batch, serve_batches

pytestmark = pytest.mark.anyio

AGENT_ID = "agent_D5D0p7TUs66TTAEAx"
TRANSCRIPTS: dict[str, Any] = {"against": ["batch_0"], "history": True, "transcripts": True}
HOSTILE = "</script><script>alert(1)</script>|\n`x` [a](javascript:x) $x$ @team \u202e::error::x"


async def read(client: SigmaMindClient, batch_id: str = "batch_1", **options: Any) -> ReadReport:
    return await read_report(WantedReport(AGENT_ID, batch_id, **options), client, ignore_progress)


def make_two() -> tuple[SampleBatch, SampleBatch]:
    """Make an earlier batch run and a worse one."""
    earlier = make_sample_batch("batch_0", [(8, 0), (7, 1)])
    earlier.batch["createdDate"] = "2026-03-25T10:52:45.565Z"
    return earlier, make_sample_batch("batch_1", [(1, 7), (7, 1)])


def serve(api: FakeAPI, earlier: SampleBatch, batch: SampleBatch) -> None:
    serve_batches(api, earlier, batch)
    api.answer("GET", "/v1/batch-runs", page([batch.batch, earlier.batch]))


def serve_two(api: FakeAPI) -> SampleBatch:
    """Serve both, and return the later one."""
    earlier, batch = make_two()
    serve(api, earlier, batch)
    return batch


async def test_report_has_all_ids_remarks_and_definitions(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    batch = serve_two(fake_api)

    data = (await read(client, against=["batch_0"], history=True)).data

    assert [run["jobId"] for run in data["runs"]] == [run["jobId"] for run in batch.runs]
    assert {run.get("remarks") for run in data["runs"]} == {
        None,
        "The agent did not confirm the cancellation.",
    }
    assert [case["testCaseId"] for case in data["definitions"]] == ["tc_0", "tc_1"]
    assert all({"userPrompt", "successCriteria"} <= case.keys() for case in data["definitions"])
    letters = {row[0]: "".join(letter for _, letter in row[2]) for row in data["matrix"]}
    assert letters == {"tc_0": "pfffffff", "tc_1": "pppppppf"}
    assert [row["level"] for row in data["comparison"]["testCases"]] == ["proven", "not shown"]
    assert [run["batchId"] for run in data["history"][0]["runs"]] == ["batch_0", "batch_1"]
    assert (data["state"], data["notes"]) == ("finished", [])


def serve_speaking(api: FakeAPI, *, mock_before: str) -> SampleBatch:
    """Serve two batch runs in which failed attempts say a mock value, a phrase and an amount."""
    earlier = make_sample_batch("batch_0", [(12, 0), (12, 0)])
    earlier.batch["createdDate"] = "2026-03-25T10:52:45.565Z"
    batch = make_sample_batch("batch_1", [(6, 6), (6, 6)])
    speak(earlier, mock_before)
    speak(batch, "Mockcanary")
    slip = next(run for run in batch.runs if not run["isSuccessful"])
    slip["conversation"][-1]["content"] += " By Mockcanary, DSP-48213."
    serve(api, earlier, batch)
    api.answer("GET", f"/v1/agents/{AGENT_ID}", {"agentId": AGENT_ID, "instructions": "Help."})
    return batch


def speak(batch: SampleBatch, mock: str) -> None:
    for case in (*batch.batch["testCases"], *(run["testCase"] for run in batch.runs)):
        case["mockData"] = [
            {"variableName": "account", "value": mock},
            {"variableName": "reference", "value": "DSP-48231"},
        ]
        case["successCriteria"] = "The agent confirms the cancellation without a forfeit."
    for run in batch.runs:
        words = "Done." if run["isSuccessful"] else f"It is {mock}. The forfeit is 7731 euros."
        run["conversation"] = [
            {"role": "user", "content": "Cancel it, please. usercanary"},
            {"role": "assistant", "content": f"{words} verbatimcanary"},
        ]


MOCK_CANARIES = {"mockcanary", "oldcanary", "48231"}
SAID_CANARIES = {"verbatimcanary", "usercanary", "7731", "48213"}
CANARIES = MOCK_CANARIES | SAID_CANARIES


@pytest.mark.parametrize("mock_before", ["Mockcanary", "Oldcanary"])
@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, set()),
        ({"transcripts": True}, CANARIES),
        ({"transcripts": True, "mask": True}, SAID_CANARIES),
        ({"mask": True}, set()),
    ],
)
async def test_mock_values_and_conversations_are_there_only_if_asked_for(
    client: SigmaMindClient,
    fake_api: FakeAPI,
    options: dict[str, Any],
    shown: set[str],
    mock_before: str,
) -> None:
    batch = serve_speaking(fake_api, mock_before=mock_before)

    data = (await read(client, against=["batch_0"], history=True, **options)).data

    is_edited = mock_before == "Oldcanary"
    for text in (json.dumps(data), embed_report(data)):
        found = {canary for canary in CANARIES if canary in text.casefold()}
        assert found == shown - (set() if is_edited else {"oldcanary"})
    # Every place in which such words can stand is there.
    diagnosis, comparison = data["diagnosis"], data["comparison"]
    assert {"value", "phrase"} & {row["kind"] for row in diagnosis["separates"]}
    assert diagnosis["groups"] and diagnosis["turnsWorthReading"]
    (slip,) = diagnosis["valuesNotGiven"]
    assert slip["jobId"] and slip["turn"]
    if "transcripts" in options:
        mock = "(masked)" if "mask" in options else "DSP-48231"
        assert slip["near"] == f"reference {mock}" and "48213" in slip["said"]
        assert ("(masked)" if "mask" in options else "Mockcanary") in slip["said"]
    if is_edited:
        assert "mockData" in {row.get("field") for row in diagnosis["definitionProblems"]}
        assert any(row["edits"] for row in comparison["testCases"])
    else:
        assert comparison["agentSays"]
    # The ids stay, or nobody could find the test runs.
    assert {run["jobId"] for run in data["runs"]} == {run["jobId"] for run in batch.runs}
    in_markdown = {one for one in CANARIES if one in write_markdown(data).casefold()}
    assert in_markdown <= shown


async def test_values_of_the_batch_run_to_compare_with_are_masked_too(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    earlier, batch = make_two()
    speak(earlier, "Oldcanary")
    for case in (*earlier.batch["testCases"], *(run["testCase"] for run in earlier.runs)):
        case["userPrompt"] = "Your account is Oldcanary."
    serve(fake_api, earlier, batch)
    # Then the diagnosis does not know it as the batch run before.
    fake_api.answer("GET", "/v1/batch-runs", page([batch.batch]))

    data = (await read(client, against=["batch_0"], mask=True)).data

    shown = json.dumps(data["comparison"]["testCases"])
    assert "Your account is (masked)." in shown and "Oldcanary" not in json.dumps(data)


async def test_what_the_page_may_not_show_is_named_and_counted(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    serve_speaking(fake_api, mock_before="Oldcanary")

    data = (await read(client)).data

    quotes = data["diagnosis"]["turnsWorthReading"]
    assert {row["content"] for row in quotes} == {"(left out; --transcripts shows it)"}
    assert all(row["jobId"] and row["turn"] for row in quotes)


def make_hostile(batch: SampleBatch) -> None:
    for run in batch.runs:
        run["remarks"] = HOSTILE
        batch.conversations[run["jobId"]] = [{"role": HOSTILE, "content": HOSTILE}] * 3
        run["testCase"] |= {
            "label": HOSTILE,
            "userPrompt": HOSTILE,
            "successCriteria": HOSTILE,
            "mockData": [{"variableName": HOSTILE, "value": HOSTILE}],
        }
    for case in batch.batch["testCases"]:
        case["label"] = HOSTILE


@pytest.mark.parametrize("mask", [False, True])
async def test_hostile_text_stays_text_in_page_and_markdown(
    client: SigmaMindClient, fake_api: FakeAPI, mask: bool
) -> None:
    earlier, batch = make_two()
    make_hostile(batch)
    serve(fake_api, earlier, batch)

    options: dict[str, Any] = {"against": ["batch_0"], "history": True, "transcripts": True}
    data = (await read(client, **options, mask=mask)).data

    assert embed_report(data).count("</script>") == embed_report({}).count("</script>")
    shown = write_markdown(data)
    assert "<script" not in shown and "\u202e" not in shown and "](javascript" not in shown
    for sign in ("@team", "$x$", "::error", "`x`"):
        assert f" {sign}" not in shown, sign
    assert all(line.count("|") - line.count("\\|") in (0, 4, 5, 6) for line in shown.splitlines())


async def test_key_that_the_api_repeats_is_masked_everywhere(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    earlier, batch = make_two()
    for run in batch.runs:
        # The second one becomes the key when what is invisible has been removed.
        run["remarks"] = f"{KEY} and {KEY[:9]}\u200b{KEY[9:]}"
        run["testCase"] |= {"label": KEY, "userPrompt": KEY, "successCriteria": KEY}
        batch.conversations[run["jobId"]] = [{"role": KEY, "content": KEY}]
    batch.batch["testCases"] = [run["testCase"] for run in batch.runs[::8]]
    serve(fake_api, earlier, batch)

    for options in (TRANSCRIPTS, {**TRANSCRIPTS, "mask": True}, {}):
        data = (await read(client, **options)).data

        assert "[key]" in data["runs"][0]["remarks"]
        for text in (json.dumps(data), embed_report(data), write_markdown(data)):
            assert KEY[:12] not in text.replace("\\", "")


async def test_batch_run_without_runs_has_a_sentence(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    batch = make_sample_batch("batch_1", [(0, 0)])
    serve_batches(fake_api, batch)

    report = await read(client, transcripts=True, mask=True)

    assert report.data["notes"][-1] == "This batch run shows no test runs."
    assert report.data["matrix"] == [["tc_0", "Case 0", []]]
    assert "This batch run shows no test runs." in write_markdown(report.data)


async def test_running_batch_run_is_called_running(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    batch = make_sample_batch("batch_1", [(2, 0)])
    batch.batch |= {"successfulAttempts": 1, "totalAttempts": 1}
    del batch.batch["createdDate"]
    batch.runs[1] |= {"isSuccessful": None, "completedDate": None}
    serve_batches(fake_api, batch)

    data = (await read(client)).data

    assert data["state"] == data["diagnosis"]["state"] == "running"
    assert "batch_1`: running, 1 of 1 passed" in write_markdown(data)
    assert "The batch run is still running" in write_markdown(data)


def iterate_odd_batches() -> Iterator[Any]:
    yield pytest.param(make_sample_batch("batch_1", [(1, 0)]), id="one attempt")
    emoji = make_sample_batch("batch_1", [(1, 1)])
    for case in (emoji.batch["testCases"][0], *(run["testCase"] for run in emoji.runs)):
        case["label"] = "🙂" * 256
        case["userPrompt"] = "أريد إلغاء اشتراكي"
    yield pytest.param(emoji, id="emoji and right-to-left")
    long = make_sample_batch("batch_1", [(0, 2)])
    for job_id in long.conversations:
        long.conversations[job_id] = [{"role": "user", "content": "wide " * 20_000}] * 2
    yield pytest.param(long, id="turns of 100 kB")


@pytest.mark.parametrize("batch", list(iterate_odd_batches()))
@pytest.mark.parametrize("transcripts", [False, True])
async def test_odd_batch_run_becomes_a_whole_report(
    client: SigmaMindClient, fake_api: FakeAPI, batch: SampleBatch, transcripts: bool
) -> None:
    serve_batches(fake_api, batch)

    data = (await read(client, transcripts=transcripts)).data

    shown = data.get("conversations", {})
    assert set(shown) == (set(batch.conversations) if transcripts else set())
    for job_id, run in shown.items():
        turns = [turn["content"].strip() for turn in run["conversation"]]
        for shown, turn in zip(turns, batch.conversations[job_id], strict=True):
            said = turn["content"].strip()
            note = f"[read: {MAX_SAID_CHARACTERS:,} of {len(turn['content']):,} characters]"
            if len(turn["content"]) <= MAX_SAID_CHARACTERS:
                assert shown == said
            else:
                assert shown == f"{note} {said[:MAX_SAID_CHARACTERS]}".strip()
    assert len(write_markdown(data).encode()) <= 60_000


async def test_100_cases_of_50_attempts_are_all_there(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    chances = random.Random(1)
    batch = make_sample_batch("batch_1", [(n, 50 - n) for n in chances.choices(range(51), k=100)])
    for run in batch.runs:
        run["conversation"] = batch.conversations[run["jobId"]]
    serve_batches(fake_api, batch)

    data = (await read(client)).data

    assert (len(data["matrix"]), len(data["runs"]), len(data["definitions"])) == (100, 5000, 100)
    assert sum(len(cells) for _, _, cells in data["matrix"]) == 5000
    assert write_markdown(data).endswith("leave out --markdown.)\n")


async def test_report_of_100_runs_is_small_and_the_same_each_time(
    client: SigmaMindClient, fake_api: FakeAPI, figures: list[str]
) -> None:
    earlier, batch = [make_sample_batch(f"batch_{n}", [(7, 3)] * 10) for n in range(2)]
    for run in batch.runs:
        run["remarks"] = "The agent did not verify the identity of the customer. " * 5
    serve_batches(fake_api, earlier, batch)
    fake_api.answer("GET", "/v1/batch-runs", page([batch.batch, earlier.batch]))

    options: dict[str, Any] = {"against": ["batch_0"], "history": True}
    pages = {embed_report((await read(client, **options)).data) for _ in range(2)}

    (shown,) = pages
    assert len(shown.encode()) <= 300_000
    figures.append(f"report of 100 test runs: {len(shown.encode()):,} bytes")


@pytest.mark.parametrize("failing", ["/v1/batch-runs/batch_0", "/v1/batch-runs"])
async def test_part_that_cannot_be_read_becomes_a_sentence(
    client: SigmaMindClient, fake_api: FakeAPI, failing: str
) -> None:
    batch = serve_two(fake_api)
    fake_api.answer("GET", failing, ERROR, 500)

    report = await read(client, against=["batch_0"], history=True)

    missing = "comparison" if failing.endswith("batch_0") else "history"
    assert missing not in report.data and len(report.data["runs"]) == len(batch.runs)
    (problem,) = report.problems
    assert problem.startswith(f"The {missing} is missing: ") and problem in report.data["notes"]


async def test_conversations_that_cannot_be_read_are_named(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    batch = serve_two(fake_api)
    for run in batch.runs[:7]:
        fake_api.answer("GET", f"/v1/test-runs/{run['jobId']}", ERROR, 500)

    report = await read(client, transcripts=True)

    assert set(report.data["conversations"]) == {run["jobId"] for run in batch.runs[7:]}
    assert "job_10, job_11, job_12, job_13, job_14 and 2 more" in report.problems[0]


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"against": ["batch_9"]}, NotFound, "--against batch_9"),
        ({"against": ["batch_1"]}, ConfigurationError, "another batch run"),
        ({"against": ["batch 1"]}, ConfigurationError, "An id has letters"),
        ({"against": [f"batch_{n}" for n in range(2, 40)]}, ConfigurationError, "at most 30"),
        ({"batch_id": "batch_9"}, NotFound, "404"),
    ],
)
async def test_batch_run_that_is_not_there_is_an_error(
    client: SigmaMindClient,
    fake_api: FakeAPI,
    options: dict[str, Any],
    error: type[SigmaMindError],
    says: str,
) -> None:
    serve_two(fake_api)

    with pytest.raises(error, match=says):
        await read(client, **options)


async def test_api_that_lists_no_test_runs_is_an_error_that_says_what_to_do(
    client: SigmaMindClient, fake_api: FakeAPI
) -> None:
    batch = make_sample_batch("batch_1", [(1, 0)])
    fake_api.answer("GET", "/v1/batch-runs/batch_1", batch.batch)

    with pytest.raises(SigmaMindError, match="The dashboard shows them"):
        await read(client)


async def test_clause_that_is_not_met_says_so_everywhere(
    fake_api: FakeAPI, client: SigmaMindClient
) -> None:
    batch = make_sample_batch("batch_1", [(1, 3)])
    remarks = 'Failed. "Confirms the refund": not met. "Stays polite": met at turn 1.'
    for run in batch.runs:
        if run["isSuccessful"] is False:
            run["remarks"] = remarks
    serve_batches(fake_api, batch)

    report = await read(client)

    (group,) = report.data["diagnosis"]["groups"]
    assert (group["basis"], group["about"]) == ("clause", "not met: Confirms the refund")
    assert r": not met\: Confirms the refund (" in write_markdown(report.data)


@pytest.mark.parametrize(
    ("basis", "about", "words"),
    [
        ("clause", "not met: asks for the name", "not met: asks for the name"),
        ("ending", "the user left", "ended: the user left"),
        ("separates", "the agent says 14 days", "the agent says 14 days"),
        ("judge error", None, "the judge itself failed"),
        ("test case", None, "of one test case, nothing else in common found"),
        ("nothing", None, "of different test cases, nothing in common found"),
    ],
)
def test_group_is_described_as_in_the_answer_of_the_tool(
    basis: str, about: str | None, words: str
) -> None:
    row = GroupRow(
        number=1,
        basis=basis,
        about=about,
        failed=2,
        failed_of=3,
        test_cases={"tc_1": 2},
        job_ids=["job_1"],
    )
    data = row.model_dump(by_alias=True, exclude_none=True)

    (_, line) = _write_groups({"groups": [data]})

    assert line.replace("\\", "") == f"- 2 of 3: {words} (`job_1`)\n"
    assert f": {words} (" in row.line()


async def test_interval_of_several_cases_has_another_name_than_that_of_attempts(
    fake_api: FakeAPI, client: SigmaMindClient
) -> None:
    """The same counts have two intervals, so each must say what it is."""
    serve_two(fake_api)

    text = write_markdown((await read(client, against=["batch_0"])).data)

    head, compared = text.split("**Compared with")
    assert head.count("95% interval ") == 1 and "by cases" not in head
    assert compared.count("95% interval by cases ") == 2
