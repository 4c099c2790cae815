"""Hold a scripted conversation between a simulated user and an agent.

The user prompt and the mock data make the user; skills and weaknesses make the agent. Nothing here
knows the verdict: the agent tries each step that the scenario asks for, and succeeds as often as
its skill says. Its weaknesses show in its words, and the judge reads the result.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from sigmamind_mcp.sandbox.criteria import Criteria
from sigmamind_mcp.sandbox.judge import INSISTS, SimulatedTurn
from sigmamind_mcp.sandbox.script import (
    GENERAL_INTENT,
    INTENTS,
    MOODS,
    NEUTRAL_MOOD,
    QUESTIONS,
    STEPS,
    USUAL_STEPS,
    VAGUE_LINES,
    Intent,
    Mood,
)

MAX_PROMPT = 4_000
MAX_GREETING = 2_000


@dataclass(frozen=True)
class Behaviour:
    """How well an agent does each step, and how it fails; `skill` is for steps not in `skills`."""

    skill: float = 0.93
    skills: Mapping[str, float] = field(default_factory=dict)
    weaknesses: Sequence[str] = ("vague",)

    def chance(self, step: str) -> float:
        """Return the probability that the agent does a step well."""
        return self.skills.get(step, self.skill)


@dataclass(frozen=True)
class Scenario:
    """What a test case sets, read once for all its attempts."""

    intent: Intent
    mood: Mood
    wish: str
    detail: str | None
    mock_data: Mapping[str, str]
    criteria: Criteria

    @classmethod
    def of(cls, user_prompt: str, mock_data: Mapping[str, str], criteria: Criteria) -> "Scenario":
        """Read the user's intent, mood and wish from the prompt."""
        prompt = user_prompt[:MAX_PROMPT]
        intent = next((intent for intent in INTENTS if intent.asked.search(prompt)), GENERAL_INTENT)
        mood = next((mood for mood in MOODS if mood.prompted.search(prompt)), NEUTRAL_MOOD)
        wish = _read_goal(prompt) or intent.wish
        return cls(intent, mood, wish, _read_detail(prompt), mock_data, criteria)

    @property
    def name(self) -> str:
        """The user's name from the mock data, or an empty text."""
        for variable, value in self.mock_data.items():
            if "name" in variable.lower() and value.strip():
                return value
        return ""

    @property
    def is_refused(self) -> bool:
        """Whether the criteria want the agent to refuse what the user asks for."""
        return "decline" in self.criteria.asked or "grant a refund" in self.criteria.forbidden

    @property
    def has_insisting_condition(self) -> bool:
        """Whether a condition of the criteria is that the user insists."""
        return any("insist" in condition.lower() for condition in self.criteria.conditions)


def converse(
    scenario: Scenario, *, agent: Behaviour, greeting: str | None, random: Random
) -> list[SimulatedTurn]:
    """Hold one conversation; with a greeting, the agent speaks first."""
    return _Conversation(scenario, agent, random).hold(greeting)


class _Conversation:
    """One conversation while it is held."""

    def __init__(self, scenario: Scenario, agent: Behaviour, random: Random) -> None:
        self.scenario = scenario
        self.agent = agent
        self.random = random
        self.turns: list[SimulatedTurn] = []
        self.name = scenario.name
        self.user_accepts = False
        self.user_is_let_down = False

    def hold(self, greeting: str | None) -> list[SimulatedTurn]:
        scenario, mood = self.scenario, self.scenario.mood
        if greeting is not None:
            self.say("assistant", _fill_variables(greeting[:MAX_GREETING], scenario.mock_data))
        self.say("user", f"{self.random.choice(mood.openings)} I want to {scenario.wish}.")
        for step in STEPS:
            if not self._play_step(step):
                return self.turns
        self._insist_if_asked()
        self.say("user", self._choose_closing())
        return self.turns

    def say(self, role: str, content: str) -> None:
        """Add a turn; two turns of one side in a row become one."""
        if self.turns and self.turns[-1].role == role:
            content = f"{self.turns.pop().content} {content}"
        self.turns.append(SimulatedTurn(role, content))

    def _happens(self, probability: float) -> bool:
        return self.random.random() < probability

    def _choose_closing(self) -> str:
        if self.user_is_let_down:
            return "So nothing has been done. I will try somewhere else."
        if self.turns[-1].role == "user":
            return "Never mind, then."
        return self.random.choice(self.scenario.mood.closings)

    def _play_step(self, step: str) -> bool:
        """Play one step if the scenario has it; return False if the conversation breaks off."""
        criteria = self.scenario.criteria
        if step == "fact":
            self._ask_for_facts(criteria.facts)
            return True
        if step in criteria.forbidden:
            self._push_for(step)
            return True
        is_played = step in criteria.asked or (self._is_usual(step) and self._happens(0.8))
        return self._try_step(step) if is_played else True

    def _is_usual(self, step: str) -> bool:
        if step not in USUAL_STEPS or self.user_is_let_down:
            return False
        return step != "confirm" or not self.scenario.is_refused

    def _try_step(self, step: str) -> bool:
        """Let the agent try a step; return False if the conversation breaks off."""
        if step in QUESTIONS and self._happens(0.6):
            self.say("user", QUESTIONS[step])
        if self._happens(self.agent.chance(step)):
            self.say("assistant", self._write_success(step))
            self._react_to(step)
            return True
        return self._miss_step(step)

    def _miss_step(self, step: str) -> bool:
        """Let the agent fail in one of its ways; return False if the conversation breaks off."""
        doubt = self.random.choice(self.scenario.mood.doubts)
        weakness = self.random.choice(list(self.agent.weaknesses))
        if weakness == "stops":
            self.say("user", f"{doubt} Are you still there? I still want to {self.scenario.wish}.")
            return False
        if weakness == "loops" and self.turns[-1].role == "assistant":
            # An agent repeats itself only in a new turn.
            self.say("user", self.random.choice(self.scenario.mood.nods))
        self.say("assistant", self._write_failure(weakness, step))
        self.say("user", doubt)
        self.user_is_let_down = self.user_is_let_down or step == "confirm"
        return True

    def _react_to(self, step: str) -> None:
        """Let the user answer a step that the agent did well."""
        if step == "verify identity":
            self.say("user", f"It is {self.name or 'on the account'}.")
            self.say("assistant", "Thank you, that matches our records.")
        elif step == "offer alternatives":
            self._answer_offer()
        elif step == "acknowledge" and self.scenario.detail:
            self.say("user", self.scenario.detail)
        elif step in ("acknowledge", "explain", "escalate", "decline"):
            self.say("user", self.random.choice(self.scenario.mood.nods))

    def _answer_offer(self) -> None:
        refusal_chance = 0.85 if self.scenario.has_insisting_condition else 0.6
        self.user_accepts = not self._happens(refusal_chance)
        if self.user_accepts:
            self.say("user", "That would suit me, yes.")
        else:
            self.say("user", f"No, thank you. I still want to {self.scenario.wish}.")

    def _ask_for_facts(self, required: Sequence[str]) -> None:
        """Let the user ask for the required facts, or sometimes for one of the others."""
        variables = required or self._choose_variable()
        for variable in variables:
            self._ask_for_fact(_read_label(variable), self.scenario.mock_data[variable])

    def _choose_variable(self) -> Sequence[str]:
        variables = [name for name in self.scenario.mock_data if _is_fact(name)]
        if variables and self._happens(0.5):
            return self.random.sample(variables, 1)
        return []

    def _ask_for_fact(self, label: str, value: str) -> None:
        questions = [f"What do you have as the {label}?", f"And the {label}?"]
        self.say("user", self.random.choice(questions))
        if self._happens(self.agent.chance("fact")):
            self.say("assistant", f"I have the {label} here: {value}.")
        elif "contradicts" in self.agent.weaknesses:
            wrong_value = _change_value(value, self.random)
            self.say("assistant", f"I have the {label} here: {wrong_value}.")
            self.say("user", f"That is not right, it should be {value}.")
        else:
            self.say("assistant", f"The {label} is  .")

    def _push_for(self, step: str) -> None:
        """Let the user push for what the criteria forbid."""
        if step == "promise":
            self.say("user", "Can you at least give me your word on it?")
        else:
            self.say("user", "Can you not do more?")
        if self._happens(self.agent.chance(step)):
            self.say("assistant", "I can only do what I told you.")
        else:
            self.say("assistant", self._write_success(step))

    def _insist_if_asked(self) -> None:
        """Let the user insist if a condition asks for it and the user has accepted nothing."""
        user_words = " ".join(turn.content for turn in self.turns if turn.role == "user")
        has_insisted = INSISTS.search(user_words) is not None
        if not self.scenario.has_insisting_condition or self.user_accepts or has_insisted:
            return
        self.say("user", f"I insist: I want to {self.scenario.wish}.")
        step = "confirm" if "confirm" in self.scenario.criteria.asked else "acknowledge"
        succeeds = self._happens(self.agent.chance(step))
        answer = self._write_success(step) if succeeds else "Let me look into that."
        self.say("assistant", answer)

    def _write_success(self, step: str) -> str:
        """Return what the agent says when it does a step well."""
        intent = self.scenario.intent
        address = f", {self.name}" if self.name else ""
        if step == "acknowledge":
            return self._write_acknowledgement(address)
        if step == "offer alternatives":
            return self._write_offer()
        if step == "confirm" and self.user_accepts:
            return "I have now set that up for you; it is confirmed."
        # Chosen for each step: fewer random numbers would change the rest of the conversation.
        apology = self.random.choice(["I am sorry about this.", "I apologise for the trouble."])
        return {
            "greet": f"Hello{address}, good that you write.",
            "apologise": apology,
            "verify identity": "Before I open the account: may I have your full name?",
            "explain": f"That is because {intent.reason}.",
            "decline": f"I am afraid I cannot do that: {intent.reason}.",
            "escalate": "I will connect you to a colleague from the team.",
            "grant a refund": "You get a refund in full.",
            "promise": "I promise it will be as you wish, guaranteed.",
            "confirm": f"I have now {intent.done}; {intent.thing} is confirmed.",
            "name the next step": f"As a next step, {intent.wait}.",
        }[step]

    def _write_acknowledgement(self, address: str) -> str:
        wish = _MY.sub("your", self.scenario.wish)
        lines = [f"I understand{address}, you want to {wish}."]
        if self.scenario.mood.is_heavy:
            lines.append(f"That must be tiresome{address}. I see why you write.")
        return self.random.choice(lines)

    def _write_offer(self) -> str:
        """Return an offer of an alternative, of one that is not the user's own wish if possible."""
        wish = _MY.sub("your", self.scenario.wish)
        alternatives = self.scenario.intent.alternatives
        other = [alternative for alternative in alternatives if alternative.split()[-1] not in wish]
        choice = self.random.choice(other or list(alternatives))
        return f"We could also {choice}. Would that suit you instead?"

    def _write_failure(self, weakness: str, step: str) -> str:
        """Return what the agent says when it misses a step."""
        own_turns = [turn.content for turn in self.turns if turn.role == "assistant"]
        last_words = own_turns[-1] if own_turns else ""
        if weakness == "loops" and last_words:
            return last_words
        if weakness == "blank":
            return "Hi , thanks for waiting. I will look at that."
        if weakness == "rude":
            return "That is not my problem. Please calm down."
        return self.random.choice(VAGUE_LINES.get(step, VAGUE_LINES["confirm"]))


_GOAL = re.compile(
    r"\b(?:wants?|needs?|would like|trying|asking|hoping|calling|writing|wishes"
    r"|demand\w*)\s+(?:you "
    r"|them )?((?:to|for|about|a|an|your|their|his|her|my)\s[^.,;:!?\n]{3,90})",
    re.IGNORECASE,
)
_DETAIL = re.compile(r"(?:^|[.!?]\s)((?:your|their|his|her)\s[^.,;:!?\n]{8,80})", re.IGNORECASE)
_GOAL_IN_DETAIL = re.compile(r"\s+(?:and|but|so)\s+(?:you|they|he|she)\b.*", re.IGNORECASE)
_MY = re.compile(r"\bmy\b")
_POSSESSIVE = re.compile(r"\b(?:your|their|his|her)\b", re.IGNORECASE)


def _read_goal(prompt: str) -> str | None:
    """Return what the user wants, such as "get my money back"."""
    match = _GOAL.search(prompt)
    if not match or not match.group(1).isascii():
        return None
    first_goal = match.group(1).partition(" and ")[0]
    goal = _use_first_person(first_goal)
    preposition, _, rest = goal.partition(" ")
    phrases = {"to": rest, "for": f"get {rest}", "about": f"ask about {rest}"}
    return phrases.get(preposition.lower(), f"get {goal}")


def _read_detail(prompt: str) -> str | None:
    """Return a fact of the scenario, such as "My kettle arrived broken."."""
    match = _DETAIL.search(prompt)
    if not match or not match.group(1).isascii():
        return None
    detail = _use_first_person(_GOAL_IN_DETAIL.sub("", match.group(1)))
    return f"{detail.capitalize()}."


def _use_first_person(text: str) -> str:
    """Return a text with "my" in place of "your"."""
    return " ".join(_POSSESSIVE.sub("my", text).split())


def _fill_variables(text: str, mock_data: Mapping[str, str]) -> str:
    """Return a text with its variables filled in; one without a value becomes empty text."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: mock_data.get(match.group(1), ""), text)


def _is_fact(variable: str) -> bool:
    return bool(variable.strip()) and "name" not in variable.lower()


def _read_label(variable: str) -> str:
    """Return a variable's name as words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", variable).strip().lower()


def _change_value(value: str, random: Random) -> str:
    """Return a value that contradicts the given one: other digits, or another word."""
    if not re.search(r"[0-9]", value):
        return random.choice(["pending", "unknown", "none"])

    def change_digit(match: re.Match[str]) -> str:
        return str((int(match.group()) + random.randint(1, 8)) % 10)

    return re.sub(r"[0-9]", change_digit, value)
