"""Work that is due at some time: rows of a table, which any number of processes take for the time of a lease.

And deleting, a little at a time.
"""
