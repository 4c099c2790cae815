"""The attempts of a batch run as a matrix: a row for each test case."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sigmamind_mcp.api.models import TestRun, Verdict
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.insight.diagnosis import CaseResult, get_case_id
from sigmamind_mcp.tools.parts import LABEL_CHARACTERS, truncate_line
from sigmamind_mcp.untrusted_text import clean

MAX_CELLS = 1_000
LETTERS: dict[Verdict, str] = {"passed": "p", "failed": "f", "undecided": "u"}

Matrix = list[list[Any]]
"""Rows of [test case id, label, [[job id, letter], …]]; an id that is not usable is ""."""


def build_matrix(
    results: Sequence[CaseResult], runs: Sequence[TestRun], *, most: int | None = MAX_CELLS
) -> Matrix:
    """Return the attempts by test case in the order of `results`, at most so many in all."""
    return list(_iterate_rows(results, runs, most))


def _iterate_rows(
    results: Sequence[CaseResult], runs: Sequence[TestRun], most: int | None
) -> Iterator[list[Any]]:
    cells: defaultdict[str, list[list[str]]] = defaultdict(list)
    for run in runs:
        cell = [valid_id(run.job_id) or "", LETTERS[run.verdict]]
        cells[get_case_id(run)].append(cell)
    left = len(runs) if most is None else most
    for result in results:
        case_id = result.case.test_case_id or ""
        shown = cells[case_id][:left]
        if cells[case_id] and not shown:
            return
        left -= len(shown)
        label = clean(truncate_line(result.case.title, LABEL_CHARACTERS))
        yield [valid_id(case_id) or "", label, shown]
