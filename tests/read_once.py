"""The digits are read from their file once in a process: to parse it takes as long as to train on them for a few steps.

Processes that are forked from one that has imported this have read them.
"""

import functools

from ssl_cli.data.images import digits

digits._read = functools.cache(digits._read)
digits._read()
