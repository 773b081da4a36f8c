"""How good predictions probably are before their labels come: one file a family of estimates, registered by its task.

Whatever is estimated is learned from a labelled reference, so an estimate sees what changes in the rows, and is blind
to what changes in the relation between the rows and the truth (concept drift).
"""
