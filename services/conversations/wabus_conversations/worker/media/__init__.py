"""Media at work: asked for at Graph, written into the store, told of, and deleted again."""
