"""Conversations and their turns: opened, closed, given up; history cut to a context; erasure and export."""
