"""Settings that are one of a few words."""

from ssl_cli.errors import UserError, did_you_mean


def one_of(key: str, value: str, choices: tuple[str, ...]) -> str:
    """Return ``value``, which is one of ``choices``.

    Raises:
        UserError: it is not; the message names ``method.key``.
    """
    if value not in choices:
        raise UserError(f"method.{key}={value} is not one of {', '.join(choices)}{did_you_mean(str(value), choices)}")
    return value
