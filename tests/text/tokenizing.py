"""Tokenizes as its arguments say, in a process of its own that may be killed: SOURCE OUT KEYWORDS."""

import json
import sys

import rowmill

rowmill.tokenize(sys.argv[1], sys.argv[2], tokenizer="bytes", shuffle=7, num_shards=30, **json.loads(sys.argv[3]))
