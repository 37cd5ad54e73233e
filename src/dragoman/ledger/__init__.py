"""Reading the record: verify, prove, show, export. The formats and their checks live in the native module."""
