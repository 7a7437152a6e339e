"""``python -m forekey.console.answering PROJECT FILE``: answer the question that standard input holds.

The answer is written as JSON, progress goes to standard error, a line each.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from forekey.errors import ForekeyError, PQLError
from forekey.files import write_whole
from forekey.pipeline import answer
from forekey.pipeline.parts import Listener

_NICENESS = 5


def main() -> None:
    """Answer one question."""
    root, out = sys.argv[1], Path(sys.argv[2])
    os.nice(_NICENESS)  # the service goes first

    def say(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    try:
        found = answer(root, sys.stdin.read(), listener=Listener(say, note=say)).to_dict()
    except PQLError as error:
        found = {"error": error.with_caret()}
    except ForekeyError as error:
        found = {"error": str(error)}
    write_whole(out, json.dumps(found, default=str))


if __name__ == "__main__":
    main()
