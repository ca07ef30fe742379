"""The columnar engines: the audience copy and what was recorded about every recipient."""
