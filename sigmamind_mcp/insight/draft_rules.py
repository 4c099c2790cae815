"""The phrases that the checks of a draft test case look for."""

import re
from typing import Literal, NamedTuple

Field = Literal["userPrompt", "successCriteria", "mockData", "llmModel", "attempt", "label"]

Severity = Literal["problem", "advice"]


class Finding(NamedTuple):
    """A fault of a draft; `language_bound` if a rule about English words found it.

    `quotes` are the words of the draft that it is about.
    """

    field: Field
    severity: Severity
    reason: str
    suggestion: str
    language_bound: bool = False
    quotes: tuple[str, ...] = ()


class Rule(NamedTuple):
    """A pattern to look for in each clause; `unless` before it in the clause cancels the match."""

    field: Field
    severity: Severity
    pattern: re.Pattern[str]
    reason: str
    suggestion: str
    unless: re.Pattern[str] | None = None


def compile_ignoring_case(pattern: str) -> re.Pattern[str]:
    """Compile a pattern that ignores upper and lower case."""
    # Linear time on any text: every repeated group in this module has a maximum.
    return re.compile(pattern, re.IGNORECASE)


_USER = r"(?:customer|user|caller|client|patient|guest|buyer|subscriber)"

_THEM = rf"(?:(?:the |a )?{_USER}|them|him|her)"

_SPEAKS = (
    r"\b(?:say|said|tell|told|explain|inform(?!ation)|offer|mention|stat(?:e|es|ing)\b|ask|announc"
    r"|acknowledg|describ|apologi|suggest|recommend|propos|warn|promis|confirm|clarif|remind|advis"
    r"|know\b|guid|instruct|point|direct(?!ly)|refer|nam(?:e|es|ing)\b|giv|list(?!en)|quot|declin"
    r"|refus|greet|thank|repeat|summari|clear that)"
)

# A transcript shows what the agent says about a thing, and that it does not mention it.
_SPOKEN_OF = compile_ignoring_case(
    rf"{_SPEAKS}|\b(?:not|never|no|without|avoids?|if|when|whether|unless)\b|n't\b"
)

_PROMPT_TO_AGENT = "The prompt tells the agent what to do, but only the simulated user reads it."

DESCRIBE_THE_USER = (
    "Say who the simulated user is, what they want and how they react;"
    " move the rest to the criteria."
)
_ASK_FOR_AN_OFFER = "Ask for what the agent says, such as an offer of the transfer."

RULES = (
    Rule(
        field="userPrompt",
        severity="problem",
        pattern=compile_ignoring_case(
            r"^(?:the |your )?(?:(?:ai|support|service|customer|virtual) ){0,2}"
            r"(?:agent|assistant|chatbot|bot) (?:should|must|shall|ought to|has to|needs to"
            r"|is supposed to|is expected to)\b"
        ),
        reason=_PROMPT_TO_AGENT,
        suggestion=DESCRIBE_THE_USER,
    ),
    Rule(
        field="userPrompt",
        severity="problem",
        pattern=compile_ignoring_case(
            r"^(?:please |always |first |politely )?"
            r"(?:greet|help|assist|thank|inform|offer|verify|reassure|serve|ask|tell) "
            rf"(?:the|every|each|any) {_USER}s?\b"
        ),
        reason=_PROMPT_TO_AGENT,
        suggestion=DESCRIBE_THE_USER,
    ),
    Rule(
        field="userPrompt",
        severity="problem",
        pattern=compile_ignoring_case(
            r"\byou(?: are|'re|r role is) (?:(?:an? |the )?"
            r"(?:(?:customer|client|technical|tech|support|services?|care|help|desk|helpdesk|call"
            r"|cent(?:er|re)|contact|virtual|ai|helpful|friendly|polite|professional|chat|phone"
            r"|voice)[ -]){1,6}"
            r"(?:agent|assistant|representative|rep|chatbot|bot)"
            r"|(?:the|an) agent(?! (?:of|at|for|from|with)\b))\b(?!')"
        ),
        reason="The prompt gives the simulated user the role of the agent.",
        suggestion=DESCRIBE_THE_USER,
    ),
    Rule(
        field="userPrompt",
        severity="problem",
        pattern=compile_ignoring_case(r"^(?:agent|assistant|bot) ?:"),
        reason="The prompt contains the agent's lines, but the agent never reads them.",
        suggestion=DESCRIBE_THE_USER,
    ),
    Rule(
        field="successCriteria",
        severity="problem",
        pattern=compile_ignoring_case(
            r"\btransfer(?:s|red|ring)? (?:the |this |a )?(?:phone )?call\b"
            r"|\b(?:warm|cold|blind|call) transfers?\b"
            r"|\bcalls? (?:is|gets|was|be|being) transferred\b"
        ),
        reason="A chat has no call to transfer.",
        suggestion=_ASK_FOR_AN_OFFER,
        unless=_SPOKEN_OF,
    ),
    Rule(
        field="successCriteria",
        severity="advice",
        pattern=compile_ignoring_case(
            rf"\btransfer(?:s|red|ring)? {_THEM}\b|\b{_USER} (?:is|gets|was|be|being) transferred\b"
        ),
        reason="The transcript does not show whether a transfer happened.",
        suggestion=_ASK_FOR_AN_OFFER,
        unless=_SPOKEN_OF,
    ),
    Rule(
        field="successCriteria",
        severity="problem",
        pattern=compile_ignoring_case(
            r"\bh(?:angs?|ung|anging) up\b"
            r"|\b(?:end|disconnect|drop|terminat|clos)(?:e|s|es|ed|ing)? the (?:phone )?(?:call"
            r"|line)\b"
        ),
        reason="A chat has no call to hang up.",
        suggestion="Ask for the agent's closing words.",
        unless=_SPOKEN_OF,
    ),
    Rule(
        field="successCriteria",
        severity="problem",
        pattern=compile_ignoring_case(
            r"\btone of voice\b"
            r"|\b(?:calm|warm|friendly|soft|loud|cheerful|steady|clear|pleasant) voice\b"
            r"|\brais(?:e|es|ing) (?:its|their|his|her) voice\b|\bintonation\b|\bpronounc"
            r"|\bbackground noise\b"
            r"|\bsp(?:eaks?|eaking|oken) (?:slowly|loudly|softly|quickly|rate|speed|pace)\b"
            rf"|\b(?:interrupt|talk)(?:s|ing)? (?:over )?{_THEM}\b"
        ),
        reason="A transcript has no sound: no voice, no pace and no interruptions.",
        suggestion="Ask for words that the agent uses or avoids.",
    ),
    Rule(
        field="successCriteria",
        severity="problem",
        pattern=compile_ignoring_case(
            r"\blatency\b|\bresponse times?\b|\bmilliseconds?\b|\b\d{1,6} ?ms\b"
            r"|\b(?:with)?in (?:less than |under |about )?\w{1,12} seconds?\b"
            r"|\b(?:under|less than) \w{1,12} (?:seconds?|minutes?)\b"
            r"|\b(?:answer|repl|respond)(?:s|y|ies)? (?:immediately|instantly|right away"
            r"|without (?:a |any )?delay)\b"
        ),
        reason="The transcript does not show how long an answer took.",
        suggestion="Leave out the time; ask for what the agent says, or within how many turns.",
        unless=compile_ignoring_case(_SPEAKS),
    ),
    Rule(
        field="successCriteria",
        severity="problem",
        pattern=compile_ignoring_case(
            r"\bhold (?:music|times?)\b"
            rf"|\b(?:put|plac|keep)(?:e|s|es|ing|ed)? (?:{_THEM}|the call) on hold\b"
        ),
        reason="A chat has no hold.",
        suggestion="Ask for what the agent says before it looks something up.",
        unless=_SPOKEN_OF,
    ),
    Rule(
        field="successCriteria",
        severity="problem",
        pattern=compile_ignoring_case(
            rf"\b{_USER} (?:feels?|felt"
            r"|(?:should|must|will) (?:feel|be (?:happy|satisfied|pleased))"
            r"|(?:is|was|ends up|leaves) (?:\w{1,12} )?(?:happy|satisfied|pleased|delighted"
            r"|reassured|content)\b)"
            rf"|\bmakes? {_THEM} feel\b|\b(?:customer|user|caller) (?:satisfaction|sentiment)\b"
            r"|\bsentiment\b"
        ),
        reason="The transcript does not show what the simulated user feels.",
        suggestion="Ask for what the agent says to cause this feeling.",
        unless=compile_ignoring_case(rf"{_SPEAKS}|\b(?:if|when|whether|unless|until)\b"),
    ),
    Rule(
        field="successCriteria",
        severity="problem",
        pattern=compile_ignoring_case(
            r"\b(?:crm|databases?|back[ -]?end|webhooks?|ticketing system"
            r"|(?:system|server|audit) logs?)\b"
            r"|\b(?:salesforce|zendesk|hubspot)\b"
            r"|\b(?:tool|function|api|endpoint)s? (?:calls?"
            r"|(?:is|gets|was) (?:called|invoked|triggered))\b"
            r"|\b(?:call|invok|trigger)(?:e|s|es|ing)? the (?:[\w-]{1,30} ){0,2}(?:tool|function"
            r"|api|endpoint)\b"
            r"|\b(?:e-?mail|sms|text message) (?:is|was|gets|has been) (?:sent|delivered"
            r"|received)\b"
            r"|\bsend(?:s|ing)? (?:the |a |an |out )?(?:[\w-]{1,20} ){0,2}(?:e-?mail|sms"
            r"|text message)\b"
        ),
        reason="This happens outside the conversation, where the judge cannot see it.",
        suggestion="Ask for what the agent says about it, such as a confirmation.",
        unless=_SPOKEN_OF,
    ),
    Rule(
        field="successCriteria",
        severity="advice",
        pattern=compile_ignoring_case(
            rf"^(?:the |a )?(?:simulated )?{_USER} (?:should |must |will )?"
            r"(?:wants?|asks?|insists?|cancels?|accepts?|agrees?|thanks?|says?|demands?|refuses?"
            r"|complains?|provides?|gives?|calls?|requests?|expresses|threatens|decides?|buys?)\b"
            r"|^you (?:are an?|want|need)\b"
        ),
        reason="This describes the simulated user, but the criteria judge the agent.",
        suggestion=(
            "Move it to the user prompt, or make it a condition:"
            " 'if the customer insists, the agent…'."
        ),
    ),
)
"""What a clause of the prompt or of the criteria must not say."""

# The prompt says what the simulated user wants.
GOAL = compile_ignoring_case(
    r"\b(?:want(?:s|ed|ing)?|wish(?:es)?|needs?\b|would like|try|tries|trying"
    r"|(?<!agent )(?<!they )asks?\b|asking|requests?\b|demand|insist|expect"
    r"|look(?:s|ing)? (?:for|to|into)|seek|hop(?:e|es|ing)|goal|objective|tasks?|intent|intend"
    r"|purpose|aim|plans? to|planning|calling|calls? (?:to|about|because|in)|contact"
    r"|reach(?:es|ing)? out|complain|inquir|enquir|f(?:ind|igure) out|wonder|questions?|decide"
    r"|convince|persuade|negotiate|dispute|to (?:know|understand|learn|see|hear|order)"
    r"|get(?:s|ting)? (?!angry|annoyed|upset|frustrated|impatient)"
    r"|(?:cancel|return|exchange|book|reschedule|schedule|change|move|update|upgrade|downgrade"
    r"|renew|buy|purchase|pay|report|track|reset|sign up|register|apply|switch|join|claim|replace"
    r"|unsubscribe)s?\b)"
    r"|'d like\b|\?"
)

# The prompt says who the simulated user is.
PERSONA = compile_ignoring_case(
    r"\byou(?: are|'re) (?!\w{1,20}ing\b)|\byour (?:name|role|persona|character)\b"
    r"|\b(?:act|behave|pose|speak)(?:s|ing)? (?:as|like)\b|\b(?:my name is|i am|i'm)\b"
    r"|\b(?:play|pretend|imagine|simulate|persona|role\b|character)"
    rf"|\b(?:{_USER}|shopper|member|tenant|student|parent|passenger|travell?er|visitor|owner"
    r"|manager|employee|driver|man|woman|person|mother|father|couple|applicant|candidate|prospect"
    r"|donor|resident|citizen)s?\b"
)

# Words that are vague with every verb.
HEDGE = compile_ignoring_case(
    r"\b(?:in)?appropriate(?:ly)?\b"
    r"|\b(?:properly|adequate(?:ly)?|suitabl[ey]|reasonabl[ey]|acceptabl[ey])\b"
    r"|\b(?:satisfactor(?:y|ily)|sufficient(?:ly)?)\b"
    r"|\b(?:as|if|when|where) (?:needed|necessary|required|applicable)\b|\betc\b"
    r"|\bso (?:on|forth)\b|\bor similar\b"
    r"|\b(?:good|great|helpful|useful|relevant|proper|nice|excellent) (?:answers?|respon[ds]es?"
    r"|repl(?:y|ies)|solutions?|information|service|support|help|advice|experience|questions?"
    r"|manners?)\b"
)

# Words that are vague unless the clause also says what the agent says.
MANNER = compile_ignoring_case(
    r"\b(?:polite|courteous|professional|helpful|respectful|efficient|effective|natural|smooth"
    r"|clear|concise|quick|prompt|nice|patient(?=ly))(?:ly)?\b"
    r"|\b(?:professionalism|friendly|good|great|empath\w{1,9}|calm(?:ly)?|timely|positive"
    r"|excellent|tone)\b"
    r"|\b(?:handl|manag|perform|respond|do|deal|behav)(?:e|s|es)? (?:[\w']{1,20} ){0,6}well\b"
    r"|\b(?:handl(?:e|es|ing)|(?:re)?solv(?:e|es|ing)|understands?|de-?escalates?|deals? with"
    r"|takes? care of)(?= |$)"
    r"|\banswers? (?:[\w']{1,20} ){0,6}(?:correct|accurate)ly\b"
)

# Quotes, numbers and examples make a clause concrete.
OBSERVABLE = compile_ignoring_case(
    r"[\"“”«»\d]|\b(?:for example|such as|e\.?g|i\.?e|that is|namely|meaning)\b|\bby \w{1,20}ing\b"
    r"|: ?\w"
)

# The agent says something.
SPEECH = compile_ignoring_case(rf"{_SPEAKS}|\b(?:verif|read)")
