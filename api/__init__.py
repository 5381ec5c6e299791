"""HTTP -> validate -> store -> enqueue -> 202. No arrays, no model code: the worker's side is only ever a job away."""
