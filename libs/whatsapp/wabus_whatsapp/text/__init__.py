"""Text that others wrote: what every store can hold of it, and how it is shown in sentences of ours. Pure."""
