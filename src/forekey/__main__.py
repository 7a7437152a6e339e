"""``python -m forekey`` is the command ``forekey``."""

from forekey.cli.main import main

if __name__ == "__main__":
    main()
