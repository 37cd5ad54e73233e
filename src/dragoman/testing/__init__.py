"""Shipped fakes: a scripted provider, a site without a relay, a clock, free ports."""
