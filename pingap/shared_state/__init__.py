"""What all workers of an instance know together: numbers, tables, values that expire, and locks.

``state.py`` is the interface. With one worker it is dictionaries (``local.py``), with several one
segment of shared memory (``segment.py``), of a size that is fixed at the start. Nothing of it
survives the instance.
"""
