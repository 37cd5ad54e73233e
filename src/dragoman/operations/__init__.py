"""What keeps a zone running: backup, restore, finding out what is wrong. Nothing here is on a turn's path."""
