"""Configuration in etcd.

``location`` reads the value of ``-c``, ``gateway`` talks to etcd's JSON gateway, ``storage`` is what pingap
reads, watches and writes, and ``lock`` is a lock with a lease. Nothing is imported here: pingap loads the
storage only if ``-c`` names it.
"""
