"""State that all workers of an instance share: numbers, tables, values that expire, and locks.

``state.py`` is the interface. With one worker it consists of dictionaries (``local.py``), with several of one
segment of shared memory (``segment.py``), whose size is fixed at the start. It does not survive the instance.
"""
