"""Who is meant: whom people ask to be forgotten, and the names of those who ask for something."""
