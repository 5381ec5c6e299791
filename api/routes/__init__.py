"""One file a resource. Each route validates, asks the store, and answers; none knows another."""
