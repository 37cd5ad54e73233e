"""What every acceptance test may share: the embedded default, and a provider that sends what a test scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from whole_product import Server, start

from dragoman.testing.provider import FakeProvider


@pytest.fixture(scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The embedded default: the local provider and the sample knowledge."""
    server = start(tmp_path_factory.mktemp("offline"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def provider() -> Iterator[FakeProvider]:
    """A provider under the tests' control."""
    made = FakeProvider()
    yield made
    made.close()
