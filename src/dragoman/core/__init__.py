"""Frozen values that cross the boundaries of the decision; imports nothing of ours."""
