"""The whole loop against the sandbox, through a real MCP client and a server started as a client starts it."""

import io
import sys
import textwrap
from typing import Any

import anyio
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from sigmamind_mcp.errors import SigmaMindError
from sigmamind_mcp.strict_json import JSONObject

AGENT_ID = "agent_SPIlVscbB0kkXBvZ"
WORSE_AGENT_ID = "agent_mJzLaPEo425lieb9"
WIDTH = 80
LOOK_SECONDS = 0.4
PATIENCE_SECONDS = 60

TEST_CASE = {
    "agentId": AGENT_ID,
    "label": "Demo - refund for a broken kettle",
    "userPrompt": "You are Ana Lopez, annoyed but fair. The kettle of order 4411 arrived broken and you want a refund."
    " You do not accept a voucher.",
    "successCriteria": "The agent acknowledges the problem, verifies the customer's identity, states the order number,"
    " and confirms the refund.",
    "mockData": [
        {"variableName": "customer_name", "value": "Ana Lopez"},
        {"variableName": "order_number", "value": "4411"},
    ],
    "attempt": 6,
}


def run_demo() -> int:
    """Run the demo and return its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    console = Console(width=WIDTH, highlight=False)
    try:
        anyio.run(_demo, console)
    except TimeoutError:
        raise SigmaMindError(
            f"The demo's batch run did not finish within {PATIENCE_SECONDS} s."
        ) from None
    except BaseExceptionGroup as group:
        if not group.subgroup(SystemExit):
            raise
        return 1  # rich ends the process so when nobody reads its pipe any more, as after `demo | head`
    return 0


async def _demo(console: Console) -> None:
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "sigmamind_mcp", "--sandbox", "--log-level", "error"]
    )
    console.print(
        "[bold]sigmamind-mcp demo[/bold]: a scripted sandbox, no account, no key, no cost.\n"
    )
    async with Client(server) as client:
        if client.server_info:
            console.print(
                f"Connected over stdio to {client.server_info.title} {client.server_info.version}.\n"
            )

        case = await _call(console, client, "create_test_case", TEST_CASE)
        console.print(_indented(f"the user: {TEST_CASE['userPrompt']}"))
        console.print(_indented(f"success: {TEST_CASE['successCriteria']}\n"))
        batch_run = await _call(
            console,
            client,
            "create_batch_run",
            {"agentId": AGENT_ID, "testCases": [case["testCaseId"]]},
        )
        here = {"agentId": AGENT_ID, "batchId": batch_run["batchId"]}
        with anyio.fail_after(PATIENCE_SECONDS):
            await _follow(console, client, here)

        runs = await _call(console, client, "list_test_runs", here)
        for run in runs["testRuns"]:
            colour = {"passed": "green", "failed": "red"}.get(run["verdict"], "yellow")
            console.print(f"  {run['jobId']}  [{colour}]{run['verdict']}[/{colour}]")
        console.print(f"  {runs['passed']} passed, {runs['failed']} failed\n")

        worst = next(
            (run for run in runs["testRuns"] if run["verdict"] == "failed"), runs["testRuns"][0]
        )
        _show(
            console, await _call(console, client, "get_test_run", {**here, "jobId": worst["jobId"]})
        )
        console.print()
        _diagnosed(console, await _call(console, client, "diagnose_batch_run", here))
        await _compare(console, client)
    console.print("\nNow connect your own client: see README, 'Connect a client'.")


async def _follow(console: Console, client: Client, here: JSONObject) -> None:
    """Look at the batch run until it ends: a bar for a terminal, a line per change for a pipe."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(40),
        MofNCompleteColumn(),
        TextColumn("decided"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("get_batch_run", total=None)
        seen = -1
        while True:
            batch_run = await _answer(client, "get_batch_run", here)
            expected = batch_run["expectedAttempts"]
            decided = expected - batch_run["undecidedAttempts"]
            progress.update(bar, total=expected, completed=decided)
            if decided != seen and not console.is_terminal:
                console.print(f"get_batch_run: {decided} of {expected} decided")
            seen = decided
            if batch_run["state"] != "running":
                break
            await anyio.sleep(LOOK_SECONDS)
    console.print(
        f"  {batch_run['state']}: {batch_run['successfulAttempts']} passed, {batch_run['failedAttempts']} failed\n"
    )


def _show(console: Console, run: JSONObject) -> None:
    console.print(f"  verdict: [bold]{run['verdict']}[/bold]")
    console.print(_indented(f"remarks: {run['remarks']}") + "\n", markup=False)
    for turn in run["conversation"]:
        console.print(_indented(f"{turn['turn']} {turn['role']}: {turn['content']}"), markup=False)
    console.print(f"\n  {run['transcriptUri']}", soft_wrap=True)


def _diagnosed(console: Console, answer: JSONObject) -> None:
    rate = answer["rate"]
    interval = f"95 % interval {rate['low']:.0%} to {rate['high']:.0%}"
    console.print(f"  {rate['passed']} of {rate['decided']} passed, {interval}")
    for group in answer["groups"]:
        console.print(
            f"  {group['size']} failed{' alike' * (group['size'] > 1)}, for example {group['jobId']}:"
        )
        for quote in group["quotes"]:
            line = f"turn {quote['turn']} ({quote['why']}) {quote['role']}: {quote['content']}"
            console.print(_indented(line, by="    "), markup=False)


async def _compare(console: Console, client: Client) -> None:
    """The booking desk of the sandbox got worse between its last two batch runs."""
    agent = {"agentId": WORSE_AGENT_ID}
    newest, before = (await _answer(client, "list_batch_runs", agent))["batchRuns"][:2]
    console.print("\nAnother agent of the sandbox got worse:")
    ids = {"baseBatchId": before["batchId"], "candidateBatchId": newest["batchId"]}
    answer = await _call(console, client, "compare_batch_runs", {**agent, **ids})
    for row in answer["testCases"]:
        base, candidate = row["base"], row["candidate"]
        rates = (
            f"{base['passed']}/{base['decided']} to {candidate['passed']}/{candidate['decided']}"
        )
        console.print(
            f"  {row['label']}: {row['change']}, {rates} (adjusted p {row['adjustedP']:.2g})",
            markup=False,
        )
    console.print(
        f"  all together: p {answer['p']:.2g}, exact Cochran-Mantel-Haenszel test", markup=False
    )


def _indented(text: str, by: str = "  ") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=by, subsequent_indent=by)


async def _call(
    console: Console, client: Client, tool: str, arguments: dict[str, Any]
) -> JSONObject:
    answer = await _answer(client, tool, arguments)
    named = next(
        (
            answer[name]
            for name in ("jobId", "batchId", "candidateBatchId", "testCaseId")
            if name in answer
        ),
        "",
    )
    console.print(f"[bold cyan]{tool}[/bold cyan] {named}")
    return answer


async def _answer(client: Client, tool: str, arguments: dict[str, Any]) -> JSONObject:
    result = await client.call_tool(tool, arguments)
    if result.is_error or not isinstance(result.structured_content, dict):
        raise SigmaMindError(f"{tool} failed: {getattr(result.content[0], 'text', '')}")
    return result.structured_content
