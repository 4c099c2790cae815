"""Annotations and the step summary of GitHub Actions."""

import html
import re
from collections.abc import Iterable, Iterator

from sigmamind_mcp.suites.run_result import (
    RowResult,
    RunResult,
    ShownFailure,
    Weight,
    format_counts,
)
from sigmamind_mcp.suites.run_text import describe_cost, describe_row

LARGEST_SUMMARY = 60_000
LEVELS: dict[Weight, str] = {
    "failed": "error",
    "broken": "error",
    "not settled": "warning",
}
# What Markdown would take for more than a text.
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~@:$]|(?<=www)\.)", re.IGNORECASE)


def list_annotations(result: RunResult) -> Iterator[str]:
    """Yield a workflow command for each case to look at, at its line of the suite."""
    for row in result.rows:
        weight = result.weigh_row(row)
        if weight is None:
            continue
        level = "notice" if row.outcome.case.quarantine else LEVELS[weight]
        message = describe_row(row)
        if row.failures:
            message += f"\n{row.failures[0].remarks}"
        place = f"file={_escape_value(result.file)},line={row.place.line}"
        title = _escape_value(f"{row.key}: {row.outcome.word}")
        yield f"::{level} {place},title={title}::{_escape_message(message)}"


def _escape_message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_value(text: str) -> str:
    return _escape_message(text).replace(":", "%3A").replace(",", "%2C")


def write_summary(result: RunResult) -> str:
    """Return the step summary as Markdown, at most 60 kB: the verdict first."""
    batch_ids = ", ".join(result.batch_ids) or "none"
    parts = [
        f"## {html.escape(result.write_verdict(), quote=False)}\n\n",
        "| Case | Result | Passed | 95% interval | Baseline |\n| --- | --- | --- | --- | --- |\n",
        *map(_write_row, result.rows),
        f"\n{describe_cost(result)} Batch runs: {batch_ids}.\n",
    ]
    for row in result.rows:
        for failure in row.failures:
            parts.append(_write_failure(row.key, failure))
    return join_to_limit(parts, cut="\n(More is left out; the JSON file and the log have it.)\n")


def join_to_limit(parts: Iterable[str], *, cut: str) -> str:
    """Join the parts that fit into LARGEST_SUMMARY bytes; `cut` says that there are more."""
    text, size = "", len(cut.encode())
    for part in parts:
        size += len(part.encode())
        if size > LARGEST_SUMMARY:
            return text + cut
        text += part
    return text


def _write_row(row: RowResult) -> str:
    outcome = row.outcome
    word: str = outcome.word
    if outcome.case.quarantine:
        word += " (quarantine)"
    interval = ""
    if outcome.counts.decided:
        interval = f"{row.interval.low:.0%} to {row.interval.high:.0%}"
    baseline = "none"
    if outcome.case.baseline.decided:
        baseline = format_counts(outcome.case.baseline)
    cells = [row.key, word, format_counts(outcome.counts), interval, baseline]
    return f"| {' | '.join(map(escape_markdown, cells))} |\n"


def _write_failure(key: str, failure: ShownFailure) -> str:
    turns = ""
    for turn in failure.turns:
        role, content = escape_markdown(turn.role), escape_markdown(turn.content)
        turns += f"- turn {turn.number} {role}: {content}\n"
    head = f"{key}, {failure.job_id}"
    return (
        f"\n<details><summary>{escape_markdown(head)}</summary>\n\n"
        f"{escape_markdown(failure.remarks)}\n\n{turns}\n</details>\n"
    )


def escape_markdown(text: str) -> str:
    """Return a text on which Markdown has no effect: no markup, link, mention or formula."""
    return _MARKDOWN.sub(r"\\\1", html.escape(text, quote=False))
