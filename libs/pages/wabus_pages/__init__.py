"""The pages that people see, as static files: a folder a page, and `shared` for what several pages are made of."""
