"""The ``rowmill`` command: one command a file, listed in main.py."""
