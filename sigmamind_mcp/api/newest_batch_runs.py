"""Read an agent's batch runs, newest first, over as many pages as a caller needs."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.api.listings import Page
from sigmamind_mcp.api.models import BatchRun
from sigmamind_mcp.api.walks import MAX_WALKED_PAGES
from sigmamind_mcp.ids import valid_id


@dataclass
class NewestBatchRuns:
    """The batch runs that have an id, each once; `now` is the time by the API's clock.

    `nameless_count` counts those without a usable id. `has_more` says that the API lists more.
    """

    now: datetime
    batch_runs: list[BatchRun] = field(default_factory=list)
    nameless_count: int = 0
    pages: list[Page[BatchRun]] = field(default_factory=list)
    has_more: bool = True

    @property
    def unread_count(self) -> int:
        """How many entries of the pages were not read, at least."""
        return self.nameless_count + sum(page.unread_count for page in self.pages)


async def read_newest_batch_runs(
    agent_id: str,
    api: SigmaMindClient,
    *,
    size: int,
    is_enough: Callable[[NewestBatchRuns], bool],
) -> NewestBatchRuns:
    """Read pages of `size` batch runs until there are enough, or to the end of the list."""
    page, now = await api.list_batch_runs(agent_id, size=size)
    newest = NewestBatchRuns(now)
    number = 0
    while True:
        repeats = not _add_page(newest, page) and bool(page.items and number)
        if repeats:
            newest.pages[-1] = replace(page, stop="repeated page")
        newest.has_more = page.has_next and bool(page.entry_count) and not repeats
        is_over = len(newest.pages) == MAX_WALKED_PAGES or is_enough(newest)
        if not newest.has_more or is_over:
            return newest
        # The API may page by less than was asked; the next page is counted by its size.
        size = min(size, page.size or page.entry_count)
        number = max(number, page.number or 0) + 1
        page, _ = await api.list_batch_runs(agent_id, page=number, size=size)


def _add_page(newest: NewestBatchRuns, page: Page[BatchRun]) -> bool:
    """Add a page, and return whether it has a batch run that was not known."""
    newest.pages.append(page)
    known_ids = {run.batch_id for run in newest.batch_runs}
    count = len(newest.batch_runs)
    for run in page.items:
        batch_id = valid_id(run.batch_id)
        if batch_id is None:
            newest.nameless_count += 1
        elif batch_id not in known_ids:
            known_ids.add(batch_id)
            newest.batch_runs.append(run)
    return len(newest.batch_runs) > count
