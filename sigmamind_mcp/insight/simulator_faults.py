"""Find faults of the test in a transcript: what no real customer would do or say.

Only English phrases are known. A word such as "scenario" proves nothing where the test case or the
agent talks about scenarios, so a phrase does not count if its subject is theirs.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from sigmamind_mcp.api.conversations import Turn
from sigmamind_mcp.api.models import TestCase, TestRun
from sigmamind_mcp.insight.endings import is_user

FaultKind = Literal[
    "user speaks as agent",
    "user drops the role",
    "user states unknown id",
    "text addresses the reader",
]

MIN_ID_CHARACTERS = 6
READER_CHARACTERS = 300
"""How much text around the words that address a reader is searched for an order."""

_DATUM = (
    r"(?:full name|date of birth|birth ?date|(?:order|account|booking|customer|contract|policy"
    r"|reservation|confirmation|member(?:ship)?|contact|reference) (?:id|number|reference)"
    r"|zip ?code|user id|order (?:details|id)|card (?:details|number))"
)
_RECORD = (
    r"(?:order|account|booking|reservation|appointment|case|claim|refund|ticket|payment|requests?"
    r"|changes|parcel|package|group|seat|room|table|card|return (?:label|request))"
)
# Customers, too, upload and write down things for the agent.
_DONE = (
    r"(?!attached|uploaded|copied|pasted|listed|typed|scanned|prepared|enclosed|marked|saved)"
    r"(?:\w{2,12}ed|booked|sent|set|put|made|found|gone ahead)"
)
_SPEAKS_AS_AGENT = re.compile(
    # offers of help
    r"\b(?:anything|something|any other \w+|what|how) (?:else )?(?:(?:that )?(?:i|we)"
    r" (?:can|may|could)|(?:can|may|could) (?:i|we)) (?:help|assist|do for|look up for) you\b"
    r"|\banything else (?:that )?(?:i|we) can (?:help|assist|do to make)\b"
    r"|\b(?:can|may|could) i (?:help|assist) you (?:with|today|further)\b"
    r"|\bi(?:'m| am) here to (?:help|assist)\b|\bmay i (?:also )?(?:interest|offer) you\b"
    r"|\bi (?:can|will|would be happy to|am happy to|'ll) (?:(?:help|assist) you with|offer you)\b"
    r"|\bif you need (?:any )?(?:further |other |more )?(?:assistance|help)\b"
    r"|\bif you have any (?:other |more |further )?questions or need\b|\byou(?:'re| are) all set\b"
    r"|\bshall i (?:put|book|sign|enrol|register) you\b"
    r"|\bwould you like me to (?:book|cancel|process|proceed|schedule|issue|refund|transfer)\b"
    rf"|\b(?:let me (?:pull|look) up|i can see|i(?:'ve| have) (?:located"
    rf"|pulled up)) your (?:\w+ )?{_RECORD}\b"
    # the greeting and the goodbye of a company
    r"|\bthank you for (?:calling|contacting|choosing|reaching out|shopping|submitting|being a"
    r"|your (?:generous|order|purchase|business|loyalty))\b(?! me| us| back| to me)"
    r"|\bwe(?:'re| are)? look(?:ing)? forward to (?:welcoming|serving|having|seeing) you (?:on"
    r"|in|back"
    r"|at|with|aboard)\b|\bpleasure (?:serving|assisting|helping) you\b|\bwe wish you\b"
    r"|^(?:\w+,? ){0,3}(?:welcome to|you've reached|this is [\w ]{2,30}(?:support"
    r"|customer service|desk))\b"
    r"|\bour (?:\w+ )?\w+ will be (?:expecting|in touch)\b|\bwe apologi[sz]e\b"
    r"|\bapologi[sz]e for (?:the|any|this) inconvenience (?:this|caused|you)\b"
    r"|\b(?:we|our (?:\w+ )?(?:team|department|colleagues?|agents?|representatives?))"
    r" (?:will|'ll) (?:contact|notify|process|reach out to|get back to) you\b"
    # what a company does with a customer's records
    rf"|\bi(?:'ve| have|'ll| will)(?: now| just| also)? {_DONE}\b[^.?!]{{0,60}}\bfor you\b"
    r"|\bi(?:'ve| have)(?: now| just| also)? (?:forwarded|processed|updated|cancell?ed|issued"
    r"|redirected|renewed|placed|reserved|refunded|booked|changed|registered|noted)\b"
    rf"[^.?!]{{0,30}}\byour (?:\w+ )?{_RECORD}\b"
    rf"|\byour (?:\w+ ){{0,2}}{_RECORD} (?:\w+ ){{0,2}}(?:has|have|is|are|will)(?: now)?"
    r" (?:been |be )?(?:confirmed|updated|processed|cancell?ed|noted|booked|submitted|approved)\b"
    r"(?![^.!]*\?)|\bi will (?:pencil|put|sign) you"
    # questions for a customer's data
    r"|\b(?:please|could you|can you|may i|you)(?: please)? (?:provide|confirm|verify|share|have"
    rf"|take|give)(?: me)?(?: with)? (?:the|your) [^.?!]{{0,40}}?\b{_DATUM}"
    r"[^.?!]{0,60}?(?:so (?:that )?(?:i|we)|to (?:verify|locate)|can (?:locate|look|assist|help))"
    r"|\bto verify your identity\b|\bchecked our (?:system|records|calendar)\b"
    r"|\b(?:could|can|may) (?:you|i)(?: please)? (?:have|provide|give|share)(?: me)?(?: with)? your"
    r" (?:order|account|booking|reservation) (?:number|id)\b"
    r"|\b(?:i'd|i would) be happy to (?:help|assist)(?: you)? with\b|\bplease hold while i\b"
    r"|\bi(?:'ll| will) (?:now |go ahead and )(?:process|cancel|book|issue|update|refund) your\b"
    r"|\b(?:may|can|could) i (?:please )?have your [^.?!]{0,80}, (?:sir|madam|ma'am)\b",
)
# The user repeats what a letter, an advertisement or another agent says.
_REPORTS = re.compile(
    r"\b(?:sa(?:ys?|id|ying)|reads?|told me|wrote|ask(?:s|ed)?|e?-?mail|message|text|sms|letter"
    r"|notification|website|app|heard|phrase)\b[^.?!]{0,50}$"
)
# Plain texts of which a pattern needs one: they are found fast.
_AGENT_NEEDS = (
    *("help you", "can help", "here to help", "assist", "do for you", "else i can do", "for you"),
    *("if you need", "thank you for", "forward to", "pleasure", "we wish", "apolog", "in touch"),
    *("will be expecting", "like me to", "all set", "questions or need", "welcome to", "shall i"),
    *("'ve reached", "this is ", "interest you", "offer you", "put you", "sign you", "pencil you"),
    *("checked our", "happy to help", "hold while", "contact you", "notify you", "process you"),
    *("back to you", "out to you"),
)
# The same for the patterns that have "your".
_YOUR_NEEDS = (
    *(
        "i've",
        "i have",
        "pull up",
        "look up",
        "can see",
        "been ",
        "now ",
        "will be",
        "ed ",
        "verify",
    ),
    *(
        "so i ",
        "so that i",
        "so we",
        "to locate",
        "can locate",
        "can look",
        " sir",
        "madam",
        "ma'am",
    ),
    *("could you", "can you", "may i", "i'll", "i will"),
)
_ROLE_NEEDS = {
    "simulat": ("simulat",),
    "scenario": ("scenario", "test case", "tester"),
    "character": ("character", "persona"),
    "persona": ("persona",),
    "role": ("role", "part of"),
    "model": (" ai", "artificial", "language model"),
    "instruct": ("instruct", "prompt", "brief", "script", "goal", "task", "objective", "criteria")
    + ("told to", "supposed to"),
    "user": ("user", "customer", "caller", "patient", "passenger", "guest", "client", "how would")
    + ("act as", "respond as", "reply as", "answer as"),
}
_DROPS_ROLE = {
    # The subject: phrases that only a simulated user has, if nobody else talks about the subject.
    "simulat": re.compile(
        r"\bsimulated (?:user|customer|caller|conversation|dialogue|chat)\b"
        r"|\bsimulation (?:ends?|over|complete)|\b(?:this|that ends the|end of) simulation\b"
    ),
    "scenario": re.compile(
        r"\b(?:as per|per|in|by|says|according to|given in) (?:the|my|this) (?:test )?scenario\b"
        r"|\b(?:the|my|this) (?:test )?scenario (?:does|did|says|states|specif|requires|is|ends|has"
        r"|was)|\btest case\b|\bthe tester\b"
    ),
    "character": re.compile(
        r"\b(?:stay(?:ing)?|remain(?:ing)?|speak(?:ing)?|back|break(?:ing)?) (?:in "
        r"|of )?character\b"
        r"|\bmy (?:character|persona)\b"
    ),
    "persona": re.compile(r"\b(?:the|my|this|in) persona\b"),
    "role": re.compile(
        r"\brole-?play(?:ing)? (?:as|the|a)\b|\bmy role (?:as|is|here)\b|\bin my role as (?:the|a)"
        r" (?:user|customer)\b|\b(?:playing|play) the (?:role|part) of\b"
    ),
    "model": re.compile(
        r"\bas an? (?:ai|artificial intelligence|(?:ai |large )*language model)\b(?! you)"
        r"[^.?!]{0,40}\bi\b"
        r"|\b(?:i'm|i am)(?: just| only| actually)? an? (?:(?:ai |large )*language model\b"
        r"|ai(?=[,.;:!)]| (?:model|assistant|system|chatbot|and|so|simulat)))"
    ),
    "instruct": re.compile(
        r"\b(?:as per|per|according to|following|in) my (?:task )?(?:instructions|prompt|brief)\b"
        r"|\b(?:specified|mentioned|provided|given|included|covered|have)\b[^.?!]{0,40}\b(?:in|by)"
        r" (?:my|the) (?:instructions|prompt|scenario|script|brief)\b"
        r"|\bgoal of this (?:conversation|chat|dialogue)\b"
        r"|\bsuccess criteria\b|\bsystem prompt\b|\buser prompt\b"
        r"|\bmy (?:instructions|prompt) (?:say|state|do|don't|does|only|tell|require)"
        r"|\bas instructed\b.{0,60}\b(?:end|goal|conversation|task)\b"
        r"|\bi (?:was|am|have been) (?:told|instructed|supposed) to (?:refuse|decline|reject|accept"
        r"|pretend|insist|act|play)\b"
        r"|\bmy (?:goal|task|objective)\b.{0,40}\b(?:is|been|was) (?:reached|complete|achieved|met)"
    ),
    "user": re.compile(
        r"\b(?:the|a) (?:user|customer|caller|patient|passenger)(?:'s)? (?:would|might|goal"
        r"|objective"
        r"|persona|is satisfied|ends|closes|hangs)\b|\bhow would (?:the|a) \w+ (?:react|respond"
        r"|reply)\b"
        r"|\b(?:message|reply|response|answer) (?:as|from|of) (?:the|a) (?:user|customer|caller"
        r"|patient|passenger|guest|client)\b[^.?!]{0,20}:"
        r"|\bi(?:'ll| will) (?:now )?(?:act|respond|reply|answer) as (?:the|a) \w+"
        r"|\bas the (?:simulated )?(?:user|customer|caller),? i\b"
        r"|^(?:user|customer|caller): .*\n+(?:assistant|agent): |^(?:user|simulated user): "
    ),
}
# Words that stand for the subject in what the test case and the agent say.
_SUBJECT_WORDS = {"model": "language model", "user": ""}
_STAGE_DIRECTION = re.compile(
    r"[\[(*][^\])*\n]{0,80}\b(?:(?:the )?(?:user|customer|caller|simulation|conversation|dialogue"
    r"|persona|chat) (?:is|has|ends?|ended|complete|over|closes|hangs|pauses|continues|finished)\b"
    r"|end of (?:the )?(?:conversation|chat|dialogue|call|simulation)\b)[^\])*\n]{0,120}[\])*]"
    r"|\b(?:end|stop)_(?:of_)?(?:dialogue|conversation|chat|call|simulation|task)\b"
    r"|^\W*(?:###\s*)?(?:end|stop)\W*###"
)
_MARK_NEEDS = ("[", "(", "*", "_", "###", "{")
_TEMPLATE_VARIABLE = re.compile(
    r"\{\{?\s*[a-z][\w. ]{1,30}\}\}?"
    r"|\[(?:insert |your |agent|user|customer|company|caller|first|last|full|order|phone|email)"
    r"[\w' ]{0,25}\](?!\()"
)

_READER = (
    r"(?:judges?|evaluators?|graders?|reviewers?|auditors?|assessors?|analysts?|readers?"
    r"|ai(?: systems?| agents?)?|llms?|models?|assistants?|agents|copilots?|bots?|scripts?"
    r"|pipelines?"
    r"|whoever|anyone|anybody|everyone|human)"
)
_STEMS = (
    r"(?:read|grad|review|analy[sz]|evaluat|judg|scor|pars|process|summari[sz]|ingest|triag|assess"
    r"|inspect|work|diagnos|debug)"
)
_READS = rf"{_STEMS}\w*"
_READING = rf"{_STEMS}ing\b"
_READ_TEXT = (
    r"(?:on )?(?:this|these|the (?:log|chat|transcript|conversation|runs?|report|remarks?|results?)"
    r"|failures|results|transcripts|logs|test runs)\b"
)
_JUDGES = (
    r"(?:judges?|evaluators?|graders?|reviewers?|auditors?|assessors?|analysts?|analysis scripts?"
    r"|report readers?|coding assistants?"
    r"|(?:grading|scoring|judging|reviewing) (?:ai|llm|model|bot|script|system)s?)\b"
)
_KINDLY = r"(?:the |any |all |my |our |human or |automated |ai )*"
_ADDRESSES_READER = re.compile(
    # "To the evaluator:", "note for the scoring model"
    r"(?:(?:^|[^\w\s,;'\"]\s*|\b(?:note|message|instructions?|attention|important|ps"
    r"|p\.s\.)\W{1,3})"
    rf"(?:to|for)|@)\W{{0,3}}{_KINDLY}(?:{_JUDGES}|(?:ai|llms?|language models?|ai assistants?)\b)"
    rf"|\b(?:dear|hey|hi|hello|attention|attn)\W{{1,3}}{_KINDLY}{_JUDGES}"
    # "assistant reading this", "if an AI system is processing this transcript", "whoever grades"
    rf"|\b{_READER}(?: (?:with|that|who|which) [\w ]{{1,30}}?)?(?: (?:is|are))?(?: \w+ly)? ?"
    rf"{_READING} {_READ_TEXT}"
    rf"|\b(?:whoever|anyone|everyone)[ -]{_READS}|\bwhichever [^.?!\n]{{0,40}}\b{_READS}"
    rf"|\b(?:all|any) (?:ai |llm )?(?:agents|assistants|models|readers) {_READING}"
    r"|\b(?:parsed|read|processed|analy[sz]ed|reviewed|graded) by an? (?:ai|llm|language model)\b"
    r"|\b(?:automated|ai|llm) readers? of\b"
    # "EVALUATOR:" and "Reviewer models:" at the start of a sentence
    r"|(?:^|[.!?>\]\n(*#-]\s*)(?:ai |llm |automated )?(?:evaluator|grader|judge|reviewer|assessor)"
    r"(?: models?| ai| bots?)?\s?[:,]"
    r"|\b(?:evaluator|grader|judge)s? (?:should|must) (?:output|pass|mark|score|return)\b"
    r"|\bmark(?: this| the)? (?:test|run|attempt|conversation|transcript) as (?:a )?(?:pass"
    r"|success)"
)
_READER_NEEDS = (
    *("judge", "evaluator", "grader", "grading", "scoring", "judging", "reviewer", "auditor"),
    *("assessor", "analyst", "analysis script", "report reader", "coding assistant", "readers"),
    *("llm", "language model", " ai ", " ai:", " ai,", "whoever", "anyone", "anybody", "everyone"),
    *("whichever", "reading ", "reviewing ", "analysing ", "analyzing ", "evaluating ", "parsing "),
    *("working on", "processing t", "summarizing ", "summarising ", "ingesting ", "triaging "),
    *(
        "assessing ",
        "inspecting ",
        "diagnosing ",
        "debugging ",
        "mark th",
        "mark tes",
        "disregard",
        "ignore",
    ),
)
# Said by a user, this is an order to the agent.
_ORDERS_MODEL = re.compile(
    r"\b(?:ignore|disregard) (?:all |any |your |the )*(?:previous|prior|above"
    r"|earlier) instructions\b"
)
_REMARKS_HEADING = re.compile(r"^\W*(?:evaluator|grader|judge|reviewer|assessor)(?: \w+)?\s?:")
_ORDERS_READER = re.compile(
    r"\b(?:pass(?:ed|es|ing)?|fail(?:ed|ures?)?|scor(?:e|es|ing)|marks?|rat(?:e|ing)|grade|verdict"
    r"|criteri(?:a|on)|requirements?|rubric|issuccessful|success\w*|favou?r|flawless|perfect"
    r"|defects?"
    r"|ignore|disregard|skip|don't|do not|never|must|output|reply|respond|answer with|set|call|open"
    r"|run|execute|apply|delete|remove|edit|export|query|post|treat|describe|assume|decide|override"
    r"|approve|merge|push|send|give|forward|fetch|print|reveal|follow|add|change|update|close|hide)\b",
    re.IGNORECASE,
)
# What a quotation says is not the user's own: "Dear driver, …".
_QUOTATION = re.compile(r"[\"“„][^\"”“\n]{0,300}[\"”“]")

_EMAIL = re.compile(r"[\w.+-]{2,64}@[\w-]{2,60}(?:\.[\w-]{2,20})+")
_ID = re.compile(
    r"(?<![\w@.-])#?(?=[A-Z0-9_-]{0,20}\d)(?=[\d_-]{0,20}[A-Za-z])[A-Za-z0-9]{1,30}"
    r"(?:[-_][A-Za-z0-9]{1,30}){0,4}(?![\w@-])"
)
_ORDINARY = re.compile(
    r"\d+(?:st|nd|rd|th|am|pm|k|m|x|h|hrs?|days?|min|gb|mb|tb|kg|cm|mm|in|ft|oz|ml|l|w|v|p|usd)"
    r"|\d+-[a-z]+|[a-z]\d|\d[a-z]",
    re.IGNORECASE,
)


class Fault(NamedTuple):
    """A fault of the test, and the turn that shows it; without a turn, the remarks show it."""

    kind: FaultKind
    turn: int | None


def find_faults(run: TestRun) -> list[Fault]:
    """Return the faults of the test that a test run shows, the first of each kind."""
    first: dict[FaultKind, Fault] = {}
    for fault in _list_faults(run):
        first.setdefault(fault.kind, fault)
    return list(first.values())


def _list_faults(run: TestRun) -> Iterator[Fault]:
    turns = run.conversation or []
    texts = [turn.content.lower().replace("’", "'") for turn in turns]
    yield from _find_faults_of_user(run.test_case, turns, texts)
    if _has_any("\n".join(texts), _READER_NEEDS):
        for number, text in enumerate(texts, start=1):
            if _addresses_reader(text, by_user=is_user(turns[number - 1])):
                yield Fault("text addresses the reader", number)
    remarks = _REMARKS_HEADING.sub("", (run.remarks or "").lower())
    if _has_any(remarks, _READER_NEEDS) and _addresses_reader(remarks, by_user=False):
        yield Fault("text addresses the reader", None)
    yield from _find_unknown_ids(run.test_case, turns)


def _find_faults_of_user(
    case: TestCase | None, turns: Sequence[Turn], texts: Sequence[str]
) -> Iterator[Fault]:
    numbers = [number for number, turn in enumerate(turns, start=1) if is_user(turn)]
    spoken = [_QUOTATION.sub(" ", texts[number - 1]) for number in numbers]
    everything = "\n".join(spoken)
    has_agent_words = _has_any(everything, _AGENT_NEEDS) or "your " in everything
    subjects = [subject for subject, needs in _ROLE_NEEDS.items() if _has_any(everything, needs)]
    has_marks = _has_any(everything, _MARK_NEEDS)
    for number, text in zip(numbers, spoken, strict=True):
        if has_agent_words and _speaks_as_agent(text):
            yield Fault("user speaks as agent", number)
        if (subjects or has_marks) and _drops_role(text, subjects, case, turns):
            yield Fault("user drops the role", number)


def _has_any(text: str, needs: Sequence[str]) -> bool:
    return any(need in text for need in needs)


def _speaks_as_agent(text: str) -> bool:
    has_your = "your " in text and _has_any(text, _YOUR_NEEDS)
    if not has_your and not _has_any(text, _AGENT_NEEDS):
        return False
    found = _SPEAKS_AS_AGENT.search(text)
    return found is not None and not _REPORTS.search(text[: found.start()])


def _drops_role(
    text: str, subjects: Sequence[str], case: TestCase | None, turns: Sequence[Turn]
) -> bool:
    """Whether the user speaks as who simulates it, on one of these subjects."""
    found = [subject for subject in subjects if _DROPS_ROLE[subject].search(text)]
    has_variable = _TEMPLATE_VARIABLE.search(text)
    if not found and not has_variable:
        return _STAGE_DIRECTION.search(text) is not None
    theirs = [(case and case.user_prompt) or ""]
    theirs += [turn.content for turn in turns if not is_user(turn)]
    others = "\n".join(theirs).lower()
    if has_variable and not re.search(r"[{\[]", others):
        return True
    words = (_SUBJECT_WORDS.get(subject, subject) for subject in found)
    return any(not word or word not in others for word in words)


def _addresses_reader(text: str, *, by_user: bool) -> bool:
    """Whether a text in lower case gives an order to who reads the transcript."""
    if not by_user and _ORDERS_MODEL.search(text):
        return True
    found = _ADDRESSES_READER.search(text) if _has_any(text, _READER_NEEDS) else None
    if found is None:
        return False
    start = max(0, found.start() - READER_CHARACTERS // 5)
    around = text[start : found.start()] + text[found.end() : found.end() + READER_CHARACTERS]
    return _ORDERS_READER.search(around) is not None


def _find_unknown_ids(case: TestCase | None, turns: Sequence[Turn]) -> Iterator[Fault]:
    """Yield the first user's turn with an id that neither the test case nor the agent has given."""
    if case is None or not case.user_prompt:
        return
    given = _collect_given_text(case)
    for number, turn in enumerate(turns, start=1):
        if not is_user(turn):
            continue
        unknown = [
            one for one in map(_squeeze, _find_identifiers(turn.content)) if one not in given
        ]
        if unknown and not _has_all(turns[: number - 1], unknown):
            yield Fault("user states unknown id", number)
            return


def _has_all(turns: Sequence[Turn], squeezed: Sequence[str]) -> bool:
    """Whether the agent's turns have all of these ids."""
    said = _squeeze("".join(turn.content for turn in turns if not is_user(turn)))
    return all(one in said for one in squeezed)


@lru_cache(maxsize=500)
def _squeeze_case(*texts: str) -> str:
    return _squeeze(" ".join(texts))


def _collect_given_text(case: TestCase) -> str:
    """Return all text of the test case, as one text without spaces and punctuation."""
    texts = [case.user_prompt or "", case.success_criteria or ""]
    texts += [mock.value for mock in case.mock_data]
    return _squeeze_case(*texts)


def _find_identifiers(text: str) -> Iterator[str]:
    """Yield the e-mail addresses and ids with letters and digits in a text."""
    # Most words have letters alone, and the patterns are slow.
    others = " ".join(word for word in text.split() if not word.isalpha())
    yield from _EMAIL.findall(others)
    for token in _ID.findall(_EMAIL.sub(" ", others)):
        if len(token) >= MIN_ID_CHARACTERS and not _ORDINARY.fullmatch(token):
            yield token


def _squeeze(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
