"""Sources, ingestion, the search index and extractive answers: the assistant that needs no model.

On the path of a turn it is the provider `local`. It never opens the zone's database.
"""
