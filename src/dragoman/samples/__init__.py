"""The sample knowledge: data only."""
