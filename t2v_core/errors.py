"""The two ways work ends early, told apart so that every front end reports them alike; and what a line may hold."""


def printable(text: str) -> str:
    """Text that holds names from a person's files, fit for one line on a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class InputError(ValueError):
    """What the person gave is at fault. The message is one sentence: what is wrong, where, what to do."""


class LabelError(InputError):
    """The labels do not say enough to learn from; methods that read none still serve."""


class Cancelled(Exception):  # noqa: N818 - no error: the person asked for it
    """The person asked for the work to stop; nothing is wrong."""
