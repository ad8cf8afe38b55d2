"""PostgreSQL: the pool and its migrations, a read replica, how far the tables are."""
