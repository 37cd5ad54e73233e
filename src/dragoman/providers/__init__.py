"""Where turns may go: what each wire kind accepts, how blocks look, and a trial turn."""
