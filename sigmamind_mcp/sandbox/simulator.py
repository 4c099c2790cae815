"""The scripted conversation between a simulated user and an agent.

The user is made from `userPrompt` and mock data; the agent has skills and weaknesses. Nothing here knows the
verdict: the agent tries what the scenario calls for, each with the chance that its skills give it, its weaknesses
show in its words, and the judge reads the result.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from sigmamind_mcp.sandbox.judge import (
    INSISTS,
    Turn,
    clauses_of,
    facts_asked,
    outcomes_asked,
    outcomes_forbidden,
)

MAX_PROMPT = 4_000


@dataclass(frozen=True)
class Behaviour:
    """How well an agent does: the chance of each outcome, `skill` where none is named, and how it fails."""

    skill: float = 0.93
    skills: Mapping[str, float] = field(default_factory=dict)
    weaknesses: Sequence[str] = ("vague",)

    def chance(self, outcome: str) -> float:
        return self.skills.get(outcome, self.skill)


@dataclass(frozen=True)
class Intent:
    """What a user may want, in words for both sides."""

    asked: re.Pattern[str]
    wish: str
    thing: str
    done: str
    alternative: str
    reason: str
    wait: str


def _intent(asked: str, wish: str, thing: str, done: str, alternative: str, reason: str, wait: str) -> Intent:
    return Intent(re.compile(asked, re.IGNORECASE), wish, thing, done, alternative, reason, wait)


INTENTS = (
    _intent(
        r"\bcancel", "cancel my subscription", "the cancellation", "cancelled it for you",
        "pause it for two months, or move to a smaller plan", "plans renew on the first of the month",
        "you will receive the final invoice within 2 days",
    ),
    _intent(
        r"\brefund|\bmoney back|\bbroken|\bdamaged", "get my money back", "the refund", "refunded the full amount",
        "send a replacement, or give you store credit", "refunds go back to the card that was charged",
        "you will receive the money within 5 days",
    ),
    _intent(
        r"\breschedul|\bbook|\bappointment|\breserv", "book an appointment", "the booking", "put you in the calendar",
        "look at Thursday morning, or a video call", "the mornings fill up first",
        "you will receive a reminder by tomorrow",
    ),
    _intent(
        r"\border\b|\bdeliver|\bparcel|\bshipp|\bpackage", "find out where my order is", "your order",
        "checked it with the carrier", "have it left at a pick-up point", "the carrier missed a connection",
        "you will receive it within 2 days",
    ),
    _intent(
        r"\baddress|\bmoved\b|\bchange (?:my|your|his|her|their)", "change my address", "the change",
        "updated your record", "keep the old one as a second address", "open orders keep their address",
        "you will receive a letter within 3 days",
    ),
    _intent(
        r"\berror|\bcrash|\bnot work|n't work|\bslow\b|\blog ?in|\bpassword|\btechnical|\binternet",
        "get this working again", "the fix", "reset the connection", "try the app on the web",
        "an update went out last night", "you will receive a message within 1 hour",
    ),
    _intent(
        r"\bupgrade|\bplan\b|\bprice|\bbuy\b|\bpurchas", "find the right plan", "the order", "set up the new plan",
        "start with the free month", "the larger plan includes support",
        "you will receive the confirmation within 1 hour",
    ),
)  # fmt: skip
GENERAL = _intent(
    "", "get some help", "your request", "taken care of it", "call you back at a better time",
    "every request goes through the same queue", "you will receive an answer within 1 day",
)  # fmt: skip

MOODS = (
    (re.compile(r"\bangry|\bfurious|\bannoyed|\bupset|\bfrustrat|\bimpatient|\brude", re.IGNORECASE),
     "This is the third time I have to write.", "Seriously?", "Finally."),
    (re.compile(r"\bhurry|\brush|\bbusy|\bquick", re.IGNORECASE),
     "Quick one, I have a call in five minutes.", "Can we speed this up?", "Good, got to run."),
    (re.compile(r"\bconfus|\belderly|\bunsure|\bold\b|\bnot sure|\blost\b", re.IGNORECASE),
     "Sorry, I am a bit lost here.", "I am not sure I follow.", "Ah, now I see. Thank you."),
    (re.compile(r"\bpolite|\bfriendly|\bkind|\bcalm|\bfair", re.IGNORECASE),
     "Hello, I hope you can help.", "I see.", "That is very kind, thank you."),
)  # fmt: skip
NEUTRAL = (re.compile(""), "Hi there.", "OK.", "Thanks, bye.")

_GOAL = re.compile(
    r"\b(?:wants?|needs?|would like|trying|asking|hoping|calling|writing|wishes|demand\w*)\s+(?:you |them )?"
    r"((?:to|for|about|a|an|your|their|his|her|my)\s[^.,;:!?\n]{3,90})",
    re.IGNORECASE,
)
_YOURS = re.compile(r"\bmy\b")
_MINE = re.compile(r"\b(?:your|their|his|her)\b", re.IGNORECASE)
_ORDER = ("acknowledge", "apologise", "verify identity", "fact", "explain", "offer alternatives", "escalate", "promise",
          "confirm", "name the next step")  # fmt: skip
_USUAL = {"acknowledge", "offer alternatives", "confirm", "name the next step"}


def converse(
    *, user_prompt: str, success_criteria: str, mock_data: Mapping[str, str], agent: Behaviour, greeting: str | None,
    random: Random,
) -> list[Turn]:  # fmt: skip
    """Hold one conversation of several turns; `greeting` is what the agent opens with, if it speaks first."""
    talk = _Talk(user_prompt[:MAX_PROMPT], dict(mock_data), agent, random)
    return talk.held(success_criteria, greeting)


class _Talk:
    """One conversation as it is being held."""

    def __init__(self, prompt: str, mock_data: dict[str, str], agent: Behaviour, random: Random) -> None:
        self.mock_data = mock_data
        self.agent = agent
        self.random = random
        self.turns: list[Turn] = []
        self.let_down = False
        self.intent = next((intent for intent in INTENTS if intent.asked.search(prompt)), GENERAL)
        _, self.opening, self.doubt, self.closing = next((m for m in MOODS if m[0].search(prompt)), NEUTRAL)
        self.wish = _goal(prompt) or self.intent.wish
        self.name = next((value for key, value in mock_data.items() if "name" in key.lower() and value.strip()), "")

    def held(self, criteria: str, greeting: str | None) -> list[Turn]:
        asked, forbidden = outcomes_asked(criteria), outcomes_forbidden(criteria)
        facts = facts_asked(criteria, self.mock_data)
        if greeting is not None:
            self.say("assistant", self._filled(greeting))
        self.say("user", f"{self.opening} I want to {self.wish}.")
        for step in _ORDER:
            if step == "fact":
                self._give_facts(facts)
            elif step in forbidden:
                self._resist(step)
            elif step in asked or (step in _USUAL and not self.let_down and self.random.random() < 0.8):
                if not self._take(step, needs_insisting="insist" in criteria.lower()):
                    return self.turns
        if conditions := [clause.condition for clause in clauses_of(criteria) if clause.condition]:
            self._raise_condition(conditions[0], asked)
        self.say("user", "So nothing has been done. I will try somewhere else." if self.let_down else self.closing)
        return self.turns

    def say(self, role: str, content: str) -> None:
        """Add a turn; two in a row by one side become one, as people write."""
        if self.turns and self.turns[-1].role == role:
            content = f"{self.turns.pop().content} {content}"
        self.turns.append(Turn(role, content))

    def _take(self, step: str, *, needs_insisting: bool) -> bool:
        """The agent's try at one outcome. False when the conversation breaks off there."""
        if self.random.random() < self.agent.chance(step):
            self.say("assistant", self._done_well(step))
            self._answer(step, needs_insisting)
            return True
        weakness = self.random.choice(list(self.agent.weaknesses))
        if weakness == "stops":
            self.say("user", f"{self.doubt} Are you still there? I still want to {self.wish}.")
            return False
        self.say("assistant", self._done_badly(weakness))
        self.say("user", self.doubt)
        self.let_down = self.let_down or step == "confirm"
        return True

    def _answer(self, step: str, needs_insisting: bool) -> None:
        if step == "verify identity":
            self.say("user", f"It is {self.name or 'on the account'}.")
            self.say("assistant", "Thank you, that matches our records.")
        elif step == "offer alternatives":
            insists = needs_insisting or self.random.random() < 0.6
            self.say("user", f"No, thank you. I still want to {self.wish}." if insists else "Hm, what would that mean?")
        elif step in ("acknowledge", "explain", "escalate"):
            self.say("user", self.random.choice([self.doubt, "And what now?", "Go on."]))

    def _give_facts(self, facts: Sequence[str]) -> None:
        for fact in facts:
            label, value = fact.replace("_", " "), self.mock_data[fact]
            self.say("user", f"What does it say for the {label}?")
            if self.random.random() < self.agent.chance("fact"):
                self.say("assistant", f"I have the {label} here: {value}.")
            elif "contradicts" in self.agent.weaknesses:
                self.say("assistant", f"I have the {label} here: {_another(value, self.random)}.")
                self.say("user", f"That is not right, it should be {value}.")
            else:
                self.say("assistant", f"The {label} is  .")

    def _resist(self, step: str) -> None:
        """The user pushes for what the criteria forbid."""
        self.say("user", "Can you at least give me your word on it?" if step == "promise" else "Can you not do more?")
        holds = self.random.random() < self.agent.chance(step)
        self.say("assistant", "I can only do what I told you." if holds else self._done_well(step))

    def _raise_condition(self, condition: str, asked: set[str]) -> None:
        said = " ".join(turn.content for turn in self.turns if turn.role == "user")
        if re.search("insist|refus|declin|reject", condition, re.IGNORECASE) and not INSISTS.search(said):
            self.say("user", f"I insist: I want to {self.wish}.")
            step = "confirm" if "confirm" in asked else "acknowledge"
            good = self.random.random() < self.agent.chance(step)
            self.say("assistant", self._done_well(step) if good else "Let me look into that.")

    def _done_well(self, step: str) -> str:
        intent, you = self.intent, f", {self.name}" if self.name else ""
        lines = {
            "acknowledge": [
                f"I understand{you}, you want to {self.wish}.",
                f"That must be tiresome{you}. I see why you write.",
            ],
            "apologise": ["I am sorry about this.", "I apologise for the trouble."],
            "verify identity": ["Before I open the account: may I have your full name?"],
            "explain": [f"That is because {intent.reason}."],
            "offer alternatives": [f"We could also {intent.alternative}. Would that suit you instead?"],
            "escalate": ["I will connect you to a colleague from the team."],
            "promise": ["I promise it will be as you wish, guaranteed."],
            "confirm": [f"I have now {intent.done}; {intent.thing} is confirmed."],
            "name the next step": [f"As a next step, {intent.wait}."],
        }
        return self.random.choice(lines[step])

    def _done_badly(self, weakness: str) -> str:
        last = next((turn.content for turn in reversed(self.turns) if turn.role == "assistant"), None)
        if weakness == "loops" and last:
            return last
        if weakness == "blank":
            return "Hi , thanks for waiting. I will look at that."
        if weakness == "rude":
            return "That is not my problem. Please calm down."
        return self.random.choice(
            ["Let me look into that.", "Is there anything else?", f"Our website has a page about {self.intent.thing}."]
        )

    def _filled(self, text: str) -> str:
        """The text with its {{variables}} filled in; one without a value becomes nothing, as in the product."""
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: self.mock_data.get(found.group(1), ""), text)


def _goal(prompt: str) -> str | None:
    """What the prompt says that the user wants, in the user's own mouth."""
    found = _GOAL.search(prompt)
    if not found or not found.group(1).isascii():
        return None
    goal = " ".join(_MINE.sub("my", found.group(1).partition(" and ")[0]).split())
    verb, _, rest = goal.partition(" ")
    return {"to": rest, "for": f"get {rest}", "about": f"ask about {rest}"}.get(verb.lower(), f"get {goal}")


def _another(value: str, random: Random) -> str:
    """A value that contradicts the given one: other digits, or another word."""
    if re.search(r"\d", value):
        return re.sub(r"\d", lambda found: str((int(found.group()) + random.randint(1, 8)) % 10), value)
    return random.choice(["pending", "unknown", "none"])
