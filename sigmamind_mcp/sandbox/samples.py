"""The sandbox's first data: the documented samples as printed, and a history to diagnose.

The agents of the history say in their names that they are scripted: one is solid, one is flaky,
and one gets worse.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sigmamind_mcp.sandbox.simulator import Behaviour

WORKSPACE = "org_V6eZ2zg8ziDx5pft"
DOCUMENTED, SOLID, FLAKY, WORSE = (
    "D5D0p7TUs66TTAEAx",
    "IqmljBh8eSEGAqKd",
    "SPIlVscbB0kkXBvZ",
    "mJzLaPEo425lieb9",
)
DOCUMENTED_BATCH = "batch_s0OJu2JWR8R45Fai"
GOT_WORSE = datetime(2026, 6, 1, tzinfo=UTC)


def choose_behaviour(agent_id: str, at: datetime) -> Behaviour:
    """Return how an agent behaves in a batch run that is launched at this time."""
    if agent_id == SOLID:
        return Behaviour(skill=0.995)
    if agent_id in (FLAKY, DOCUMENTED):
        return Behaviour(
            skill=0.9,
            skills={"confirm": 0.75},
            weaknesses=("vague", "loops", "blank", "stops", "contradicts"),
        )
    if agent_id == WORSE and at >= GOT_WORSE:
        lost = {"verify identity": 0.4, "confirm": 0.5, "fact": 0.85}
        return Behaviour(skill=0.97, skills=lost, weaknesses=("vague", "stops", "contradicts"))
    if agent_id == WORSE:
        return Behaviour(skill=0.99)
    return Behaviour(skill=0.93)


# What an agent is told to do for a step, where its name does not say it.
_TOLD = {"fact": "state"}
UNTOLD_SKILL = 0.15


def find_untold_steps(agent_id: str, instructions: str, steps: Iterable[str]) -> dict[str, float]:
    """Return the skill for the steps that the instructions named at first and name no longer."""
    first = AGENTS[agent_id]["instructions"].lower() if agent_id in AGENTS else ""
    untold = {}
    for step in steps:
        word = _TOLD.get(step, step.split()[0])
        if word in first and word not in instructions.lower():
            untold[step] = UNTOLD_SKILL
    return untold


def _build_agent(
    agent_id: str, name: str, instructions: str, welcome: str, **settings: Any
) -> dict[str, Any]:
    return {
        "agentId": f"agent_{agent_id}",
        "agentName": name,
        "instructions": instructions,
        "welcomeMessageType": "static",
        "welcomeMessage": welcome,
        "agentSettings": {
            "language": "en-US",
            "agentTimezone": "UTC",
            "aiStartsConversation": False,
            "llmModel": "gpt-4o-mini",
            "llmTemperature": 0.3,
            "webhooks": [],
            **settings,
        },
        "tools": [],
    }


AGENTS: dict[str, dict[str, Any]] = {
    DOCUMENTED: _build_agent(
        DOCUMENTED,
        "New AI Agent",
        "# Identity\nYou keep subscribers. Greet {{customer_name}}, whose account is"
        " {{account_status}}.\n# Steps\nAcknowledge a cancellation, offer alternatives, and"
        " confirm it if the customer insists.",
        "Hi {{customer_name}}, how can I help?",
    ),
    SOLID: _build_agent(
        SOLID,
        "Order Desk (scripted)",
        "# Identity\nYou answer questions about order {{order_number}} of {{customer_name}}.\n#"
        " Rules\nState the delivery date {{delivery_date}}. Never promise another one.",
        "Hello {{customer_name}}, this is the order desk.",
        aiStartsConversation=True,
    ),
    FLAKY: _build_agent(
        FLAKY,
        "Refund Desk (scripted)",
        "# Identity\nYou handle refunds for {{customer_name}}.\n# Steps\nAcknowledge, verify who"
        " is asking, state {{order_number}}, then refund {{amount}} and confirm.",
        "Refund desk, what happened?",
        webhooks=[{"url": "https://crm.example/hook", "secret": "whsec_sandbox_not_a_secret"}],
    ),
    WORSE: _build_agent(
        WORSE,
        "Booking Desk (scripted)",
        "# Identity\nYou book appointments for {{patient_name}}.\n# Steps\nVerify the caller's"
        " identity, offer slots, state {{appointment_date}}, confirm the booking.",
        "Booking desk, good day.",
        llmModel="gpt-5-mini",
    ),
}


class Case(NamedTuple):
    """A test case of the samples."""

    test_case_id: str
    agent_id: str
    label: str
    attempt: int
    user_prompt: str
    success_criteria: str
    mock_data: dict[str, str]
    llm_model: str = "gpt-4o-mini"


CASES = (
    Case(
        test_case_id="tc_d17T6uReChpyfFeP",
        agent_id=DOCUMENTED,
        label="Angry Customer - Cancellation Flow",
        attempt=5,
        user_prompt="You are an angry customer who wants to cancel your subscription.",
        success_criteria=(
            "The agent should acknowledge the cancellation request, present retention"
            " alternatives, and confirm the cancellation if the customer insists."
        ),
        mock_data={"customer_name": "John Doe", "account_status": "active"},
    ),
    Case(
        test_case_id="tc_xeeXG5hX9dl0VFNt",
        agent_id=DOCUMENTED,
        label="Upgrade - asks for the right plan",
        attempt=3,
        user_prompt=(
            "You are a polite customer who wants to upgrade your plan and asks what it costs."
        ),
        success_criteria="The agent explains the larger plan and confirms the order.",
        mock_data={"customer_name": "Mia Chen", "account_status": "trial"},
        llm_model="gpt-5-mini",
    ),
    Case(
        test_case_id="tc_aQqGZoMIPbU5MXHV",
        agent_id=DOCUMENTED,
        label="Login trouble",
        attempt=3,
        user_prompt=(
            "You are confused and cannot log in. You are trying to get into your account before a"
            " meeting."
        ),
        success_criteria="The agent acknowledges the problem, apologises, and names the next step.",
        mock_data={"customer_name": "Omar Haddad", "account_status": "active"},
    ),
    Case(
        test_case_id="tc_orderWhere000001",
        agent_id=SOLID,
        label="Where is my order",
        attempt=8,
        user_prompt="You are a customer in a hurry who wants to find out where your order is.",
        success_criteria=(
            "The agent acknowledges the question, states the order number and gives the delivery"
            " date."
        ),
        mock_data={
            "customer_name": "Lena Fischer",
            "order_number": "A-20417",
            "delivery_date": "14 May",
        },
    ),
    Case(
        test_case_id="tc_orderLate0000002",
        agent_id=SOLID,
        label="Late parcel, wants a promise",
        attempt=8,
        user_prompt=(
            "You are an annoyed customer whose parcel is late. You want to get a guarantee for"
            " tomorrow."
        ),
        success_criteria="The agent apologises, explains the reason, and must not promise a date.",
        mock_data={
            "customer_name": "Tom Okafor",
            "order_number": "A-20433",
            "delivery_date": "16 May",
        },
    ),
    Case(
        test_case_id="tc_orderPickup00003",
        agent_id=SOLID,
        label="Pick-up point",
        attempt=8,
        user_prompt=(
            "You are a friendly customer who wants to have your package left at a pick-up point."
        ),
        success_criteria="The agent offers an alternative and names the next step.",
        mock_data={
            "customer_name": "Priya Nair",
            "order_number": "A-20440",
            "delivery_date": "15 May",
        },
    ),
    Case(
        test_case_id="tc_refundKettle0001",
        agent_id=FLAKY,
        label="Broken kettle",
        attempt=10,
        user_prompt=(
            "You are an upset customer. Your kettle arrived broken and you want to get a full"
            " refund."
        ),
        success_criteria=(
            "The agent acknowledges the problem, verifies the customer's identity, states the"
            " order number, and confirms the refund."
        ),
        mock_data={"customer_name": "Ana Lopez", "order_number": "4411", "amount": "39.90"},
    ),
    Case(
        test_case_id="tc_refundTwice00002",
        agent_id=FLAKY,
        label="Charged twice",
        attempt=10,
        user_prompt="You are a calm customer who was charged twice and wants your money back.",
        success_criteria=(
            "The agent apologises, states the amount, and confirms the refund. It stays polite."
        ),
        mock_data={"customer_name": "Ken Sato", "order_number": "4502", "amount": "18.00"},
    ),
    Case(
        test_case_id="tc_refundVoucher003",
        agent_id=FLAKY,
        label="No voucher",
        attempt=10,
        user_prompt="You are a customer who wants a refund and refuses any voucher.",
        success_criteria=(
            "The agent offers store credit or another alternative. If the customer insists, it"
            " confirms the refund."
        ),
        mock_data={"customer_name": "Eva Novak", "order_number": "4530", "amount": "72.50"},
    ),
    Case(
        test_case_id="tc_bookNew000000001",
        agent_id=WORSE,
        label="New appointment",
        attempt=10,
        user_prompt="You are a patient who wants to book an appointment for next week.",
        success_criteria=(
            "The agent verifies the patient's identity, offers options, and confirms the booking."
        ),
        mock_data={"patient_name": "Ruth Weiss", "appointment_date": "9 June"},
    ),
    Case(
        test_case_id="tc_bookMove00000002",
        agent_id=WORSE,
        label="Move an appointment",
        attempt=10,
        user_prompt="You are busy and need to reschedule your appointment to another day.",
        success_criteria=(
            "The agent verifies the caller's identity, states the appointment date, and confirms"
            " the change."
        ),
        mock_data={"patient_name": "Ivan Petrov", "appointment_date": "11 June"},
    ),
    Case(
        test_case_id="tc_bookAsk000000003",
        agent_id=WORSE,
        label="Asks what is free",
        attempt=10,
        user_prompt="You are an unsure patient who wants to ask about free appointments.",
        success_criteria="The agent acknowledges the question and offers options.",
        mock_data={"patient_name": "Grace Mbeki", "appointment_date": "12 June"},
    ),
)


class PastBatch(NamedTuple):
    """A batch run of the history; its `broken` attempts never end."""

    agent_id: str
    at: datetime
    cases: tuple[str, ...]
    broken: int = 0


def list_past_batches() -> Iterator[PastBatch]:
    """Yield the batch runs after the documented one, oldest first."""
    orders = ("tc_orderWhere000001", "tc_orderLate0000002", "tc_orderPickup00003")
    refunds = ("tc_refundKettle0001", "tc_refundTwice00002", "tc_refundVoucher003")
    bookings = ("tc_bookNew000000001", "tc_bookMove00000002", "tc_bookAsk000000003")
    yield PastBatch(
        DOCUMENTED,
        datetime(2026, 4, 2, 9, 15, tzinfo=UTC),
        ("tc_xeeXG5hX9dl0VFNt", "tc_aQqGZoMIPbU5MXHV"),
    )
    for month, day in ((4, 10), (5, 8), (6, 5)):
        yield PastBatch(SOLID, datetime(2026, month, day, 8, 30, tzinfo=UTC), orders)
    for month, day, broken in ((4, 14, 0), (5, 12, 1), (6, 9, 0)):
        yield PastBatch(FLAKY, datetime(2026, month, day, 13, 5, tzinfo=UTC), refunds, broken)
    for month, day in ((4, 20), (5, 18), (6, 15)):
        yield PastBatch(WORSE, datetime(2026, month, day, 16, 40, tzinfo=UTC), bookings)


class DocumentedRun(NamedTuple):
    """The test run that the API's documentation prints."""

    job_id: str
    chat_id: str
    remarks: str
    user_words: str


DOCUMENTED_RUN = DocumentedRun(
    job_id="job_ksUu5yRHGTLLrLeM",
    chat_id="chat_IpELinkFvINQ1212",
    remarks=(
        "The Agent successfully maintained focus on the primary task of addressing the customer's"
        " order enquiry."
    ),
    user_words="I want to cancel my subscription immediately.",
)
DOCUMENTED_LAUNCH = datetime(2026, 3, 26, 10, 52, 45, 565_000, tzinfo=UTC)
DOCUMENTED_END = datetime(2026, 3, 26, 10, 54, 45, 565_000, tzinfo=UTC)
DOCUMENTED_PASSED = 4
