"""Request bodies and queries of the sandbox, and the error for a wrong one."""

import json
from typing import Annotated, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from starlette.exceptions import HTTPException
from starlette.requests import Request

from sigmamind_mcp.sandbox.store import Body


class SandboxError(HTTPException):
    """Reports an error in the documented form; `fields` are its `validationErrors`."""

    def __init__(self, status: int, message: str, fields: dict[str, str] | None = None) -> None:
        super().__init__(status, message)
        self.fields = fields


class RequestBody(BaseModel):
    """Accepts unknown fields, as the API's schema does; rejects null in known ones."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow")


class MockVariableBody(RequestBody):
    variable_name: StrictStr = ""
    value: StrictStr = ""


Int64 = Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]
Number = StrictInt | StrictFloat


class TestCaseUpdate(RequestBody):
    agent_id: StrictStr
    user_prompt: StrictStr = ""
    success_criteria: StrictStr = ""
    label: StrictStr = ""
    llm_model: StrictStr = ""
    mock_data: list[MockVariableBody] = []
    attempt: Int64 = 1


class TestCaseCreate(TestCaseUpdate):
    user_prompt: StrictStr
    success_criteria: StrictStr


class BatchRunCreate(RequestBody):
    agent_id: StrictStr
    test_cases: list[StrictStr]


class AgentSettingsBody(RequestBody):
    language: StrictStr = ""
    agent_timezone: StrictStr = ""
    ai_starts_conversation: StrictBool = False
    global_prompt: StrictStr = ""
    llm_model: StrictStr = ""
    llm_temperature: Number = 0
    llm_top_p: Number = 0
    llm_top_k: Number = 0
    webhooks: list[Body] = []


class AgentUpdate(RequestBody):
    agent_name: StrictStr = ""
    instructions: StrictStr = ""
    welcome_message_type: Literal["static", "prompt"] = "static"
    welcome_message: StrictStr = ""
    agent_settings: AgentSettingsBody = AgentSettingsBody()
    tools: list[Body] = []


class PageQuery(BaseModel):
    page: Annotated[int, Field(ge=0, lt=2**31)] = 0
    size: Annotated[int, Field(ge=1, lt=2**31)] = 10


class AgentQuery(PageQuery):
    model_config = ConfigDict(alias_generator=to_camel)

    agent_id: str


class RunQuery(AgentQuery):
    batch_id: str


ModelT = TypeVar("ModelT", bound=BaseModel)


def parse_query(request: Request, model: type[ModelT]) -> ModelT:
    given = request.query_params
    if len(given.multi_items()) > len(given):
        raise SandboxError(400, "A parameter is given twice")
    try:
        return model.model_validate(dict(given))
    except ValidationError as exc:
        raise SandboxError(400, "Invalid request parameters", _list_field_errors(exc)) from None


async def parse_body(request: Request, model: type[BaseModel]) -> Body:
    """Return the body's fields as sent, after checking the types of documented ones."""
    content_type = request.headers.get("content-type", "application/json")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise SandboxError(415, "The body must be application/json")
    try:
        body = json.loads(await request.body())
        # Python parses NaN, 1e999 and a lone surrogate, but cannot encode them. A stored one would
        # break every list that contains it.
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise SandboxError(400, "The body is not readable JSON") from None
    if not isinstance(body, dict):
        raise SandboxError(400, "The body must be a JSON object")
    try:
        model.model_validate(body)
    except ValidationError as exc:
        raise SandboxError(400, "Invalid request parameters", _list_field_errors(exc)) from None
    return body


def _list_field_errors(exc: ValidationError) -> dict[str, str]:
    errors = exc.errors(include_url=False, include_input=False, include_context=False)
    return {".".join(map(str, error["loc"])): error["msg"] for error in errors}
