"""Agents, and that nothing that looks like a credential leaves with them."""

import json
from time import thread_time
from typing import Any

import pytest
from mcp import Client

from sigmamind_mcp.masking import MASK, mask
from tests.conftest import text_of
from tests.support.fake_api import FakeAPI, page

pytestmark = pytest.mark.anyio

AGENT: dict[str, Any] = {
    "agentId": "agent_1",
    "agentName": "Refund Desk",
    "instructions": "Greet {{customer_name}}. State {{ order_number }}. Call with Bearer canary_abcdefgh.",
    "welcomeMessage": "Hi {{customer_name}}",
    "agentSettings": {
        "llmModel": "gpt-4o",
        "aiStartsConversation": True,
        "maxTokens": 512,
        "webhooks": [
            {"url": "https://user:canary_pw@crm.example/hook?token=canary", "secret": "canary"}
        ],
        "headers": {"Authorization": "canary", "X-Api-Key": "canary", "Cookie": "canary"},
    },
    "tools": [
        {"type": "http", "config": {"apiKey": "canary", "nested": [{"accessToken": "canary"}]}},
        {
            "headers": [
                {"name": "Authorization", "value": "canary"},
                {"key": "X-Api-Key", "value": ["canary"]},
            ]
        },
    ],
}


async def test_agents_are_listed_and_found_by_name(mcp: Client, fake_api: FakeAPI) -> None:
    fake_api.answer(
        "GET", "/v1/agents", page([AGENT, {"agentId": "agent_2", "agentName": "Order Desk"}])
    )

    every = await mcp.call_tool("list_agents", {})
    found = await mcp.call_tool("list_agents", {"nameContains": "REFUND"})

    assert every.structured_content["totalCount"] == 2
    assert found.structured_content["agents"] == [
        {"agentId": "agent_1", "agentName": "Refund Desk"}
    ]
    assert "agent_1: Refund Desk" in text_of(found)


@pytest.mark.parametrize("detail", ["concise", "full"])
async def test_agent_comes_without_any_credential(
    mcp: Client, fake_api: FakeAPI, detail: str
) -> None:
    fake_api.answer("GET", "/v1/agents/agent_1", AGENT)

    result = await mcp.call_tool("get_agent", {"agentId": "agent_1", "detail": detail})

    assert "canary" not in json.dumps(result.structured_content) + text_of(result)
    assert result.structured_content["variables"] == ["customer_name", "order_number"]
    assert (result.structured_content["toolCount"], result.structured_content["webhookCount"]) == (
        2,
        1,
    )
    if detail == "full":
        assert result.structured_content["raw"]["agentSettings"]["maxTokens"] == 512


async def test_agent_names_its_tools(mcp: Client, fake_api: FakeAPI) -> None:
    tools: list[Any] = [
        {"type": "voice_transfer_call"},
        {"type": "integration", "name": "look up\norder"},
        {"type": "function", "function": {"name": "refund", "parameters": {}}},
        {"toolName": "x" * 200},
        {"name": "Bearer canary_abcdefgh"},
        "plain",
        {"name": " ", "type": 7},
        None,
        7,
    ]
    fake_api.answer("GET", "/v1/agents/agent_1", {**AGENT, "tools": tools})
    named = ["voice_transfer_call", "look up order", "refund", MASK, "plain"]

    result = await mcp.call_tool("get_agent", {"agentId": "agent_1"})

    shown = result.structured_content["toolNames"]
    assert [name for name in shown if "x" * 80 not in name] == named
    assert len(shown) == 6 and max(map(len, shown)) < 130
    assert result.structured_content["toolCount"] == 9
    assert "tools: voice_transfer_call, look up order, refund" in text_of(result)


async def test_agent_with_many_tools_says_how_many_are_named(
    mcp: Client, fake_api: FakeAPI
) -> None:
    tools = [{"name": f"tool_{number}"} for number in range(60)]
    fake_api.answer("GET", "/v1/agents/agent_1", {**AGENT, "tools": tools})

    result = await mcp.call_tool("get_agent", {"agentId": "agent_1"})

    assert len(result.structured_content["toolNames"]) == 50
    assert "Cut: toolNames, 50 of 60 shown." in text_of(result)


@pytest.mark.parametrize(
    "harmless",
    [
        {
            "maxTokens": 5,
            "tokenLimit": 7,
            "total_tokens": 9,
            "keyword": "a",
            "description": "the key-performance-indicators",
        },
        {
            "text": "Ask for the key. Say the password is never needed.",
            "url": "https://example.com/a:b@c",
        },
        {
            "secret": None,
            "token": "",
            "list": [1, 2.5, True, None],
            "name": "a",
            "value": "b",
            "header": None,
        },
        {
            "text": "Basic information. BASIC TROUBLESHOOTING, basic customer/account questions; a bearer certificate."
        },
        {
            "author": "Ana",
            "authority": "a",
            "authType": "basic",
            "authors": ["a"],
            "oauth": "google",
            "auth": {"type": "bearer"},
            "xAuth": "none",
            "requiresAuth": True,
            "skip_auth": "false",
        },
        {
            "passed": "8",
            "pass": 8,
            "passRate": "80 %",
            "pass_rate": 0.8,
            "passport": "P123",
            "bypass": "no",
            "compass": "north",
            "boardingPass": "B1",
            "passenger": "Ana",
            "passthrough": "x",
            "canPass": "yes",
        },
        {
            "primaryKey": "id",
            "partition_key": "a",
            "sortKey": "b",
            "keyId": "k1",
            "publicKey": "p",
            "monkey": "m",
            "clientKeyName": "a",
            "accountKey": {"type": "string"},
            "cookieBanner": "on",
            "encoding": "utf-8",
        },
        {"name": "Author", "value": "Ana"},
        {"name": "Pass rate", "value": "80 %"},
        {"key": "passport", "value": "P123"},
        {"name": "auth", "value": "none"},
        {
            "text": "Pass? The author passed the passport check at a pass rate of 80 %; password: no clue. An API key is code.",
            "url": "https://shop.example/services/a?code=SUMMER20&country_code=AT&author=Ana&passport=1&keyword=b",
            "other": "https://hooks.slack.com/docs AIza hf_model npm_config_registry SG.1.2 github_pat /api/webhooks/new",
        },
    ],
)
async def test_what_is_no_credential_stays(harmless: dict[str, Any]) -> None:
    assert mask(harmless) == harmless


@pytest.mark.parametrize(
    "name",
    [
        "Ocp-Apim-Subscription-Key", "X-Functions-Key", "X-Auth", "X-Api-Auth", "proxyAuth", "auth", "X-Auth-Key",
        "pass", "PASS", "smtpPass", "db_pass", "pwd", "DB_PWD", "passcode", "signingKey", "encryption_key", "clientKey",
        "DD-APPLICATION-KEY", "appKey", "consumer_key", "masterKey", "webhook-key", "accountKey", "Set-Cookie", "jwt",
        "password", "apiKey", "Authorization", "cookie", "X-Hub-Signature",
    ],
)  # fmt: skip
async def test_secrets_are_found_by_the_name_of_a_member_or_of_a_pair(name: str) -> None:
    assert mask({name: "hunter"}) == {name: MASK}
    for pair in ("name", "key", "header"):
        assert mask({pair: name, "value": "hunter"}) == {pair: name, "value": MASK}


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("https://h.example/x?code={}&a=1", "0123456789abcdefABCD=="),
        ("https://h.example/x?a=1&CODE={}", "0123456789abcdef"),
        *((f"https://h.example/x?{name}={{}}&b=2", "hunter") for name in (
            "auth", "pwd", "pass", "passwd", "password", "key", "jwt", "sig", "X-Amz-Signature", "X-Amz-Security-Token",
            "subscription-key", "client_secret", "refresh_token", "access_token", "token", "api_key", "secret",
        )),
        ("https://hooks.slack.com/services/{}", "T00/B00/abcdef"),
        ("https://discord.com/api/webhooks/{}", "123/abc-def"),
        ("https://acme.webhook.office.com/{}", "webhookb2/1@2/IncomingWebhook/3/4"),
        ("https://api.telegram.org/bot{}/sendMessage", "123:abc-def"),
        ("Server=h;User=u;{};", "Password=hunter"),
        ("AccountName=a;{}", "AccountKey=abc=="),
        ("Endpoint=sb://h/; {}", "SharedAccessKey=abc="),
    ],
)  # fmt: skip
async def test_secrets_in_urls_and_connection_strings_are_masked(url: str, masked: str) -> None:
    shown = mask(url.format(masked))

    assert masked not in shown and MASK in shown
    for kept in url.split("{}"):
        assert kept.rpartition("?")[0] in shown or kept in shown


@pytest.mark.parametrize(
    "text",
    [
        "github_pat_11ABCDEFG0abcdefghij_k", "ghs_abcdefgh1234", "AIza" + "Sy_-5" * 7, "xoxs-abcdefgh-1", "xapp-1-ABCDEFGH",
        "hf_abcdefghijABCDEFGHIJ1", "npm_abcdefghijABCDEFGHIJ1", "GOCSPX-abcdefghij-ABCDEFGHIJ", "ASIAABCDEFGHIJKLMNOP",
        "SG.abcdefghijABCDEFGHIJ.abcdefghij_ABCDEFGHIJ", "shpat_0123456789abcdef01234567",
        "key_abc123.s3cr3t", "sk-live-abcdefgh1234", "whsec_abcdefghij", "Bearer abcdefgh.ijkl", "AKIAABCDEFGHIJKLMNOP",
        "bearer ABCDEFGH12", "BEARER  a1b2c3d4e5", "basic dXNlcjpwYXNz", "Basic dXNlcjpwYXNzMQ==", "bearer abcdefgh/1jkl",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0A\n\nab-c\n-----END RSA PRIVATE KEY-----",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0xyz.sig", "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----",
    ],
)  # fmt: skip
async def test_credentials_in_running_text_are_masked(text: str) -> None:
    assert mask(f"before {text} after") == f"before {MASK} after"


@pytest.mark.parametrize(
    "part",
    [
        "-eyJ",
        "eyJaaaaaaaa.",
        "://a:b",
        "?key=",
        "-sk-",
        "-----BEGIN A ",
        "Basic ",
        "Bearer  ",
        "AIza",
        "SG.",
        "SG.aaaaaaaaaaaaaaaa",
        "?code=",
        "&code=a",
        ";Password=",
        "; ",
        "github_pat_",
        "hf_",
        "//hooks.slack.com/services/",
        "//api.telegram.org/bot1",
    ],
)
async def test_looking_for_credentials_takes_linear_time(part: str) -> None:
    """R35: no prompt of 1 MB takes longer for what it says."""
    text = part * (1_000_000 // len(part))
    started = thread_time()

    mask(text)

    assert thread_time() - started < 2
