"""A form's fields and a body's bytes, bounded."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request

FORM_FIELDS = 20
"""LIMIT: fields of a form."""

Form = dict[str, list[str]]


class FormError(Exception):
    """A form that is not taken; `status` says why."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


async def form_fields(request: Request, most: int) -> Form:
    """The fields of a form. Raises FormError: too large, too many; ClientDisconnect."""
    data = await body_bytes(request, most)
    try:
        return parse_qs(data.decode("utf-8", "replace"), max_num_fields=FORM_FIELDS)
    except ValueError as many:
        raise FormError(400) from many


async def body_bytes(request: Request, most: int) -> bytes:
    """A body of at most so many bytes. Raises FormError 413; ClientDisconnect."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            raise FormError(413)
    return bytes(data)
