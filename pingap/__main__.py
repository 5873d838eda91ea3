"""``python -m pingap``."""

from pingap.cli.main import main

if __name__ == "__main__":
    main()
