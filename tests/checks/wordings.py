"""Measures the other wordings of a search on dialogues whose turns others have labelled with acts.

The dialogues have the format of the Schema-Guided Dialogue data set. Those of one service are the
attempts of an agent. For each act (such as INFORM of a slot) a search has one word, the most telling
one of a random sentence; a wording that it shows is right if its turn has the same act.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from sigmamind_mcp.insight.other_wordings import MIN_ALIKE, Sentence, find_other_wordings
from sigmamind_mcp.insight.text_search import parse_search, split_sentences
from sigmamind_mcp.insight.words import extract_words, measure_similarity

MIN_DIALOGUES = 12
MOST_DIALOGUES = 60
MIN_SENTENCES = 6
MOST_ACTS = 12
MOST_WITH_WORD = 0.7
"""A word that nearly all sentences have leaves nothing to find."""
MIN_PRECISION = 0.5

Act = tuple[str, str]


class Said(NamedTuple):
    """A sentence of the agent, and the acts of its turn."""

    attempt: int
    turn: int
    text: str
    acts: frozenset[Act]


class WordingFigures(NamedTuple):
    """What searches found, counted in wordings and in attempts with the act."""

    shown: int
    right: int
    attempts: int
    matching: int
    with_wording: int


def read_services(paths: Sequence[Path]) -> Iterator[list[Said]]:
    """Yield what the agent says in the dialogues of each service."""
    by_service: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for path in paths:
        for dialogue in json.loads(path.read_text(encoding="utf-8")):
            if len(dialogue["services"]) == 1:
                by_service[dialogue["services"][0]].append(dialogue)
    for _, dialogues in sorted(by_service.items()):
        if len(dialogues) >= MIN_DIALOGUES:
            sentences: list[Said] = []
            for number, dialogue in enumerate(dialogues[:MOST_DIALOGUES]):
                sentences += _list_said(number, dialogue)
            yield sentences


def measure_wordings(sentences: Sequence[Said], random: Random) -> Iterator[WordingFigures]:
    """Yield the figures of one search for each act of a service."""
    acts = Counter(next(iter(said.acts)) for said in sentences if len(said.acts) == 1)
    wanted = [act for act, count in acts.items() if count >= MIN_SENTENCES and act[0] != "GOODBYE"]
    for act in wanted[:MOST_ACTS]:
        figures = _search_for_act(act, sentences, random)
        if figures:
            yield figures


def format_wordings(paths: Sequence[Path]) -> Iterator[str]:
    """Yield the lines of the report."""
    random = Random(7)
    found: list[WordingFigures] = []
    for sentences in read_services(paths):
        found += measure_wordings(sentences, random)
    totals = WordingFigures(*map(sum, zip(*found, strict=True)))
    useful = sum(figures.right > 0 for figures in found)
    yield f"{len(found)} searches of one word: {useful} show a right wording"
    yield f"{totals.shown} wordings, {totals.right} of them right ({totals.right / totals.shown:.0%})"
    yield (
        f"{totals.attempts} attempts with what was meant: {totals.matching} match the word, and"
        f" {totals.with_wording} more say a right wording or the like"
    )


def _list_said(number: int, dialogue: Mapping[str, Any]) -> Iterator[Said]:
    for turn_number, turn in enumerate(dialogue["turns"], start=1):
        if turn["speaker"] != "SYSTEM":
            continue
        acts: set[Act] = set()
        for frame in turn["frames"]:
            acts.update((action["act"], action["slot"]) for action in frame["actions"])
        for sentence in split_sentences(turn["utterance"]):
            yield Said(number, turn_number, sentence, frozenset(acts))


def _search_for_act(act: Act, sentences: Sequence[Said], random: Random) -> WordingFigures | None:
    """Search for a telling word of the act; None if there is no such word."""
    own = [said for said in sentences if said.acts == {act}]
    word = _choose_word(random.choice(own).text, own, sentences)
    if word is None:
        return None
    query = parse_search(word)
    matching = {said for said in sentences if query.match(said.text).alternatives}
    if sum(act in said.acts for said in matching) < MIN_PRECISION * len(matching):
        return None
    compared = []
    for said in sentences:
        compared.append(Sentence(*said[:3], is_match=said in matching))
    meant = [said for said in sentences if act in said.acts]
    attempts = {said.attempt for said in meant}
    matching_attempts = {said.attempt for said in matching}
    shown = find_other_wordings(compared, matching_attempts) or []
    places = {(said.attempt, said.turn) for said in meant}
    right = []
    for wording in shown:
        if wording.sentence[:2] in places:
            right.append(extract_words(wording.sentence.text))
    saying = {said.attempt for said in meant if _is_alike(said.text, right)}
    return WordingFigures(
        shown=len(shown),
        right=len(right),
        attempts=len(attempts),
        matching=len(attempts & matching_attempts),
        with_wording=len(saying - matching_attempts),
    )


def _choose_word(text: str, own: Sequence[Said], sentences: Sequence[Said]) -> str | None:
    """Return the word of a text that others of the act have and sentences of other acts do not."""
    shares = {}
    for word in sorted(set(re.findall(r"[a-z']{4,}", text.lower()))):
        with_word = sum(word in said.text.lower() for said in own)
        if 2 <= with_word < MOST_WITH_WORD * len(own):
            shares[word] = with_word / sum(word in said.text.lower() for said in sentences)
    return max(shares, key=lambda word: (shares[word], word), default=None)


def _is_alike(text: str, wordings: Sequence[frozenset[str]]) -> bool:
    words = extract_words(text)
    return any(measure_similarity(words, other) >= MIN_ALIKE for other in wordings)
