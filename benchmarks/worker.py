"""One variant's process: prepares, then measures once for each line it reads. Results go to the real stdout."""

import importlib
import json
import os
import sys


def main() -> None:
    """Run the variant named on the command line."""
    results = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints
    module, _, function = sys.argv[1].partition(":")
    measure = getattr(importlib.import_module(module), function)(**json.loads(sys.argv[2]))
    print("{}", file=results)
    for _ in sys.stdin:
        print(json.dumps(measure()), file=results)


if __name__ == "__main__":
    main()
