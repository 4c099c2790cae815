"""Show the result of a run in a terminal: the verdict first, then a row for each case."""

import textwrap
from collections.abc import Iterator

from sigmamind_mcp.insight.attempts_needed import BarVerdict
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.suites.run_result import RowResult, RunResult, format_counts

NARROWEST = 40
BAR_WORDS: dict[BarVerdict, str] = {
    "passed": "passed",
    "failed": "failed",
    "continue": "not decided",
}


def list_result_lines(result: RunResult, width: int) -> Iterator[str]:
    """Yield the lines of a report, none longer than `width` where words allow it."""
    yield from wrap_line(result.write_verdict(), width)
    yield ""
    for row in result.rows:
        yield from wrap_line(describe_row(row), width)
        for failure in row.failures:
            yield from wrap_line(f"    {failure.job_id} failed: {failure.remarks}", width)
            for turn in failure.turns:
                line = f"      turn {turn.number} {turn.role}: {turn.content}"
                yield from wrap_line(line, width)
    yield ""
    yield from wrap_line(describe_cost(result), width)
    batch_ids = ", ".join(result.batch_ids) or "none"
    yield from wrap_line(f"Batch runs: {batch_ids}.", width)


def describe_row(row: RowResult) -> str:
    """Return a case on one line: word, counts, interval, baseline, p and bar."""
    outcome = row.outcome
    passed = f"{format_counts(outcome.counts)} passed"
    if outcome.counts.decided:
        passed += f" ({row.interval.low:.0%} to {row.interval.high:.0%})"
    parts = [passed]
    if outcome.case.baseline.decided:
        parts.append(f"baseline {format_counts(outcome.case.baseline)}")
    if outcome.decision and outcome.decision.p is not None:
        parts.append(f"p {outcome.decision.p:.2g}")
    if outcome.case.bar is not None:
        verdict = BAR_WORDS[outcome.bar_verdict or "continue"]
        parts.append(f"bar {outcome.case.bar:g}: {verdict}")
    if outcome.undecided:
        parts.append(f"{outcome.undecided} undecided")
    word = f"{outcome.word}, in quarantine" if outcome.case.quarantine else outcome.word
    return f"{row.key}: {word} - {', '.join(parts)}"


def describe_cost(result: RunResult) -> str:
    attempts = f"{result.used} of {pluralize(result.budget, 'attempt')}"
    looks = f"{result.looks} of at most {pluralize(result.planned, 'look')}"
    baseline = pluralize(len(result.baseline_ids), "earlier batch run")
    return f"{attempts} in {looks}; the baseline has {baseline}."


def wrap_line(text: str, width: int) -> list[str]:
    """Return the lines of a text; its first line may be indented, the others are by two more."""
    words = text.lstrip(" ")
    indent = text.removesuffix(words)
    return textwrap.wrap(
        words,
        max(width, NARROWEST),
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
        break_long_words=False,
    )
