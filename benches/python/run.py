"""All tables, one after another: what `make bench` runs."""

import sys

import cold_reads
import hub_download
import hub_startup
import hub_streaming
import jsonl_conversion
import memory
import mixing
import open_shards
import packing
import padding
import parquet_rows
import report
import resume
import text_rows
import tokenizing
import tokens
import webdataset_samples
from options import parser
from tables import Options

TABLES = {
    "tokens": tokens,
    "text_rows": text_rows,
    "parquet_rows": parquet_rows,
    "webdataset_samples": webdataset_samples,
    "packing": packing,
    "padding": padding,
    "tokenizing": tokenizing,
    "mixing": mixing,
    "open_shards": open_shards,
    "resume": resume,
    "memory": memory,
    "cold_reads": cold_reads,
    "jsonl_conversion": jsonl_conversion,
    "hub_startup": hub_startup,
    "hub_download": hub_download,
    "hub_streaming": hub_streaming,
}


def main() -> int:
    """Runs the tables asked for; says at the end what missed its target."""
    command_line = parser(__doc__)
    command_line.add_argument("--only", choices=TABLES, action="append", help="this table (may be given again)")
    given = command_line.parse_args()
    options = Options(given.scale, given.seconds, given.runs)
    for name in given.only or TABLES:
        TABLES[name].main(options)
    report.console.print(f"numbers and pictures: {report.RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
