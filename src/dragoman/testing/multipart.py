"""A browser's form with files, as bytes."""

from __future__ import annotations

from collections.abc import Iterable

BOUNDARY = "----WebKitFormBoundaryDragoman"
KIND = f"multipart/form-data; boundary={BOUNDARY}"


def form_with_files(files: Iterable[tuple[str, bytes]], **fields: str) -> bytes:
    """The body of `multipart/form-data`: fields first, then each (file name, bytes) under `files`."""
    parts = [_part(f'name="{name}"', value.encode()) for name, value in fields.items()]
    parts += [_part(f'name="files"; filename="{name}"', data) for name, data in files]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def _part(disposition: str, data: bytes) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
    return head.encode() + data + b"\r\n"
