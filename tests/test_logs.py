"""The log and the spans say what happened, and nothing of what was said (R1, R39)."""

import json
import logging
import subprocess
import sys

import pytest
from mcp import Client
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sigmamind_mcp.logs import JSONLines, StderrHandler
from tests.conftest import KEY
from tests.support.fake_api import BATCH, FakeAPI
from tests.support.processes import COMMAND, environment

pytestmark = pytest.mark.anyio

IN_BATCH = {"agentId": "agent_D5D0p7TUs66TTAEAx", "batchId": BATCH["batchId"]}


def logged(name: str, text: str, **more: object) -> dict[str, object]:
    record = logging.LogRecord(name, logging.WARNING, "elsewhere.py", 7, text, None, None)
    record.__dict__.update(more)
    line: dict[str, object] = json.loads(JSONLines().format(record))
    return line


def test_our_own_lines_are_shown_whole() -> None:
    line = logged("sigmamind_mcp.protocol.server", "call", fields={"ms": 3})

    assert (line["level"], line["event"], line["ms"]) == ("warning", "call", 3)


def test_of_other_packages_only_the_place_is_shown() -> None:
    line = logged("mcp.server.sse", f"bad message: {KEY}")

    assert line["event"] == "mcp.server.sse at elsewhere:7" and KEY not in json.dumps(line)


def test_exception_is_told_by_its_type_and_places() -> None:
    try:
        json.loads(f"[{KEY}")
    except ValueError:
        line = logged("sigmamind_mcp.protocol.server", "failed", exc_info=sys.exc_info())

    assert line["error"] == "JSONDecodeError" and "test_exception_is_told" in str(line["trace"])
    assert KEY not in json.dumps(line)


def test_without_stderr_lines_are_dropped_and_the_thread_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = StderrHandler()
    record = logging.LogRecord("sigmamind_mcp", logging.WARNING, "x.py", 7, "said", None, None)
    with monkeypatch.context() as without:
        without.setattr(sys, "stderr", None)
        handler.handle(record)
        handler.flush()
    assert capsys.readouterr().err == ""

    handler.handle(record)
    handler.flush()

    assert capsys.readouterr().err == "said\n"


@pytest.mark.slow
def test_client_that_never_reads_our_log_holds_up_no_call() -> None:
    """Some start a server with its stderr in a pipe and leave it there; a pipe holds 64 kB."""
    with subprocess.Popen(
        [*COMMAND, "--sandbox"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        encoding="utf-8",
    ) as server:
        assert server.stdin and server.stdout
        client = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "raw", "version": "1"},
        }
        lines = [{"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": client}]
        lines += [{"jsonrpc": "2.0", "id": number, "method": "ping"} for number in range(1, 1500)]
        for line in lines:
            server.stdin.write(json.dumps(line) + "\n")
            server.stdin.flush()
            assert json.loads(server.stdout.readline())["id"] == line["id"]
        server.stdin.close()
        assert server.wait(timeout=60) == 0


@pytest.fixture(scope="module")
def spans() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


async def test_request_to_the_api_is_a_span_inside_that_of_the_call(
    spans: InMemorySpanExporter, mcp: Client, fake_api: FakeAPI
) -> None:
    fake_api.answer("GET", f"/v1/batch-runs/{IN_BATCH['batchId']}", BATCH)
    spans.clear()

    await mcp.call_tool("get_batch_run", IN_BATCH)

    found = {span.name: span for span in spans.get_finished_spans()}
    call, request = found["tools/call get_batch_run"], found["GET /v1/batch-runs"]
    assert request.attributes == {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "http.response.status_code": 200,
    }
    assert request.context and call.context and request.context.trace_id == call.context.trace_id
    assert BATCH["batchId"] not in request.to_json() and KEY not in request.to_json()
