"""Progress rises at every report of a call, and ends with its total."""

import anyio
import pytest

from sigmamind_mcp.tools.call_context import RisingProgress

pytestmark = pytest.mark.anyio

Sent = list[tuple[float, float | None]]


@pytest.mark.parametrize(
    ("done", "total"),
    [
        ([0, 0, 0, 0], 5),
        ([0, 1, 1, 2, 5], 5),
        ([3, 2, 1, 3, 4], 5),
        ([0] * 2_000, 1),
        ([4] * 2_000, 5),
        ([0, 0, 7, 7], None),
    ],
    ids=["no news", "some news", "falling", "long", "long before the end", "no total"],
)
async def test_progress_rises_and_stays_below_the_total_until_the_end(
    done: list[int], total: int | None
) -> None:
    sent, progress = collect_progress()

    for count in done:
        await progress.report(count, total, "")

    numbers = [number for number, _ in sent]
    assert len(sent) == len(done) and numbers == sorted(set(numbers))
    highest = [max(done[: place + 1]) for place in range(len(done))]
    assert all(count <= number < count + 1 for count, number in zip(highest, numbers, strict=True))
    assert {shown for _, shown in sent} == {total}


async def test_end_that_is_reported_twice_is_not_more_than_all() -> None:
    sent, progress = collect_progress()

    for count in (4, 5, 5):
        await progress.report(count, 5, "")

    assert sent == [(4, 5), (5, 5), (5.5, None)]


async def test_total_that_shrinks_is_left_out() -> None:
    sent, progress = collect_progress()

    await progress.report(3, 5, "")
    await progress.report(2, 3, "")

    assert sent == [(3, 5), (3.5, None)]


async def test_reports_at_once_leave_in_the_order_of_their_numbers() -> None:
    sent: Sent = []

    async def send_slowly(number: float, total: float | None, message: str) -> None:
        for _ in range(int(10 - number)):
            await anyio.lowlevel.checkpoint()
        sent.append((number, total))

    progress = RisingProgress(send_slowly)
    async with anyio.create_task_group() as group:
        for count in range(8):
            group.start_soon(progress.report, count, 9, "")

    assert len(sent) == 8 and sent == sorted(set(sent))


def collect_progress() -> tuple[Sent, RisingProgress]:
    sent: Sent = []

    async def send(number: float, total: float | None, message: str) -> None:
        sent.append((number, total))

    return sent, RisingProgress(send)
