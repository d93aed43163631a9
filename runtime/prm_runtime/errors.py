"""Errors for people, apart from what only command lines need, which takes a while to import."""


class PrmError(Exception):
    """An error that the user can mend: one line with what was expected, what was found and what to do."""
