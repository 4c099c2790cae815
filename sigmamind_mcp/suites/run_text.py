"""Show the result of a run in a terminal: the verdict first, then a row for each case."""

import textwrap
from collections.abc import Iterator

from sigmamind_mcp.suites.run_result import RowResult, RunResult, format_counts

NARROWEST = 40


def list_result_lines(result: RunResult, width: int) -> Iterator[str]:
    """Yield the lines of a report, none longer than `width` where words allow it."""
    yield from _wrap(result.write_verdict(), width)
    yield ""
    for row in result.rows:
        yield from _wrap(describe_row(row), width)
        for failure in row.failures:
            yield from _wrap(f"{failure.job_id} failed: {failure.remarks}", width, indent=4)
            for turn in failure.turns:
                line = f"turn {turn.number} {turn.role}: {turn.content}"
                yield from _wrap(line, width, indent=6)
    yield ""
    yield from _wrap(describe_cost(result), width)
    yield from _wrap(f"Batch runs: {', '.join(result.batch_ids) or 'none'}.", width)


def describe_row(row: RowResult) -> str:
    """Return a case on one line: word, counts, interval, baseline, p and bar."""
    outcome = row.outcome
    parts = [f"{format_counts(outcome.counts)} passed"]
    if outcome.counts.decided:
        parts.append(f"({row.interval.low:.0%} to {row.interval.high:.0%})")
    if outcome.case.baseline.decided:
        parts.append(f"baseline {format_counts(outcome.case.baseline)}")
    if outcome.decision and outcome.decision.p is not None:
        parts.append(f"p {outcome.decision.p:.2g}")
    if outcome.case.bar is not None:
        parts.append(f"bar {outcome.case.bar:g} {outcome.bar_verdict}")
    if outcome.undecided:
        parts.append(f"{outcome.undecided} undecided")
    word = f"{outcome.word}, in quarantine" if outcome.case.quarantine else outcome.word
    return f"{row.key}: {word} - {', '.join(parts)}"


def describe_cost(result: RunResult) -> str:
    budget = f"{result.used} of {result.budget} attempts"
    baseline = f"{len(result.baseline_ids)} earlier batch runs"
    looks = f"{result.looks} of at most {result.planned} looks"
    return f"{budget} in {looks}; the baseline has {baseline}."


def _wrap(text: str, width: int, *, indent: int = 0) -> list[str]:
    space = " " * indent
    return textwrap.wrap(
        text,
        max(width, NARROWEST),
        initial_indent=space,
        subsequent_indent=f"{space}  ",
        break_on_hyphens=False,
        break_long_words=False,
    )
