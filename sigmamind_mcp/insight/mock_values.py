"""Find where an agent's words contradict a mock variable: a name, an id, a date or an amount.

A contradiction needs another value of the same kind, close to the noun in the variable's name
(order in order_number). These values contradict nothing: values that the user brings up, values of
other mock variables, and values that the agent only asks about, offers or compares.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import SequenceMatcher
from typing import ClassVar, NamedTuple

from sigmamind_mcp.api.models import MockVariable
from sigmamind_mcp.insight.spoken_values import (
    AMOUNT,
    CURRENCY,
    KnownValues,
    Sentence,
    WrittenDate,
    contains_question,
    find_amounts,
    find_dates,
    find_ids,
    find_person_names,
    fold_words,
    is_id,
    keep_digits,
    parse_amount,
    read_id_shape,
    split_sentences,
    strip_separators,
)
from sigmamind_mcp.insight.variable_names import is_person_name, split_variable_name


class SpokenTurn(NamedTuple):
    """A turn with text; invisible characters are removed."""

    number: int
    by_user: bool
    text: str


class Contradiction(NamedTuple):
    """A turn where the agent states another value than a mock variable has."""

    variable: str
    turn: int
    language_bound: bool


def find_contradictions(
    turns: Sequence[SpokenTurn], mock_data: Sequence[MockVariable]
) -> list[Contradiction]:
    """Return the first contradiction of each mock variable."""
    known = KnownValues()
    checks: list[ValueCheck] = []
    for mock in mock_data:
        known = known.with_text(mock.value)
        checks += build_checks(mock.variable_name.strip(), mock.value.strip())
    contradictions: dict[str, Contradiction] = {}
    for turn in turns:
        if turn.by_user:
            known = known.with_text(turn.text)
            continue
        for sentence in split_sentences(turn.text):
            for check in checks:
                if check.is_contradicted_by(sentence, known):
                    contradiction = Contradiction(check.variable, turn.number, check.language_bound)
                    contradictions.setdefault(check.variable, contradiction)
            known = known.with_agent_sentence(sentence)
        checks = [check for check in checks if check.variable not in contradictions]
    return list(contradictions.values())


# One check for each kind of value.


@dataclass(frozen=True)
class ValueCheck(ABC):
    """Looks for another value of one mock variable in a sentence."""

    variable: str
    language_bound: ClassVar[bool] = True
    reads_open_sentences: ClassVar[bool] = False

    def is_contradicted_by(self, sentence: Sentence, known: KnownValues) -> bool:
        """Tell whether the sentence states another value of the variable."""
        if sentence.is_open and not self.reads_open_sentences:
            return False
        return self.finds_other_value(sentence.text, known)

    @abstractmethod
    def finds_other_value(self, text: str, known: KnownValues) -> bool:
        """Tell whether a text holds another value, whether it states it or not."""


def build_checks(variable: str, value: str) -> list[ValueCheck]:
    """Return the checks that fit a mock variable; most values need none."""
    return [*_build_noun_checks(variable, value), *_build_digit_checks(variable, value)]


def _build_noun_checks(variable: str, value: str) -> list[ValueCheck]:
    words = split_variable_name(variable)
    if is_person_name(words) and _LATIN_NAME.fullmatch(value) and value < "\u0530":
        return [PersonNameCheck(variable, value)]
    dates = find_dates(value)
    if dates and len(value) <= 30:
        return [DateCheck(variable, dates[0], _compile_date_context(words))]
    amount = parse_amount(value)
    if amount is not None and _is_money(words, value):
        return [AmountCheck(variable, amount, _compile_amount_context(words))]
    if not _is_identifier(words, value):
        return []
    labelled = LabelledIdCheck(variable, value, _compile_id_after_noun(words))
    prefix = re.match(r"[A-Za-z]{2,}", value)
    if prefix is None:
        return [labelled]
    return [labelled, PrefixedIdCheck(variable, value, _compile_prefix(prefix.group(), value))]


def _build_digit_checks(variable: str, value: str) -> list[ValueCheck]:
    # The value's own digits in another order need no noun next to them, in any language.
    digits = keep_digits(value)
    if len(set(digits)) < 2:
        return []
    amount = parse_amount(value)
    if amount is not None and re.search(rf"{CURRENCY}|[.,][0-9]{{2}}$", value):
        return [SwappedAmountDigitsCheck(variable, amount)]
    if is_id(value) and len(digits) >= 4:
        return [SwappedIdDigitsCheck(variable, value)]
    return []


@dataclass(frozen=True)
class SwappedAmountDigitsCheck(ValueCheck):
    """Looks for the digits of an amount in another order."""

    amount: Decimal
    language_bound = False
    reads_open_sentences = True

    def finds_other_value(self, text: str, known: KnownValues) -> bool:
        amounts = find_amounts(text)
        if contains_question(text) or any(amount.value == self.amount for amount in amounts):
            return False
        for amount in amounts:
            has_same_digits = sorted(f"{amount.value:.2f}") == sorted(f"{self.amount:.2f}")
            if has_same_digits and amount.is_money and amount.value not in known.amounts:
                return True
        return False


@dataclass(frozen=True)
class SwappedIdDigitsCheck(ValueCheck):
    """Looks for the characters of an id in another order."""

    value: str
    language_bound = False
    reads_open_sentences = True

    def finds_other_value(self, text: str, known: KnownValues) -> bool:
        own = strip_separators(self.value)
        tokens = find_ids(text)
        if contains_question(text) or own in map(strip_separators, tokens):
            return False
        _, length, is_number = read_id_shape(self.value)
        for token in tokens:
            _, token_length, token_is_number = read_id_shape(token)
            has_same_shape = (token_length, token_is_number) == (length, is_number)
            has_same_characters = sorted(strip_separators(token)) == sorted(own)
            if has_same_shape and has_same_characters and not known.has_id(token):
                return True
        return False


# Ids.

_ID_WORDS = frozenset(
    "id number no nr code ref reference order booking reservation ticket account invoice tracking"
    " policy claim pnr case confirmation flight contract member membership customer patient".split()
)
_GENERAL_ID_WORDS = frozenset("id number no nr num code ref the my current".split())


@dataclass(frozen=True)
class LabelledIdCheck(ValueCheck):
    """Looks for another id of the same shape after the variable's noun."""

    value: str
    context: re.Pattern[str]

    def finds_other_value(self, text: str, known: KnownValues) -> bool:
        own = strip_separators(self.value)
        if own in map(strip_separators, find_ids(text)) or own in known.ids_of_agent:
            return False
        shape = read_id_shape(self.value)
        for token in self.context.findall(text):
            if is_id(token) and read_id_shape(token) == shape and not known.has_id(token):
                return True
        return False


@dataclass(frozen=True)
class PrefixedIdCheck(ValueCheck):
    """Looks for another id that begins with the same letters, in any language."""

    value: str
    pattern: re.Pattern[str]
    language_bound = False

    def finds_other_value(self, text: str, known: KnownValues) -> bool:
        own = strip_separators(self.value)
        tokens = self.pattern.findall(text)
        if own in map(strip_separators, tokens) or own in known.ids_of_agent:
            return False
        return not all(map(known.has_id, tokens))


def _is_identifier(words: Sequence[str], value: str) -> bool:
    if not is_id(value) or len(strip_separators(value)) < 3:
        return False
    return not value.isdigit() or not _ID_WORDS.isdisjoint(words)


def _compile_id_after_noun(words: Sequence[str]) -> re.Pattern[str]:
    nouns = [word for word in words if word not in _GENERAL_ID_WORDS and len(word) > 2]
    any_noun = _join_alternatives(nouns or words)
    between = (
        r"(?:[\s:#.(*]{1,3}(?:numbers?|no|nr|id|code|ref|reference|is|was|here|reads|under|as"
        r"|the)\b){0,4}"
    )
    token = r"([A-Za-z0-9]{1,40}(?:[-_/][A-Za-z0-9]{1,40}){0,6})(?![\w-])"
    return re.compile(rf"\b(?:{any_noun})(?:['’]s)?{between}[\s:#.(*]{{1,4}}{token}", re.IGNORECASE)


def _compile_prefix(prefix: str, value: str) -> re.Pattern[str]:
    digits = len(keep_digits(value))
    return re.compile(rf"(?<![\w-]){prefix}\W?[0-9]{{{digits}}}(?![\w-])")


def _join_alternatives(words: Iterable[str]) -> str:
    return "|".join(map(re.escape, words))


# Dates.

_DATE_STEMS = {
    "delivery": "deliver|arriv|liefer|zugestellt|entreg|lleg|livr",
    "arrival": "arriv|ankunft|lleg",
    "appointment": "appointment|visit|scheduled|booked|termin|cita|rendez-vous|consult",
    "renewal": "renew|verlänger|renov|renouvel",
    "departure": "depart|leav|flight|fly|take-?off|abflug|salida|salid",
    "flight": "flight|fly|depart|vuelo|flug|vol",
    "due": "due|fällig|venc",
    "expiry": "expir|valid|runs out",
    "expiration": "expir|valid|runs out",
    "checkin": "check-?in|check in|stay|arriv",
    "check": "check-?in|check in|stay",
    "booking": "book|reserv|buch",
    "reservation": "reserv|book|table",
    "billing": "bill|charge|invoice",
    "payment": "pay|charge",
    "pickup": "pick|collect",
    "birth": "birth|born",
}
_TIME_WORDS = frozenset("date day time on at datum fecha".split())
_OTHER_EVENT = re.compile(
    r"\b(?:now|was|were|placed|ordered|issued|paid|sent|dispatched|shipped|left|today|dated|since"
    r"|last|before|after|until|by|from|no later|between|not|order date|received|requested|created"
    r"|opened|signed)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class DateCheck(ValueCheck):
    """Looks for another date in a sentence about the variable's event."""

    date: WrittenDate
    context: re.Pattern[str]

    def finds_other_value(self, text: str, known: KnownValues) -> bool:
        dates = find_dates(text)
        if len(dates) != 1 or not all(map(dates[0].differs, (self.date, *known.dates))):
            return False
        return bool(self.context.search(text)) and not _OTHER_EVENT.search(text)


def _compile_date_context(words: Sequence[str]) -> re.Pattern[str]:
    nouns = [word for word in words if word not in _TIME_WORDS] or ["date"]
    stems = [_DATE_STEMS.get(noun, re.escape(noun)) for noun in nouns]
    return re.compile("|".join(rf"\b(?:{stem})" for stem in stems), re.IGNORECASE)


# Amounts.

_AMOUNT_WORDS = frozenset(
    "amount balance price total fee cost refund premium deposit limit due bill charge fare rent"
    " credit debt salary".split()
)
_QUALIFIER = re.compile(
    r"\b(?:minimum|maximum|remaining|rest|partial|per|each|shipping|tax|vat|plus|up to|about"
    r"|around|approximately|almost|roughly|less|minus|next|last|was|after|before|additional|extra"
    r"|half|starting|from|discount\w*|average|pending|reduced|then)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class AmountCheck(ValueCheck):
    """Looks for another amount next to the variable's noun."""

    amount: Decimal
    context: re.Pattern[str]

    def finds_other_value(self, text: str, known: KnownValues) -> bool:
        is_stated = any(amount.value == self.amount for amount in find_amounts(text))
        if is_stated or _QUALIFIER.search(text):
            return False
        for match in self.context.finditer(text):
            for amount in find_amounts(match.group("after") or match.group("before"))[:1]:
                is_other = abs(amount.value - self.amount) >= 1
                if is_other and amount.is_money and amount.value not in known.amounts:
                    return True
        return False


def _is_money(words: Sequence[str], value: str) -> bool:
    return not _AMOUNT_WORDS.isdisjoint(words) or bool(re.search(r"[$€£]", value))


def _compile_amount_context(words: Sequence[str]) -> re.Pattern[str]:
    nouns = [word for word in words if word in _AMOUNT_WORDS]
    any_noun = _join_alternatives(nouns or words)
    between = (
        r"(?:[\s:,*]{1,3}(?:is|of|at|here|now|currently|stands|comes|to|for|your|the|amount|you|a"
        r"|full|account|order|this|in|will|be|due)\b){0,6}"
    )
    return re.compile(
        rf"\b(?:{any_noun}){between}[\s:*(]{{1,4}}(?P<after>{AMOUNT.pattern})"
        rf"|(?P<before>{AMOUNT.pattern})\s(?:{any_noun})\b",
        re.IGNORECASE,
    )


# People's names.

_LATIN_NAME = re.compile(r"[^\W\d_][\w .'’-]{1,59}")
_NOT_A_NAME = frozenset(
    "herr frau there again all everyone everybody team customer sir madam friend friends folks"
    " guest member patient valued traveler traveller user client welcome goodbye bye so for and"
    " home world colleague neighbour neighbor subscriber mr mrs ms monday tuesday wednesday"
    " thursday friday saturday sunday kunde kundin damen herren cliente señor señora monsieur"
    " madame hello hi good shopper student resident tenant applicant caller".split()
)

# Short forms that do not begin as the name does.
_NAMES_OF_SHORT_FORMS = dict(
    pair.split(":")
    for pair in (
        "bill:william billy:william bob:robert bobby:robert dick:richard jack:john ted:edward"
        " ned:edward peggy:margaret betty:elizabeth liz:elizabeth tony:anthony hank:henry"
        " harry:henry chuck:charles gene:eugene tina:christina becky:rebecca sasha:alexander"
        " polly:mary molly:mary jim:james drew:andrew pepe:jose paco:francisco nacho:ignacio"
        " lola:dolores beppe:giuseppe gigi:luigi"
    ).split()
)


@dataclass(frozen=True)
class PersonNameCheck(ValueCheck):
    """Looks for a person who is addressed or mentioned by another name."""

    value: str
    reads_open_sentences = True

    def finds_other_value(self, text: str, known: KnownValues) -> bool:
        own_words = fold_words(self.value)
        for name in find_person_names(text):
            words = fold_words(name)
            new_words = [word for word in words if word not in known.words]
            is_other = any(not _is_form_of_name(word, own_words) for word in new_words)
            if is_other and _NOT_A_NAME.isdisjoint(words):
                return True
        return False


def _is_form_of_name(word: str, names: Sequence[str]) -> bool:
    """Tell whether a word may be a short form, a typing error or an initial of one of the names."""
    if _NAMES_OF_SHORT_FORMS.get(word) in names:
        return True
    return any(_is_similar_name(word, name) for name in names)


def _is_similar_name(word: str, name: str) -> bool:
    if word[:3] == name[:3] or len(name) == 1:
        return True
    return SequenceMatcher(None, word, name, autojunk=False).ratio() >= 0.75
