#!/bin/sh
# Run by PostgreSQL's image once, when it makes the database: wabus owns that and is nobody else's master. The superuser
# has no password from then on, so nobody reaches it but from inside the container.
set -eu
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" <<'SQL'
\getenv role POSTGRES_DB
\getenv password POSTGRES_PASSWORD
CREATE ROLE :"role" LOGIN PASSWORD :'password';
ALTER DATABASE :"role" OWNER TO :"role";
ALTER ROLE CURRENT_USER PASSWORD NULL;
SQL
