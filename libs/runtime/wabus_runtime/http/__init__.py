"""HTTP as every service answers it: who is calling, problems, bodies, streams, `/openapi.json`."""
