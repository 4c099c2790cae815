"""The answer of a search: how many attempts match in each batch run, and the turns that do."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, NamedTuple

from pydantic import Field

from sigmamind_mcp.api.conversations import Side
from sigmamind_mcp.api.models import Verdict
from sigmamind_mcp.insight.words import measure_similarity
from sigmamind_mcp.nouns import pluralize
from sigmamind_mcp.tools.answers import Answer, AnswerPart, Budgets, Rendered, name_days, one_line
from sigmamind_mcp.tools.batch_run_walk import ReadProblem

SEARCH_CHARACTERS = 12_000
SEARCH_TEXT_CHARACTERS = 6_000
"""Text shows a sentence once that many attempts say; structured content repeats it."""
MIN_ALIKE = 0.6

_WORD = re.compile(r"[^\W\d_]+")


class MatchCount(NamedTuple):
    """How many attempts match, of how many that were searched."""

    matching: int
    searched: int

    def __str__(self) -> str:
        return f"{self.matching} of {self.searched}"


class VerdictShares(AnswerPart):
    """By verdict, matching attempts of all searched ones ("3 of 8"); absent if there are none."""

    failed: str | None = Field(default=None, description="Matching of all searched failed ones.")
    passed: str | None = None
    undecided: str | None = None
    not_searched: int | None = Field(
        default=None, description="Attempts whose conversation could not be searched."
    )

    def describe_shares(self) -> str:
        shares = []
        if self.failed:
            shares.append(f"{self.failed} failed")
        if self.passed:
            shares.append(f"{self.passed} passed")
        if self.undecided:
            shares.append(f"{self.undecided} undecided")
        if self.not_searched:
            shares.append(f"{self.not_searched} not searched")
        return ", ".join(shares) or "no such attempts"


class SearchedRow(VerdictShares):
    """One batch run that was to be searched."""

    batch_id: str
    date: str | None = Field(default=None, description="The day it was created, UTC.")
    problem: ReadProblem | None = Field(
        default=None, description="Why nothing is known about this batch run."
    )
    not_quoted: dict[Verdict, list[str]] | None = Field(
        default=None, description="Job ids that match and have no hit in this answer."
    )
    not_listed: int | None = Field(
        default=None, description="How many more match and are neither quoted nor listed."
    )

    def line(self) -> str:
        return f"{self.date or 'undated'} {self.batch_id}: {self.problem or self.describe_shares()}"

    def list_not_quoted(self) -> str:
        """List the job ids that match and are not quoted, by verdict; "" if there are none."""
        parts = []
        for verdict, job_ids in (self.not_quoted or {}).items():
            parts.append(f"{verdict} {', '.join(job_ids)}")
        if self.not_listed:
            parts.append(f"{self.not_listed} more")
        return f"; not quoted: {'; '.join(parts)}" if parts else ""


class MatchingCase(AnswerPart):
    test_case_id: str | None = None
    label: str | None = None
    matching: str = Field(description="Matching attempts of all searched ones of this test case.")

    def describe(self) -> str:
        return one_line(f"{self.test_case_id or ''} {self.label or ''}: {self.matching}")


class AlternativeCount(AnswerPart):
    """An alternative of the text, and the attempts that have it."""

    text: str
    attempts: int
    by_batch_run: str | None = Field(
        default=None, description="Of each batch run, oldest first; ? where not searched."
    )
    words: dict[str, int] | None = Field(
        default=None, description="If no turn has it: attempts with each of its words."
    )

    def describe(self) -> str:
        line = f"{self.text}: {self.attempts}" if self.attempts else self.text
        details = [f"{word}: {count}" for word, count in (self.words or {}).items()]
        if self.by_batch_run:
            details = [self.by_batch_run]
        return f"{line} ({', '.join(details)})" if details else line


class FoundPlace(AnswerPart):
    """A turn of a conversation."""

    batch_id: str
    job_id: str
    turn: int = Field(description="Counts from 1.")


class Hit(FoundPlace):
    """A turn that matches."""

    verdict: Verdict
    side: Side
    sentence: str = Field(description="With those around it; … where the turn has more.")
    previous_turn: str | None = Field(
        default=None, description="Side and text of the turn before, if this one is short."
    )

    def lines(self, days: Mapping[str, str]) -> Iterable[str]:
        place = f"{self.job_id} {self.verdict}, turn {self.turn} {self.side}"
        yield f"  {days.get(self.batch_id, self.batch_id)} {place}: {self.sentence}"
        if self.previous_turn:
            yield f"    after turn {self.turn - 1} {self.previous_turn}"


class OtherWording(FoundPlace):
    """A sentence that does not match and is much like those that do."""

    verdict: Verdict
    sentence: str
    attempts: int = Field(description="Attempts without a match that say it or the like.")
    by_batch_run: str = Field(description="How many of them on which day, oldest first.")

    def line(self, days: Mapping[str, str]) -> str:
        where = f"{days.get(self.batch_id, self.batch_id)} {self.job_id} {self.verdict}"
        return f"  {where}, turn {self.turn}: {self.sentence} ({self.by_batch_run})"


def _list_alike(alike: Iterable[Hit], hit: Hit, days: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each verdict, with the turn in front if all places share it."""
    by_verdict: dict[Verdict, list[Hit]] = {}
    for one in alike:
        by_verdict.setdefault(one.verdict, []).append(one)
    for verdict, hits in by_verdict.items():
        turns = {one.turn for one in hits}
        shared = f", turn {hits[0].turn}" if len(turns) == 1 else ""
        places = _name_places(hits, hit.batch_id, days, with_turns=not shared)
        yield f"    alike, {verdict}{shared}: {places}"


def _name_places(
    hits: Iterable[Hit], batch_id: str, days: Mapping[str, str], *, with_turns: bool
) -> str:
    """List hits by batch run, each with its day but for this one, and by test run."""
    by_run: dict[str, dict[str, list[str]]] = {}
    for hit in hits:
        turns = by_run.setdefault(hit.batch_id, {})
        turns.setdefault(hit.job_id, []).append(str(hit.turn))
    parts = []
    for its_id, turns in by_run.items():
        places = list(turns)
        if with_turns:
            places = [f"{job_id} turn {', '.join(numbers)}" for job_id, numbers in turns.items()]
        day = "" if its_id == batch_id else f"{days.get(its_id, its_id)} "
        parts.append(f"{day}{'; '.join(places)}")
    return "; ".join(parts)


def group_alike(hits: Iterable[Hit]) -> list[list[Hit]]:
    """Group the hits of a side whose sentences are much alike, in order."""
    groups: list[list[Hit]] = []
    places: dict[Side, list[tuple[frozenset[str], list[Hit]]]] = {}
    for hit in hits:
        words = frozenset(_WORD.findall(hit.sentence.lower()))
        known = places.setdefault(hit.side, [])
        for its_words, group in known:
            if measure_similarity(words, its_words) >= MIN_ALIKE:
                group.append(hit)
                break
        else:
            groups.append([hit])
            known.append((words, groups[-1]))
    return groups


class FoundTestRuns(VerdictShares, Answer):
    """What a search found; the shares are those of all batch runs together."""

    budgets: ClassVar[Budgets] = Budgets(SEARCH_CHARACTERS, SEARCH_TEXT_CHARACTERS)

    agent_id: str
    alternatives: list[AlternativeCount] | None = Field(
        default=None, description="How many attempts have each, if there are several or no match."
    )
    searched_batch_runs: int
    total_batch_runs: int | None = Field(default=None, description="All that the agent has.")
    matching_batch_runs: int
    first_match: FoundPlace | None = Field(
        default=None, description="In the oldest searched batch run that has a match."
    )
    batch_runs: list[SearchedRow] = Field(description="Oldest first, also those without a match.")
    test_cases: list[MatchingCase] = Field(default=[], description="Those with the most matches.")
    more_test_cases: int | None = Field(
        default=None, description="Further test cases with a match."
    )
    hit_count: int = Field(description="All turns that match.")
    hits: list[Hit]
    other_wordings: list[OtherWording] | None = Field(
        default=None,
        description="What attempts without a match say most like the hits; absent: not compared.",
    )

    def render(self) -> Rendered:
        data: list[str] = []
        data += self._list_alternatives()
        if self.test_cases:
            cases = "; ".join(case.describe() for case in self.test_cases)
            more = f"; and {self.more_test_cases} more" if self.more_test_cases else ""
            data.append(f"matching by test case: {cases}{more}")
        data += self._list_hits()
        if self.other_wordings:
            data.append("no match, but most like the matches (attempts by day):")
            days = self._name_days()
            data += [wording.line(days) for wording in self.other_wordings]
        shown = f"{pluralize(len(self.hits), 'matching turn')} of {self.hit_count:,} shown."
        after = [shown] if self.hit_count else []
        if self.hit_count and self.other_wordings == []:
            after.append("Attempts without a match say nothing like the matches.")
        return Rendered([self._describe_totals(), *self._list_rows()], data, after)

    def _list_alternatives(self) -> Iterable[str]:
        found = [one for one in self.alternatives or [] if one.attempts]
        missing = [one for one in self.alternatives or [] if not one.attempts]
        if found:
            runs = " (by batch run, oldest first)" if found[0].by_batch_run else ""
            counts = " | ".join(one.describe() for one in found)
            yield one_line(f"attempts by alternative{runs}: {counts}")
        if missing:
            yield one_line(f"in none: {' | '.join(one.describe() for one in missing)}")

    def _list_hits(self) -> Iterable[str]:
        days = self._name_days()
        for hit, *alike in group_alike(self.hits):
            yield from hit.lines(days)
            yield from _list_alike(alike, hit, days)

    def _name_days(self) -> dict[str, str]:
        return name_days((row.batch_id, row.date) for row in self.batch_runs)

    def _describe_totals(self) -> str:
        searched = pluralize(self.searched_batch_runs, "batch run")
        if self.total_batch_runs is not None:
            total = pluralize(self.total_batch_runs, "batch run")
            searched = f"{self.searched_batch_runs} of {total}"
        line = f"Searched {searched} of agent {self.agent_id}."
        if not self._is_single:
            line += f" Matching attempts: {self.describe_shares()}."
        first = self._name_first()
        if self.first_match and (first or not self._is_single):
            line += f" Batch runs with a match: {self.matching_batch_runs}{first}."
        return line

    @property
    def _is_single(self) -> bool:
        """Whether the row of the only searched batch run has all counts."""
        return self.searched_batch_runs == len(self.batch_runs) == 1

    def _name_first(self) -> str:
        """Name the place of the first match, unless it is that of the first hit."""
        first = self.first_match
        hit = self.hits[0] if self.hits else None
        shown = (hit.batch_id, hit.job_id, hit.turn) if hit else None
        if not first or shown == (first.batch_id, first.job_id, first.turn):
            return ""
        place = f"{first.job_id}, turn {first.turn}"
        if first.batch_id not in {row.batch_id for row in self.batch_runs}:
            place = f"batch run {first.batch_id}, {place}"
        return f"; first match: {place}"

    def _list_rows(self) -> Iterable[str]:
        if self._is_single:
            yield "Matching attempts:"
        elif self.batch_runs:
            yield "Matching attempts by batch run, oldest first:"
        first_id = self.first_match.batch_id if self.first_match and not self._is_single else None
        for row in self.batch_runs:
            mark = " <- first match" if row.batch_id == first_id else ""
            yield row.line() + mark + row.list_not_quoted()
