"""The API that `scripts/release/bench` measures against; `python -m tests.checks.bench_api --port N`.

It answers from rendered bodies. Any batch run `batch_CASES_ATTEMPTS_SIDE` and any test run
`job_turns_TURNS` exists; every other path gives one test case of 1 KB.
"""

import argparse
import asyncio
import json
from functools import lru_cache
from random import Random
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.fake_api import page
from tests.support.sample_batches import CREATED, ENDED, SampleBatch, make_spoken_batch

CASE = {
    "testCaseId": "tc_1",
    "label": "Broken kettle",
    "userPrompt": "You are Ana. Your kettle arrived broken and you want your money back. " * 7,
    "successCriteria": "The agent confirms the refund. " * 12,
    "mockData": [{"variableName": "order_id", "value": "4411"}],
    "attempt": 5,
}


@lru_cache(maxsize=16)
def make_batch(batch_id: str) -> SampleBatch:
    """Build a batch run whose test cases have random pass rates."""
    _, cases, attempts, _ = batch_id.split("_")
    random = Random(batch_id)
    passed = [random.randint(0, int(attempts)) for _ in range(int(cases))]
    return make_spoken_batch(batch_id, [(count, int(attempts) - count) for count in passed])


def list_runs(query: dict[str, str]) -> dict[str, Any]:
    runs = make_batch(query["batchId"]).runs
    number, size = int(query.get("page", 0)), int(query.get("size", 10))
    start = number * size
    has_next = start + size < len(runs)
    shown = runs[start : start + size]
    return page(shown, page=number, size=size, totalCount=len(runs), hasNext=has_next)


def make_run(turns: int) -> dict[str, Any]:
    """Build a failed test run with a conversation of this many turns."""
    conversation = [
        {
            "role": ("user", "assistant")[number % 2],
            "content": f"Turn {number}: this is about my order number {number * 37}, please.",
        }
        for number in range(turns)
    ]
    return {
        "jobId": f"job_turns_{turns}",
        "isSuccessful": False,
        "remarks": "The agent did not confirm it.",
        "createdDate": CREATED,
        "completedDate": ENDED,
        "conversation": conversation,
    }


@lru_cache(maxsize=1024)
def render(target: str) -> bytes:
    """Return the whole HTTP answer for a request target."""
    url = urlsplit(target)
    body: Any = CASE
    if url.path == "/v1/test-runs":
        body = list_runs(dict(parse_qsl(url.query)))
    elif "/batch-runs/" in url.path:
        body = make_batch(url.path.rpartition("/")[2]).batch
    elif "/job_turns_" in url.path:
        body = make_run(int(url.path.rpartition("_")[2]))
    encoded = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(encoded)}\r\n\r\n"
    return head.encode() + encoded


async def serve(port: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            while (await reader.readline()).strip():
                pass
            writer.write(render(line.split()[1].decode()))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port) as server:
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args().port))
