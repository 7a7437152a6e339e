"""The entry point: run a command, and turn an error a user can cause into one line and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from types import TracebackType

import click

from forekey.cli.commands import cli
from forekey.errors import ForekeyError, PQLError
from forekey.secrets import without_secrets


def main() -> None:
    """Run ``forekey``; the process ends with 0 done, 1 a check or comparison said no, 2 bad input, 3 not reachable."""
    try:
        code = cli.main(standalone_mode=False)
    except ForekeyError as error:
        click.echo(f"forekey: {error.with_caret() if isinstance(error, PQLError) else error}", err=True)
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:
        # Whoever read our output has gone, as `forekey … | head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        if "-v" in sys.argv or "--verbose" in sys.argv:
            sys.excepthook = _print_traceback
            raise
        said = without_secrets(f"forekey: unexpected {type(error).__name__}: {error}.")
        click.echo(f"{said} Run again with -v for the traceback.", err=True)
        code = 2
    sys.exit(code or 0)


def _print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    click.echo(without_secrets("".join(traceback.format_exception(kind, error, trace))), err=True)
