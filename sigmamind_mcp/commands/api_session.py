"""Use the API and the functions of tools in a command, without an MCP client."""

import argparse
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from sigmamind_mcp.api.client import SigmaMindClient
from sigmamind_mcp.commands.backend import select_api
from sigmamind_mcp.errors import (
    ConfigurationError,
    ConnectionFailed,
    NotAllowed,
    NotFound,
    SigmaMindError,
)
from sigmamind_mcp.heavy_work import HeavyWork
from sigmamind_mcp.ids import valid_id
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.suites.applying import expect_full_pages
from sigmamind_mcp.tools.call_context import CallContext, Confirmation, ProgressReport
from sigmamind_mcp.tools.started_attempts import StartedAttempts
from sigmamind_mcp.tools.suggestions import explain_missing_id

NEW_SANDBOX = (
    "This sandbox is new: each command with --sandbox starts its own, with the sample data only."
    " To share one, start 'sigmamind-mcp sandbox --db sandbox.db' and use its address."
)


def read_place(options: argparse.Namespace, settings: Settings) -> dict[str, str]:
    """Return the agent and the batch run of a command, under the API's names.

    Raises:
        ConfigurationError: no agent is named, or an id is malformed.
    """
    agent_id = options.agent or settings.agent_id
    if not agent_id:
        raise ConfigurationError("No agent is named. Use --agent or SIGMAMIND_AGENT_ID.")
    place = {"agentId": agent_id, "batchId": options.batch}
    require_ids(*place.values())
    return place


def require_ids(*ids: str) -> None:
    """Check the form of ids.

    Raises:
        ConfigurationError: one is malformed.
    """
    if not all(map(valid_id, ids)):
        raise ConfigurationError(
            "An id has letters, digits, '_' and '-' only. The dashboard shows the ids of agents"
            " and batch runs."
        )


@asynccontextmanager
async def open_client(
    settings: Settings, asked: Mapping[str, Any]
) -> AsyncIterator[SigmaMindClient]:
    """Connect to the API; explain an id of `asked` that it does not know.

    What the API says in an error does not have the key.
    """
    key = settings.key()
    async with select_api(settings) as transport:
        expect_full_pages(transport)
        api = SigmaMindClient(transport, key)
        try:
            yield api
        except (NotFound, NotAllowed) as exc:
            hint = await explain_missing_id(asked, api)
            if settings.sandbox:
                hint = f"{hint} {NEW_SANDBOX}"
            raise SigmaMindError(f"{exc} {hint}".strip()) from exc
        except ConnectionFailed as exc:
            if exc.sent:
                raise
            raise SigmaMindError(f"{exc} 'sigmamind-mcp doctor' names the cause.") from exc
        except SigmaMindError as exc:
            exc.upstream = api.mask_key(dict(exc.upstream))
            raise


def build_call_context(report: ProgressReport) -> CallContext:
    """Return what a tool needs besides its arguments; nobody can be asked."""

    async def ask_nobody(question: str, launch: str) -> bool | None:
        return None

    confirmation = Confirmation(
        limit=0, started=StartedAttempts(), ask=ask_nobody, answer_state=None
    )
    return CallContext(report, confirmation, partial(HeavyWork().run, ""))
