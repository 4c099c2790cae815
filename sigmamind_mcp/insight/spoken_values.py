"""Read numbers, amounts, dates, times and ids from text, each in one normal form.

"$1,093.34" and "1093.34 dollars" give "1093.34"; "May 25th" and "2024-05-25" give "05-25"; "4 PM"
and "16:00" give "16:00"; "#W-2378" gives "W2378"; "fourteen days" and "14 days" give "14 days".
"""

import re
from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

MAX_VALUE_CHARACTERS = 40

_MONTHS = {
    name: f"{number:02}"
    for number, names in enumerate(
        "jan january|feb february|mar march|apr april|may|jun june|jul july|aug august"
        "|sep sept september|oct october|nov november|dec december".split("|"),
        start=1,
    )
    for name in names.split()
}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_SMALL_NUMBERS = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
        " fifteen sixteen seventeen eighteen nineteen".split()
    )
}
_TENS = {
    word: 10 * number
    for number, word in enumerate(
        "twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2
    )
}
_NUMBER_WORD = "|".join([*_TENS, *sorted(_SMALL_NUMBERS, key=len, reverse=True)])

# How months and number words begin, and every word with a digit: other words fail at once.
_BEGINS_VALUE = (
    r"a[pu]|de|e[il]|f[eio]|j[au]|ma|n[io]|o[cn]|s[ei]|t(?:e|w|hr|hir)|ze|[a-z_/-]{0,20}+\d"
)

_FORMS = (
    rf"(?={_BEGINS_VALUE})(?:"
    # 2024-05-25
    r"\d{4}-(?P<iso_month>\d\d)-(?P<iso_day>\d\d)(?!\d)"
    # May 25th; 25 May, 25th of May
    rf"|(?P<month>{_MONTH})\.? (?P<day>[0-3]?\d)(?:st|nd|rd|th)?\b"
    rf"|(?P<day2>[0-3]?\d)(?:st|nd|rd|th|\.)? (?:of )?(?P<month2>{_MONTH})\b"
    # 4 pm, 4:30 p.m., 16:00
    r"|(?P<hour>[0-2]?\d)(?::(?P<minute>[0-5]\d)(?::\d\d)?)?\s?(?P<half>[ap])\.?m\b"
    r"|(?P<hour24>[0-2]?\d):(?P<minute24>[0-5]\d)(?::\d\d)?(?![\d:])"
    # an id with letters and digits
    r"|(?P<id>(?=[a-z_/-]{0,20}\d)(?=[\d_/-]{0,20}[a-z])"
    r"[a-z0-9]{1,40}(?:[-_/][a-z0-9]{1,40}){0,6})(?![\w-])"
    # a number, perhaps with the noun after it
    r"|(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.,]\d{1,2})?)(?!\d)"
    r"(?: (?P<number_noun>[a-z]{3,20}))?"
    rf"|(?P<word>(?:{_NUMBER_WORD})(?:[- ](?:{_NUMBER_WORD}))?)(?: (?P<hundred>hundred))?\b"
    r"(?:[ -](?P<word_noun>[a-z]{3,20}))?"
    r")"
)
# With the character before it, which search skips to. In ASCII it takes half of the time.
_VALUE = re.compile(rf"[^\w.,:-](?=[0-9a-z]){_FORMS}")
_VALUE_IN_ASCII = re.compile(rf"[^0-9a-z_.,:-]{_FORMS}")
_MOMENT_GROUPS = frozenset(("iso_day", "day", "month2", "half", "minute24"))
"""The last groups of days and times."""
_DIGITS_GROUPS = frozenset(("number", "number_noun"))
_ID_MARKS = str.maketrans("", "", "-_/")
_NUMBER_WITH_NOUN = re.compile(r"(\d{1,3})-([a-z]{3,12})")
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th)")
_LIST_NUMBER = re.compile(r"^[ \t]*(?:step )?\d{1,2}[.)][ \t]", re.MULTILINE)
_UNTOLD = frozenset(
    "and the for you your are was can this that with from has have will per".split()
)


class SpokenValue(NamedTuple):
    """A value in its normal form, and where the text has it.

    `bare` is the same without the noun after it.
    """

    normal: str
    bare: str
    start: int
    end: int


def find_values(text: str) -> Iterator[SpokenValue]:
    """Yield the values that a text states, in order."""
    for match in _find_matches(text):
        value = _normalize(match)
        if value is not None:
            # The match begins with the character before the value, in a text with one before it.
            yield SpokenValue(*value, match.start(), match.end() - 1)


def read_values(text: str) -> frozenset[str]:
    """Return the values of a text in their normal form, with their nouns and without."""
    return frozenset(chain.from_iterable(filter(None, map(_normalize, _find_matches(text)))))


def _find_matches(text: str) -> Iterator[re.Match[str]]:
    plain = _LIST_NUMBER.sub(lambda match: " " * len(match[0]), f" {text.lower()}")
    pattern = _VALUE_IN_ASCII if plain.isascii() else _VALUE
    return pattern.finditer(plain)


def _normalize(match: re.Match[str]) -> tuple[str, str] | None:
    """Return the value of a match in its normal form, with its noun and without."""
    bare: str | None
    noun = None
    last = match.lastgroup
    if last in _MOMENT_GROUPS:
        bare = _normalize_moment(match)
    elif last == "id":
        bare, noun = _normalize_id(match["id"])
    elif last in _DIGITS_GROUPS:
        bare, noun = _normalize_digits(match["number"]), match["number_noun"]
    else:
        bare, noun = _normalize_words(match["word"], match["hundred"]), match["word_noun"]
    if bare is None or len(bare) > MAX_VALUE_CHARACTERS:
        return None
    if not noun or noun in _UNTOLD:
        return bare, bare
    return f"{bare} {noun.removesuffix('s')}", bare


def _normalize_moment(match: re.Match[str]) -> str:
    """Return a day as month-day, a time as hour:minute."""
    last = match.lastgroup
    if last == "iso_day":
        return f"{match['iso_month']}-{match['iso_day']}"
    if last == "minute24":
        return f"{int(match['hour24']):02}:{match['minute24']}"
    if last == "half":
        noon = 12 if match["half"] == "p" else 0
        hour = int(match["hour"]) % 12 + noon
        return f"{hour:02}:{match['minute'] or '00'}"
    month, day = match["month"] or match["month2"], match["day"] or match["day2"]
    return f"{_MONTHS[month]}-{int(day):02}"


def _normalize_id(token: str) -> tuple[str | None, str | None]:
    """Return an id, or a number and its noun in one word, such as 14-day."""
    number = _NUMBER_WITH_NOUN.fullmatch(token)
    if number:
        return number[1], number[2]
    return None if _ORDINAL.fullmatch(token) else token.translate(_ID_MARKS).upper(), None


def _normalize_digits(digits: str) -> str:
    if "," in digits and re.fullmatch(r"\d+,\d{1,2}", digits):  # 12,50 in European writing
        digits = digits.replace(",", ".")
    whole, _, cents = digits.replace(",", "").partition(".")
    cents = cents.rstrip("0")
    return f"{whole}.{cents}" if cents else whole


def _normalize_words(text: str, hundred: str | None) -> str | None:
    words = re.split(r"[- ]", text)
    is_joined = words[0] in _TENS and _SMALL_NUMBERS.get(words[-1], 10) < 10
    if len(words) == 2 and not is_joined:
        # "five five five" is a number that is read out, digit by digit.
        return None
    number = sum(_TENS.get(word, 0) + _SMALL_NUMBERS.get(word, 0) for word in words)
    # "one" and "zero" are mostly no numbers.
    if number < 2:
        return None
    return str(number * 100 if hundred else number)
