"""Generated code of the wire format; `make wire` makes it anew."""
