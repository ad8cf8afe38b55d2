"""SQL about people: who they are, what they wrote when, and what they do not want."""
