"""What is decided about people: whom a number does not want to hear of, and who wants no marketing. Pure."""
