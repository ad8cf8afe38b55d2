"""Forms that an answer takes for whoever asks for them: CSV, compressed."""
