"""`sigmamind-mcp demo`: the whole loop in the sandbox, over stdio and through a real MCP client."""

import io
import shutil
import sys
import textwrap
from typing import Any, NamedTuple

import anyio
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from sigmamind_mcp.commands.install_links import build_module_command
from sigmamind_mcp.errors import SigmaMindError
from sigmamind_mcp.insight.statistics import ALPHA
from sigmamind_mcp.strict_json import JSONObject
from sigmamind_mcp.tools.diagnosis_rows import describe_group, describe_item

AGENT_ID = "agent_SPIlVscbB0kkXBvZ"
WORSE_AGENT_ID = "agent_mJzLaPEo425lieb9"
NARROWEST, WIDEST = 50, 80
POLL_SECONDS = 0.4
TIMEOUT_SECONDS = 60
PRINTED_IDS = ("jobId", "batchId", "candidateBatchId", "testCaseId")
VERDICT_COLOURS = {"passed": "green", "failed": "red"}
GROUPS_PRINTED = 4
QUOTES_PRINTED = 3
LEVELS_IN_WORDS = {
    "proven": "worse, and not by chance",
    "suspect": "worse, probably not by chance",
    "open": "looks worse, but perhaps by chance",
    "not shown": "no drop is shown",
}

TEST_CASE = {
    "agentId": AGENT_ID,
    "label": "Demo - refund for a broken kettle",
    "userPrompt": "You are Ana Lopez, annoyed but fair. The kettle of order 4411 arrived broken and"
    " you want a refund. You do not accept a voucher.",
    "successCriteria": "The agent acknowledges the problem, verifies the customer's identity,"
    " states the order number, and confirms the refund.",
    "mockData": [
        {"variableName": "customer_name", "value": "Ana Lopez"},
        {"variableName": "order_number", "value": "4411"},
    ],
    "attempt": 6,
}


class DemoSession(NamedTuple):
    """Hold the connected client and the console to print to."""

    client: Client
    console: Console

    async def call_tool(self, tool: str, arguments: JSONObject) -> JSONObject:
        """Call a tool and print its name with the id in its answer."""
        answer = await self.call_quietly(tool, arguments)
        ids = [answer[name] for name in PRINTED_IDS if name in answer]
        self.console.print(f"[bold cyan]{tool}[/bold cyan] {ids[0] if ids else ''}")
        return answer

    async def call_quietly(self, tool: str, arguments: JSONObject) -> JSONObject:
        result = await self.client.call_tool(tool, arguments)
        if result.is_error or not isinstance(result.structured_content, dict):
            raise SigmaMindError(f"{tool} failed: {getattr(result.content[0], 'text', '')}")
        return result.structured_content

    def print_indented(self, text: str, *, indent: str = "  ") -> None:
        wrapped = textwrap.fill(
            text,
            self.console.width,
            initial_indent=indent,
            subsequent_indent=indent,
            break_on_hyphens=False,
        )
        self.console.print(wrapped, markup=False)


def run_demo() -> int:
    """Run the demo and return its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    columns = shutil.get_terminal_size().columns
    console = Console(width=min(max(columns, NARROWEST), WIDEST), highlight=False)
    try:
        anyio.run(_show_loop, console)
    except TimeoutError:
        raise SigmaMindError(
            f"The demo's batch run did not finish within {TIMEOUT_SECONDS} s."
        ) from None
    except BaseExceptionGroup as group:
        # rich raises SystemExit if the reader closed the pipe, as in `demo | head`.
        if not group.subgroup(SystemExit):
            raise
        return 1
    return 0


async def _show_loop(console: Console) -> None:
    command, *arguments = build_module_command()
    server = StdioServerParameters(
        command=command, args=[*arguments, "--sandbox", "--log-level", "error"]
    )
    console.print(
        "[bold]sigmamind-mcp demo[/bold]: a scripted sandbox.\nNo account, no key, no cost.\n"
    )
    async with Client(server) as client:
        if info := client.server_info:
            console.print(f"Connected over stdio to {info.title} {info.version}.\n")
        session = DemoSession(client, console)
        batch = await _start_batch_run(session)
        with anyio.fail_after(TIMEOUT_SECONDS):
            await _follow_batch_run(session, batch)
        await _show_failed_run(session, batch)
        await _show_diagnosis(session, batch)
        await _show_comparison(session)
    console.print("\nNow connect your own client: see README, 'Connect a client'.")


async def _start_batch_run(session: DemoSession) -> JSONObject:
    """Create a test case and run it; return the arguments that name the batch run."""
    test_case = await session.call_tool("create_test_case", TEST_CASE)
    session.print_indented(f"user: {TEST_CASE['userPrompt']}")
    session.print_indented(f"success: {TEST_CASE['successCriteria']}")
    session.console.print()
    launch = {"agentId": AGENT_ID, "testCases": [test_case["testCaseId"]]}
    batch_run = await session.call_tool("create_batch_run", launch)
    return {"agentId": AGENT_ID, "batchId": batch_run["batchId"]}


async def _follow_batch_run(session: DemoSession, batch: JSONObject) -> None:
    """Poll until the batch run ends, with a bar in a terminal and lines in a pipe."""
    console = session.console
    columns = (
        TextColumn("{task.description}"),
        BarColumn(min(40, console.width - 30)),
        MofNCompleteColumn(),
        TextColumn("decided"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("get_batch_run", total=None)
        last_decided = -1
        while True:
            batch_run = await session.call_quietly("get_batch_run", batch)
            expected = batch_run["expectedAttempts"]
            decided = expected - batch_run["undecidedAttempts"]
            progress.update(bar, total=expected, completed=decided)
            if decided != last_decided and not console.is_terminal:
                console.print(f"get_batch_run: {decided} of {expected} decided")
            last_decided = decided
            if batch_run["state"] != "running":
                break
            await anyio.sleep(POLL_SECONDS)
    passed, failed = batch_run["successfulAttempts"], batch_run["failedAttempts"]
    console.print(f"  {batch_run['state']}: {passed} passed, {failed} failed\n")


async def _show_failed_run(session: DemoSession, batch: JSONObject) -> None:
    """List the runs, then print the transcript of the first failed one."""
    answer = await session.call_tool("list_test_runs", batch)
    runs = answer["testRuns"]
    for run in runs:
        colour = VERDICT_COLOURS.get(run["verdict"], "yellow")
        session.console.print(f"  {run['jobId']}  [{colour}]{run['verdict']}[/{colour}]")
    session.console.print(f"  {answer['passed']} passed, {answer['failed']} failed\n")

    failed_runs = [run for run in runs if run["verdict"] == "failed"]
    shown_run = failed_runs[0] if failed_runs else runs[0]
    run = await session.call_tool("get_test_run", {**batch, "jobId": shown_run["jobId"]})
    session.console.print(f"  verdict: [bold]{run['verdict']}[/bold]")
    session.print_indented(f"remarks: {run['remarks']}")
    session.console.print()
    for turn in run["conversation"]:
        session.print_indented(f"{turn['turn']} {turn['role']}: {turn['content']}")
    session.console.print()


async def _show_diagnosis(session: DemoSession, batch: JSONObject) -> None:
    answer = await session.call_tool("diagnose_batch_run", batch)
    rate = answer["rate"]
    session.print_indented(
        "So few attempts say little about the agent. Of many attempts, between"
        f" {rate['low']:.0%} and {rate['high']:.0%} would pass ({rate['passed']} of"
        f" {rate['decided']} passed; 95% interval)."
    )
    for row in answer.get("separates", []):
        certainty = "too few attempts to tell" if row.get("tooFew") else f"p {row['p']:.2g}"
        session.print_indented(
            f"{describe_item(row['kind'], row['text'])}: in {row['failed']} of {row['failedOf']}"
            f" failed, {row['passed']} of {row['passedOf']} passed ({certainty})."
        )
    for group in answer.get("groups", [])[:GROUPS_PRINTED]:
        about = describe_group(group["basis"], group.get("about"))
        session.print_indented(f"{group['failed']} of {group['failedOf']} failed: {about}")
    for quote in answer.get("turnsWorthReading", [])[:QUOTES_PRINTED]:
        verdict = "failed" if "group" in quote else "passed"
        session.print_indented(f"{quote['jobId']} turn {quote['turn']}, {verdict}")
        session.print_indented(f"agent: {quote['content']}", indent="    ")


async def _show_comparison(session: DemoSession) -> None:
    """Compare the last two batch runs of the sandbox agent that got worse."""
    agent = {"agentId": WORSE_AGENT_ID}
    batch_runs = await session.call_quietly("list_batch_runs", agent)
    candidate_batch, base_batch = batch_runs["batchRuns"][:2]
    ids = {"baseBatchId": base_batch["batchId"], "candidateBatchId": candidate_batch["batchId"]}
    session.console.print("\nAnother agent in the sandbox got worse:")
    answer = await session.call_tool("compare_batch_runs", {**agent, **ids})
    for row in answer["testCases"]:
        level = LEVELS_IN_WORDS[row["level"]]
        before, now = _format_rate(row["base"]), _format_rate(row["candidate"])
        session.print_indented(
            f"{row['label']}: {level}. {before} passed before, {now} now (p {row['p']:.2g})."
        )
    chance = "and not by chance" if answer["p"] <= ALPHA else "but perhaps by chance"
    session.print_indented(
        f"All test cases together: {answer['direction']}, {chance} (p {answer['p']:.2g})."
    )
    session.print_indented(
        "p is the probability of such a difference by chance alone. With several test cases, each"
        " needs a smaller one; for all together it comes from the exact Cochran-Mantel-Haenszel"
        " test."
    )


def _format_rate(side: dict[str, Any]) -> str:
    return f"{side['passed']} of {side['decided']}"
