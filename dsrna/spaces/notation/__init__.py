"""Genotypes as text, in the notations in which papers, released code and logs have them. Nothing in a text is executed.

One file a notation: a function ``entries(text)`` gives what it finds of its notation in a text, nothing where there is
nothing. The first of :data:`NOTATIONS` that finds something has the text; to add one is one file and one line there.
"""
