"""What every wabus process needs around its decisions: settings, Kafka, PostgreSQL, HTTP, auth, sealing, logs."""
