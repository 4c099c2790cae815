"""Read which clauses of the criteria remarks mark as unmet, if they go clause by clause."""

import re

MAX_CLAUSE = 200

_CLAUSE_VERDICT = re.compile(
    r"(?:^|(?<=[.;\n])|(?<=sandbox judge:))\s*(?:[-*•✗✓✘✔❌✅]\s*)?(?:\(?\d{1,2}[.):]\s*)?"
    r"[\"“']?(?P<clause>[^\n\"“”:;]{4,200}?)[\"”']?\s*(?::|–|—| - |=>|->)\s*"
    r"(?P<verdict>(?P<unmet>not met|unmet|not satisfied|unsatisfied|not fulfilled|not done"
    r"|failed|fail|missing|missed|broken|violated|no)"
    r"|met|satisfied|fulfilled|done|passed|pass|kept|yes|ok)\b",
    re.IGNORECASE,
)


def read_clauses(remarks: str) -> dict[str, bool]:
    """Return each clause that the remarks judge, and whether it is unmet; {} if they judge none."""
    verdicts: dict[str, bool] = {}
    for match in _CLAUSE_VERDICT.finditer(remarks):
        clause = " ".join(match["clause"].split())[:MAX_CLAUSE]
        verdicts[clause] = bool(match["unmet"])
    return verdicts


def keep_unmet(remarks: str) -> str:
    """Return the parts of the remarks on unmet clauses; all of them if they mark none as unmet."""
    matches = list(_CLAUSE_VERDICT.finditer(remarks))
    starts = [*(match.start() for match in matches), len(remarks)]
    kept = []
    for match, end in zip(matches, starts[1:], strict=True):
        if match["unmet"]:
            kept.append(remarks[match.start() : end].strip())
    return " ".join(kept) or remarks
