"""The admin listener: who administers a zone, how they log in, what they see and may do."""
