"""SQL about people: who they are, what they wrote when, what they do not want, and how they are forgotten."""
