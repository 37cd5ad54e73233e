"""Spans of decisions and turns for an OpenTelemetry collector, off unless `[telemetry]` names one (an extra).

A decision's span comes from its event, a turn's from its result entry: both are there anyway. Nothing waits
for the collector; spans it does not take are dropped. They hold ids, names and numbers, never a text.
"""

from __future__ import annotations

import json
import threading
import time
from importlib import util
from typing import TYPE_CHECKING, Any

from dragoman import _native
from dragoman.errors import ConfigError
from dragoman.events import Event, PlanMade, listen
from dragoman.sentences import Sentence
from dragoman.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

EXTRA = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http", "requests")
EXPORT_SECONDS = 10
CLOSE_SECONDS = 3.0
"""How long a stop waits for the last spans; the exporter's own end takes up to 30 s."""
QUEUE_SPANS, BATCH_SPANS = 2_048, 512
"""LIMIT: spans that wait for the collector; further ones are dropped."""
MS, US = 1_000_000, 1_000
"""Nanoseconds."""
PROVIDER_NAME = {"1.36": "gen_ai.system", "1.37": "gen_ai.provider.name"}
"""How the conventions call the provider, by their release."""
FAILED = frozenset({"failed", "interrupted"})


def check(settings: Settings) -> None:
    """Raise ConfigError where spans could not go out, or would leave the zone's country."""
    told = settings.telemetry
    if told.otlp_endpoint is None:
        return
    faults: list[Sentence] = []
    if settings.zone.country is not None and told.country != settings.zone.country:
        country = settings.zone.country
        faults.append(
            Sentence(
                f"telemetry.otlp_endpoint is set: say where the collector stands, telemetry.country = "
                f'"{country}" as zone.country; nothing of a zone goes elsewhere',
                f"telemetry.otlp_endpoint：须写明收集器所在地 telemetry.country = "
                f'"{country}"，与 zone.country 相同；分区的数据不去别处',
            )
        )
    if missing() is not None:
        faults.append(
            Sentence(
                f"telemetry.otlp_endpoint is set, and {missing()} is not installed: "
                "run: pip install 'dragoman[otel]'",
                f"telemetry.otlp_endpoint：未安装 {missing()}，请运行 `pip install 'dragoman[otel]'`",
            )
        )
    if faults:
        raise ConfigError(faults)


def missing() -> str | None:
    """A part of the extra that is not installed."""
    for name in EXTRA:
        try:
            found = util.find_spec(name)
        except ModuleNotFoundError:
            return name
        if found is None:
            return name
    return None


class Telemetry:
    """Sends spans. `turns` and what hears events only put them into a bounded queue."""

    def __init__(self, settings: Settings) -> None:
        self._provider = _provider(settings)
        self._tracer = self._provider.get_tracer("dragoman", _native.__version__)
        self._provider_name = PROVIDER_NAME[settings.telemetry.genai_names]
        self._deafen = listen(self._heard)

    def close(self) -> None:
        """Send what waits for a moment, and stop; a collector that does not answer holds nobody up."""
        self._deafen()
        sending = threading.Thread(target=self._provider.shutdown, name="telemetry-close", daemon=True)
        sending.start()
        sending.join(CLOSE_SECONDS)

    def _heard(self, event: Event) -> None:
        if isinstance(event, PlanMade):
            end = time.time_ns()
            attributes = {"dragoman.outcome": event.outcome, "dragoman.decision": event.decision}
            span = self._tracer.start_span("decide", attributes=attributes, start_time=end - event.us * US)
            span.end(end)

    def turns(self, batch: bytes) -> None:
        """A span for each result entry of a batch, one entry a line."""
        for line in batch.splitlines():
            if b'"kind":"result"' in line:
                entry = json.loads(line)
                if entry.get("kind") == "result":
                    self._turn(entry)

    def _turn(self, entry: dict[str, Any]) -> None:
        end = int(entry["at"]) * MS
        usage = entry.get("usage") or {}
        known = bool(usage.get("known"))
        given = {
            "gen_ai.operation.name": "chat",
            self._provider_name: entry.get("provider"),
            "gen_ai.request.model": entry.get("asked"),
            "gen_ai.response.model": entry.get("model"),
            "gen_ai.response.finish_reasons": entry.get("finish") or None,
            "gen_ai.usage.input_tokens": usage.get("input") if known else None,
            "gen_ai.usage.output_tokens": usage.get("output") if known else None,
            "error.type": entry.get("error"),
            "dragoman.turn": entry.get("turn"),
            "dragoman.tenant": entry.get("tenant"),
            "dragoman.decision": entry.get("decision"),
            "dragoman.status": entry.get("status"),
            "dragoman.interventions": len(entry.get("interventions") or ()),
        }
        attributes = {name: value for name, value in given.items() if value is not None}
        start = end - int(entry.get("ms") or 0) * MS
        name = " ".join(filter(None, ("chat", entry.get("asked"))))
        span = self._tracer.start_span(name, attributes=attributes, start_time=start)
        if entry.get("status") in FAILED:
            span.set_status(_error())
        span.end(end)


def open_telemetry(settings: Settings) -> Telemetry | None:
    """Telemetry where the configuration names a collector."""
    return None if settings.telemetry.otlp_endpoint is None else Telemetry(settings)


def _error() -> Any:
    from opentelemetry.trace import StatusCode  # noqa: PLC0415 - an extra: only where it is asked for

    return StatusCode.ERROR


def _provider(settings: Settings) -> TracerProvider:
    import requests  # noqa: PLC0415 - an extra: only where it is asked for
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - as above
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415 - as above

    session = requests.Session()
    session.trust_env = False  # no proxy or credential of the environment
    session.max_redirects = 0  # spans go to the collector named, nowhere else
    exporter = OTLPSpanExporter(
        endpoint=f"{settings.telemetry.otlp_endpoint}/v1/traces", timeout=EXPORT_SECONDS, session=session
    )
    described = {
        "service.name": "dragoman-control",
        "service.version": _native.__version__,
        "dragoman.zone": settings.zone.id,
    }
    provider = TracerProvider(sampler=ALWAYS_ON, resource=Resource(described), shutdown_on_exit=False)
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=QUEUE_SPANS, max_export_batch_size=BATCH_SPANS)
    )
    return provider
