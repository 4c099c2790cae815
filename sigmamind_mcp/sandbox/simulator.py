"""The scripted conversation between a simulated user and an agent.

The user is made from `userPrompt` and mock data; the agent has skills and weaknesses. Nothing here knows the
verdict: the agent tries what the scenario calls for, each with the chance that its skills give it, its weaknesses
show in its words, and the judge reads the result.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from sigmamind_mcp.sandbox.judge import INSISTS, Criteria, Turn

MAX_PROMPT = 4_000
MAX_GREETING = 2_000


@dataclass(frozen=True)
class Behaviour:
    """How well an agent does: the chance of each outcome, `skill` where none is named, and how it fails."""

    skill: float = 0.93
    skills: Mapping[str, float] = field(default_factory=dict)
    weaknesses: Sequence[str] = ("vague",)

    def chance(self, outcome: str) -> float:
        return self.skills.get(outcome, self.skill)


class Intent(NamedTuple):
    """What a user may want, in words for both sides."""

    asked: re.Pattern[str]
    wish: str
    thing: str
    done: str
    alternatives: tuple[str, ...]
    reason: str
    wait: str


def _intent(
    asked: str,
    wish: str,
    thing: str,
    done: str,
    alternatives: tuple[str, ...],
    reason: str,
    wait: str,
) -> Intent:
    return Intent(re.compile(asked, re.IGNORECASE), wish, thing, done, alternatives, reason, wait)


INTENTS = (
    _intent(
        r"\bcancel", "cancel my subscription", "the cancellation", "cancelled it for you",
        ("pause it for two months", "move you to the smaller plan at half the price"),
        "plans renew on the first of the month", "you will receive the final invoice within 2 days",
    ),
    _intent(
        r"\brefund|\bmoney back|\bbroken|\bdamaged|\bcharged twice", "get my money back", "the refund",
        "refunded the full amount", ("send a replacement today", "give you store credit with ten percent on top"),
        "refunds go back to the card that was charged", "you will receive the money within 5 days",
    ),
    _intent(
        r"\breschedul|\bbook|\bappointment|\breserv", "book an appointment", "the booking", "put you in the calendar",
        ("look at Thursday morning", "make it a video call"), "the mornings fill up first",
        "you will receive a reminder by tomorrow",
    ),
    _intent(
        r"\border\b|\bdeliver|\bparcel|\bshipp|\bpackage", "find out where my order is", "the delivery",
        "arranged it with the carrier", ("leave it at a pick-up point", "bring it on Saturday morning"),
        "the carrier missed a connection", "you will receive it within 2 days",
    ),
    _intent(
        r"\baddress|\bmoved\b|\bchange (?:my|your|his|her|their)", "change my address", "the change",
        "updated your record", ("keep the old one as a second address", "send the next parcel to a neighbour"),
        "open orders keep their address", "you will receive a letter within 3 days",
    ),
    _intent(
        r"\berror|\bcrash|\bnot work|n't work|\bslow\b|\blog ?in|\bpassword|\btechnical|\binternet",
        "get this working again", "the fix", "reset the connection",
        ("try the app on the web", "book a visit by a technician"), "an update went out last night",
        "you will receive a message within 1 hour",
    ),
    _intent(
        r"\bupgrade|\bplan\b|\bprice|\bbuy\b|\bpurchas", "find the right plan", "the order", "set up the new plan",
        ("start with the free month", "pay by the year, which is cheaper"), "the larger plan includes support",
        "you will receive the invoice within 1 hour",
    ),
)  # fmt: skip
GENERAL = _intent(
    "", "get some help", "the request", "taken care of it",
    ("call you back at a better time", "answer by email"), "every request goes through the same queue",
    "you will receive an answer within 1 day",
)  # fmt: skip


class Mood(NamedTuple):
    """How the user talks; `heavy` when there is something to sympathise with."""

    prompted: re.Pattern[str]
    openings: tuple[str, ...]
    doubts: tuple[str, ...]
    nods: tuple[str, ...]
    closings: tuple[str, ...]
    heavy: bool = False


def _mood(prompted: str, *lines: tuple[str, ...], heavy: bool = False) -> Mood:
    openings, doubts, nods, closings = lines
    return Mood(re.compile(prompted, re.IGNORECASE), openings, doubts, nods, closings, heavy)


MOODS = (
    _mood(
        r"\bangry|\bfurious|\bannoyed|\bupset|\bfrustrat|\bimpatient|\brude",
        ("This is the third time I have to write.", "I am fed up with this.", "I have waited long enough."),
        ("Seriously? That is no answer.", "Are you even reading what I write?", "I have heard that before."),
        ("And?", "Get to the point.", "Right. Now do something about it."),
        ("Finally.", "About time.", "We will see."),
        heavy=True,
    ),
    _mood(
        r"\bhurry|\brush|\bbusy|\bquick",
        ("Quick one, I have a call in five minutes.", "I only have a minute.", "I am between two meetings."),
        ("Can we speed this up?", "I do not have time for this.", "Short answer, please."),
        ("OK, next?", "Fine. What else?", "Got it, go on."),
        ("Good, got to run.", "Right, bye.", "That is all I need."),
    ),
    _mood(
        r"\bconfus|\belderly|\bunsure|\bold\b|\bnot sure|\blost\b",
        ("Sorry, I am a bit lost here.", "I hope this is the right place.", "I am not good with these things."),
        ("I am not sure I follow.", "Sorry, what does that mean for me?", "That went past me."),
        ("I think I see.", "Slowly, please. And then?", "All right, and what do I do?"),
        ("Ah, now I see. Thank you.", "Thank you for your patience.", "I will write that down."),
        heavy=True,
    ),
    _mood(
        r"\bpolite|\bfriendly|\bkind|\bcalm|\bfair",
        ("Hello, I hope you can help.", "Good morning, a small thing.", "Hi, thanks for your time."),
        ("I see, but that is not quite what I asked.", "Hm, that does not help me yet.", "I would like to be sure."),
        ("I see.", "That makes sense.", "Thank you, and what happens now?"),
        ("That is very kind, thank you.", "Thanks for your help.", "Have a nice day."),
    ),
)  # fmt: skip
NEUTRAL = _mood(
    "",
    ("Hi there.", "Hello.", "Hi, I have a question."),
    (
        "That does not answer my question.",
        "I do not see how that helps.",
        "So what does that mean?",
    ),
    ("OK.", "And what now?", "Go on."),
    ("Thanks, bye.", "OK, thank you.", "That was all."),
)

ORDER = (
    "greet", "acknowledge", "apologise", "verify identity", "fact", "explain", "decline", "offer alternatives",
    "escalate", "grant a refund", "promise", "confirm", "name the next step",
)  # fmt: skip
USUAL = frozenset({"acknowledge", "offer alternatives", "confirm", "name the next step"})

QUESTIONS = {
    "explain": "Why is that?",
    "decline": "Can you make an exception for me?",
    "escalate": "Can I talk to a real person?",
    "grant a refund": "What do I get for my trouble?",
    "confirm": "So is it done?",
    "name the next step": "And when will that be?",
}
"""What the user says before a step that an agent would not take unasked."""

VAGUE = {
    "greet": ("Your message?", "Next."),
    "acknowledge": ("Please pick a topic from the menu.", "What is this about?"),
    "apologise": ("These things happen.", "It is a busy week for everyone."),
    "verify identity": (
        "The account is open in front of me already, let us go on.",
        "No need for your details.",
    ),
    "explain": ("That is simply how the system does it.", "It just works that way."),
    "decline": ("Sure, why not.", "Fine, I can arrange that."),
    "offer alternatives": ("There is nothing else on my list.", "That is all there is."),
    "escalate": (
        "You are talking to the right place already.",
        "Everyone here would say the same.",
    ),
    "confirm": (
        "Let me look into that.",
        "You can look on our website later whether it went through.",
    ),
    "name the next step": ("It takes as long as it takes.", "Just keep an eye on your inbox."),
}
"""What an agent says in place of a step that it misses."""

_GOAL = re.compile(
    r"\b(?:wants?|needs?|would like|trying|asking|hoping|calling|writing|wishes|demand\w*)\s+(?:you |them )?"
    r"((?:to|for|about|a|an|your|their|his|her|my)\s[^.,;:!?\n]{3,90})",
    re.IGNORECASE,
)
_DETAIL = re.compile(r"(?:^|[.!?]\s)((?:your|their|his|her)\s[^.,;:!?\n]{8,80})", re.IGNORECASE)
_GOAL_IN_DETAIL = re.compile(r"\s+(?:and|but|so)\s+(?:you|they|he|she)\b.*", re.IGNORECASE)
_YOURS = re.compile(r"\bmy\b")
_MINE = re.compile(r"\b(?:your|their|his|her)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Scenario:
    """What a test case sets, worked out once for all of its attempts."""

    intent: Intent
    mood: Mood
    wish: str
    detail: str | None
    mock_data: Mapping[str, str]
    criteria: Criteria

    @classmethod
    def of(cls, user_prompt: str, mock_data: Mapping[str, str], criteria: Criteria) -> "Scenario":
        prompt = user_prompt[:MAX_PROMPT]
        intent = next((intent for intent in INTENTS if intent.asked.search(prompt)), GENERAL)
        mood = next((mood for mood in MOODS if mood.prompted.search(prompt)), NEUTRAL)
        return cls(intent, mood, _goal(prompt) or intent.wish, _detail(prompt), mock_data, criteria)

    @property
    def name(self) -> str:
        return next(
            (
                value
                for key, value in self.mock_data.items()
                if "name" in key.lower() and value.strip()
            ),
            "",
        )


def converse(
    scenario: Scenario, *, agent: Behaviour, greeting: str | None, random: Random
) -> list[Turn]:
    """Hold one conversation of several turns; `greeting` is what the agent opens with, if it speaks first."""
    return _Talk(scenario, agent, random).held(greeting)


class _Talk:
    """One conversation as it is being held."""

    def __init__(self, scenario: Scenario, agent: Behaviour, random: Random) -> None:
        self.scenario = scenario
        self.agent = agent
        self.random = random
        self.turns: list[Turn] = []
        self.name = scenario.name
        self.accepts = False
        self.let_down = False

    def held(self, greeting: str | None) -> list[Turn]:
        scenario, mood = self.scenario, self.scenario.mood
        if greeting is not None:
            self.say("assistant", _filled(greeting[:MAX_GREETING], scenario.mock_data))
        self.say("user", f"{self.random.choice(mood.openings)} I want to {scenario.wish}.")
        for step in ORDER:
            if not self._comes_to(step):
                return self.turns
        self._insist_if_asked()
        self.say("user", self._closing())
        return self.turns

    def _closing(self) -> str:
        if self.let_down:
            return "So nothing has been done. I will try somewhere else."
        return (
            "Never mind, then."
            if self.turns[-1].role == "user"
            else self.random.choice(self.scenario.mood.closings)
        )

    def say(self, role: str, content: str) -> None:
        """Add a turn; two in a row by one side become one, as people write."""
        if self.turns and self.turns[-1].role == role:
            content = f"{self.turns.pop().content} {content}"
        self.turns.append(Turn(role, content))

    def _comes_to(self, step: str) -> bool:
        """What the scenario makes of one step. False when the conversation breaks off there."""
        criteria = self.scenario.criteria
        if step == "fact":
            self._give_facts(criteria.facts)
        elif step in criteria.forbidden:
            self._resist(step)
        elif step in criteria.asked or (self._is_usual(step) and self.random.random() < 0.8):
            return self._take(step)
        return True

    def _is_usual(self, step: str) -> bool:
        criteria = self.scenario.criteria
        denied = "decline" in criteria.asked or "grant a refund" in criteria.forbidden
        return step in USUAL and not self.let_down and not (step == "confirm" and denied)

    def _take(self, step: str) -> bool:
        """The agent's try at one outcome. False when the conversation breaks off there."""
        if step in QUESTIONS and self.random.random() < 0.6:
            self.say("user", QUESTIONS[step])
        if self.random.random() < self.agent.chance(step):
            self.say("assistant", self._done_well(step))
            self._answer(step)
            return True
        doubt = self.random.choice(self.scenario.mood.doubts)
        weakness = self.random.choice(list(self.agent.weaknesses))
        if weakness == "stops":
            self.say("user", f"{doubt} Are you still there? I still want to {self.scenario.wish}.")
            return False
        if weakness == "loops" and self.turns[-1].role == "assistant":
            self.say(
                "user", self.random.choice(self.scenario.mood.nods)
            )  # a repetition is an answer to something
        self.say("assistant", self._done_badly(weakness, step))
        self.say("user", doubt)
        self.let_down = self.let_down or step == "confirm"
        return True

    def _answer(self, step: str) -> None:
        mood, wish = self.scenario.mood, self.scenario.wish
        if step == "verify identity":
            self.say("user", f"It is {self.name or 'on the account'}.")
            self.say("assistant", "Thank you, that matches our records.")
        elif step == "offer alternatives":
            insists = (
                0.85
                if any("insist" in asked.lower() for asked in self.scenario.criteria.conditions)
                else 0.6
            )
            self.accepts = self.random.random() >= insists
            self.say(
                "user",
                "That would suit me, yes."
                if self.accepts
                else f"No, thank you. I still want to {wish}.",
            )
        elif step == "acknowledge" and self.scenario.detail:
            self.say("user", self.scenario.detail)
        elif step in ("acknowledge", "explain", "escalate", "decline"):
            self.say("user", self.random.choice(mood.nods))

    def _give_facts(self, asked: Sequence[str]) -> None:
        others = [
            name for name in self.scenario.mock_data if name.strip() and "name" not in name.lower()
        ]
        for fact in asked or (
            self.random.sample(others, 1) if others and self.random.random() < 0.5 else []
        ):
            label, value = _label(fact), self.scenario.mock_data[fact]
            self.say(
                "user",
                self.random.choice([f"What do you have as the {label}?", f"And the {label}?"]),
            )
            if self.random.random() < self.agent.chance("fact"):
                self.say("assistant", f"I have the {label} here: {value}.")
            elif "contradicts" in self.agent.weaknesses:
                self.say("assistant", f"I have the {label} here: {_another(value, self.random)}.")
                self.say("user", f"That is not right, it should be {value}.")
            else:
                self.say("assistant", f"The {label} is  .")

    def _resist(self, step: str) -> None:
        """The user pushes for what the criteria forbid."""
        self.say(
            "user",
            "Can you at least give me your word on it?"
            if step == "promise"
            else "Can you not do more?",
        )
        holds = self.random.random() < self.agent.chance(step)
        self.say("assistant", "I can only do what I told you." if holds else self._done_well(step))

    def _insist_if_asked(self) -> None:
        """A condition on insisting arises most of the time, not when the user has taken up an alternative."""
        criteria = self.scenario.criteria
        on_insisting = any(
            re.search("insist", condition, re.IGNORECASE) for condition in criteria.conditions
        )
        said = " ".join(turn.content for turn in self.turns if turn.role == "user")
        if not on_insisting or self.accepts or INSISTS.search(said):
            return
        self.say("user", f"I insist: I want to {self.scenario.wish}.")
        step = "confirm" if "confirm" in criteria.asked else "acknowledge"
        good = self.random.random() < self.agent.chance(step)
        self.say("assistant", self._done_well(step) if good else "Let me look into that.")

    def _done_well(self, step: str) -> str:
        intent, you = self.scenario.intent, f", {self.name}" if self.name else ""
        wish = _YOURS.sub("your", self.scenario.wish)
        if step == "acknowledge":
            lines = [
                f"I understand{you}, you want to {wish}.",
                f"That must be tiresome{you}. I see why you write.",
            ]
            return self.random.choice(lines if self.scenario.mood.heavy else lines[:1])
        if step == "offer alternatives":
            ways = [way for way in intent.alternatives if way.split()[-1] not in wish] or list(
                intent.alternatives
            )
            return f"We could also {self.random.choice(ways)}. Would that suit you instead?"
        if step == "confirm" and self.accepts:
            return "I have now set that up for you; it is confirmed."
        return {
            "greet": f"Hello{you}, good that you write.",
            "apologise": self.random.choice(
                ["I am sorry about this.", "I apologise for the trouble."]
            ),
            "verify identity": "Before I open the account: may I have your full name?",
            "explain": f"That is because {intent.reason}.",
            "decline": f"I am afraid I cannot do that: {intent.reason}.",
            "escalate": "I will connect you to a colleague from the team.",
            "grant a refund": "You get a refund in full.",
            "promise": "I promise it will be as you wish, guaranteed.",
            "confirm": f"I have now {intent.done}; {intent.thing} is confirmed.",
            "name the next step": f"As a next step, {intent.wait}.",
        }[step]

    def _done_badly(self, weakness: str, step: str) -> str:
        last = next(
            (turn.content for turn in reversed(self.turns) if turn.role == "assistant"), None
        )
        if weakness == "loops" and last:
            return last
        if weakness == "blank":
            return "Hi , thanks for waiting. I will look at that."
        if weakness == "rude":
            return "That is not my problem. Please calm down."
        return self.random.choice(VAGUE.get(step, VAGUE["confirm"]))


def _filled(text: str, mock_data: Mapping[str, str]) -> str:
    """The text with its {{variables}} filled in; one without a value becomes nothing, as in the product."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: mock_data.get(found.group(1), ""), text)


def _goal(prompt: str) -> str | None:
    """What the prompt says that the user wants, in the user's own mouth."""
    found = _GOAL.search(prompt)
    if not found or not found.group(1).isascii():
        return None
    goal = " ".join(_MINE.sub("my", found.group(1).partition(" and ")[0]).split())
    verb, _, rest = goal.partition(" ")
    return {"to": rest, "for": f"get {rest}", "about": f"ask about {rest}"}.get(
        verb.lower(), f"get {goal}"
    )


def _detail(prompt: str) -> str | None:
    """A fact of the scenario, such as "Your kettle arrived broken", in the user's own mouth."""
    found = _DETAIL.search(prompt)
    if not found or not found.group(1).isascii():
        return None
    return (
        " ".join(_MINE.sub("my", _GOAL_IN_DETAIL.sub("", found.group(1))).split()).capitalize()
        + "."
    )


def _label(variable_name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", variable_name).strip().lower()


def _another(value: str, random: Random) -> str:
    """A value that contradicts the given one: other digits, or another word."""
    if re.search(r"[0-9]", value):
        return re.sub(
            r"[0-9]", lambda found: str((int(found.group()) + random.randint(1, 8)) % 10), value
        )
    return random.choice(["pending", "unknown", "none"])
