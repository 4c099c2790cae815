"""The phrases that checks of a draft test case look for."""

import re
from typing import Literal, NamedTuple

Field = Literal["userPrompt", "successCriteria", "mockData", "llmModel", "attempt", "label"]


Severity = Literal["problem", "advice"]


class Rule(NamedTuple):
    """A pattern to look for in each clause; words of `unless` before it, in the same clause, take it back."""

    field: Field
    severity: Severity
    pattern: re.Pattern[str]
    reason: str
    suggestion: str
    unless: re.Pattern[str] | None = None


def _words(pattern: str) -> re.Pattern[str]:
    # Linear on any text: no group in this module is repeated without a bound.
    return re.compile(pattern, re.IGNORECASE)


_USER = r"(?:customer|user|caller|client|patient|guest|buyer|subscriber)"


_THEM = rf"(?:(?:the |a )?{_USER}|them|him|her)"


_SPEAKS = (
    r"\b(?:say|said|tell|told|explain|inform(?!ation)|offer|mention|stat(?:e|es|ing)\b|ask|announc|acknowledg|describ"
    r"|apologi|suggest|recommend|propos|warn|promis|confirm|clarif|remind|advis|know\b|guid|instruct|point|direct(?!ly)"
    r"|refer|nam(?:e|es|ing)\b|giv|list(?!en)|quot|declin|refus|greet|thank|repeat|summari|clear that)"
)


# What the agent says of a thing is seen although the thing is not; so is that it does not come up.
_SPOKEN_OF = _words(rf"{_SPEAKS}|\b(?:not|never|no|without|avoids?|if|when|whether|unless)\b|n't\b")


_PROMPT_TO_AGENT = "The prompt tells the agent what to do, but only the simulated user reads it."


_SPEAK_TO_USER = "Tell the simulated user who they are, what they want and how they react; move the rest to the criteria."


RULES = (
    Rule(
        "userPrompt", "problem",
        _words(
            r"^(?:the |your )?(?:(?:ai|support|service|customer|virtual) ){0,2}(?:agent|assistant|chatbot|bot) "
            r"(?:should|must|shall|ought to|has to|needs to|is supposed to|is expected to)\b"
        ),
        _PROMPT_TO_AGENT, _SPEAK_TO_USER,
    ),
    Rule(
        "userPrompt", "problem",
        _words(
            r"^(?:please |always |first |politely )?"
            r"(?:greet|help|assist|thank|inform|offer|verify|reassure|serve|ask|tell) "
            rf"(?:the|every|each|any) {_USER}s?\b"
        ),
        _PROMPT_TO_AGENT, _SPEAK_TO_USER,
    ),
    Rule(
        "userPrompt", "problem",
        _words(
            r"\byou(?: are|'re|r role is) (?:(?:an? |the )?"
            r"(?:(?:customer|client|technical|tech|support|services?|care|help|desk|helpdesk|call|cent(?:er|re)|contact"
            r"|virtual|ai|helpful|friendly|polite|professional|chat|phone|voice)[ -]){1,6}"
            r"(?:agent|assistant|representative|rep|chatbot|bot)"
            r"|(?:the|an) agent(?! (?:of|at|for|from|with)\b))\b(?!')"
        ),
        "The prompt casts the simulated user as the agent.", _SPEAK_TO_USER,
    ),
    Rule(
        "userPrompt", "problem",
        _words(r"^(?:agent|assistant|bot) ?:"),
        "The prompt scripts the agent's lines, but the agent never sees them.", _SPEAK_TO_USER,
    ),
    Rule(
        "successCriteria", "problem",
        _words(
            r"\btransfer(?:s|red|ring)? (?:the |this |a )?(?:phone )?call\b|\b(?:warm|cold|blind|call) transfers?\b"
            r"|\bcalls? (?:is|gets|was|be|being) transferred\b"
        ),
        "A chat has no call to transfer.", "Ask for what the agent says: that it offers or announces the transfer.",
        unless=_SPOKEN_OF,
    ),
    Rule(
        "successCriteria", "advice",
        _words(rf"\btransfer(?:s|red|ring)? {_THEM}\b|\b{_USER} (?:is|gets|was|be|being) transferred\b"),
        "Whether a transfer happened is not in the transcript.",
        "Ask for what the agent says: that it offers or announces the transfer.",
        unless=_SPOKEN_OF,
    ),
    Rule(
        "successCriteria", "problem",
        _words(
            r"\bh(?:angs?|ung|anging) up\b"
            r"|\b(?:end|disconnect|drop|terminat|clos)(?:e|s|es|ed|ing)? the (?:phone )?(?:call|line)\b"
        ),
        "A chat has no call to hang up.", "Ask for the closing words that the agent says.",
        unless=_SPOKEN_OF,
    ),
    Rule(
        "successCriteria", "problem",
        _words(
            r"\btone of voice\b|\b(?:calm|warm|friendly|soft|loud|cheerful|steady|clear|pleasant) voice\b"
            r"|\brais(?:e|es|ing) (?:its|their|his|her) voice\b|\bintonation\b|\bpronounc|\bbackground noise\b"
            r"|\bsp(?:eaks?|eaking|oken) (?:slowly|loudly|softly|quickly|rate|speed|pace)\b"
            rf"|\b(?:interrupt|talk)(?:s|ing)? (?:over )?{_THEM}\b"
        ),
        "A transcript has no sound: neither voice nor pace nor interruptions.",
        "Ask for words that the agent uses or avoids.",
    ),
    Rule(
        "successCriteria", "problem",
        _words(
            r"\blatency\b|\bresponse times?\b|\bmilliseconds?\b|\b\d{1,6} ?ms\b"
            r"|\b(?:with)?in (?:less than |under |about )?\w{1,12} seconds?\b"
            r"|\b(?:under|less than) \w{1,12} (?:seconds?|minutes?)\b"
            r"|\b(?:answer|repl|respond)(?:s|y|ies)? (?:immediately|instantly|right away|without (?:a |any )?delay)\b"
        ),
        "A transcript does not show how long an answer took.",
        "Leave time out; ask for what is said, or in how many turns.",
        unless=_words(rf"{_SPEAKS}"),
    ),
    Rule(
        "successCriteria", "problem",
        _words(rf"\bhold (?:music|times?)\b|\b(?:put|plac|keep)(?:e|s|es|ing|ed)? (?:{_THEM}|the call) on hold\b"),
        "A chat has no hold.", "Ask for what the agent says before it looks something up.",
        unless=_SPOKEN_OF,
    ),
    Rule(
        "successCriteria", "problem",
        _words(
            rf"\b{_USER} (?:feels?|felt|(?:should|must|will) (?:feel|be (?:happy|satisfied|pleased))"
            r"|(?:is|was|ends up|leaves) (?:\w{1,12} )?(?:happy|satisfied|pleased|delighted|reassured|content)\b)"
            rf"|\bmakes? {_THEM} feel\b|\b(?:customer|user|caller) (?:satisfaction|sentiment)\b|\bsentiment\b"
        ),
        "What the simulated user feels is not in the transcript, and the agent is not judged by it.",
        "Ask for what the agent says that would have this effect.",
        unless=_words(rf"{_SPEAKS}|\b(?:if|when|whether|unless|until)\b"),
    ),
    Rule(
        "successCriteria", "problem",
        _words(
            r"\b(?:crm|databases?|back[ -]?end|webhooks?|ticketing system|(?:system|server|audit) logs?)\b"
            r"|\b(?:salesforce|zendesk|hubspot)\b"
            r"|\b(?:tool|function|api|endpoint)s? (?:calls?|(?:is|gets|was) (?:called|invoked|triggered))\b"
            r"|\b(?:call|invok|trigger)(?:e|s|es|ing)? the (?:[\w-]{1,30} ){0,2}(?:tool|function|api|endpoint)\b"
            r"|\b(?:e-?mail|sms|text message) (?:is|was|gets|has been) (?:sent|delivered|received)\b"
            r"|\bsend(?:s|ing)? (?:the |a |an |out )?(?:[\w-]{1,20} ){0,2}(?:e-?mail|sms|text message)\b"
        ),
        "This happens behind the conversation, where the judge does not see.",
        "Ask for what the agent says about it, such as that it confirms it.",
        unless=_SPOKEN_OF,
    ),
    Rule(
        "successCriteria", "advice",
        _words(
            rf"^(?:the |a )?(?:simulated )?{_USER} (?:should |must |will )?"
            r"(?:wants?|asks?|insists?|cancels?|accepts?|agrees?|thanks?|says?|demands?|refuses?|complains?|provides?"
            r"|gives?|calls?|requests?|expresses|threatens|decides?|buys?)\b"
            r"|^you (?:are an?|want|need)\b"
        ),
        "This describes the simulated user, but the criteria judge the agent.",
        "Move it to the user prompt, or make it a condition: 'if the customer insists, the agent…'.",
    ),
)  # fmt: skip
"""What a clause of the prompt or of the criteria must not say."""


_GOAL = _words(
    r"\b(?:want(?:s|ed|ing)?|wish(?:es)?|needs?\b|would like|try|tries|trying|(?<!agent )(?<!they )asks?\b|asking"
    r"|requests?\b|demand|insist|expect|look(?:s|ing)? (?:for|to|into)|seek|hop(?:e|es|ing)|goal|objective|tasks?"
    r"|intent|intend|purpose|aim|plans? to|planning|calling|calls? (?:to|about|because|in)|contact|reach(?:es|ing)? out"
    r"|complain|inquir|enquir|f(?:ind|igure) out|wonder|questions?|decide|convince|persuade|negotiate|dispute"
    r"|to (?:know|understand|learn|see|hear|order)|get(?:s|ting)? (?!angry|annoyed|upset|frustrated|impatient)"
    r"|(?:cancel|return|exchange|book|reschedule|schedule|change|move|update|upgrade|downgrade|renew|buy|purchase|pay"
    r"|report|track|reset|sign up|register|apply|switch|join|claim|replace|unsubscribe)s?\b)|'d like\b|\?"
)


_PERSONA = _words(
    r"\byou(?: are|'re) (?!\w{1,20}ing\b)|\byour (?:name|role|persona|character)\b"
    r"|\b(?:act|behave|pose|speak)(?:s|ing)? (?:as|like)\b|\b(?:my name is|i am|i'm)\b"
    r"|\b(?:play|pretend|imagine|simulate|persona|role\b|character)"
    rf"|\b(?:{_USER}|shopper|member|tenant|student|parent|passenger|travell?er|visitor|owner|manager|employee|driver"
    r"|man|woman|person|mother|father|couple|applicant|candidate|prospect|donor|resident|citizen)s?\b"
)


# A hedge stays open whatever verb it goes with; a manner does not matter beside something the agent says.
_HEDGE = _words(
    r"\b(?:in)?appropriate(?:ly)?\b|\b(?:properly|adequate(?:ly)?|suitabl[ey]|reasonabl[ey]|acceptabl[ey])\b"
    r"|\b(?:satisfactor(?:y|ily)|sufficient(?:ly)?)\b|\b(?:as|if|when|where) (?:needed|necessary|required|applicable)\b"
    r"|\betc\b|\bso (?:on|forth)\b|\bor similar\b"
    r"|\b(?:good|great|helpful|useful|relevant|proper|nice|excellent) (?:answers?|respon[ds]es?|repl(?:y|ies)|"
    r"|solutions?|information|service|support|help|advice|experience|questions?|manners?)\b"
)


_MANNER = _words(
    r"\b(?:polite|courteous|professional|helpful|respectful|efficient|effective|natural|smooth|clear|concise|quick"
    r"|prompt|nice|patient(?=ly))(?:ly)?\b"
    r"|\b(?:professionalism|friendly|good|great|empath\w{1,9}|calm(?:ly)?|timely|positive|excellent|tone)\b"
    r"|\b(?:handl|manag|perform|respond|do|deal|behav)(?:e|s|es)? (?:[\w']{1,20} ){0,6}well\b"
    r"|\b(?:handl(?:e|es|ing)|(?:re)?solv(?:e|es|ing)|understands?|de-?escalates?|deals? with|takes? care of)(?= |$)"
    r"|\banswers? (?:[\w']{1,20} ){0,6}(?:correct|accurate)ly\b"
)


_OBSERVABLE = _words(
    r"[\"“”«»\d]|\b(?:for example|such as|e\.?g|i\.?e|that is|namely|meaning)\b|\bby \w{1,20}ing\b|: ?\w"
)


_SAYS = _words(rf"{_SPEAKS}|\b(?:verif|read)")


_OUTCOME = _words(
    r"^(?:(?:the|agent|assistant|bot|it|they|also|finally|first|next|should|must|will|has|have|needs?|to|does|do|not"
    r"|never|always|clearly|politely|either) ){0,8}"
    r"(?:acknowledg|apologi[sz]|answer|ask|book|call|cancel|chang|check|clarif|clos|collect|confirm|declin|describ|direct"
    r"|end|escalat|explain|forward|gather|giv|greet|guid|handl|help|identif|inform|issu|keep|list|log|mention|nam|notif"
    r"|offer|open|present|process|promis|propos|provid|quot|read|recap|recommend|refer|refund|refus|remain|remind|repeat"
    r"|request|reschedul|resolv|respond|say|schedul|send|shar|show|stat|stay|suggest|summari[sz]|tell|thank|transfer"
    r"|updat|us|verif|wait|warn)(?:e|s|es|y|ies|ing)?\b"
)
