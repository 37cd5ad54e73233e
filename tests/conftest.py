"""What every test shares: how long a promised effect may take, and Hypothesis without deadlines of its own."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# How long an example takes says something of the machine, not of the code.
settings.register_profile("dragoman", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dragoman")
