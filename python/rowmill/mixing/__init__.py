"""Several datasets as one, drawn from by an exact schedule.

- ``mix``: the function, and what may stand in a source
- ``weights``: weights and curricula as the steps of a schedule
- ``source``: the sources side by side, as what a Plan reads
- ``history``: what a cursor says of a mix; ``remix``: going on from one with other weights or sources
- ``counts``: what each source has given
"""
