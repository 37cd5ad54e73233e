"""Dragoman: an AI assistant offered lawfully, provably, in many places."""
