"""The provider `local`: answers from the index in the OpenAI wire shape, like any other provider.

Mounted on plan.sock only. Tools and sampling parameters are ignored: it quotes, it does not generate.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from dragoman.knowledge.answer import Answer, Citation, count_tokens, cut_to_tokens
from dragoman.knowledge.engine import Knowledge
from dragoman.knowledge.model import Asker

MODEL = "dragoman-local"
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_CHOICES = 128
MAX_PROMPTS = 128


class BadRequestError(Exception):
    """A field that cannot be served; becomes an OpenAI-shaped error object with status 400."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True)
class Ask:
    """What of a request body the provider honours. `prompts` holds (question, the user's message before)."""

    model: str
    prompts: tuple[tuple[str, str | None], ...]
    n: int
    stream: bool
    include_usage: bool
    max_tokens: int | None
    echo: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice of the response and the citations that stand in its text."""

    index: int
    text: str
    finish: str
    citations: tuple[Citation, ...]


AskerOf = Callable[[Asker, str], Asker]
"""Whom an asker of this class counts as: itself, or who it pretends to be."""


def local_provider(knowledge: Knowledge, asker_of: AskerOf = lambda asker, _: asker) -> list[Route]:
    """The two routes for control's plan.sock."""

    async def chat(request: Request) -> Response:
        return await _serve(knowledge, asker_of, request, chat=True)

    async def completions(request: Request) -> Response:
        return await _serve(knowledge, asker_of, request, chat=False)

    return [
        Route("/provider/v1/chat/completions", chat, methods=["POST"]),
        Route("/provider/v1/completions", completions, methods=["POST"]),
    ]


async def _serve(knowledge: Knowledge, asker_of: AskerOf, request: Request, *, chat: bool) -> Response:
    try:
        told = _asker(request)
        ask = _chat_ask(await _body(request)) if chat else _completion_ask(await _body(request))
    except BadRequestError as error:
        return JSONResponse(
            {
                "error": {
                    "message": str(error),
                    "type": "invalid_request_error",
                    "param": error.param,
                    "code": "invalid_value",
                }
            },
            status_code=400,
        )
    locale, klass = request.headers.get("dragoman-locale"), request.headers.get("dragoman-class", "")

    def found() -> list[Answer]:
        asker = asker_of(told, klass)
        return [knowledge.answer(question, asker, locale, before) for question, before in ask.prompts]

    answers = await run_in_threadpool(found)
    choices = _choices(ask, answers)
    usage = _usage(ask, choices)
    head = {
        "id": ("chatcmpl-" if chat else "cmpl-") + uuid.uuid4().hex,
        "object": ("chat.completion" if chat else "text_completion")
        + (".chunk" if chat and ask.stream else ""),
        "created": int(time.time()),
        "model": ask.model,
    }
    if ask.stream:
        frames = _frames(head, ask, choices, usage, chat=chat)
        return StreamingResponse(
            iter(frames), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )
    whole = [_whole_choice(choice, chat=chat) for choice in choices]
    return JSONResponse({**head, "choices": whole, "usage": usage})


def _asker(request: Request) -> Asker:
    """Who asks, from the headers the relay set; without a tenant nothing is served."""
    tenant = request.headers.get("dragoman-tenant")
    if not tenant:
        raise BadRequestError("dragoman-tenant", "the relay's identity headers are missing")
    try:
        address = json.loads(request.headers.get("dragoman-address") or "{}")
    except json.JSONDecodeError as error:
        raise BadRequestError("dragoman-address", "not a JSON object") from error
    country = address.get("country") if isinstance(address, dict) else None
    return Asker(tenant, country if isinstance(country, str) else None)


async def _body(request: Request) -> dict[str, Any]:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY_BYTES:
            raise BadRequestError("body", f"larger than {MAX_BODY_BYTES} bytes")
    try:
        body = json.loads(data)
        if b"\\ud" in data.lower():
            # Half a surrogate pair is no character: no index and no answer could take it.
            body = json.loads(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise BadRequestError("body", "not JSON") from error
    if not isinstance(body, dict):
        raise BadRequestError("body", "must be a JSON object")
    return body


def _chat_ask(body: dict[str, Any]) -> Ask:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("messages", "must be a list with at least one message")
    said = [_text(m.get("content")) for m in messages if isinstance(m, dict) and m.get("role") == "user"]
    question = said[-1] if said else ""
    before = said[-2] if len(said) > 1 else None
    tokens = body.get("max_completion_tokens")
    return _ask(body, [(question, before)], body.get("max_tokens") if tokens is None else tokens)


def _completion_ask(body: dict[str, Any]) -> Ask:
    prompt = body.get("prompt")
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(prompts, list) or not prompts or not all(isinstance(p, str) for p in prompts):
        raise BadRequestError(
            "prompt", "must be a string or a list of strings; token lists are not understood"
        )
    if len(prompts) > MAX_PROMPTS:
        raise BadRequestError("prompt", f"must hold at most {MAX_PROMPTS} prompts")
    return _ask(body, [(p, None) for p in prompts], body.get("max_tokens"))


def _ask(body: dict[str, Any], prompts: list[tuple[str, str | None]], max_tokens: object) -> Ask:
    n = body.get("n")
    n = 1 if n is None else n
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= MAX_CHOICES:
        raise BadRequestError("n", f"must be an integer from 1 to {MAX_CHOICES}")
    if max_tokens is not None and (
        not isinstance(max_tokens, int) or isinstance(max_tokens, bool) or max_tokens < 1
    ):
        raise BadRequestError("max_tokens", "must be a positive integer")
    options = body.get("stream_options")
    model = body.get("model")
    return Ask(
        model=model if isinstance(model, str) and model else MODEL,
        prompts=tuple(prompts),
        n=n,
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        max_tokens=max_tokens,
        echo=body.get("echo") is True,
    )


def _text(content: object) -> str:
    """The words of a message: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(
            part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
        )
    return ""


def _choices(ask: Ask, answers: list[Answer]) -> list[Choice]:
    """`n` equal choices for each prompt: quoting has no randomness."""
    choices: list[Choice] = []
    for (prompt, _), answer in zip(ask.prompts, answers, strict=True):
        text, finish = answer.text, "stop"
        if ask.max_tokens is not None:
            shorter = cut_to_tokens(text, ask.max_tokens)
            text, finish = shorter, "stop" if shorter == text else "length"
        kept = tuple(c for c in answer.citations if c.end <= len(text))
        text = prompt + text if ask.echo else text
        choices.extend([Choice(len(choices) + i, text, finish, kept) for i in range(ask.n)])
    return choices


def _usage(ask: Ask, choices: list[Choice]) -> dict[str, int]:
    """Tokens are the analyser's characters and words: an honest count of text, nobody's bill."""
    asked = sum(count_tokens(question) for question, _ in ask.prompts)
    said = sum(count_tokens(choice.text) for choice in choices)
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def _annotations(citations: tuple[Citation, ...]) -> list[dict[str, Any]]:
    return [
        {
            "type": "url_citation",
            "url_citation": {"start_index": c.start, "end_index": c.end, "title": c.title, "url": c.url},
        }
        for c in citations
    ]


def _whole_choice(choice: Choice, *, chat: bool) -> dict[str, Any]:
    if not chat:
        return {"index": choice.index, "text": choice.text, "logprobs": None, "finish_reason": choice.finish}
    message = {
        "role": "assistant",
        "content": choice.text,
        "refusal": None,
        "annotations": _annotations(choice.citations),
    }
    return {"index": choice.index, "message": message, "logprobs": None, "finish_reason": choice.finish}


def _frames(
    head: dict[str, Any], ask: Ask, choices: list[Choice], usage: dict[str, int], *, chat: bool
) -> Iterator[bytes]:
    """Server-sent events: a delta per line, the citations, then the finish, usage, [DONE]."""

    def frame(delta: dict[str, Any] | None, index: int = 0, finish: str | None = None) -> bytes:
        picked = (
            [] if delta is None else [{"index": index, **delta, "logprobs": None, "finish_reason": finish}]
        )
        extra: dict[str, Any] = {}
        if ask.include_usage:
            extra = {"usage": usage if delta is None else None}
        return (
            b"data: "
            + json.dumps({**head, "choices": picked, **extra}, ensure_ascii=False).encode()
            + b"\n\n"
        )

    for choice in choices:
        if not chat:
            for line in choice.text.splitlines(keepends=True):
                yield frame({"text": line}, choice.index)
            yield frame({"text": ""}, choice.index, choice.finish)
            continue
        yield frame({"delta": {"role": "assistant", "content": ""}}, choice.index)
        for line in choice.text.splitlines(keepends=True):
            yield frame({"delta": {"content": line}}, choice.index)
        if choice.citations:
            yield frame({"delta": {"annotations": _annotations(choice.citations)}}, choice.index)
        yield frame({"delta": {}}, choice.index, choice.finish)
    if ask.include_usage:
        yield frame(None)
    yield b"data: [DONE]\n\n"
