"""The program: `oomctl`, `bpf-oomctl` and `python -m oomctl`."""

import signal


def main() -> None:
    """Run the command line; Ctrl-C before a command has begun leaves no traceback of imports."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from oomctl import cli

    cli.main()


if __name__ == "__main__":
    main()
