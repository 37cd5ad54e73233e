"""Rule files to rule sets, and statements of reasons."""
