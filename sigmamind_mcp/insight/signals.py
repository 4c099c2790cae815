"""Find signals in one test run's transcript, each with its turn.

A signal is a hint, never a cause. The rules would rather miss a signal than raise a false one.
A signal is worded by us alone, so no text of a transcript can pass for ours.
"""

import re
import unicodedata
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal, NamedTuple

from sigmamind_mcp.api.conversations import Turn, number_spoken_turns
from sigmamind_mcp.api.models import MockVariable, TestRun
from sigmamind_mcp.insight import signal_phrases as phrases
from sigmamind_mcp.insight.mock_values import SpokenTurn, find_contradictions
from sigmamind_mcp.insight.spoken_values import contains_question
from sigmamind_mcp.insight.variable_names import is_plain_name
from sigmamind_mcp.insight.words import dice_similarity
from sigmamind_mcp.untrusted_text import clean

MAX_TURN_CHARACTERS = 4_000
MAX_CHARACTERS = 40_000
LAST_TURNS_READ = 4  # always read, however long the conversation is
MAX_MOCK_VARIABLES = 30
SILENT_ROLES = frozenset({"system", "developer"})

SignalKind = Literal[
    "repeated_agent_turn",
    "unfilled_variable",
    "mock_value_contradicted",
    "user_spoke_last",
    "no_transcript",
    "much_longer_than_siblings",
]


class Signal(NamedTuple):
    """A hint; `language_bound` if it depends on wording, of which the rules know English best."""

    kind: SignalKind
    turn: int | None
    says: str
    language_bound: bool


def find_signals(run: TestRun, sibling_lengths: Sequence[int]) -> list[Signal]:
    """Return the signals of one test run, in the order of its turns.

    `sibling_lengths` are the numbers of turns of the other attempts at the same test case.
    """
    conversation = run.conversation or []
    turns = read_spoken_turns(conversation)
    if not turns:
        message = "No turn with text could be read."
        if any(map(_shows_text, conversation)):
            message = "No turn has words of the user or the agent."
        return [Signal("no_transcript", None, message, language_bound=False)]
    mock_data = run.test_case.mock_data[:MAX_MOCK_VARIABLES] if run.test_case else []
    signals = [
        *_find_repeated_turns(turns),
        *_find_unfilled_variables(turns, mock_data),
        *_find_contradicted_values(turns, mock_data),
        *_find_missing_answer(turns, _find_last_answer(conversation)),
        *_find_excess_length(len(conversation), sibling_lengths),
    ]
    return sorted(signals, key=lambda signal: signal.turn or 0)


def read_spoken_turns(conversation: Sequence[Turn]) -> list[SpokenTurn]:
    """Return turns of the user and the agent, cleaned and truncated; always the last four."""
    spoken = number_spoken_turns(conversation)
    last_numbers = list(spoken)[-LAST_TURNS_READ:]
    characters_before = 0
    spoken_turns = []
    for number, turn in spoken.items():
        is_read = characters_before < MAX_CHARACTERS or number in last_numbers
        characters_before += len(turn.content)
        text = clean(turn.content[:MAX_TURN_CHARACTERS]).strip() if is_read else ""
        if text:
            spoken_turns.append(SpokenTurn(number, turn.side == "user", text))
    return spoken_turns


# Words and sentences of one turn.

# In scripts that put no space between words, each character is a word.
_WORD = re.compile(
    r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|[^\W_\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]+"
)
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+|\n|(?<=[。！？])")


def split_words(text: str) -> tuple[str, ...]:
    """Return the words of a text, without case and apostrophes."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = plain.replace("’", "").replace("'", "").replace("cannot", "cant")
    return tuple(_WORD.findall(plain))


def count_words(words: Iterable[str]) -> float:
    """Return the number of words; a character of a script without spaces counts half."""
    return sum(0.5 if "\u0e00" <= word <= "\u9fff" else 1 for word in words)


def _split_into_sentences(text: str) -> list[str]:
    return [sentence for sentence in _SENTENCE_END.split(text) if sentence]


# The agent repeats itself.

RECENT_TURNS = 8  # an equal turn is found at any distance, a nearly equal one among these
MIN_REPEATED_WORDS = 4
MIN_COMPARED_WORDS = 5
MIN_WORDS_TO_DIFFER = 14


class _UserRequest(NamedTuple):
    """What the user's last turn says about a repetition."""

    asks_to_repeat: bool = False
    was_made_before: bool = False


class _AgentMessage(NamedTuple):
    """An agent turn without its stock sentences."""

    words: tuple[str, ...]
    content: Counter[str]

    @classmethod
    def read(cls, text: str) -> "_AgentMessage":
        sentences = _split_into_sentences(text)
        own = [part for part in sentences if not phrases.OFFER_OF_MORE_HELP.search(part)]
        words = split_words(" ".join(own))
        return cls(words, Counter(word for word in words if word not in phrases.FILLER_WORDS))


@dataclass
class _AgentHistory:
    """The agent's messages, each with the turn where it was first said."""

    first_turns: dict[tuple[str, ...], int] = field(default_factory=dict)
    recent: deque[tuple[Counter[str], int]] = field(
        default_factory=lambda: deque(maxlen=RECENT_TURNS)
    )

    def find_original(self, message: _AgentMessage) -> int | None:
        """Return the turn that first said the message, if there is one."""
        if message.words in self.first_turns:
            return self.first_turns[message.words]
        for content, turn in self.recent:
            if is_nearly_equal(message.content, content):
                return turn
        return None

    def add(self, message: _AgentMessage, first_turn: int) -> None:
        self.first_turns.setdefault(message.words, first_turn)
        self.recent.append((message.content, first_turn))


@dataclass
class _Repetition:
    """How often a message is repeated, and where that is first a fault."""

    times: int = 0
    faulty_turn: int | None = None


def _find_repeated_turns(turns: Sequence[SpokenTurn]) -> Iterator[Signal]:
    """Yield one signal for each message that the agent repeats without a reason."""
    for original, repetition in _find_repetitions(turns).items():
        if repetition.faulty_turn is not None:
            in_all = f", {repetition.times + 1} times in all" if repetition.times > 1 else ""
            message = f"The agent repeats what it said in turn {original}{in_all}."
            yield Signal(
                "repeated_agent_turn", repetition.faulty_turn, message, language_bound=False
            )


def _find_repetitions(turns: Sequence[SpokenTurn]) -> dict[int, _Repetition]:
    """Return the repetitions of each original turn."""
    history = _AgentHistory()
    earlier_requests: set[tuple[str, ...]] = set()
    request = _UserRequest()
    repetitions: dict[int, _Repetition] = defaultdict(_Repetition)
    for turn in turns:
        if turn.by_user:
            words = split_words(turn.text)
            request = _UserRequest(asks_to_repeat(turn.text), words in earlier_requests)
            earlier_requests.add(words)
            continue
        message = _AgentMessage.read(turn.text)
        original = history.find_original(message)
        history.add(message, original or turn.number)
        size = count_words(message.words)
        if original and size >= MIN_REPEATED_WORDS and not request.asks_to_repeat:
            repetition = repetitions[original]
            repetition.times += 1
            is_fault = repetition.times > _count_allowed_repetitions(turn.text, size, request)
            if is_fault and repetition.faulty_turn is None:
                repetition.faulty_turn = turn.number
        request = _UserRequest()
    return repetitions


def asks_to_repeat(text: str) -> bool:
    """Tell whether the user asks to hear something again, and does not complain about it."""
    is_request = phrases.REPEAT_REQUEST.search(text) is not None
    return is_request and not phrases.REPEAT_COMPLAINT.search(text)


def _count_allowed_repetitions(text: str, size: float, request: _UserRequest) -> int:
    """Return how often a message may be repeated without being a fault."""
    # A short statement, such as "let me check that", may come twice.
    may_stall = size < 10 and bool(phrases.STALLING.search(text))
    is_short_statement = (size < 7 or may_stall) and not contains_question(text)
    # So may the answer to a question that the user asks twice.
    return is_short_statement + request.was_made_before


def is_nearly_equal(first: Counter[str], second: Counter[str]) -> bool:
    """Tell whether two turns differ in hardly a word, and in none that changes what they say."""
    first_size, second_size = count_words(first.elements()), count_words(second.elements())
    smaller, larger = sorted((first_size, second_size))
    if smaller < MIN_COMPARED_WORDS or smaller < 0.7 * larger:
        return False
    if first == second:
        return True
    removed = first - second
    if any(map(_is_distinguishing, [*removed, *(second - first)])):
        return False
    # One other word can make another question: "first name" and "last name".
    if smaller < MIN_WORDS_TO_DIFFER:
        return False
    shared = first_size - count_words(removed.elements())
    return dice_similarity(shared, first_size, second_size) >= 0.9


def _is_distinguishing(word: str) -> bool:
    return word in phrases.DISTINGUISHING_WORDS or any(map(str.isdigit, word))


# The agent shows a variable's name, or nothing, in place of its value.


class _Gap(NamedTuple):
    """A place in an agent's turn where a value is missing."""

    message: str
    language_bound: bool


def _find_unfilled_variables(
    turns: Sequence[SpokenTurn], mock_data: Sequence[MockVariable]
) -> Iterator[Signal]:
    names = {variable.variable_name.strip() for variable in mock_data}
    name_pattern = _compile_names(names)
    user_talks_of_templates = False
    for turn in turns:
        if turn.by_user:
            talks_of_templates = phrases.TEMPLATE_TALK.search(turn.text) is not None
            user_talks_of_templates = user_talks_of_templates or talks_of_templates
            continue
        plain = phrases.CODE_SPAN.sub(" ", turn.text)
        gap = _find_gap(plain, names, name_pattern, is_example=user_talks_of_templates)
        if gap:
            yield Signal("unfilled_variable", turn.number, gap.message, gap.language_bound)


def _find_gap(
    text: str, names: set[str], name_pattern: re.Pattern[str], *, is_example: bool
) -> _Gap | None:
    """Return what is missing in an agent's turn; placeholders may be examples."""
    talks_of_code = phrases.CODE_TALK.search(text) is not None
    is_example = is_example or talks_of_code
    placeholder = None if is_example else _find_placeholder(text, name_pattern)
    if placeholder is not None:
        return _Gap(_describe_placeholder(placeholder, names), language_bound=False)
    if phrases.PRINTED_OBJECT.search(text):
        return _Gap("The agent shows an object in place of a value.", language_bound=False)
    has_empty_value = not talks_of_code and has_missing_word(text)
    has_label = not is_example and bool(phrases.BRACKETED_LABEL.search(text))
    if has_empty_value or has_label:
        return _Gap("A value seems to be missing in the agent's words.", language_bound=True)
    return None


def _find_placeholder(text: str, name_pattern: re.Pattern[str]) -> str | None:
    """Return the name in a placeholder, unless the user is told to type it."""
    match = phrases.PLACEHOLDER.search(text) or name_pattern.search(text)
    if match is None:
        return None
    words_before = text[max(0, match.start() - 80) : match.start()]
    if phrases.TYPING_INSTRUCTION.search(words_before):
        return None
    name = next(filter(None, match.groups()), match.group())
    return name.strip()


def _describe_placeholder(name: str, names: set[str]) -> str:
    if name in names and is_plain_name(name):
        return f"The agent shows the variable {name} without a value, but the mock data has one."
    return "The agent shows a variable without a value, and the mock data has no such variable."


def _compile_names(names: set[str]) -> re.Pattern[str]:
    """Return a pattern for variable names; one without an underscore may be an ordinary word."""
    distinct = [name for name in sorted(names) if "_" in name.strip("_")]
    if not distinct:
        return re.compile(r"(?!)")
    any_name = "|".join(map(re.escape, distinct))
    return re.compile(rf"(?<![\w{{/.@-])(?:{any_name})(?![\w}}/@-])")


def has_missing_word(text: str) -> bool:
    """Tell whether a word is missing before a punctuation mark."""
    gap = phrases.EMPTY_VALUE.search(text)
    if gap is None or not gap.group().endswith("!"):
        return gap is not None
    # French puts a space before "!", so a text that does so elsewhere too has no gap.
    rest = text[: gap.start()] + text[gap.end() :]
    return not phrases.SPACED_PUNCTUATION.search(rest)


# The agent states another value than a mock variable has.


def _find_contradicted_values(
    turns: Sequence[SpokenTurn], mock_data: Sequence[MockVariable]
) -> Iterator[Signal]:
    for name, number, language_bound in find_contradictions(turns, mock_data):
        variable = f"the mock variable {name}" if is_plain_name(name) else "a mock variable"
        message = f"The agent states a value that differs from {variable}."
        yield Signal("mock_value_contradicted", number, message, language_bound)


# The user waits for an answer.


def _find_last_answer(conversation: Sequence[Turn]) -> int:
    """Return the last turn in which the agent may answer: also by a medium, or an unknown role."""
    for number, turn in reversed(list(enumerate(conversation, start=1))):
        is_silent = turn.side in ("user", "tool") or turn.role.strip().casefold() in SILENT_ROLES
        if _shows_text(turn) and not is_silent:
            return number
    return 0


def _shows_text(turn: Turn) -> bool:
    return bool(clean(turn.text[:MAX_TURN_CHARACTERS]).strip())


def _find_missing_answer(turns: Sequence[SpokenTurn], last_answer: int) -> Iterator[Signal]:
    last = turns[-1]
    if not last.by_user or last.number < last_answer:
        return
    before = next((turn.text for turn in reversed(turns) if not turn.by_user), "")
    if expects_answer(last.text, before):
        message = "The user spoke last and got no answer from the agent."
        language_bound = bool(before) and not contains_question(last.text)
        yield Signal("user_spoke_last", last.number, message, language_bound)


def expects_answer(text: str, before: str) -> bool:
    """Tell whether the user's last turn needs an answer; `before` is the agent's turn before it.

    A plain statement may end a conversation: it needs no answer unless the agent asked for it.
    """
    last_sentence = _split_into_sentences(text)[-1]
    if is_leaving(last_sentence):
        return False
    if contains_question(last_sentence):
        return True
    offers_help = offers_more_help(before)
    asks_user = contains_question(before) and not offers_help
    makes_user_wait = bool(phrases.STALLING.search(before))
    if offers_help and declines_offer(text):
        return False
    if is_closing(last_sentence):
        return makes_user_wait or (asks_user and bool(phrases.AGREEMENT.search(text)))
    return asks_user or makes_user_wait or not before or demands_answer(text)


def is_leaving(sentence: str) -> bool:
    """Tell whether the user leaves without a last request."""
    has_request = contains_question(sentence) or phrases.PLEA.search(sentence)
    return bool(phrases.DEPARTURE.search(sentence)) and not has_request


def offers_more_help(text: str) -> bool:
    """Tell whether the agent asks if it can do anything else."""
    questions = filter(contains_question, _split_into_sentences(text))
    return any(map(phrases.OFFER_OF_MORE_HELP.search, questions))


def declines_offer(text: str) -> bool:
    """Tell whether the user says no and asks for nothing."""
    return bool(phrases.REFUSAL.match(text)) and not phrases.REQUEST.search(text)


def is_closing(sentence: str) -> bool:
    """Tell whether the user thanks or says goodbye, and asks for nothing."""
    return bool(phrases.CLOSING.search(sentence)) and not phrases.REQUEST.search(sentence)


def demands_answer(text: str) -> bool:
    """Tell whether the user asks, requests, objects or complains anywhere in the turn."""
    if contains_question(text):
        return True
    return any(
        pattern.search(text) for pattern in (phrases.REQUEST, phrases.OBJECTION, phrases.COMPLAINT)
    )


# The run has more turns than the other attempts.


def _find_excess_length(turns: int, sibling_lengths: Sequence[int]) -> Iterator[Signal]:
    """Yield a signal for twice the median, six turns more, and hardly a sibling as long."""
    lengths = [length for length in sibling_lengths if length > 0]
    if len(lengths) < 3:
        return
    middle = median(lengths)
    min_excess = 6 if len(lengths) >= 4 else 10  # three siblings prove less
    is_long = turns > 2 * middle and turns >= middle + min_excess
    # Where lengths vary much, a long run is nothing unusual.
    as_long = sum(length >= turns for length in lengths)
    if is_long and as_long <= max(1, len(lengths) // 10):
        message = f"It has {turns} turns; the median of its {len(lengths)} siblings is {middle:g}."
        yield Signal("much_longer_than_siblings", None, message, language_bound=False)
