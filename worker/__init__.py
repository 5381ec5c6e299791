"""Queue -> fetch -> decode -> batch -> infer -> select -> store -> notify. Knows no HTTP server; imports no `api`."""
