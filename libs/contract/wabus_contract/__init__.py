"""What is generated from the events: schemas, AsyncAPI, the catalogue, golden records."""
