"""HTML from templates: what comes from data is text, and only what is marked as HTML is markup.

jinja2 is imported where the first page is made.
"""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_cli.system.names import plain

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

PACKAGE = Path(__file__).parent.parent
LONGEST = 10_000  # characters of one text


@functools.cache
def environment() -> "Environment":
    """Return the one environment of all templates.

    A template is named by its path in the package, such as ``report/templates/run.html``. Every value is made printable
    and escaped, except for ``Markup``; a name that has no value is an error. Filters beside those of jinja2: ``plain``
    (`ssl_cli.system.names.plain`) and ``plain_lines``.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"plain": plain, "plain_lines": plain_lines}
    return made


def render(template: str, **values: Any) -> str:
    """Return a template, filled in."""
    return environment().get_template(template).render(values)


def plain_lines(content: str) -> "Markup":
    """Return a text as HTML, printable and escaped, its line breaks kept."""
    from markupsafe import Markup

    return Markup("\n").join(plain(line, LONGEST) for line in content.splitlines())


def _printable(value: Any) -> Any:
    return value if hasattr(value, "__html__") else plain(value, LONGEST)
