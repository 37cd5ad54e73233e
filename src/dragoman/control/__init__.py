"""The control process: decides, stores, and serves everything that is not a turn."""
