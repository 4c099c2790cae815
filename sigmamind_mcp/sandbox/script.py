"""What the simulated user and the agent can say."""

import re
from typing import NamedTuple


class Intent(NamedTuple):
    """What a user may want, in words for both sides."""

    asked: re.Pattern[str]
    wish: str
    thing: str
    done: str
    alternatives: tuple[str, ...]
    reason: str
    wait: str


INTENTS = (
    Intent(
        asked=re.compile(r"\bcancel", re.IGNORECASE),
        wish="cancel my subscription",
        thing="the cancellation",
        done="cancelled it for you",
        alternatives=("pause it for two months", "move you to the smaller plan at half the price"),
        reason="plans renew on the first of the month",
        wait="you will receive the final invoice within 2 days",
    ),
    Intent(
        asked=re.compile(
            r"\brefund|\bmoney back|\bbroken|\bdamaged|\bcharged twice", re.IGNORECASE
        ),
        wish="get my money back",
        thing="the refund",
        done="refunded the full amount",
        alternatives=("send a replacement today", "give you store credit with ten percent on top"),
        reason="refunds go back to the card that was charged",
        wait="you will receive the money within 5 days",
    ),
    Intent(
        asked=re.compile(r"\breschedul|\bbook|\bappointment|\breserv", re.IGNORECASE),
        wish="book an appointment",
        thing="the booking",
        done="put you in the calendar",
        alternatives=("look at Thursday morning", "make it a video call"),
        reason="the mornings fill up first",
        wait="you will receive a reminder by tomorrow",
    ),
    Intent(
        asked=re.compile(r"\border\b|\bdeliver|\bparcel|\bshipp|\bpackage", re.IGNORECASE),
        wish="find out where my order is",
        thing="the delivery",
        done="arranged it with the carrier",
        alternatives=("leave it at a pick-up point", "bring it on Saturday morning"),
        reason="the carrier missed a connection",
        wait="you will receive it within 2 days",
    ),
    Intent(
        asked=re.compile(r"\baddress|\bmoved\b|\bchange (?:my|your|his|her|their)", re.IGNORECASE),
        wish="change my address",
        thing="the change",
        done="updated your record",
        alternatives=(
            "keep the old one as a second address",
            "send the next parcel to a neighbour",
        ),
        reason="open orders keep their address",
        wait="you will receive a letter within 3 days",
    ),
    Intent(
        asked=re.compile(
            r"\berror|\bcrash|\bnot work|n't work|\bslow\b|\blog ?in|\bpassword|\btechnical"
            r"|\binternet",
            re.IGNORECASE,
        ),
        wish="get this working again",
        thing="the fix",
        done="reset the connection",
        alternatives=("try the app on the web", "book a visit by a technician"),
        reason="an update went out last night",
        wait="you will receive a message within 1 hour",
    ),
    Intent(
        asked=re.compile(r"\bupgrade|\bplan\b|\bprice|\bbuy\b|\bpurchas", re.IGNORECASE),
        wish="find the right plan",
        thing="the order",
        done="set up the new plan",
        alternatives=("start with the free month", "pay by the year, which is cheaper"),
        reason="the larger plan includes support",
        wait="you will receive the invoice within 1 hour",
    ),
)
GENERAL_INTENT = Intent(
    asked=re.compile("", re.IGNORECASE),
    wish="get some help",
    thing="the request",
    done="taken care of it",
    alternatives=("call you back at a better time", "answer by email"),
    reason="every request goes through the same queue",
    wait="you will receive an answer within 1 day",
)


class Mood(NamedTuple):
    """How the user talks; `is_heavy` if the user needs sympathy."""

    prompted: re.Pattern[str]
    openings: tuple[str, ...]
    doubts: tuple[str, ...]
    nods: tuple[str, ...]
    closings: tuple[str, ...]
    is_heavy: bool = False


MOODS = (
    Mood(
        prompted=re.compile(
            r"\bangry|\bfurious|\bannoyed|\bupset|\bfrustrat|\bimpatient|\brude", re.IGNORECASE
        ),
        openings=(
            "This is the third time I have to write.",
            "I am fed up with this.",
            "I have waited long enough.",
        ),
        doubts=(
            "Seriously? That is no answer.",
            "Are you even reading what I write?",
            "I have heard that before.",
        ),
        nods=("And?", "Get to the point.", "Right. Now do something about it."),
        closings=("Finally.", "About time.", "We will see."),
        is_heavy=True,
    ),
    Mood(
        prompted=re.compile(r"\bhurry|\brush|\bbusy|\bquick", re.IGNORECASE),
        openings=(
            "Quick one, I have a call in five minutes.",
            "I only have a minute.",
            "I am between two meetings.",
        ),
        doubts=("Can we speed this up?", "I do not have time for this.", "Short answer, please."),
        nods=("OK, next?", "Fine. What else?", "Got it, go on."),
        closings=("Good, got to run.", "Right, bye.", "That is all I need."),
    ),
    Mood(
        prompted=re.compile(
            r"\bconfus|\belderly|\bunsure|\bold\b|\bnot sure|\blost\b", re.IGNORECASE
        ),
        openings=(
            "Sorry, I am a bit lost here.",
            "I hope this is the right place.",
            "I am not good with these things.",
        ),
        doubts=(
            "I am not sure I follow.",
            "Sorry, what does that mean for me?",
            "That went past me.",
        ),
        nods=("I think I see.", "Slowly, please. And then?", "All right, and what do I do?"),
        closings=(
            "Ah, now I see. Thank you.",
            "Thank you for your patience.",
            "I will write that down.",
        ),
        is_heavy=True,
    ),
    Mood(
        prompted=re.compile(r"\bpolite|\bfriendly|\bkind|\bcalm|\bfair", re.IGNORECASE),
        openings=(
            "Hello, I hope you can help.",
            "Good morning, a small thing.",
            "Hi, thanks for your time.",
        ),
        doubts=(
            "I see, but that is not quite what I asked.",
            "Hm, that does not help me yet.",
            "I would like to be sure.",
        ),
        nods=("I see.", "That makes sense.", "Thank you, and what happens now?"),
        closings=("That is very kind, thank you.", "Thanks for your help.", "Have a nice day."),
    ),
)
NEUTRAL_MOOD = Mood(
    prompted=re.compile("", re.IGNORECASE),
    openings=("Hi there.", "Hello.", "Hi, I have a question."),
    doubts=(
        "That does not answer my question.",
        "I do not see how that helps.",
        "So what does that mean?",
    ),
    nods=("OK.", "And what now?", "Go on."),
    closings=("Thanks, bye.", "OK, thank you.", "That was all."),
)

# The steps of a conversation, in their order.
STEPS = (
    "greet",
    "acknowledge",
    "apologise",
    "verify identity",
    "fact",
    "explain",
    "decline",
    "offer alternatives",
    "escalate",
    "grant a refund",
    "promise",
    "confirm",
    "name the next step",
)
# Steps that an agent takes even if the criteria do not ask for them.
USUAL_STEPS = frozenset({"acknowledge", "offer alternatives", "confirm", "name the next step"})

# What the user says before a step that an agent does not take unasked.
QUESTIONS = {
    "explain": "Why is that?",
    "decline": "Can you make an exception for me?",
    "escalate": "Can I talk to a real person?",
    "grant a refund": "What do I get for my trouble?",
    "confirm": "So is it done?",
    "name the next step": "And when will that be?",
}

# What an agent says in place of a step that it misses.
VAGUE_LINES = {
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
