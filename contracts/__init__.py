"""What a document means and whether a call may run: pure functions.

Documents (datasets, contracts, consents) are parsed here, compiled to exact
integers, and calls are decided here.  Nothing here reads a disk, a network or
a clock.
"""
