"""Where tracks are kept: `base` is the contract, `sql` SQLite and PostgreSQL."""
