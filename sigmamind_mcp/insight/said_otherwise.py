"""Look for a value in all ways in which an agent may say it, after the common form is not found.

This leans to "said": a value is missing only if no reading of the text can be it.
"""

import re

from sigmamind_mcp.insight.spoken_values import SpokenValue, read_values

MIN_DIGITS_ANYWHERE = 4
"""So many digits in a row are hardly there by chance, however they are grouped."""

_UNITS = {
    word: str(number)
    for number, words in enumerate(
        "zero oh null|one first|two second|three third|four fourth|five fifth|six sixth"
        "|seven seventh|eight eighth|nine ninth|ten tenth|eleven eleventh|twelve twelfth dozen"
        "|thirteen thirteenth|fourteen fourteenth|fifteen fifteenth|sixteen sixteenth"
        "|seventeen seventeenth|eighteen eighteenth|nineteen nineteenth".split("|")
    )
    for word in words.split()
} | {"fortnight": "14", "half": "50", "quarter": "25"}
_TENS_WORDS = {
    word: number * 10
    for number, words in enumerate(
        "twenty twentieth|thirty thirtieth|forty fortieth|fifty fiftieth|sixty|seventy|eighty"
        "|ninety".split("|"),
        start=2,
    )
    for word in words.split()
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_TOKEN = re.compile(r"\d+|[a-z]+|[^\sa-z\d]")
# A day may be named by its distance or its weekday instead.
_RELATIVE_DAY = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b"
)
# 10.11. may be the tenth of November.
_NUMERIC_DATE = re.compile(r"([12]?\d|3[01])\.(?:0?[1-9]|1[0-2])")
_MONTH_NAME = re.compile(r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)")
_SEPARATORS = frozenset(("dash", "hyphen", "slash", "dot", "underscore", "space"))
_NEAR_DAYS = frozenset(("today", "tonight", "tomorrow", "yesterday"))
_DATE = re.compile(r"\d\d-\d\d")
# Quantities of one unit that are also said in another: 14 days are two weeks.
_UNIT_RATIOS = {
    "day": {"week": 7, "month": 30, "year": 365},
    "hour": {"day": 24, "week": 168},
    "minute": {"hour": 60},
    "month": {"year": 12},
    "second": {"minute": 60},
    "week": {"month": 4, "year": 52},
}
_WHOLE = {"a": 1, "an": 1, "one": 1, "half": 0.5, "quarter": 0.25}


class SaidText:
    """A text with its numbers in digits, ready for values to be looked for."""

    def __init__(self, text: str) -> None:
        self.plain = text.lower().replace(" and a half", " point five")
        tokens = _TOKEN.findall(self.plain)
        self.numbers: set[str] = set()
        written = list(_write_numbers(tokens, self.numbers))
        self.digits = "".join(token for token in written if token.isdigit())
        self.squeezed = "".join(
            token for token in written if token.isalnum() and token not in _SEPARATORS
        )

    def may_say(self, value: SpokenValue, clause: str) -> bool:
        """Whether the text may say this value of a clause, which is not there in normal form."""
        bare, normal = value.bare, value.normal
        if _DATE.fullmatch(bare):
            return self._has_relative_day(clause.lower()) or self._has_day(bare)
        day = _NUMERIC_DATE.fullmatch(bare)
        if day and day[1] in self.numbers and _MONTH_NAME.search(self.plain):
            return True
        digits = re.sub(r"\D", "", bare)
        if "." in bare:
            digits = bare.replace(".", "") + "0" * (2 - len(bare.partition(".")[2]))
        if not bare.replace(".", "").isdigit():
            return bare.lower() in self.squeezed or (len(digits) > 2 and digits in self.digits)
        if len(digits) >= MIN_DIGITS_ANYWHERE and digits in self.digits:
            return True
        if is_duration(normal) and self._has_relative_day(clause.lower()):
            return True
        return bare in self.numbers or _says_in_other_unit(normal, self.plain)

    def _has_relative_day(self, clause: str) -> bool:
        """Whether a day is named by its distance or weekday; by the one that the clause names."""
        said = set(_RELATIVE_DAY.findall(self.plain))
        wanted = set(_RELATIVE_DAY.findall(clause))
        return bool(said & (wanted | _NEAR_DAYS) if wanted else said)

    def _has_day(self, month_and_day: str) -> bool:
        month, _, day = month_and_day.partition("-")
        written = rf"\b0?{int(day)}[./-]0?{int(month)}\b|\b0?{int(month)}/0?{int(day)}\b"
        return re.search(written, self.plain) is not None or str(int(day)) in self.numbers


def is_duration(normal: str) -> bool:
    """Whether a value in normal form is a number of days or the like, two at least."""
    number, _, unit = normal.partition(" ")
    return unit in _UNIT_RATIOS and number.isdigit() and int(number) > 1


def _says_in_other_unit(normal: str, plain: str) -> bool:
    """Whether a text in lower case has the quantity in a larger unit: "2 weeks" for "14 days"."""
    number, _, unit = normal.partition(" ")
    ratios = _UNIT_RATIOS.get(unit)
    if not ratios or not number.isdigit():
        return False
    for larger, ratio in ratios.items():
        amount = int(number) / ratio
        if amount.is_integer() and f"{int(amount)} {larger}" in read_values(plain):
            return True
        words = [word for word, value in _WHOLE.items() if value == amount]
        one_and_half = rf"{larger} (?:and a half|point five)|one (?:and a half|point five) {larger}"
        if amount == 1.5 and re.search(one_and_half, plain):
            return True
        if words and re.search(rf"\b(?:{'|'.join(words)})[ -](?:of )?(?:an? )?{larger}\b", plain):
            return True
    return False


def _write_numbers(tokens: list[str], numbers: set[str]) -> list[str]:
    """Return the tokens with number words as digits; collect every number that they may be."""
    written: list[str] = []
    row: list[str] = []
    for token in [*tokens, ""]:
        digits = _read_digits(token)
        if digits is not None or token in _SCALES:
            row.append(token)
            continue
        if token in (",", ".", "-", "'", "and", "point") and row:
            continue
        if row:
            whole = [_read_digits(one) or "" for one in row]
            numbers.update(one for one in whole if one)
            numbers.update(_list_joined([one for one in whole if one]))
            total = _add_up(row)
            numbers.add(total)
            written += [total] if any(one in _SCALES for one in row) else whole
            row = []
        if token:
            written.append(token)
    return written


def _read_digits(token: str) -> str | None:
    if token.isdigit():
        return token
    if token in _UNITS:
        return _UNITS[token]
    return str(_TENS_WORDS[token]) if token in _TENS_WORDS else None


def _list_joined(row: list[str]) -> set[str]:
    """Return the numbers that neighbours give together: "seven forty five", "2 99", "2 . 1"."""
    joined = set()
    for start in range(len(row)):
        for end in range(start + 2, min(len(row), start + 4) + 1):
            part = row[start:end]
            joined.add("".join(part))
            joined.add(f"{part[0]}.{''.join(part[1:])}")
            joined.add(str(sum(map(int, part))))
            joined.add(part[0] + str(sum(map(int, part[1:]))))
    return joined


def _add_up(row: list[str]) -> str:
    """Return the number that words give together: "one thousand two hundred and fifty"."""
    total = current = 0
    for token in row:
        scale = _SCALES.get(token)
        if scale is None:
            current += int(_read_digits(token) or 0)
        elif scale == 100:
            current = max(current, 1) * scale
        else:
            total, current = total + max(current, 1) * scale, 0
    return str(total + current)
