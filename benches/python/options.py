"""The options that every table takes."""

import argparse

from tables import Options


def parser(description: str | None) -> argparse.ArgumentParser:
    """Scale, seconds and runs."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--scale", type=float, default=1.0, help="size of the corpora; 1 is about a gigabyte each")
    made.add_argument("--seconds", type=float, default=6.0, help="time of one run of one loader")
    made.add_argument("--runs", type=int, default=3, help="runs of each loader; the median counts")
    return made


def parse(description: str | None) -> Options:
    """The command line as options."""
    given = parser(description).parse_args()
    return Options(given.scale, given.seconds, given.runs)
