"""Several memories of different sizes, a buffer in one of them; alignments of single buffers.

Modules
-------
line
    Banks laid one after another on one line of addresses, with what keeps them apart.
domain
    Which addresses on that line a buffer may have.
formulation
    A program with an optional rectangle for every buffer and bank.
check
    What makes such a problem malformed, or impossible before any search.
"""
