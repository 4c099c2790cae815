"""Hints in one test run's transcript, each with the turn where it stands. A signal is never a cause.

Pure functions over models. Precision comes before recall: what may well be in order is passed over. A signal is told
in our words alone, so that nothing of a transcript can pass for them.
"""

import re
import unicodedata
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import accumulate
from statistics import median
from typing import Literal, NamedTuple

from sigmamind_mcp.api.models import MockVariable, TestRun, Turn
from sigmamind_mcp.insight.mock_values import contradictions
from sigmamind_mcp.untrusted_text import clean

LOOKED_AT = 4_000
"""Characters of a turn that are looked at; nobody says as much in one."""
LOOKED_AT_IN_ALL = 40_000
LAST_TURNS = 4
MOCK_VARIABLES = 30

SignalKind = Literal[
    "repeated_agent_turn", "unfilled_variable", "mock_value_contradicted", "user_spoke_last", "no_transcript",
    "much_longer_than_siblings",
]  # fmt: skip


class Signal(NamedTuple):
    """A hint; `language_bound` when it rests on wording, of which English is known best."""

    kind: SignalKind
    turn: int | None
    says: str
    language_bound: bool


class SpokenTurn(NamedTuple):
    """A turn that is not blank, cleaned of what nobody sees."""

    number: int
    by_user: bool
    text: str


def find_signals(run: TestRun, sibling_lengths: Sequence[int]) -> list[Signal]:
    """The signals of one test run, by turn; `sibling_lengths` are the turns of the other attempts at its test case."""
    turns = _said(run.conversation)
    if not turns:
        return [
            Signal(
                "no_transcript", None, "The test run has no transcript, or only blank turns.", False
            )
        ]
    mock_data = run.test_case.mock_data[:MOCK_VARIABLES] if run.test_case else []
    found = [
        *_repetitions(turns),
        *_unfilled(turns, mock_data),
        *_contradicted(turns, mock_data),
        *_unanswered(turns),
        *_far_longer(len(run.conversation or []), sibling_lengths),
    ]
    return sorted(found, key=lambda signal: signal.turn or 0)


def _said(conversation: Sequence[Turn] | None) -> list[SpokenTurn]:
    """The turns that are looked at: from the first on as many as there is time for, and always the last few."""
    turns = (
        SpokenTurn(
            number, turn.role.strip().lower() == "user", clean(turn.content[:LOOKED_AT]).strip()
        )
        for number, turn in enumerate(conversation or [], start=1)
    )
    before = accumulate((len(turn.content) for turn in conversation or []), initial=0)
    last = len(conversation or []) - LAST_TURNS
    return [
        turn
        for turn, length in zip(turns, before, strict=False)
        if turn.text and (length < LOOKED_AT_IN_ALL or turn.number > last)
    ]


# Words of one turn. Scripts without blanks between words count by the character, two to a word.

_WORD = re.compile(
    r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|[^\W_\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]+"
)
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+|\n|(?<=[。！？])")


def _words(text: str) -> list[str]:
    plain = (
        unicodedata.normalize("NFKC", text)
        .casefold()
        .replace("’", "")
        .replace("'", "")
        .replace("cannot", "cant")
    )
    return _WORD.findall(plain)


def _size(words: Sequence[str] | Counter[str]) -> float:
    counted = words.items() if isinstance(words, Counter) else Counter(words).items()
    return sum(
        times * (1 if word < "\u0e00" or word > "\u9fff" else 1 / 2) for word, times in counted
    )


def _asks(text: str) -> bool:
    return any(mark in text for mark in "?？؟")


# The agent says again what it said.

COMPARED = 8  # agent turns back to which a nearly equal one is looked for; an equal one is found however far back
_STOCK = re.compile(
    r"\b(?:anything|something) else\b|\b(?:other|further|more) questions?\b|\bmore I can\b|\bsonst noch\b"
    r"|\bnoch etwas\b"
    r"|\balgo más\b|\bautres? (?:chose|questions?)\b|\baltro\b|\bmais alguma coisa\b|\bcoś jeszcze\b|\bчем-?то ещ[её]\b"
    r"|\bчто-нибудь ещ[её]\b"
    r"|他に|ほかに|其他|别的|\bbaşka bir\b|\bnog iets\b|\bnågot mer\b",
    re.IGNORECASE,
)
_AGAIN = re.compile(
    r"\brepeat (?:that|it|this|the|your|please)\b|\brepeat\s*[?.!]"
    r"|\b(?:say|send|tell|show|read|explain|give|list|go|see|hear)\b[^.!?\n]{0,40}\b(?:again|once more|one more time)\b"
    r"|\bcome again\b|\bpardon\b|\brecap\b|\bsummar(?:y|i[sz]e)\b|\bremind me\b|\bwhat was (?:that|it)\b|\bsum up\b"
    r"|\bpaste\b[^.!?\n]{0,40}\bagain\b|\bwhat did you (?:just )?say\b"
    r"|\b(?:breaking|cutting) (?:up|out)\b|\bzu schnell\b"
    r"|もう一回|\breloaded\b|\b(?:huh|what)\?|\btoo loud\b|\bbad (?:line|connection)\b"
    r"|\bdid(?:n['’]?t| not) (?:catch|get|see|hear|understand|read)\b|\b(?:missed|lost) (?:that|it|your|the|what)\b"
    r"|\bnoch ?mal|\bnoch einmal|wiederhol|répét|repét|\brepet[ei]|\brepit|\botra vez\b|\bde nuevo\b|\bde novo\b"
    r"|もう一度|もういちど"
    r"|再说|再發|再发|重复|повтор|ещ[её] раз|powtórz|jeszcze raz|\btekrar|\bripet|\bherhal|\bupprepa"
    r"|\baltra volta\b|\bdi nuovo\b",
    re.IGNORECASE,
)
_COMPLAINS = re.compile(
    r"\bstop\b|\bquit\b|\bkeep\b|\byou(?:['’]ve| have)? (?:already|just)\b|\bdo(?:n['’]?t| not) (?:say|tell|ask|send"
    r"|repeat)\b|\bI (?:already|just)\b",
    re.IGNORECASE,
)
_FILLERS = frozenset(
    "a an and again also am are but can could d do have hello hi i if im is ive just kindly let ll m may me my now"
    " of ok okay once please re really right s so sorry sure thank thanks that the then there this to ve we well"
    " will would you your apologies bitte danke merci gracias por favor".split()
)
_TELLING = frozenset(
    "not no never cannot cant dont wont didnt isnt arent doesnt without first second third last next previous other"
    " one two three four five six seven eight nine ten monday tuesday wednesday thursday friday saturday sunday"
    " january february march april june july august september october november december nicht kein keine".split()
)


def _repetitions(turns: Sequence[SpokenTurn]) -> Iterator[Signal]:
    """One signal for each message that comes again, where it first does."""
    origin: dict[tuple[str, ...], int] = {}
    recent: deque[tuple[Counter[str], int]] = deque(maxlen=COMPARED)
    times: Counter[int] = Counter()
    again_at: dict[int, int] = {}
    wishes: set[tuple[str, ...]] = set()
    asked, wish_again = False, False
    for number, by_user, text in turns:
        if by_user:
            words = tuple(_words(text))
            asked = bool(_AGAIN.search(text)) and not _COMPLAINS.search(text)
            wish_again = words in wishes
            wishes.add(words)
            continue
        words = tuple(
            _words(
                " ".join(
                    part for part in _SENTENCE_END.split(text) if part and not _STOCK.search(part)
                )
            )
        )
        size, content = _size(words), Counter(word for word in words if word not in _FILLERS)
        first = origin.get(words) or next(
            (start for other, start in recent if _nearly(content, other)), None
        )
        origin.setdefault(words, first or number)
        recent.append((content, first or number))
        if first and size >= 4 and not asked:
            times[first] += 1
            # A short statement ("let me check that") and an answer to a question asked again may stand twice.
            is_short = size < 7 or (size < 10 and bool(_STALLS.search(text)))
            if times[first] > (is_short and not _asks(text)) + wish_again:
                again_at.setdefault(first, number)
        asked = wish_again = False
    for first, number in again_at.items():
        often = f", {times[first] + 1} times in all" if times[first] > 1 else ""
        yield Signal(
            "repeated_agent_turn",
            number,
            f"The agent says what it said in turn {first}{often}.",
            False,
        )


def _nearly(one: Counter[str], other: Counter[str]) -> bool:
    """Whether two turns differ in hardly a word, and in none that tells two things apart, as a number does."""
    here, there = _size(one), _size(other)
    if min(here, there) < 5 or min(here, there) < 0.7 * max(here, there):
        return False
    gone, new = one - other, other - one
    if any(word in _TELLING or any(map(str.isdigit, word)) for word in (*gone, *new)):
        return False
    alike = 2 * (here - _size(gone)) / (here + there)
    # Another word may make it another question: "first name" and "last name", "your income" and "your partner's".
    return alike >= 0.9 and min(here, there) >= 14 if gone or new else True


# A variable that came out as its name, or as nothing.

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_PLACEHOLDER = re.compile(
    r"\{\{\s{0,9}([^{}\n]{1,60}?)\s{0,9}\}\}|(?<![{\w$])\{([^\W\d][\w.]{1,39})\}(?!\})"
    r"|\$\{([a-z][\w.]{1,39})\}|<<?([a-z]+(?:_[a-z]+)+)>>?|(?<!\w)%([A-Za-z]+(?:_[A-Za-z]+)*)%(?!\w)"
    r"|\[([a-z]+(?:_[a-z]+)+)\](?!\()|\b([A-Z]+(?:_[A-Z]+){0,4}_PLACEHOLDER)\b|(?<![\w%])(%[sd])(?![\w%])"
)
_BRACKETED = re.compile(
    r"\[(?:(?:your|customer|user|client|patient|guest|first|last|full|order|booking|tracking|account|delivery"
    r"|appointment"
    r"|insert)['’s]{0,2} ){1,3}(?:name|number|date|id|amount|address|email|phone|time|link|here)\](?!\()"
    r"|\[(?:nombre|apellidos?|número|fecha|importe|name|vorname|nachname|kundenname|datum|betrag|bestellnummer|nom"
    r"|prénom|numéro|date|montant|nome|cognome|numero|data|importo|naam|bedrag|imię|nazwisko|kwota)"
    r"(?: (?:del?|des|du|der|di|do|da|van|klienta|el|la|le|l['’]) ?\w{0,20}){0,2}\](?!\()"
    r"|[【「\[](?:金额|姓名|名字|日期|订单号|编号|客户姓名|お名前|お客様名|注文番号|金額|日付)[】」\]]",
    re.IGNORECASE,
)
_OBJECT = re.compile(r"\[object Object\]")
_ABOUT_TEMPLATES = re.compile(
    r"[{}]|\b(?:templates?|placeholders?|merge (?:tags?|fields?)|variables?|snippets?|syntax|json|api|webhooks?|code"
    r"|regex"
    r"|mail merge|vorlagen?|platzhalter|plantillas?|modèles?)\b",
    re.IGNORECASE,
)
_ABOUT_CODE = re.compile(
    r"\b(?:brackets|(?:merge )?tags?|fields?|placeholders?|templates?|stands for|json"
    r"|objects?|functions?|imports?|config|code|variables?|pointers?|exceptions?|scripts?|console|compil\w+)\b",
    re.IGNORECASE,
)
_SHOWS_HOW = re.compile(
    r"\b(?:type|write|enter|insert|paste|copy|format|template|placeholder|tag|variable|syntax|replace"
    r"|field)\b[^.!?\n]{0,40}$",
    re.IGNORECASE,
)
_NO_VALUE = r"(?:undefined|null|None|NaN|nil)"
_EMPTY = re.compile(
    r"(?:(?<!\w)(?:[Hh]i|[Hh]ello|[Hh]ey|[Dd]ear|[Hh]allo|[Hh]ola|[Oo]lá|[Cc]iao|[Ee]stimad[oa]|[Gg]uten Tag"
    r"|[Ww]elcome(?: back)?"
    r"|[Gg]ood (?:morning|afternoon|evening|day)|[Tt]hank you|[Tt]hanks|[Mm]rs?\.?|[Mm]s\.?|Herr"
    r"|Frau)[ \t]{1,9}[,!.](?![.\w])"
    r"|(?<!\w)Bonjour[ \t]{1,9},"
    r"|^Dear\s{0,9},"
    rf"|(?<!\w)(?:[Hh]i|[Hh]ello|[Hh]ey|[Dd]ear|[Tt]hanks|[Tt]hank you),? {_NO_VALUE}\b"
    rf"|\b(?:is|for|number|of|on|#):? {{1,3}}(?:undefined|null|NaN)(?!\w)"
    r"|[$€£]\s?(?:undefined|null|NaN)\b|\w: {1,3}(?:undefined|null|NaN)\s?[.,]?(?=\s|$)|\b(?:door|par|por|da) null\b"
    r"|\b(?:is|are|on|for|of|to|at|by|from|until|your|dated|named|under|ist|am|für|unter|lautet|es|es el|para|del"
    r"|est le|pour|é)"
    r"[ \t]{1,9}[.,;](?=\s|$)"
    r"|\b(?:on|at|for|of|from|until|by|to|number)[ \t]{2,9}(?:at|on|is|and|with|to|will|has|was|for|from)\b"
    r"|\b(?:is|of|for|to|be)[ \t]{1,9}[$€£](?=[ \t]{0,9}(?:[.,;!](?:\s|$)|$|[ \t](?:and|has|will|was|to|on|for|by)\b))"
    r"|(?:order|ticket|booking|reference|case|invoice|account|policy|claim|tracking|reservation)[ \t]{0,3}#[ \t]{0,9}"
    r"(?:[ \t](?:has|will|was|is (?:on its|confirmed|ready|delayed|shipped|scheduled|being|out for|now|still|open"
    r"|due))\b|[,;](?=\s)))",
    re.MULTILINE,
)
_SPACED_MARK = re.compile(r"\w[\s\u202f\u00a0][!?:;]")
QUOTABLE = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def _unfilled(turns: Sequence[SpokenTurn], mock_data: Sequence[MockVariable]) -> Iterator[Signal]:
    names = {variable.variable_name.strip() for variable in mock_data}
    spoken = _spoken(names)
    templates = False
    for number, by_user, text in turns:
        if by_user:
            templates = templates or bool(_ABOUT_TEMPLATES.search(text))
            continue
        plain = _CODE.sub(" ", text)
        explained = templates or bool(_ABOUT_CODE.search(plain))
        left = None if explained else _PLACEHOLDER.search(plain) or spoken.search(plain)
        if left and not _SHOWS_HOW.search(plain[max(0, left.start() - 80) : left.start()]):
            name = next((group for group in left.groups() if group), left.group()).strip()
            yield Signal("unfilled_variable", number, _names_variable(name, names), False)
        elif _OBJECT.search(plain):
            yield Signal(
                "unfilled_variable",
                number,
                "The agent shows an object where a value belongs.",
                False,
            )
        elif (_leaves_gap(plain) and not _ABOUT_CODE.search(plain)) or (
            not explained and _BRACKETED.search(plain)
        ):
            yield Signal(
                "unfilled_variable",
                number,
                "A value seems to be missing from the agent's words.",
                True,
            )


def _spoken(names: set[str]) -> re.Pattern[str]:
    """Matches a variable's name where it stands as a word; one without an underscore may be a word."""
    either = "|".join(re.escape(name) for name in sorted(names) if "_" in name.strip("_"))
    return re.compile(rf"(?<![\w{{/.@-])(?:{either})(?![\w}}/@-])" if either else r"(?!)")


def _names_variable(name: str, names: set[str]) -> str:
    if name in names and QUOTABLE.fullmatch(name):
        return f"The agent shows the variable {name} unfilled, though the mock data has it."
    return "The agent shows a variable unfilled that the mock data does not have."


def _leaves_gap(text: str) -> bool:
    """Whether a word is missing before a mark; French sets a blank before some marks, and whoever does so may."""
    gap = _EMPTY.search(text)
    if not gap or not gap.group().endswith("!"):
        return bool(gap)
    return not _SPACED_MARK.search(text[: gap.start()] + text[gap.end() :])


def _contradicted(
    turns: Sequence[SpokenTurn], mock_data: Sequence[MockVariable]
) -> Iterator[Signal]:
    for name, number, language_bound in contradictions(turns, mock_data):
        which = f"the mock variable {name}" if QUOTABLE.fullmatch(name) else "a mock variable"
        yield Signal(
            "mock_value_contradicted",
            number,
            f"The agent states another value than that of {which}.",
            language_bound,
        )


# The user waits for an answer.

_CLOSES = re.compile(
    r"\bth(?:an)?(?:ks|x)\b|\bthank (?:you|u)\b|\bty\b|\bcheers\b|\b(?:good)?bye\b|\bsee (?:you|ya)\b|\btake care\b"
    r"|\bhave a\b"
    r"|\b(?:that|this)(?:['’]s| is| was| will be|['’]ll be) (?:all|it|everything)\b|\ball set\b|\bwill do\b"
    r"|\b(?:got to|gotta|have to) (?:go|run)\b"
    r"|\byou too\b|\bsame to you\b|\bno(?:thing)? (?:more|else|further)\b|\bgood ?night\b|\bappreciate\b"
    r"|\bI(?:['’]ll| will) (?:wait|write|try|do)\b"
    r"|\bI(?:['’]ll| will) take it\b|\bwrong number\b|\bworks? like\b|\bya lo (?:encontré|tengo|veo)\b"
    r"|\bnvm\b|\bfound it\b|\bthat explains\b|\bmakes me (?:so |very )?happy\b"
    r"|\bsounds good\b|\bforget it\b|\bnever ?mind\b"
    r"|\bdanke|\btschüss|\bwiedersehen|\bmerci\b|\bau revoir\b|\bbonne (?:journée|soirée)|\bgracias\b|\badiós\b"
    r"|\bhasta\b"
    r"|\bobrigad|\btchau\b|\bgrazie\b|\barrivederci\b|\bbedankt\b|\bdank (?:je|u)\b|\btack\b|\bdziękuję|\bdzięki"
    r"|\bděkuj[iu]"
    r"|\bteşekkür|\bkiitos\b|\btakk?\b"
    r"|ありがと|谢谢|謝謝|多谢|감사|спасибо|до свидания|дякую|شكرا|धन्यवाद|ขอบคุณ|ευχαριστώ",
    re.IGNORECASE,
)
_REQUESTS = re.compile(
    r"\bplease\b|(?<!\ball )\bI (?:still )?(?:want|need|insist|demand|expect)\b|\bI['’]?d like\b|\bI would like\b"
    r"|\b(?:can|could|would|will) you\b"
    r"|\bbut\b|\bstill\b|\bwaiting\b|\b(?:where|when|why|how|what|which|who) (?:is|are|do|does|did|about|can|will"
    r"|should|much|many|long|exactly)\b"
    r"|\bfor nothing\b|\bbitte\b|\baber\b|\bpor favor\b|\bpero\b|\bs['’]il vous\b|\bmais\b|\bper favore\b"
    r"|\blet me know\b|\btell me\b",
    re.IGNORECASE,
)
_LEAVES = re.compile(
    r"\b(?:good)?bye\b|\bhave a (?:nice|good|great|lovely)\b|\b(?:got to|gotta|have to) (?:go|run)\b|\bforget it\b"
    r"|\bnever ?mind\b|\bsomewhere else\b|\belsewhere\b|\bI give up\b|\bI(?:['’]m| am) (?:done|leaving|off)\b",
    re.IGNORECASE,
)
_BEGS = re.compile(r"\bplease\b|\b(?:can|could) you\b", re.IGNORECASE)
_AGREES = re.compile(
    r"^\W{0,3}(?:yes|yep|yeah|sure|ja|sí|si|oui|sim|tak|да|はい|go ahead|do (?:it|that))\b(?! es|, es)",
    re.IGNORECASE,
)
_OBJECTS = re.compile(
    r"^\W{0,3}(?:no|nope|wrong|not|nein|non|hello|(?:(?:ok|and|so|on|at|to|from|in|for)\W{1,2})?(?:when|where|why|how|what|which"
    r"|who))\b(?! (?:problem|worries))",
    re.IGNORECASE,
)
_DECLINES = re.compile(
    r"\W{0,3}(?:no|nope|nah|nein|non|não|nee|nie|hayır|нет|いいえ|不用)\b", re.IGNORECASE
)
_COMPLAINS_OF = re.compile(
    r"\b(?:not|never|nothing|wrong|already|again|ridiculous|unacceptable|useless|still)\b"
    r"|\b(?:do|does|did|is|was|ca|wo)n['’]?t\b"
    r"|\b(?:nicht|nichts|kein\w{0,2}|falsch|schon|immer noch|nada|todavía|ya (?:se )?lo|rien|toujours|déjà|niente"
    r"|ancora|già|não|nada|niet|niets|steeds|nie|już|yok|değil)\b|没有|不是|已经|還沒|还没|ません|ない",
    re.IGNORECASE,
)
_STALLS = re.compile(
    r"\b(?:one|a|just a) (?:moment|minute|second|sec)\b|\blet me (?:check|look|see|find|pull)\b|\b(?:please )?hold on\b"
    r"|\bbear with me\b|\bhang on\b|\bI(?:['’]ll| will) (?:check|look)\b|\bEinen Moment\b|\bun momento?\b"
    r"|\bun instant\b|少々お待ち|请稍等",
    re.IGNORECASE,
)


def _unanswered(turns: Sequence[SpokenTurn]) -> Iterator[Signal]:
    last = turns[-1]
    if not last.by_user:
        return
    before = next((turn.text for turn in reversed(turns) if not turn.by_user), "")
    if _expects_answer(last.text, before):
        says = "The user spoke last; the agent gave no answer."
        yield Signal("user_spoke_last", last.number, says, bool(before) and not _asks(last.text))


def _expects_answer(text: str, before: str) -> bool:
    """Whether the user asks, begs, objects or answers the agent's question, and does not close with the last words.

    What states something may well be the end of it: without a sign that an answer is due, none is missed.
    """
    last = [part for part in _SENTENCE_END.split(text) if part][-1]
    if _LEAVES.search(last) and not _asks(last) and not _BEGS.search(last):
        return False
    if _asks(last):
        return True
    asked = [part for part in _SENTENCE_END.split(before) if part and _asks(part)]
    is_offered = any(_STOCK.search(part) for part in asked)
    is_asked = bool(asked) and not is_offered
    is_put_off = bool(_STALLS.search(before))
    if is_offered and _DECLINES.match(text) and not _REQUESTS.search(text):
        return False
    if _CLOSES.search(last) and not _REQUESTS.search(last):
        return is_put_off or (is_asked and bool(_AGREES.search(text)))
    if _asks(text) or _REQUESTS.search(text) or _OBJECTS.search(text) or _COMPLAINS_OF.search(text):
        return True
    return is_asked or is_put_off or not before


# More turns than the other attempts.


def _far_longer(turns: int, sibling_lengths: Sequence[int]) -> Iterator[Signal]:
    """Twice the median and six turns more, and hardly a sibling as long: where lengths spread, long is usual."""
    lengths = [length for length in sibling_lengths if length > 0]
    if len(lengths) < 3:
        return
    middle = median(lengths)
    as_long = sum(length >= turns for length in lengths)
    far = 6 if len(lengths) >= 4 else 10  # three siblings tell less
    if turns > 2 * middle and turns >= middle + far and as_long <= max(1, len(lengths) // 10):
        says = f"It has {turns} turns; the median of its {len(lengths)} siblings is {middle:g}."
        yield Signal("much_longer_than_siblings", None, says, False)
