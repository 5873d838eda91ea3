"""Rewriting: paths on the way to upstreams, text and JSON in bodies.

``paths`` is the location key ``rewrite``; ``rule`` is its logic, and ``template`` the syntax of
replacements. Nothing is imported here: pingap loads a module only if the configuration uses it.
"""
