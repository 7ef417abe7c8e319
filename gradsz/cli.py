"""The command `gradsz`: the way in, and what each failure returns to the shell.

The commands themselves are in `gradsz/commands.py`, which needs click and rich; this module needs
neither, so that it can say so.
"""

import os
import signal
import sys

from gradsz.errors import GradszError, ParameterError

OK, VIOLATED, USAGE, BAD_INPUT, IO_ERROR = range(5)
INTERRUPTED = 128 + signal.SIGINT


def main(argv=None):
    """Run the command line (default: that of the process) and return its exit code.

    0 ok; 1 `verify` or `demo` found a bound violated; 2 wrong usage or parameter; 3 corrupt, truncated
    or unsupported input; 4 input or output failed, or memory ran out; 130 interrupted.
    """
    try:
        from gradsz import commands
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("click", "rich"):
            raise
        return _fail(f'the command line needs {package}: pip install "gradsz[cli]"', USAGE)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return commands.run(sys.argv[1:] if argv is None else argv)
    except ParameterError as error:
        return _fail(error, USAGE)
    except GradszError as error:
        return _fail(error, BAD_INPUT)
    except BrokenPipeError:  # the reader went away: nothing to say, and nothing to flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return IO_ERROR
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else error, IO_ERROR)
    except MemoryError as error:
        return _fail(f"out of memory {error}", IO_ERROR)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)


def _terminate(signum, frame):
    """End by an exception, so that unfinished files are removed."""
    sys.exit(128 + signum)


def _fail(message, code):
    print(f"gradsz: {message}", file=sys.stderr)
    return code
