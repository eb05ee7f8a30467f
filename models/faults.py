"""What pydantic found wrong, in one line for who wrote it."""

from pydantic import ValidationError


def one_line(error: ValidationError) -> str:
    """`network.norm_num_groups: Input should be greater than 0; ...`"""
    return "; ".join(_named(fault["loc"], fault["msg"]) for fault in error.errors())


def _named(loc: tuple[int | str, ...], message: str) -> str:
    """Where a value is wrong only beside others, the message has the name itself."""
    message = message.removeprefix("Value error, ")
    return f"{'.'.join(map(str, loc))}: {message}" if loc else message
