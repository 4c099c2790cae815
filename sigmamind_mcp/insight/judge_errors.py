"""Tell from the remarks whether judging itself failed, so that the verdict says nothing.

A judge that has read the conversation writes about the agent. A broken one writes about itself: its
request, its answer, its transcript. Only English remarks are known.
"""

import re

MAX_ERROR_REMARKS = 1_000

_JUDGE = r"\b(?:judg|evaluat|scor|grad(?:er|ing)|verdict|llm|upstream)\w*"
_BROKEN = (
    r"(?:\brate.?limit|\btoo many requests|\b429\b|\b5\d\d\b|\btim(?:ed?|ing)[ -]?out|\bdeadline"
    r"|\bunavailable|\bunreachable|\boverload|\bthrottl|\bquota|\b(?:connection|network|dns)\b"
    r"|\bpars(?:e|ed|ing)\b|parse_?error|\bjson\b|\bmalformed|\binvalid\b|\bexception\b|\bcrash"
    r"|\babort|\bexited|\bkilled|\bcut off|\btruncat|\bmax(?:imum)?[_ ]?(?:output_)?tokens"
    r"|\bcontext.(?:length|window|limit)|\bcontent.(?:filter|policy)|\bretries\b|\brefused\b"
    r"|\bdeclined\b|\b(?:returned|produced|gave|was|is|field) (?:no|an? empty|empty|null|nothing)\b"
    r"|\bno (?:verdict|score|transcript|(?:usable |valid )?(?:answer|response|output|result))\b"
    r"|\bnot (?:scored|computed|evaluated|judged|one of)\b|\bbut got\b|\bby default\b"
    r"|\b(?:verdict|score) (?:(?:is|was) )?missing"
    r"|\bnever (?:returned|answered|finished|completed)|\bdefault(?:ed|ing)\b|\binternal error"
    r"|\b(?:could|can|was|is)(?: ?not|n't)(?: able to)? (?:be )?(?:reach|complet|produc|evaluat"
    r"|pars|extract|comput|obtain|load|determin|process|finish|decod|read|scor|judg|grad|assess"
    r"|connect|run|start)|\bunable to)"
)
_JUDGE_WORD = re.compile(_JUDGE + r"|^\W*judge", re.IGNORECASE)
_SAYS_ITSELF = re.compile(
    rf"{_JUDGE}.{{0,90}}?{_BROKEN}|{_BROKEN}.{{0,90}}?{_JUDGE}|^\W*judge\w*_\w*error",
    re.IGNORECASE | re.DOTALL,
)
# Errors as libraries and gateways write them: they begin with the error and report nothing else.
_IS_ERROR_MESSAGE = re.compile(
    r"^\W*(?:(?:error|exception|traceback|http|status|code|api|openai|anthropic|azure|request"
    r"|internal|(?:this )?model(?:'s)?|overloaded|bad gateway|gateway|service|server|connection"
    r"|rate.?limit|time(?:d )?.?out|read"
    r"|too many requests|context|quota|429|5\d\d)\b|\w+(?:Error|Exception|Timeout)\b|insufficient)",
    re.IGNORECASE,
)
_ERROR = re.compile(
    r"\brate.?limit\w*.{0,20}(?:exceeded|reached|hit)|\btoo many requests|\b429\b|\b5\d\d\b"
    r"|\btim(?:ed?|e)[ -]?out|\w+timeout\b|insufficient.quota|\bdeadline exceeded"
    r"|\bunavailable\b|\boverloaded|\bquota exceeded"
    r"|\binternal (?:server )?error|\bconnection (?:reset|refused|error|closed|aborted)"
    r"|\bjson\w*(?:error)?\b|\bcontext.(?:length|window|limit)",
    re.IGNORECASE,
)
_NOT_JUDGED = re.compile(
    r"\b(?:could|can|was)(?: ?not|n't) (?:be )?(?:evaluated|judged|scored|graded)\b", re.IGNORECASE
)
_PERSON = r"\b(?:agent|bot|customer|user|caller|assistant)\b"
_REPORTS_ON_PERSON = re.compile(rf"(?:^|[.!?;]\s+)(?:\w+[,:]? ){{0,2}}{_PERSON}(?!-| to)", re.I)
_PERSON_BEFORE = re.compile(_PERSON, re.IGNORECASE)
_TELLS = re.compile(
    r"\b(?:explained|told|given|named|mentioned|stated|confirmed|said|offered|quoted|described)\b",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
# "Verdict: failed" is how a judge that works begins.
_HEADING = re.compile(
    r"^\W*(?:verdict|evaluation|judge?ment|score|grade|result)\s*:", re.IGNORECASE
)


def is_judge_error(remarks: str) -> bool:
    """Whether the remarks report that judging itself failed."""
    text = remarks[:MAX_ERROR_REMARKS]
    if _NOT_JUDGED.search(text):
        return True
    if not text or _REPORTS_ON_PERSON.search(text):
        return False
    if any(map(_is_broken, _SENTENCE_END.split(text))):
        return True
    is_message = _IS_ERROR_MESSAGE.search(text) and _ERROR.search(text)
    return bool(is_message) and not _TELLS.search(text) and not _PERSON_BEFORE.search(text)


def _is_broken(sentence: str) -> bool:
    if not _JUDGE_WORD.search(sentence):
        return False
    found = _SAYS_ITSELF.search(_HEADING.sub("", sentence))
    return found is not None and not _PERSON_BEFORE.search(found.string, 0, found.end())
