"""The library of instances and best-known plans, and what runs over it.

``index`` is the file that says what is in a library, ``suite`` finds and loads its instances,
``recording`` is the one road by which best values enter, ``running`` solves one instance,
``bench`` many of them, and ``gate`` decides whether quality has got worse.
"""
