"""HCL and KDL as formats of the configuration.

``hcl_reader`` and ``kdl_reader`` read a text into blocks, and ``tables`` makes the tables of the configuration of
them. ``hcl_writer`` and ``kdl_writer`` write tables. Source of the rules: config.md, section 12.
"""
