"""Search the turns of conversations for words and phrases, in any language.

Query and turn are compared in a folded form: without case, accents and invisible characters, and
with every punctuation mark as a separator. A query has alternatives `a | b`; each has words, which
may stand anywhere in one turn, and "phrases", whose words follow each other.

- A word of four letters or more matches as a prefix, any other word and every number as a whole.
- Punctuation inside a word is optional: `check-out` matches "check-out", "check out" and
  "checkout". Points and commas between digits belong to the number: `25` does not match "25.50".
- Scripts without spaces between words match as substrings.
- What `-"phrase"` or `-word` matches is not read, so "on the house" can be told from "depending on
  the house".
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, pairwise
from typing import NamedTuple
from unicodedata import category, combining, decimal, normalize

from sigmamind_mcp.errors import InvalidArguments
from sigmamind_mcp.insight.left_out import LEFT_OUT_MARK, write_own_dots
from sigmamind_mcp.insight.list_heads import HEAD_CHARACTERS, find_heads, shorten_head
from sigmamind_mcp.insight.unspaced_scripts import UNSPACED

MIN_PREFIX_LETTERS = 4
MAX_MATCHES_WEIGHED = 20
MAX_WORDS_COUNTED = 12
MAX_ALTERNATIVES = 40
"""Each is looked for in every turn."""
MAX_FOLDINGS_KEPT = 20_000
QUOTED_CHARACTERS = 180
CLEAR_CHARACTERS = 60
"""A shorter sentence is quoted with those around it."""
CHARACTERS_BEFORE_MATCH = 60

HOW_TO_WRITE = (
    'Write words (all in one turn), "phrases in order", or alternatives: a | b.'
    ' What -"phrase" finds is not read.'
)

# Letters that have no accent by Unicode, but one in the eyes of readers; and apostrophes that
# Unicode counts as letters.
_FOLDED_LETTERS = {
    "ı": "i", "ł": "l", "ø": "o", "đ": "d", "ħ": "h", "æ": "ae", "œ": "oe", "ʼ": "'", "ʻ": "'",
}  # fmt: skip

# Vowel signs are no letters for \w, so the blocks that have them are named.
_WORD = r"\w\u0900-\u1cff\u3099\u309a\ua800-\uabff\U00011000-\U00011fff"
_SPACED = f"(?:(?![{UNSPACED}])[{_WORD}])"
_GAP = f"[^{_WORD}]"
_WORD_START, _WORD_END = f"(?<!{_SPACED})", f"(?!{_SPACED})"
# Folded, a voiced kana is the unvoiced one with a mark.
_NO_VOICING = "(?![\u3099\u309a])"
_NUMBER_START, _NUMBER_END = "(?<![0-9][.,:])", "(?![.,:][0-9])"

_NON_ASCII = re.compile(r"[^\x00-\x7f]+")
_DOUBLE_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»″＂", '"'))
_NEGATION = re.compile(r"![^\W\d_]")
_PIECE = re.compile(
    r'(?P<minus>(?<![^\s|])[-\u2212](?="|[^\W\d_]))?'
    r'(?:"(?P<phrase>[^"]*)"|(?P<bar>\|)|(?P<word>[^\s"|]+))'
)
# Replaces each character that is not read: places stay the same, and no phrase crosses it.
_NOT_READ = "\u01c0"
_UNIT = re.compile(
    f"[{UNSPACED}]+|{_SPACED}+(?:(?<=[0-9])[.,:](?=[0-9]){_SPACED}+)*|[$%]|[^\\x00-\\x7f\\s]"
)
# Only from the first of many dots: from each of them, a turn of dots would take minutes.
_SENTENCE_END = re.compile(
    r"(?<![.!?;…])[.!?;…]++[\"'”’)]*+\s+|(?<![。！？])[。！？]++\s*+|(?<!\n)\n++"
)


class Term(NamedTuple):
    """A word or a phrase; text without `literal` cannot match."""

    literal: str
    pattern: re.Pattern[str]

    def is_in(self, folded: str) -> bool:
        return self.literal in folded and self.pattern.search(folded) is not None


class Match(NamedTuple):
    """What of a query a text has: alternatives by their number, and single words of theirs."""

    alternatives: Sequence[int]
    words: Sequence[str]


class Query(NamedTuple):
    """Alternatives; all terms of one of them must be in the same turn.

    `texts` are the alternatives as they are written, `words` the first words of those with several.
    What `excluded` finds is not read.
    """

    alternatives: Sequence[Sequence[Term]]
    texts: Sequence[str]
    words: dict[str, Term]
    excluded: Sequence[Term] = ()

    def match(self, text: str) -> Match:
        """Return which alternatives match the text, and which of their words it has."""
        folded = _hide_terms(fold_text(text), self.excluded)
        matching = []
        for number, terms in enumerate(self.alternatives):
            # Literals first: they are found much faster than patterns.
            has_literals = all(term.literal in folded for term in terms)
            if has_literals and all(term.pattern.search(folded) for term in terms):
                matching.append(number)
        words = [word for word, term in self.words.items() if term.is_in(folded)]
        return Match(matching, words)


def parse_search(text: str) -> Query:
    """Parse what to search for.

    Raises:
        InvalidArguments: the text has nothing to search for, or cannot be understood.
    """
    straight = text.translate(_DOUBLE_QUOTES)
    if straight.count('"') % 2:
        raise InvalidArguments(f"text has a quotation mark without a second one. {HOW_TO_WRITE}")
    alternatives: list[list[Term]] = []
    texts: list[str] = []
    excluded: list[Term] = []
    for pieces in _split_alternatives(straight):
        wanted = [piece for piece in pieces if not piece["minus"]]
        for piece in pieces:
            if piece["minus"]:
                excluded += _read_piece(piece)
        # What is excluded counts for all alternatives, so it may stand alone.
        if wanted or not pieces:
            alternatives.append(list(chain.from_iterable(map(_read_piece, wanted))))
            texts.append(" ".join(piece[0] for piece in wanted))
    if len(alternatives) > MAX_ALTERNATIVES:
        raise InvalidArguments(
            f"text has {len(alternatives)} alternatives, and a search takes at most"
            f" {MAX_ALTERNATIVES}. Search for the first {MAX_ALTERNATIVES}, then for the others."
        )
    if not alternatives or not all(alternatives):
        raise InvalidArguments(_describe_empty_alternative(len(alternatives)))
    words = dict(islice(_list_words(texts), MAX_WORDS_COUNTED))
    return Query(alternatives, texts, words, excluded)


def fold_text(text: str) -> str:
    """Return the text without case, accents and invisible characters."""
    if not text.isascii():
        text = _NON_ASCII.sub(lambda run: run[0].translate(_FOLDINGS), text)
    return text.lower().replace("_", " ")


def split_sentences(text: str) -> list[str]:
    """Return the sentences of the text, each with its punctuation."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    bounds = pairwise([0, *ends, len(text)])
    return [text[start:end] for start, end in bounds if text[start:end].strip()]


def has_any(text: str, terms: Sequence[Term]) -> bool:
    """Return whether the text has one of the terms."""
    folded = fold_text(text)
    return any(term.is_in(folded) for term in terms)


def quote_match(text: str, terms: Sequence[Term], excluded: Sequence[Term] = ()) -> str:
    """Return the sentence with the most of the terms; a short one with those around it.

    Terms inside of what `excluded` finds do not count. The result is at most QUOTED_CHARACTERS of
    the text, after the heads of a list's entry, with marks where something is left out.
    """
    places = list(_locate_terms(text, terms, excluded))
    bounds = _find_bounds(text)
    by_sentence: dict[int, set[int]] = {}
    for place, term in places:
        sentence = bisect_right(bounds, place) - 1
        by_sentence.setdefault(sentence, set()).add(term)
    best = max(by_sentence, key=lambda sentence: (len(by_sentence[sentence]), -sentence))
    start, end = bounds[best], bounds[best + 1]
    heads = _find_heads_of(best, text, bounds)
    if end - start <= QUOTED_CHARACTERS:
        head_characters = sum(min(HEAD_CHARACTERS, stop - head) for head, stop in heads)
        clear = CLEAR_CHARACTERS - head_characters
        start, end = _add_neighbours(bounds, best, best + 1, clear)
        return _cut_out(text, start, end, heads)
    first = min(place for place, _ in places if start <= place)
    latest_start = end - QUOTED_CHARACTERS
    start = max(start, min(first - CHARACTERS_BEFORE_MATCH, latest_start))
    return _cut_out(text, start, start + QUOTED_CHARACTERS, heads)


def quote_sentence(text: str, sentence: str, characters: int) -> str:
    """Return a sentence of the text as quote_match does, without those around it."""
    bounds = _find_bounds(text)
    number, start = next(one for one in enumerate(bounds) if text.startswith(sentence, one[1]))
    end = start + min(len(sentence), characters)
    return _cut_out(text, start, end, _find_heads_of(number, text, bounds))


def _split_alternatives(text: str) -> list[list[re.Match[str]]]:
    """Return the words and phrases of each alternative."""
    alternatives: list[list[re.Match[str]]] = [[]]
    for piece in _PIECE.finditer(text):
        if piece["bar"]:
            alternatives.append([])
        else:
            alternatives[-1].append(piece)
    return alternatives


def _read_piece(piece: re.Match[str]) -> list[Term]:
    """Return the term that is written here; none if it is only punctuation."""
    phrase = piece["phrase"]
    if phrase is None:
        _refuse_operator(piece["word"])
        term = _build_term([piece["word"]])
        return [term] if term else []
    term = _build_term(phrase.split())
    if term is None:
        raise InvalidArguments(f"text has quotation marks without a word. {HOW_TO_WRITE}")
    return [term]


def _list_words(texts: Sequence[str]) -> Iterator[tuple[str, Term]]:
    """Yield the longer words of the alternatives that have several, each with its term."""
    for text in texts:
        words = text.replace('"', " ").split()
        for word in words if len(words) > 1 else ():
            term = _build_term([word])
            if term and len(word) >= MIN_PREFIX_LETTERS:
                yield word, term


def _refuse_operator(word: str) -> None:
    if word in ("AND", "OR", "NOT"):
        raise InvalidArguments(
            f"text has {word}, which is no operator here. {HOW_TO_WRITE}"
            f' To search for the word itself, write "{word.lower()}".'
        )
    if _NEGATION.match(word):
        raise InvalidArguments(
            f"text has ! before a word; to leave one out write -. {HOW_TO_WRITE}"
        )


def _describe_empty_alternative(count: int) -> str:
    place = "text" if count < 2 else "text, on one side of |,"
    return f"{place} has no word to search for. {HOW_TO_WRITE}"


def _build_term(words: Sequence[str]) -> Term | None:
    """Build the pattern of words that follow each other; None if they are only punctuation."""
    units: list[str] = []
    starts: set[int] = set()
    for word in words:
        starts.add(len(units))
        units += _UNIT.findall(fold_text(word))
    if not units:
        return None
    pattern = _open_unit(units[0])
    for number, (unit, following) in enumerate(pairwise(units), start=1):
        pattern += re.escape(unit)
        pattern += _join_units(unit, following, is_new_word=number in starts)
    last = units[-1]
    pattern += re.escape(last) + _close_unit(last)
    return Term(max(units, key=len), re.compile(pattern))


def _open_unit(unit: str) -> str:
    if not _is_spaced(unit):
        return ""
    return _WORD_START + (_NUMBER_START if unit[0].isdigit() else "")


def _close_unit(unit: str) -> str:
    if not _is_spaced(unit):
        return _NO_VOICING
    if _is_prefix(unit):
        return ""
    return _WORD_END + (_NUMBER_END if unit[-1].isdigit() else "")


def _join_units(unit: str, following: str, *, is_new_word: bool) -> str:
    """Return the pattern of what stands between two units of a term."""
    if not (_is_spaced(unit) and _is_spaced(following)):
        return f"{_GAP}*"
    ending = f"{_SPACED}*" if _is_prefix(unit) else ""
    # Without a gap, "25/11" would match 2511.
    joins_digits = unit[-1].isdigit() and following[0].isdigit()
    gap = f"{ending}{_GAP}+"
    return gap if is_new_word or joins_digits else f"(?:{gap})?"


def _is_spaced(unit: str) -> bool:
    """Return whether the unit is a word or number of a script that has spaces."""
    return re.match(_SPACED, unit) is not None


def _is_prefix(unit: str) -> bool:
    has_digit = any(map(str.isdigit, unit))
    return not has_digit and sum(map(str.isalpha, unit)) >= MIN_PREFIX_LETTERS


class _FoldingTable(dict[int, str]):
    """What each character becomes, computed when it first occurs."""

    def __missing__(self, code: int) -> str:
        lower = normalize("NFKD", chr(code)).casefold()
        parts = normalize("NFKD", lower)
        folded = "".join(map(_fold_part, parts))
        if len(self) < MAX_FOLDINGS_KEPT:
            self[code] = folded
        return folded


_FOLDINGS = _FoldingTable()


def _fold_part(part: str) -> str:
    kind = category(part)
    if part in _FOLDED_LETTERS:
        return _FOLDED_LETTERS[part]
    if kind == "Cf" or _is_accent(part):
        return ""
    if kind == "Nd":
        return str(decimal(part))
    return " " if kind[0] in "ZCP" and not part.isascii() else part


def _is_accent(mark: str) -> bool:
    """Return whether this is an accent or a vowel point; vowel signs and voicing marks are not."""
    # By combining class: Hebrew and Arabic points have 10 to 36, accents 200 and more.
    place = combining(mark)
    return 10 <= place <= 36 or place >= 200


def _hide_terms(folded: str, terms: Sequence[Term]) -> str:
    for term in terms:
        if term.literal in folded:
            folded = term.pattern.sub(lambda match: _NOT_READ * len(match[0]), folded)
    return folded


def _locate_terms(
    text: str, terms: Sequence[Term], excluded: Sequence[Term]
) -> Iterator[tuple[int, int]]:
    """Yield where each term occurs in the text itself, with the number of the term."""
    folded = _hide_terms(fold_text(text), excluded)
    origins = range(len(text)) if text.isascii() else _map_to_origin(text)
    for number, term in enumerate(terms):
        for match in islice(term.pattern.finditer(folded), MAX_MATCHES_WEIGHED):
            yield origins[match.start()], number


def _map_to_origin(text: str) -> list[int]:
    """Return, for each position in the folded text, the position in the text."""
    origins: list[int] = []
    for position, character in enumerate(text):
        origins += [position] * len(_FOLDINGS[ord(character)])
    return origins


def _find_bounds(text: str) -> list[int]:
    """Return where the sentences of the text begin, and its end."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    return [0, *ends, len(text)]


def _find_heads_of(number: int, text: str, bounds: Sequence[int]) -> list[tuple[int, int]]:
    """Return the bounds of the heads of a sentence."""
    sentences = [text[start:end] for start, end in pairwise(bounds[: number + 2])]
    return [(bounds[head], bounds[head + 1]) for head in find_heads(sentences)[number]]


def _add_neighbours(bounds: Sequence[int], first: int, last: int, clear: int) -> tuple[int, int]:
    """Return the bounds of the sentences from `first` to before `last`, and of those around them.

    The ones after come first, then the ones before: as many as make it clear, if they fit.
    """
    start, end = bounds[first], bounds[last]
    while end - start < clear:
        following = bounds[last + 1 : last + 2]
        previous = bounds[first - 1 : first]
        if following and following[0] - start <= QUOTED_CHARACTERS:
            last += 1
            end = bounds[last]
        elif previous and end - previous[0] <= QUOTED_CHARACTERS:
            first -= 1
            start = bounds[first]
        else:
            break
    return start, end


def _cut_out(text: str, start: int, end: int, heads: Iterable[tuple[int, int]]) -> str:
    """Return this part of the text and the heads before it, with marks for what is left out."""
    before = [head for head in heads if head[1] <= start]
    shown = ""
    following = 0
    for part_start, part_end in [*before, (start, end)]:
        shown += LEFT_OUT_MARK if text[following:part_start].strip() else " "
        words = write_own_dots(text[part_start:part_end].strip())
        shown += words if part_start == start else shorten_head(words).strip()
        following = part_end
    if text[end:].strip():
        shown += LEFT_OUT_MARK
    return shown.strip()
