"""``python -m rowmill`` is the ``rowmill`` command."""

from rowmill.cli.main import main

if __name__ == "__main__":
    main()
