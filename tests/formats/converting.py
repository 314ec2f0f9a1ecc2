"""Converts as its arguments say, in a process of its own that may be killed: SOURCE OUT FORMAT."""

import sys

import rowmill

rowmill.convert(sys.argv[1], sys.argv[2], to=sys.argv[3], shuffle=7, num_shards=40)
