"""Two batch runs side by side, honest about noise: which test cases changed, what would be needed to know.

Pure functions over models. Test cases are compared one by one with Fisher's exact test, adjusted by Holm, and all
together with the exact conditional Cochran-Mantel-Haenszel test, which a change of mix does not deceive. Only cases
whose definition is the same on both sides can speak about the agent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sigmamind_mcp.api.models import BatchRun, TestCase, TestRun
from sigmamind_mcp.insight.diagnosis import assign_single_case
from sigmamind_mcp.insight.statistics import (
    ALPHA,
    Counts,
    attempts_to_settle,
    cochran_mantel_haenszel,
    fisher,
    holm,
    least_p,
    smallest_drop,
)

Change = Literal[
    "regressed",
    "improved",
    "changed, not proven",
    "unchanged",
    "not decided",
    "definition changed",
    "new",
    "removed",
]
WORST_FIRST: tuple[Change, ...] = (
    "regressed",
    "changed, not proven",
    "definition changed",
    "improved",
    "not decided",
    "removed",
    "new",
    "unchanged",
)
MOST_ATTEMPTS = 100
ALIKE = 0.45

DEFINING = ("userPrompt", "successCriteria", "mockData", "llmModel")
"""What makes a test case another one when it changes."""


@dataclass(frozen=True)
class CaseSide:
    """A test case as one batch run has it: its definition there, and how its attempts ended."""

    case: TestCase
    counts: Counts


@dataclass(frozen=True)
class Side:
    """One batch run: its cases by id, or only `overall` where nothing tells the cases apart.

    `definitions` says where the cases' definitions were read: in the test runs, or in the batch run.
    """

    cases: Mapping[str, CaseSide]
    overall: Counts
    definitions: Literal["test runs", "batch run"]

    @property
    def is_by_case(self) -> bool:
        return bool(self.cases)


@dataclass(frozen=True)
class CaseChange:
    """What became of one test case from base to candidate."""

    change: Change
    base: CaseSide | None
    candidate: CaseSide | None
    differs: tuple[str, ...] = ()
    p: float | None = None
    adjusted_p: float | None = None
    attempts_to_settle: int | None = None
    smallest_drop: float | None = None

    @property
    def case(self) -> TestCase:
        side = self.candidate or self.base
        assert side is not None
        return side.case


class Overall(NamedTuple):
    """All comparable cases together; `p` is None where nothing was decided.

    `excess` is how many more attempts of the candidate passed than would if both sides were alike in each case: it
    has the direction of the change, which the totals may not have where the mix of attempts differs.
    """

    base: Counts
    candidate: Counts
    p: float | None
    excess: float
    separates_mix: bool


@dataclass(frozen=True)
class Comparison:
    """Every case's change, worst first, and all of them together; `compared` is the m of the adjustment."""

    changes: Sequence[CaseChange]
    overall: Overall
    compared: int
    could_prove: bool
    definitions_unknown: int = 0
    """Compared cases of which one side does not tell prompt or criteria, so that an edit cannot be seen."""


def build_side(batch_run: BatchRun, runs: Sequence[TestRun] | None) -> Side:
    """One side, from its test runs; without them from the counters, which tell one case's attempts at most."""
    defined = {case.test_case_id: case for case in batch_run.test_cases if case.test_case_id}
    runs = None if runs is None else assign_single_case(batch_run.test_cases, runs)
    if runs is not None and not all(map(_tells_case, runs)):
        return Side({}, _counts([run.verdict for run in runs]), "batch run")
    if runs is not None:
        verdicts: dict[str, list[str]] = {name: [] for name in defined}
        shown: dict[str, TestCase] = {}
        for run in runs:
            case = run.test_case or TestCase()
            name = case.test_case_id or case.label or ""
            verdicts.setdefault(name, []).append(run.verdict)
            if case.user_prompt is not None and case.success_criteria is not None:
                shown.setdefault(name, case)
            defined.setdefault(name, case)
        cases = {
            name: CaseSide(shown.get(name, defined[name]), _counts(found))
            for name, found in verdicts.items()
        }
        overall = _counts([verdict for found in verdicts.values() for verdict in found])
        return Side(cases, overall, "test runs" if shown else "batch run")
    overall = Counts(batch_run.successful_attempts or 0, batch_run.decided_attempts or 0)
    alone = (
        {name: CaseSide(case, overall) for name, case in defined.items()}
        if len(batch_run.test_cases) == 1
        else {}
    )
    return Side(alone, overall, "batch run")


def _tells_case(run: TestRun) -> bool:
    return bool(run.test_case and (run.test_case.test_case_id or run.test_case.label))


def _counts(verdicts: Sequence[str]) -> Counts:
    passed = verdicts.count("passed")
    return Counts(passed, passed + verdicts.count("failed"))


def compare(base: Side, candidate: Side) -> Comparison:
    """Pair the cases and weigh each pair, and all together.

    Without cases on both sides only the totals are compared, which cannot tell a change of the agent from a change
    of the mix of cases.
    """
    if not (base.is_by_case and candidate.is_by_case):
        p = (
            fisher(base.overall, candidate.overall)
            if base.overall.decided and candidate.overall.decided
            else None
        )
        can = (
            least_p(base.overall.decided, candidate.overall.decided) <= ALPHA
            if p is not None
            else False
        )
        excess = _excess([(base.overall, candidate.overall)])
        return Comparison(
            [], Overall(base.overall, candidate.overall, p, excess, separates_mix=False), 0, can
        )
    pairs, changes = _pair_cases(base.cases, candidate.cases)
    comparable = []
    for one, other in pairs:
        differs = differences(one.case, other.case)
        if any(name in DEFINING for name in differs):
            changes.append(CaseChange("definition changed", one, other, differs))
        elif one.counts.decided == 0 or other.counts.decided == 0:
            changes.append(CaseChange("not decided", one, other, differs))
        else:
            comparable.append((one, other, differs))
    p_values = [fisher(one.counts, other.counts) for one, other, _ in comparable]
    m = len(comparable)
    for (one, other, differs), p, adjusted in zip(
        comparable, p_values, holm(p_values), strict=True
    ):
        changes.append(_classify_change(one, other, differs, p, adjusted, m))
    strata = [(one.counts, other.counts) for one, other, _ in comparable]
    overall = Overall(
        _sum([stratum[0] for stratum in strata]),
        _sum([stratum[1] for stratum in strata]),
        cochran_mantel_haenszel(strata) if strata else None,
        _excess(strata),
        separates_mix=True,
    )
    could_prove = any(least_p(one.decided, other.decided) <= ALPHA / m for one, other in strata)
    changes.sort(key=lambda one: (WORST_FIRST.index(one.change), 2.0 if one.p is None else one.p))
    unknown = sum(
        not (_is_defined(one.case) and _is_defined(other.case)) for one, other, _ in comparable
    )
    return Comparison(changes, overall, m, could_prove, unknown)


def _is_defined(case: TestCase) -> bool:
    return case.user_prompt is not None and case.success_criteria is not None


def _classify_change(
    one: CaseSide, other: CaseSide, differs: tuple[str, ...], p: float, adjusted: float, m: int
) -> CaseChange:
    before, after = one.counts.rate, other.counts.rate
    if before == after:
        drop = smallest_drop(one.counts, other.counts.decided, ALPHA / m)
        return CaseChange("unchanged", one, other, differs, p, adjusted, smallest_drop=drop)
    if adjusted <= ALPHA:
        return CaseChange(
            "improved" if after > before else "regressed", one, other, differs, p, adjusted
        )
    settle = attempts_to_settle(before, after, ALPHA / m, at_most=MOST_ATTEMPTS)
    return CaseChange(
        "changed, not proven", one, other, differs, p, adjusted, attempts_to_settle=settle
    )


def _excess(strata: Sequence[tuple[Counts, Counts]]) -> float:
    return sum(
        other.passed - other.decided * (one.passed + other.passed) / (one.decided + other.decided)
        for one, other in strata
        if one.decided + other.decided
    )


def _sum(counts: Sequence[Counts]) -> Counts:
    return Counts(sum(one.passed for one in counts), sum(one.decided for one in counts))


def _pair_cases(
    base: Mapping[str, CaseSide], candidate: Mapping[str, CaseSide]
) -> tuple[list[tuple[CaseSide, CaseSide]], list[CaseChange]]:
    """The cases that are on both sides, by id and then by a label that only one case has, and those that are not."""
    pairs = [(base[name], candidate[name]) for name in base if name in candidate]
    gone = _by_label(side for name, side in base.items() if name not in candidate)
    came = _by_label(side for name, side in candidate.items() if name not in base)
    changes: list[CaseChange] = []
    for label, sides in gone.items():
        others = came.get(label, [])
        if label and len(sides) == len(others) == 1:
            pairs.append((sides[0], others[0]))
            del came[label]
        else:
            changes += [CaseChange("removed", side, None) for side in sides]
    changes += [CaseChange("new", None, side) for sides in came.values() for side in sides]
    return pairs, changes


def _by_label(sides: Iterable[CaseSide]) -> dict[str, list[CaseSide]]:
    found: dict[str, list[CaseSide]] = {}
    for side in sides:
        found.setdefault((side.case.label or "").strip(), []).append(side)
    return found


def differences(one: TestCase, other: TestCase) -> tuple[str, ...]:
    """Fields, by the API's names, that differ; one that either side does not tell cannot."""
    fields = {
        "userPrompt": (one.user_prompt, other.user_prompt),
        "successCriteria": (one.success_criteria, other.success_criteria),
        "mockData": (_mock(one), _mock(other)),
        "llmModel": (_model(one), _model(other)),
        "label": (one.label, other.label),
        "attempt": (one.attempt, other.attempt),
    }
    return tuple(
        name for name, (a, b) in fields.items() if a is not None and b is not None and a != b
    )


def _model(case: TestCase) -> str | None:
    """The model; "" where the case says that it has none, which leaves the agent's, None where it does not say."""
    return case.llm_model or ("" if "llmModel" in case.raw else None)


def _mock(case: TestCase) -> list[tuple[str, str]] | None:
    """The mock data, whatever its order; None where the case as given does not have the field."""
    if "mockData" not in case.raw:
        return None
    return sorted((mock.variable_name, mock.value) for mock in case.mock_data)
