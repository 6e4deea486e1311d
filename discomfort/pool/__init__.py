"""A pool: many servers behind one queue, which knows which server holds which models."""
