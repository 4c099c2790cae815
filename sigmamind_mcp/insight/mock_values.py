"""Where an agent's words contradict a mock variable: a person's name, an id, a date or an amount.

A contradiction needs another value of the same kind where the variable's noun is named. What the user brought up, what
another mock variable holds, and what the agent only asks, offers or compares is nobody's contradiction.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import SequenceMatcher
from typing import NamedTuple, Protocol

from sigmamind_mcp.api.models import MockVariable


class SaidTurn(Protocol):
    @property
    def number(self) -> int: ...
    @property
    def by_user(self) -> bool: ...
    @property
    def text(self) -> str: ...


class Contradiction(NamedTuple):
    variable: str
    turn: int
    language_bound: bool


class Date(NamedTuple):
    """A day as somebody wrote it: two readings where day and month may stand either way, a year if there is one."""

    days: frozenset[tuple[int, int]]
    year: int | None

    def differs(self, other: "Date") -> bool:
        return not self.days & other.days or bool(
            self.year and other.year and self.year != other.year
        )


@dataclass
class Known:
    """The values that the agent may state, whatever the variable says."""

    ids: set[str] = field(default_factory=set)
    dates: set[Date] = field(default_factory=set)
    amounts: set[Decimal] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    """Ids that the agent has stated: after the right one, another may well be of another thing."""

    def add(self, text: str) -> None:
        self.ids.update(_bare(token) for token in _ID.findall(text))
        self.dates.update(dates_in(text))
        self.amounts.update(amounts_in(text))
        self.words.update(_folded_words(text))


Check = Callable[[str, Known], bool]


class Variable(NamedTuple):
    """A mock variable that can be contradicted: `says_other` tells whether a sentence does."""

    name: str
    says_other: Check
    in_questions: bool
    language_bound: bool


def contradictions(
    turns: Sequence[SaidTurn], mock_data: Sequence[MockVariable]
) -> list[Contradiction]:
    """The first contradiction of each mock variable."""
    known = Known()
    for mock in mock_data:
        known.add(mock.value)
    waiting = [
        variable
        for mock in mock_data
        for variable in _variables(mock.variable_name.strip(), mock.value.strip())
    ]
    found: list[Contradiction] = []
    for turn in turns:
        if turn.by_user:
            known.add(turn.text)
            continue
        for sentence in _SENTENCE_END.split(turn.text):
            open_question = bool(_HEDGED.search(sentence)) or _is_question(sentence)
            for variable in waiting:
                if (variable.in_questions or not open_question) and variable.says_other(
                    sentence, known
                ):
                    found.append(Contradiction(variable.name, turn.number, variable.language_bound))
            if open_question:
                known.add(sentence)
            known.told.update(_bare(token) for token in _ID.findall(sentence))
        told = {contradiction.variable for contradiction in found}
        waiting = [variable for variable in waiting if variable.name not in told]
    return list(
        {contradiction.variable: contradiction for contradiction in reversed(found)}.values()
    )[::-1]


_SENTENCE_END = re.compile(
    r"(?<![Nn]o\.)(?<![Nn]r\.)(?<!Mr\.)(?<!Ms\.)(?<!Dr\.)(?<!Mrs\.)(?<!Sr\.)(?<!\d\.)(?<=[.!?])\s+|(?<=[。！？])|\n"
)
_HEDGED = re.compile(
    r"\b(?:another|other|also|new|replac\w+|previous\w*|earlier|second|different|examples?|e\.g|such as|instead|like"
    r"|linked"
    r"|merged|exchange\w*|connecting|return|or|if|originally|old|besides|next to|not|n['’]t|cannot|could|would|might"
    r"|may|should"
    r"|reschedul\w+|moved?|chang\w+|postpon\w+|delay\w*|options?|available|slots?|free|offer\w*|alternative\w*"
    r"|earliest|latest"
    r"|andere\w*|neue\w*|weitere\w*|oder|falls|otr[oa]s?|nuev[oa]s?|autres?|nouve\w+|ou|altr[oa]|nuov[oa])\b",
)


def _variables(name: str, value: str) -> Iterator[Variable]:
    tokens = name_tokens(name)
    date = next(iter(dates_in(value)), None)
    amount = _amount_of(value)
    if is_person(tokens) and re.fullmatch(r"[^\W\d_][\w .'’-]{1,59}", value) and value < "\u0530":
        yield Variable(name, lambda text, known: _other_name(text, value, known), True, True)
    elif date and len(value) <= 30:
        stems = _date_stems(tokens)
        yield Variable(name, lambda text, known: _other_date(text, date, stems, known), False, True)
    elif amount is not None and (set(tokens) & AMOUNT_NOUNS or re.search(r"[$€£]", value)):
        stated = _stated_amount([token for token in tokens if token in AMOUNT_NOUNS] or tokens)
        yield Variable(
            name, lambda text, known: _other_amount(text, amount, stated, known), False, True
        )
    elif (
        _ID.fullmatch(value)
        and len(_bare(value)) >= 3
        and (set(tokens) & ID_WORDS or not value.isdigit())
    ):
        beside = _beside(tokens)
        yield Variable(name, lambda text, known: _other_id(text, value, beside, known), False, True)
        if prefix := re.match(r"[A-Za-z]{2,}", value):
            alike = re.compile(
                rf"(?<![\w-]){prefix.group()}\W?[0-9]{{{len(re.sub('[^0-9]', '', value))}}}(?![\w-])"
            )
            yield Variable(
                name, lambda text, known: _other_alike(text, value, alike, known), False, False
            )
    yield from _slips(name, value)


def _slips(name: str, value: str) -> Iterator[Variable]:
    """Checks for the value's own digits in another order: they need no noun beside them, and no language."""
    digits = re.sub(r"[^0-9]", "", value)
    if len(set(digits)) < 2:
        return
    amount = _amount_of(value)
    if amount is not None and re.search(rf"{_MONEY}|[.,][0-9]{{2}}$", value):
        yield Variable(name, lambda text, known: _slip_of_amount(text, amount, known), True, False)
    elif _ID.fullmatch(value) and len(digits) >= 4:
        yield Variable(name, lambda text, known: _slip_of_id(text, value, known), True, False)


def _slip_of_amount(text: str, amount: Decimal, known: Known) -> bool:
    stated = [(_decimal(found.group(2)), found) for found in _AMOUNT.finditer(text)]
    if _is_question(text) or amount in [value for value, _ in stated]:
        return False
    return any(
        sorted(f"{value:.2f}") == sorted(f"{amount:.2f}")
        and value not in known.amounts
        and bool(found.group(1) or found.group(3) or re.search(r"[.,][0-9]{2}$", found.group(2)))
        for value, found in stated
    )


def _slip_of_id(text: str, value: str, known: Known) -> bool:
    here = _ID.findall(text)
    if _is_question(text) or _bare(value) in map(_bare, here):
        return False
    return any(
        sorted(_bare(token)) == sorted(_bare(value))
        and _form(token)[1:] == _form(value)[1:]
        and _is_new(token, known)
        for token in here
    )


def _is_question(text: str) -> bool:
    return any(mark in text for mark in "?？؟")


def name_tokens(name: str) -> list[str]:
    """The words of a variable's name, in snake_case or camelCase."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", " ", name).lower().split()


# Ids.

_ID = re.compile(
    r"(?<![\w-])(?=[A-Za-z/_-]{0,20}[0-9])[A-Za-z0-9]{1,40}(?:[-_/][A-Za-z0-9]{1,40}){0,6}(?![\w-])"
)
ID_WORDS = frozenset(
    "id number no nr code ref reference order booking reservation ticket account invoice tracking policy claim pnr case"
    " confirmation flight contract member membership customer patient".split()
)
_GENERAL = frozenset("id number no nr num code ref the my current".split())


def _bare(token: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", token).upper()


def _beside(tokens: Sequence[str]) -> re.Pattern[str]:
    nouns = [token for token in tokens if token not in _GENERAL and len(token) > 2] or list(tokens)
    either = "|".join(re.escape(noun) for noun in nouns)
    between = r"(?:[\s:#.(*]{1,3}(?:numbers?|no|nr|id|code|ref|reference|is|was|here|reads|under|as|the)\b){0,4}"
    token = r"([A-Za-z0-9]{1,40}(?:[-_/][A-Za-z0-9]{1,40}){0,6})(?![\w-])"
    return re.compile(rf"\b(?:{either})(?:['’]s)?{between}[\s:#.(*]{{1,4}}{token}", re.IGNORECASE)


def _form(token: str) -> tuple[str, int, bool]:
    return re.sub(r"[A-Za-z0-9]", "", token), len(token), token.isdigit()


def _other_id(text: str, value: str, beside: re.Pattern[str], known: Known) -> bool:
    said = [found.group(1) for found in beside.finditer(text)]
    here = {_bare(token) for token in _ID.findall(text)}
    return _bare(value) not in here | known.told and any(
        _ID.fullmatch(token) and _form(token) == _form(value) and _is_new(token, known)
        for token in said
    )


def _other_alike(text: str, value: str, alike: re.Pattern[str], known: Known) -> bool:
    said = alike.findall(text)
    return _bare(value) not in {*map(_bare, said), *known.told} and any(
        _is_new(token, known) for token in said
    )


def _is_new(token: str, known: Known) -> bool:
    bare = _bare(token)
    return bare not in known.ids and re.sub(r"[^0-9]", "", bare) not in known.ids


# Dates.

_MONTH_NAMES = (
    "january januar enero janvier gennaio janeiro jan ene", "february februar febrero février febbraio fevereiro feb",
    "march märz marzo mars março mar mär", "april abril avril aprile apr abr", "may mai mayo maggio maio",
    "june juni junio juin giugno junho jun", "july juli julio juillet luglio julho jul",
    "august agosto août aug ago", "september septiembre septembre settembre setembro sep sept",
    "october oktober octubre octobre ottobre outubro oct okt", "november noviembre novembre novembro nov",
    "december dezember diciembre décembre dicembre dezembro dec dez dic",
)  # fmt: skip
MONTHS = {
    name: month for month, names in enumerate(_MONTH_NAMES, start=1) for name in names.split()
}
_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
_DATE = re.compile(
    r"(?<![\w-])(?:(?P<y1>\d{4})-(?P<m1>\d{1,2})-(?P<d1>\d{1,2})(?!\d)"
    rf"|(?P<d2>\d{{1,2}})(?:st|nd|rd|th|\.|º)?\s{{1,3}}(?:of |de "
    rf"|di )?(?P<m2>{_MONTH})\b\.?(?:,?\s{{1,3}}(?:de )?(?P<y2>\d{{4}}))?"
    rf"|(?P<m3>{_MONTH})\.?\s{{1,3}}(?P<d3>\d{{1,2}})(?:st|nd|rd|th)?\b(?:,?\s{{1,3}}(?P<y3>\d{{4}}))?"
    r"|(?P<a>\d{1,2})[./](?P<b>\d{1,2})[./](?P<y4>\d{4}))|(?:(?P<y5>\d{4})年)?(?P<m5>\d{1,2})月(?P<d5>\d{1,2})日",
    re.IGNORECASE,
)
_STEMS = {
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
_TIMES = frozenset("date day time on at datum fecha".split())
_ELSEWHERE = re.compile(
    r"\b(?:now|was|were|placed|ordered|issued|paid|sent|dispatched|shipped|left|today|dated|since|last|before|after"
    r"|until|by|from"
    r"|no later|between|not|order date|received|requested|created|opened|signed)\b",
    re.IGNORECASE,
)


def dates_in(text: str) -> list[Date]:
    return [_date(found.groupdict()) for found in _DATE.finditer(text)]


def _date(part: dict[str, str | None]) -> Date:
    if part["a"] and part["b"] and part["y4"]:
        one, two = int(part["a"]), int(part["b"])
        return Date(frozenset({(one, two), (two, one)}), int(part["y4"]))
    form = next(form for form in "1235" if part["d" + form])
    month, day, year = part["m" + form] or "", part["d" + form] or "", part["y" + form]
    return Date(
        frozenset({(MONTHS.get(month.lower()) or int(month), int(day))}),
        int(year) if year else None,
    )


def _date_stems(tokens: Sequence[str]) -> re.Pattern[str]:
    nouns = [token for token in tokens if token not in _TIMES] or ["date"]
    return re.compile(
        "|".join(rf"\b(?:{_STEMS.get(noun, re.escape(noun))})" for noun in nouns), re.IGNORECASE
    )


def _other_date(text: str, date: Date, stems: re.Pattern[str], known: Known) -> bool:
    said = dates_in(text)
    return (
        len(said) == 1
        and all(said[0].differs(other) for other in (date, *known.dates))
        and bool(stems.search(text))
        and not _ELSEWHERE.search(text)
    )


# Amounts.

_MONEY = r"(?:[$€£]|USD|EUR|GBP|CHF)"
_NUMBER = r"[0-9]{1,3}(?:[.,' ][0-9]{3}){1,4}(?:[.,][0-9]{1,2})?(?![0-9])|[0-9]{1,12}(?:[.,][0-9]{1,2})?(?![0-9])"
_AMOUNT = re.compile(
    rf"(?<![\w.,-])({_MONEY}\s?)?({_NUMBER})(\s?(?:{_MONEY}|euros?\b|dollars?\b|pounds?\b))?"
)
AMOUNT_NOUNS = frozenset(
    "amount balance price total fee cost refund premium deposit limit due bill charge fare rent credit debt"
    " salary".split()
)
_QUALIFIED = re.compile(
    r"\b(?:minimum|maximum|remaining|rest|partial|per|each|shipping|tax|vat|plus|up to|about|around|approximately"
    r"|almost|roughly"
    r"|less|minus|next|last|was|after|before|additional|extra|half|starting|from|discount\w*|average|pending|reduced"
    r"|then)\b",
    re.IGNORECASE,
)


def amounts_in(text: str) -> list[Decimal]:
    return [_decimal(found.group(2)) for found in _AMOUNT.finditer(text)]


def _decimal(number: str) -> Decimal:
    whole, mark, cents = number, "", ""
    if found := re.search(r"[.,]([0-9]{1,2})$", number):
        whole, mark, cents = number[: found.start()], ".", found.group(1)
    return Decimal(re.sub(r"[^0-9]", "", whole) + mark + cents)


def _amount_of(value: str) -> Decimal | None:
    found = _AMOUNT.fullmatch(value)
    return _decimal(found.group(2)) if found else None


def _stated_amount(nouns: Sequence[str]) -> re.Pattern[str]:
    either = "|".join(re.escape(noun) for noun in nouns)
    between = (
        r"(?:[\s:,*]{1,3}(?:is|of|at|here|now|currently|stands|comes|to|for|your|the|amount|you|a|full|account|order"
        r"|this|in"
        r"|will|be|due)\b){0,6}"
    )
    return re.compile(
        rf"\b(?:{either}){between}[\s:*(]{{1,4}}(?P<after>{_AMOUNT.pattern})"
        rf"|(?P<before>{_AMOUNT.pattern})\s(?:{either})\b",
        re.IGNORECASE,
    )


def _other_amount(text: str, amount: Decimal, stated: re.Pattern[str], known: Known) -> bool:
    if _QUALIFIED.search(text) or amount in amounts_in(text):
        return False
    return any(
        (money or re.search(r"[.,][0-9]{2}$", said))
        and abs(value - amount) >= 1
        and value not in known.amounts
        for said, value, money in _stated(text, stated)
    )


def _stated(text: str, stated: re.Pattern[str]) -> Iterator[tuple[str, Decimal, bool]]:
    for found in stated.finditer(text):
        part = _AMOUNT.search(found.group("after") or found.group("before"))
        if part:
            yield part.group(2), _decimal(part.group(2)), bool(part.group(1) or part.group(3))


# People's names.

_PEOPLE = frozenset(
    "customer patient user first last full client guest member caller passenger person contact".split()
)
_ADDRESSED = re.compile(
    r"(?<![\w-])(?:(?:Hi|Hello|Hey|Dear|Hallo|Hola|Bonjour|Salut|Ciao|Olá|Guten Tag|Good (?:morning|afternoon"
    r"|evening|day)"
    r"|Welcome(?: back)?) |(?:[Tt]hank you|[Tt]hanks|[Ss]orry|Danke|Gracias|Merci|Grazie|Obrigad[oa]),? )"
    r"(?:(?:Mr|Mrs|Ms|Dr|Miss|Herr|Frau|Señora?|Sra?|Madame|Monsieur|Signora?)\.? )?"
    r"([^\W\d_a-z][\w'’-]{1,30}(?: [^\W\d_a-z][\w'’-]{1,30}){0,2})(?=\s?(?:[,!.:;…–—]|$"
    r"|[\U0001f300-\U0001faff\u2600-\u27bf]))"
)
_TITLED = re.compile(
    r"(?:^|[,;:] )(?:Mr|Mrs|Ms|Miss|Mx|Herr|Frau|[Ss]eñora?|Sra?|[Mm]adame|[Mm]onsieur|[Ss]ignora?|[Ss]enhora?|Pani?"
    r"|[Mm]eneer|[Mm]evrouw)\.? ([^\W\d_a-z][\w'’-]{1,30}(?: [^\W\d_a-z][\w'’-]{1,30}){0,2})(?=\s?[,!:;…–—])"
)
_NAMED = re.compile(
    r"(?<![Mm]y )\bname (?:on (?:the|your|this) \w{1,20} |here )?(?:is|reads"
    r"|:)\s{1,3}([^\W\d_a-z][\w'’-]{1,30}(?: [^\W\d_a-z][\w'’-]{1,30}){1,2})"
)
_NOBODY = frozenset(
    "herr frau there again all everyone everybody team customer sir madam friend friends folks guest member patient"
    " valued traveler"
    " traveller user client welcome goodbye bye so for and home world colleague neighbour neighbor subscriber mr mrs ms"
    " monday tuesday wednesday thursday friday saturday sunday kunde kundin damen herren cliente señor señora monsieur"
    " madame hello hi good shopper student resident tenant applicant caller".split()
)


_SHORT_FOR = {
    "bill": "william", "billy": "william", "bob": "robert", "bobby": "robert", "dick": "richard", "jack": "john",
    "ted": "edward", "ned": "edward", "peggy": "margaret", "betty": "elizabeth", "liz": "elizabeth",
    "tony": "anthony", "hank": "henry", "harry": "henry", "chuck": "charles", "gene": "eugene", "tina": "christina",
    "becky": "rebecca", "sasha": "alexander", "polly": "mary", "molly": "mary", "jim": "james", "drew": "andrew",
    "pepe": "jose", "paco": "francisco", "nacho": "ignacio", "lola": "dolores", "beppe": "giuseppe", "gigi": "luigi",
}  # fmt: skip
"""Short forms that do not begin as the name does."""


def is_person(tokens: Sequence[str]) -> bool:
    return "name" in tokens[-1:] and (len(tokens) == 1 or bool(set(tokens[:-1]) & _PEOPLE)) or tokens in (
        ["customer"], ["patient"], ["firstname"], ["username"],
    )  # fmt: skip


def _folded_words(text: str) -> list[str]:
    plain = "".join(
        part for part in unicodedata.normalize("NFKD", text) if not unicodedata.combining(part)
    )
    return re.findall(r"[^\W\d_]+", plain.casefold())


def _other_name(text: str, value: str, known: Known) -> bool:
    ours = _folded_words(value)
    for found in (*_ADDRESSED.finditer(text), *_TITLED.finditer(text), *_NAMED.finditer(text)):
        said = _folded_words(found.group(1))
        others = [word for word in said if word not in known.words and not _alike(word, ours)]
        if others and not _NOBODY & set(said):
            return True
    return False


def _alike(word: str, names: Sequence[str]) -> bool:
    """Whether it may be a short or a misspelt form of one of the names, or an initial."""
    if _SHORT_FOR.get(word) in names:
        return True
    return any(
        word[:3] == name[:3]
        or len(name) == 1
        or SequenceMatcher(None, word, name, autojunk=False).ratio() >= 0.75
        for name in names
    )
