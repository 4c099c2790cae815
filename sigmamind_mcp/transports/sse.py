"""HTTP+SSE, the deprecated transport that some remote clients still use."""

from anyio.abc import ObjectSendStream
from mcp.shared.message import SessionMessage

from sigmamind_mcp.protocol.server import explain_end
from sigmamind_mcp.transports.traffic import Traffic

MESSAGES = "/messages/"


class _Counted(ObjectSendStream[SessionMessage]):
    """The way out of an SSE session. What nobody takes waits in memory, so it counts as a call until then."""

    def __init__(
        self, stream: ObjectSendStream[SessionMessage], traffic: Traffic, caller: str
    ) -> None:
        self.stream = stream
        self.traffic = traffic
        self.caller = caller

    async def send(self, item: SessionMessage) -> None:
        with self.traffic.sse_answer(self.caller):
            await self.stream.send(explain_end(item))

    async def aclose(self) -> None:
        await self.stream.aclose()
