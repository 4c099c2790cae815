"""The sandbox's first data: the documented samples as printed, and a history worth diagnosing.

The history's agents are scripted and say so in their names: one solid, one flaky, one that got worse.
"""

from collections.abc import Iterator
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


def behaviour_of(agent_id: str, at: datetime) -> Behaviour:
    """How the agent behaves in a batch run launched at that time; agents that people add are fairly good."""
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
    return Behaviour(skill=0.99 if agent_id == WORSE else 0.93)


def _agent(
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
    DOCUMENTED: _agent(
        DOCUMENTED,
        "New AI Agent",
        "# Identity\nYou keep subscribers. Greet {{customer_name}}, whose account is {{account_status}}.\n"
        "# Steps\nAcknowledge a cancellation, offer alternatives, and confirm it if the customer insists.",
        "Hi {{customer_name}}, how can I help?",
    ),
    SOLID: _agent(
        SOLID,
        "Order Desk (scripted)",
        "# Identity\nYou answer questions about order {{order_number}} of {{customer_name}}.\n"
        "# Rules\nState the delivery date {{delivery_date}}. Never promise another one.",
        "Hello {{customer_name}}, this is the order desk.",
        aiStartsConversation=True,
    ),
    FLAKY: _agent(
        FLAKY,
        "Refund Desk (scripted)",
        "# Identity\nYou handle refunds for {{customer_name}}.\n"
        "# Steps\nAcknowledge, verify who is asking, state {{order_number}}, then refund {{amount}} and confirm.",
        "Refund desk, what happened?",
        webhooks=[{"url": "https://crm.example/hook", "secret": "whsec_sandbox_not_a_secret"}],
    ),
    WORSE: _agent(
        WORSE,
        "Booking Desk (scripted)",
        "# Identity\nYou book appointments for {{patient_name}}.\n"
        "# Steps\nVerify the caller's identity, offer slots, state {{appointment_date}}, confirm the booking.",
        "Booking desk, good day.",
        llmModel="gpt-5-mini",
    ),
}


class Case(NamedTuple):
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
        "tc_d17T6uReChpyfFeP", DOCUMENTED, "Angry Customer - Cancellation Flow", 5,
        "You are an angry customer who wants to cancel your subscription.",
        "The agent should acknowledge the cancellation request, present retention alternatives, and confirm the"
        " cancellation if the customer insists.",
        {"customer_name": "John Doe", "account_status": "active"},
    ),
    Case(
        "tc_xeeXG5hX9dl0VFNt", DOCUMENTED, "Upgrade - asks for the right plan", 3,
        "You are a polite customer who wants to upgrade your plan and asks what it costs.",
        "The agent explains the larger plan and confirms the order.",
        {"customer_name": "Mia Chen", "account_status": "trial"}, "gpt-5-mini",
    ),
    Case(
        "tc_aQqGZoMIPbU5MXHV", DOCUMENTED, "Login trouble", 3,
        "You are confused and cannot log in. You are trying to get into your account before a meeting.",
        "The agent acknowledges the problem, apologises, and names the next step.",
        {"customer_name": "Omar Haddad", "account_status": "active"},
    ),
    Case(
        "tc_orderWhere000001", SOLID, "Where is my order", 8,
        "You are a customer in a hurry who wants to find out where your order is.",
        "The agent acknowledges the question, states the order number and gives the delivery date.",
        {"customer_name": "Lena Fischer", "order_number": "A-20417", "delivery_date": "14 May"},
    ),
    Case(
        "tc_orderLate0000002", SOLID, "Late parcel, wants a promise", 8,
        "You are an annoyed customer whose parcel is late. You want to get a guarantee for tomorrow.",
        "The agent apologises, explains the reason, and must not promise a date.",
        {"customer_name": "Tom Okafor", "order_number": "A-20433", "delivery_date": "16 May"},
    ),
    Case(
        "tc_orderPickup00003", SOLID, "Pick-up point", 8,
        "You are a friendly customer who wants to have your package left at a pick-up point.",
        "The agent offers an alternative and names the next step.",
        {"customer_name": "Priya Nair", "order_number": "A-20440", "delivery_date": "15 May"},
    ),
    Case(
        "tc_refundKettle0001", FLAKY, "Broken kettle", 10,
        "You are an upset customer. Your kettle arrived broken and you want to get a full refund.",
        "The agent acknowledges the problem, verifies the customer's identity, states the order number, and confirms"
        " the refund.",
        {"customer_name": "Ana Lopez", "order_number": "4411", "amount": "39.90"},
    ),
    Case(
        "tc_refundTwice00002", FLAKY, "Charged twice", 10,
        "You are a calm customer who was charged twice and wants your money back.",
        "The agent apologises, states the amount, and confirms the refund. It stays polite.",
        {"customer_name": "Ken Sato", "order_number": "4502", "amount": "18.00"},
    ),
    Case(
        "tc_refundVoucher003", FLAKY, "No voucher", 10,
        "You are a customer who wants a refund and refuses any voucher.",
        "The agent offers store credit or another alternative. If the customer insists, it confirms the refund.",
        {"customer_name": "Eva Novak", "order_number": "4530", "amount": "72.50"},
    ),
    Case(
        "tc_bookNew000000001", WORSE, "New appointment", 10,
        "You are a patient who wants to book an appointment for next week.",
        "The agent verifies the patient's identity, offers options, and confirms the booking.",
        {"patient_name": "Ruth Weiss", "appointment_date": "9 June"},
    ),
    Case(
        "tc_bookMove00000002", WORSE, "Move an appointment", 10,
        "You are busy and need to reschedule your appointment to another day.",
        "The agent verifies the caller's identity, states the appointment date, and confirms the change.",
        {"patient_name": "Ivan Petrov", "appointment_date": "11 June"},
    ),
    Case(
        "tc_bookAsk000000003", WORSE, "Asks what is free", 10,
        "You are an unsure patient who wants to ask about free appointments.",
        "The agent acknowledges the question and offers options.",
        {"patient_name": "Grace Mbeki", "appointment_date": "12 June"},
    ),
)  # fmt: skip


class PastBatch(NamedTuple):
    """A batch run of the history; `broken` attempts never ended."""

    agent_id: str
    at: datetime
    cases: tuple[str, ...]
    broken: int = 0


def past_batches() -> Iterator[PastBatch]:
    """The batch runs after the documented one, oldest first."""
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


DOCUMENTED_RUN = {
    "job_id": "job_ksUu5yRHGTLLrLeM",
    "chat_id": "chat_IpELinkFvINQ1212",
    "remarks": "The Agent successfully maintained focus on the primary task of addressing the customer's order"
    " enquiry.",
    "said": "I want to cancel my subscription immediately.",
}
DOCUMENTED_LAUNCH = datetime(2026, 3, 26, 10, 52, 45, 565_000, tzinfo=UTC)
DOCUMENTED_END = datetime(2026, 3, 26, 10, 54, 45, 565_000, tzinfo=UTC)
DOCUMENTED_PASSED = 4
