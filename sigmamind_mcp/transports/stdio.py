"""MCP over stdin and stdout, as desktop clients and editors start it.

This module reads and writes itself. The SDK's `stdio_server` waits for a read that nothing can
cancel, so no signal ends it, and it drops lines that it cannot parse.
"""

import logging
import os
import signal
import threading
from collections.abc import Iterable
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import partial

import anyio
import anyio.to_thread
import mcp_types as mcp
from anyio.from_thread import BlockingPortal
from mcp.shared.message import SessionMessage

from sigmamind_mcp.api.transport import APITransport
from sigmamind_mcp.protocol.server import explain_end, open_server
from sigmamind_mcp.settings import Settings
from sigmamind_mcp.transports.json_lines import InvalidLine, read_message
from sigmamind_mcp.transports.opening import END_SECONDS, Opening
from sigmamind_mcp.transports.pipe_room import takes_at_once
from sigmamind_mcp.transports.pipes import Line, write_all

logger = logging.getLogger(__name__)

REPLAY_SECONDS = 5.0
# A call into the event loop raises one of these once it has ended.
_LOOP_ENDED = (
    anyio.ClosedResourceError,
    anyio.BrokenResourceError,
    CancelledError,
    RuntimeError,
)


def serve_stdio(settings: Settings, transport: APITransport, opening: Opening) -> None:
    """Serve one client until it closes stdin or stdout, or until a signal; then end the process.

    At the end, reads are cancelled; a write in flight has END_SECONDS to finish.
    """
    # anyio.run takes Ctrl+C over from this handler alone; Windows has no other way.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    anyio.run(_serve_client, settings, transport, _Client(opening))


async def _serve_client(settings: Settings, transport: APITransport, client: "_Client") -> None:
    async with anyio.create_task_group() as signals:
        signals.start_soon(client.end_on_signal)
        async with (
            open_server(settings, transport) as server,
            BlockingPortal() as portal,
            anyio.create_task_group() as group,
        ):
            group.start_soon(client.write)
            group.start_soon(client.finish_early_answers)
            group.start_soon(client.take_over, portal)
            try:
                await server.run(
                    client.incoming, client.to_client, server.create_initialization_options()
                )
            finally:
                client.end()
        signals.cancel_scope.cancel()


class _Client:
    """The client's two pipes, as streams of messages for the server."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._early_repeated, self._early_written = anyio.Event(), anyio.Event()
        self._to_server, self.incoming = anyio.create_memory_object_stream[
            SessionMessage | Exception
        ]()
        self.to_client, self._outgoing = anyio.create_memory_object_stream[SessionMessage]()
        self._refusals = self.to_client.clone()
        self._has_ended = False

    async def take_over(self, portal: BlockingPortal) -> None:
        """Repeat the requests that the opening answered, for state and log; then read the rest."""
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            for line in self._opening.end():
                await self._to_server.send(SessionMessage(read_message(line)))
            if self._opening.given:
                with anyio.move_on_after(REPLAY_SECONDS):
                    await self._early_repeated.wait()
        self._opening.hand_over(partial(self._read, portal))

    def _read(self, portal: BlockingPortal, lines: Iterable[Line]) -> None:
        """Pass each message on until stdin ends."""
        # This runs in a daemon thread, because nothing can cancel a read.
        with suppress(*_LOOP_ENDED):
            try:
                for line in lines:
                    self._pass_on(line, portal)
            finally:
                portal.call(self.end)

    def _pass_on(self, line: Line, portal: BlockingPortal) -> None:
        try:
            portal.call(self._to_server.send, SessionMessage(read_message(line)))
        except InvalidLine as invalid:
            for answer in invalid.answers:
                portal.call(self._refusals.send, SessionMessage(answer))

    async def finish_early_answers(self) -> None:
        """Wait until the early answers are written, or end if the client has closed stdout."""
        if not await anyio.to_thread.run_sync(self._opening.finish_writing):
            self.end()
        self._early_written.set()

    async def write(self) -> None:
        """Write each answer on a line, until the client closes stdout."""
        is_open = True
        async with self._outgoing:
            async for message in self._outgoing:
                if not is_open:
                    continue
                answer = explain_end(message).message
                if self._repeats_early(answer):
                    continue
                if not self._early_written.is_set():
                    await self._early_written.wait()
                line = answer.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
                try:
                    if takes_at_once(self._opening.stdout, line):
                        write_all(self._opening.stdout, line)
                    else:
                        await anyio.to_thread.run_sync(write_all, self._opening.stdout, line)
                except OSError:
                    is_open = False
                    self.end()

    def _repeats_early(self, answer: mcp.JSONRPCMessage) -> bool:
        """Return whether the opening gave this answer; warn if it gave another one."""
        if not isinstance(answer, mcp.JSONRPCResponse | mcp.JSONRPCError) or answer.id is None:
            return False
        early = self._opening.given.pop(answer.id, None)
        if early is None:
            return False
        if not self._opening.given:
            self._early_repeated.set()
        if isinstance(answer, mcp.JSONRPCError) or answer.result != early.result:
            logger.warning("%s: the recorded answer is not this server's", early.method)
        return True

    async def end_on_signal(self) -> None:
        """End at the first SIGTERM or SIGINT; the second one kills the process."""
        asked_to_end = (signal.SIGTERM, signal.SIGINT)
        try:
            with anyio.open_signal_receiver(*asked_to_end) as received:
                async for _ in received:
                    break
        except NotImplementedError:
            return  # Windows has no receivers; there Ctrl+C cancels anyio.run
        for number in asked_to_end:
            signal.signal(number, signal.SIG_DFL)
        self.end()

    def end(self) -> None:
        """End the server's input, and the process after END_SECONDS."""
        if self._has_ended:
            return
        self._has_ended = True
        # Nothing can cancel a write to the API, a write to a client that does not read, or a DNS
        # lookup. No output is buffered, so an exit loses nothing else.
        exit_timer = threading.Timer(END_SECONDS, os._exit, (0,))
        exit_timer.daemon = True
        exit_timer.start()
        self._to_server.close()
        self._refusals.close()
        self._early_repeated.set()  # without input, the rest of them is never repeated
