"""What the parties compute together: pure functions of bytes and integers.

No module here reads a disk, a network or a clock, so an auditor can run every
one of them on paper evidence alone.
"""
