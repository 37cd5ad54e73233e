"""An OpenTelemetry collector on loopback that keeps what it was sent. Needs the extra `otel` to read it."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATH = "/v1/traces"


class FakeCollector:
    """Serves in a thread of its own; use `contextlib.closing`. `moved_to`: redirect everybody to this URL.

    `raw` holds the bodies, `paths` their paths, in order.
    """

    def __init__(self, moved_to: str | None = None) -> None:
        self.raw: list[bytes] = []
        self.paths: list[str] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.raw.append(body)
                collector.paths.append(self.path)
                self.send_response(200 if moved_to is None else 307)
                if moved_to is not None:
                    self.send_header("location", moved_to)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """What a configuration names as `telemetry.otlp_endpoint`."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def spans(self) -> list[dict[str, Any]]:
        """Every span so far: name, start and end (ns), status, attributes, and its resource's attributes."""
        found = []
        for body in list(self.raw):
            for of in ExportTraceServiceRequest.FromString(body).resource_spans:
                resource = _plain(of.resource.attributes)
                found += [_span(span, resource) for scope in of.scope_spans for span in scope.spans]
        return found

    def wait_for(self, name: str, seconds: float) -> dict[str, Any]:
        """The first span of a name, once it is there. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for span in self.spans():
                if span["name"] == name:
                    return span
            time.sleep(0.05)
        raise TimeoutError(
            f"no span {name!r} within {seconds} s; there are {[s['name'] for s in self.spans()]}"
        )


def _span(span: Any, resource: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": span.name,
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "status": span.status.code,
        "attributes": _plain(span.attributes),
        "resource": resource,
    }


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)
