"""Read sentences, ids, dates, amounts and people's names from text."""

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

# Sentences.

_SENTENCE_BREAK = re.compile(
    r"(?<![Nn]o\.)(?<![Nn]r\.)(?<!Mr\.)(?<!Ms\.)(?<!Dr\.)(?<!Mrs\.)(?<!Sr\.)(?<!\d\.)(?<=[.!?])\s+"
    r"|(?<=[。！？])|\n"
)
_HEDGE_WORDS = re.compile(
    r"\b(?:another|other|also|new|replac\w+|previous\w*|earlier|second|different|examples?|e\.g"
    r"|such as|instead|like|linked|merged|exchange\w*|connecting|return|or|if|originally|old"
    r"|besides|next to|not|n['’]t|cannot|could|would|might|may|should|reschedul\w+|moved?|chang\w+"
    r"|postpon\w+|delay\w*|options?|available|slots?|free|offer\w*|alternative\w*|earliest|latest"
    r"|andere\w*|neue\w*|weitere\w*|oder|falls|otr[oa]s?|nuev[oa]s?|autres?|nouve\w+|ou|altr[oa]"
    r"|nuov[oa])\b",
)


class Sentence(NamedTuple):
    """A sentence of the agent; an open one asks, offers or compares, so it states nothing."""

    text: str
    is_open: bool


def split_sentences(text: str) -> Iterator[Sentence]:
    """Yield the sentences of a turn of the agent."""
    for sentence in _SENTENCE_BREAK.split(text):
        is_hedged = _HEDGE_WORDS.search(sentence) is not None
        yield Sentence(sentence, is_hedged or contains_question(sentence))


def contains_question(text: str) -> bool:
    """Tell whether a text has a question mark of any script."""
    return any(mark in text for mark in "?？؟")


# Ids.

_ID = re.compile(
    r"(?<![\w-])(?=[A-Za-z/_-]{0,20}[0-9])[A-Za-z0-9]{1,40}(?:[-_/][A-Za-z0-9]{1,40}){0,6}(?![\w-])"
)


class IdShape(NamedTuple):
    """What two ids of the same kind have in common."""

    separators: str
    length: int
    is_number: bool


def find_ids(text: str) -> list[str]:
    """Return every id in a text, such as A-1001 or 4411."""
    return _ID.findall(text)


def is_id(text: str) -> bool:
    """Tell whether the whole text is one id."""
    return _ID.fullmatch(text) is not None


def strip_separators(token: str) -> str:
    """Return an id's letters and digits, in upper case."""
    return re.sub(r"[^A-Za-z0-9]", "", token).upper()


def keep_digits(text: str) -> str:
    """Return only the digits of a text."""
    return re.sub(r"[^0-9]", "", text)


def read_id_shape(token: str) -> IdShape:
    """Return the shape of an id."""
    return IdShape(re.sub(r"[A-Za-z0-9]", "", token), len(token), token.isdigit())


# Dates.

_MONTH_NAMES = (
    "january januar enero janvier gennaio janeiro jan ene",
    "february februar febrero février febbraio fevereiro feb",
    "march märz marzo mars março mar mär",
    "april abril avril aprile apr abr",
    "may mai mayo maggio maio",
    "june juni junio juin giugno junho jun",
    "july juli julio juillet luglio julho jul",
    "august agosto août aug ago",
    "september septiembre septembre settembre setembro sep sept",
    "october oktober octubre octobre ottobre outubro oct okt",
    "november noviembre novembre novembro nov",
    "december dezember diciembre décembre dicembre dezembro dec dez dic",
)
_MONTHS = {
    name: month for month, names in enumerate(_MONTH_NAMES, start=1) for name in names.split()
}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DATE = re.compile(
    r"(?<![\w-])(?:(?P<y1>\d{4})-(?P<m1>\d{1,2})-(?P<d1>\d{1,2})(?!\d)"
    rf"|(?P<d2>\d{{1,2}})(?:st|nd|rd|th|\.|º)?\s{{1,3}}(?:of |de |di )?(?P<m2>{_MONTH})\b\.?"
    r"(?:,?\s{1,3}(?:de )?(?P<y2>\d{4}))?"
    rf"|(?P<m3>{_MONTH})\.?\s{{1,3}}(?P<d3>\d{{1,2}})(?:st|nd|rd|th)?\b"
    r"(?:,?\s{1,3}(?P<y3>\d{4}))?"
    r"|(?P<first>\d{1,2})[./](?P<second>\d{1,2})[./](?P<y4>\d{4}))"
    r"|(?:(?P<y5>\d{4})年)?(?P<m5>\d{1,2})月(?P<d5>\d{1,2})日",
    re.IGNORECASE,
)


class WrittenDate(NamedTuple):
    """A day as it is written; `days` has both readings if month and day can be swapped."""

    days: frozenset[tuple[int, int]]
    year: int | None

    def differs(self, other: "WrittenDate") -> bool:
        """Tell whether both cannot be the same day."""
        if self.days.isdisjoint(other.days):
            return True
        return bool(self.year and other.year and self.year != other.year)


def find_dates(text: str) -> list[WrittenDate]:
    """Return every date in a text."""
    return [_parse_date(match.groupdict()) for match in _DATE.finditer(text)]


def _parse_date(parts: dict[str, str | None]) -> WrittenDate:
    if parts["first"] and parts["second"] and parts["y4"]:
        # 3/4/2026 has two readings.
        first, second = int(parts["first"]), int(parts["second"])
        return WrittenDate(frozenset({(first, second), (second, first)}), int(parts["y4"]))
    # Each other form of a date has its own number in the names of the groups.
    form = next(number for number in "1235" if parts["d" + number])
    month, day, year = parts["m" + form] or "", parts["d" + form] or "", parts["y" + form]
    month_number = _MONTHS.get(month.lower()) or int(month)
    return WrittenDate(frozenset({(month_number, int(day))}), int(year) if year else None)


# Amounts.

CURRENCY = r"(?:[$€£]|USD|EUR|GBP|CHF)"
_NUMBER = (
    r"[0-9]{1,3}(?:[.,' ][0-9]{3}){1,4}(?:[.,][0-9]{1,2})?(?![0-9])"
    r"|[0-9]{1,12}(?:[.,][0-9]{1,2})?(?![0-9])"
)
AMOUNT = re.compile(
    rf"(?<![\w.,-])({CURRENCY}\s?)?({_NUMBER})(\s?(?:{CURRENCY}|euros?\b|dollars?\b|pounds?\b))?"
)
_CENTS = re.compile(r"[.,]([0-9]{1,2})$")
_TWO_DECIMALS = re.compile(r"[.,][0-9]{2}$")


class WrittenAmount(NamedTuple):
    """A number as it is written; `is_money` if it has a currency or two decimals."""

    value: Decimal
    is_money: bool


def find_amounts(text: str) -> list[WrittenAmount]:
    """Return every number in a text that can be an amount."""
    return [_read_amount(match) for match in AMOUNT.finditer(text)]


def parse_amount(text: str) -> Decimal | None:
    """Return the amount that the whole text is, if it is one."""
    match = AMOUNT.fullmatch(text)
    return _parse_number(match.group(2)) if match else None


def _read_amount(match: re.Match[str]) -> WrittenAmount:
    number = match.group(2)
    has_currency = bool(match.group(1) or match.group(3))
    has_two_decimals = _TWO_DECIMALS.search(number) is not None
    return WrittenAmount(_parse_number(number), has_currency or has_two_decimals)


def _parse_number(number: str) -> Decimal:
    cents = _CENTS.search(number)
    if cents is None:
        return Decimal(keep_digits(number))
    return Decimal(f"{keep_digits(number[: cents.start()])}.{cents.group(1)}")


# People's names.

_NAME_WORD = r"[^\W\d_a-z][\w'’-]{1,30}"
# Dear Mr Doe,
_GREETED = re.compile(
    r"(?<![\w-])(?:(?:Hi|Hello|Hey|Dear|Hallo|Hola|Bonjour|Salut|Ciao|Olá|Guten Tag"
    r"|Good (?:morning|afternoon|evening|day)|Welcome(?: back)?) "
    r"|(?:[Tt]hank you|[Tt]hanks|[Ss]orry|Danke|Gracias|Merci|Grazie|Obrigad[oa]),? )"
    r"(?:(?:Mr|Mrs|Ms|Dr|Miss|Herr|Frau|Señora?|Sra?|Madame|Monsieur|Signora?)\.? )?"
    rf"({_NAME_WORD}(?: {_NAME_WORD}){{0,2}})"
    r"(?=\s?(?:[,!.:;…–—]|$|[\U0001f300-\U0001faff\u2600-\u27bf]))"
)
# …, Mr Doe,
_TITLED = re.compile(
    r"(?:^|[,;:] )(?:Mr|Mrs|Ms|Miss|Mx|Herr|Frau|[Ss]eñora?|Sra?|[Mm]adame|[Mm]onsieur|[Ss]ignora?"
    r"|[Ss]enhora?|Pani?|[Mm]eneer|[Mm]evrouw)\.? "
    rf"({_NAME_WORD}(?: {_NAME_WORD}){{0,2}})(?=\s?[,!:;…–—])"
)
# The name on the account is Jane Doe
_STATED = re.compile(
    r"(?<![Mm]y )\bname (?:on (?:the|your|this) \w{1,20} |here )?(?:is|reads|:)\s{1,3}"
    rf"({_NAME_WORD}(?: {_NAME_WORD}){{1,2}})"
)


def find_person_names(text: str) -> list[str]:
    """Return the names by which a text addresses or mentions people."""
    names: list[str] = []
    for pattern in (_GREETED, _TITLED, _STATED):
        names += pattern.findall(text)
    return names


def fold_words(text: str) -> list[str]:
    """Return the words of a text without case and accents."""
    characters = unicodedata.normalize("NFKD", text)
    plain = "".join(part for part in characters if not unicodedata.combining(part))
    return re.findall(r"[^\W\d_]+", plain.casefold())


# All kinds of values together.


class KnownValues(NamedTuple):
    """The values that the agent may state, whatever the variable says."""

    ids: frozenset[str] = frozenset()
    dates: frozenset[WrittenDate] = frozenset()
    amounts: frozenset[Decimal] = frozenset()
    words: frozenset[str] = frozenset()
    # After the agent states the right id, another id may belong to another thing.
    ids_of_agent: frozenset[str] = frozenset()

    def with_text(self, text: str) -> "KnownValues":
        """Return these values and every value in a text."""
        return self._replace(
            ids=self.ids.union(map(strip_separators, find_ids(text))),
            dates=self.dates.union(find_dates(text)),
            amounts=self.amounts.union(amount.value for amount in find_amounts(text)),
            words=self.words.union(fold_words(text)),
        )

    def with_agent_sentence(self, sentence: Sentence) -> "KnownValues":
        """Return these values and what a sentence of the agent adds to them."""
        known = self.with_text(sentence.text) if sentence.is_open else self
        ids = map(strip_separators, find_ids(sentence.text))
        return known._replace(ids_of_agent=known.ids_of_agent.union(ids))

    def has_id(self, token: str) -> bool:
        """Tell whether the id is known, with its letters or without."""
        stripped = strip_separators(token)
        return stripped in self.ids or keep_digits(stripped) in self.ids
