"""Shipped fakes: a scripted provider and a clock."""
