"""PostgreSQL 11 and later as a source, over psycopg 3.

Sessions are read-only, in UTC, with a statement time-out; rows come as JSON made by
the server (row_to_json: exact numerics, arrays, JSON and time zones) through a
server-side cursor, so memory stays flat. TLS: sslmode as in libpq
(postgresql.org/docs/current/libpq-ssl.html), with your own CA if given. Not covered:
logical replication, and deletes between id sweeps.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import certifi
import msgspec
import psycopg
from psycopg import sql

from churnguard.errors import AuthenticationError, ConfigError, TransientError
from integrations.connectors.base import Column, Field
from integrations.connectors.sql.base import COMMON_FIELDS, SqlConnector
from integrations.connectors.sql.tables import Bound, JsonRows, Table

_TYPES = {
    "int2": "integer",
    "int4": "integer",
    "int8": "integer",
    "float4": "number",
    "float8": "number",
    "numeric": "number",
    "bool": "boolean",
    "timestamp": "datetime",
    "timestamptz": "datetime",
    "date": "date",
    "json": "json",
    "jsonb": "json",
}
_REFUSALS = ("authentication failed", "not permitted to log in")
_LIST_TABLES = """
SELECT n.nspname, c.relname, a.attname, t.typname,
       format_type(a.atttypid, a.atttypmod), t.typcategory = 'A',
       coalesce(array_position(i.indkey::int2[], a.attnum) + 1, 0)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname NOT LIKE 'pg\\_toast%%' AND n.nspname NOT LIKE 'pg\\_temp%%'
  AND has_schema_privilege(n.oid, 'USAGE')
  AND has_column_privilege(c.oid, a.attnum, 'SELECT')
ORDER BY 1, 2, a.attnum
"""


class PostgresqlConnector(SqlConnector):
    name: ClassVar[str] = "postgresql"
    label: ClassVar[str] = "PostgreSQL"
    summary: ClassVar[str] = "Tables of a PostgreSQL database, in full or by watermark."
    prepare: ClassVar[str] = (
        "Make a user that may only read: CREATE USER churnguard PASSWORD '…'; GRANT "
        "SELECT ON the tables you want. The server must be reachable from here; a "
        "private address has to be allowed by an administrator."
    )
    docs: ClassVar[str] = "docs/connectors/postgresql.md"
    default_port: ClassVar[int] = 5432
    fields: ClassVar[tuple[Field, ...]] = (
        *COMMON_FIELDS,
        Field(
            "sslmode",
            "TLS",
            kind="choice",
            required=False,
            default="require",
            choices=(
                ("verify-full", "Encrypted, certificate and name verified"),
                ("verify-ca", "Encrypted, certificate verified"),
                ("require", "Encrypted, not verified"),
                ("prefer", "Encrypted if the server can"),
                ("disable", "Not encrypted"),
            ),
        ),
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._connection: psycopg.Connection[Any] | None = None
        self._tables: list[Table] | None = None

    def whoami(self) -> str:
        with self._session().cursor() as cur:
            cur.execute("SELECT current_database(), current_setting('server_version')")
            database, version = cur.fetchone()  # type: ignore[misc]
        host, _port = self.address
        return f"Connected to {database} on {host} (PostgreSQL {version.split()[0]})."

    def tables(self) -> list[Table]:
        if self._tables is None:
            with self._guarded(), self._session().cursor() as cur:
                cur.execute(_LIST_TABLES)
                self._tables = _grouped(cur.fetchall())
        return self._tables

    def rows(self, table: Table, bound: Bound, size: int) -> Iterator[JsonRows]:
        query, values = _query(table, bound)
        with self._guarded():
            session = self._session()
            with session.transaction(), session.cursor(name="churnguard") as cur:
                cur.itersize = size
                cur.execute(query, values)
                while found := cur.fetchmany(size):
                    yield JsonRows([row[0] for row in found])

    def newest(self, table: Table, watermark: str) -> Any:
        query = sql.SQL("SELECT to_json(max({}))::text FROM {}").format(
            sql.Identifier(watermark), sql.Identifier(table.schema, table.name)
        )
        with self._guarded(), self._session().cursor() as cur:
            cur.execute(query)
            (found,) = cur.fetchone()  # type: ignore[misc]
        return None if found is None else msgspec.json.decode(found)

    def has_offset(self, type_name: str) -> bool:
        return "with time zone" in type_name

    def count(self, table: Table) -> int | None:
        with self._guarded(), self._session().cursor() as cur:
            cur.execute(
                "SELECT reltuples::bigint FROM pg_class WHERE oid = "
                "format('%%I.%%I', %s::text, %s::text)::regclass",
                [table.schema, table.name],
            )
            (found,) = cur.fetchone()  # type: ignore[misc]
        return found if found and found > 0 else None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _session(self) -> psycopg.Connection[Any]:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        with self._guarded():
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> psycopg.Connection[Any]:
        host, port = self.address
        timeout_ms = int(float(self.settings.get("statement_timeout_s") or 300) * 1000)
        given: dict[str, Any] = {
            "host": host,
            "port": port,
            "dbname": self.settings.get("database"),
            "user": self.settings.get("username") or self.secrets.get("username"),
            "password": self.secrets.get("password") or None,
            "connect_timeout": 10,
            "application_name": "churnguard",
            "sslmode": self.settings.get("sslmode") or "require",
            "options": (
                "-c default_transaction_read_only=on "
                f"-c statement_timeout={timeout_ms} -c timezone=UTC "
                "-c datestyle=ISO -c intervalstyle=postgres -c bytea_output=hex "
                "-c extra_float_digits=1"
            ),
            "tcp_user_timeout": 60_000,
            "keepalives_idle": 60,
            "keepalives_interval": 10,
            "keepalives_count": 6,
        }
        address = self.checked_address()
        if host.startswith("/"):
            given["sslmode"] = "disable"
        else:
            given["hostaddr"] = address
        certificate = str(self.settings.get("ca_certificate") or "").strip()
        if not certificate:
            return psycopg.connect(autocommit=True, **_authorities(given), **given)
        # libpq takes a file; it is read while connecting and removed at once.
        handle, path = tempfile.mkstemp(prefix="churnguard-ca-", suffix=".pem")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(certificate + "\n")
            return psycopg.connect(autocommit=True, sslrootcert=path, **given)
        finally:
            Path(path).unlink()

    def _guarded(self) -> _Guarded:
        return _Guarded(self)


class _Guarded:
    """Turns what psycopg raises into our errors."""

    def __init__(self, connector: PostgresqlConnector) -> None:
        self.connector = connector

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: Any, exc: BaseException | None, _trace: Any) -> None:
        if not isinstance(exc, psycopg.Error):
            return
        host, port = self.connector.address
        text = str(exc).strip().splitlines()[0] if str(exc).strip() else "no reason"
        state = exc.sqlstate or ""
        # A refusal while connecting comes without a state.
        is_refused = any(words in text for words in _REFUSALS)
        if state.startswith("28") or is_refused:
            raise AuthenticationError(
                f"{self.connector.label} on {host} refused the user or the password: "
                f"{text}. Correct them and connect again."
            ) from exc
        if not state and ("SSL" in text or "certificate" in text):
            raise ConfigError(
                f"The encrypted connection to {host} failed: {text}. Give the CA "
                "certificate, or choose another TLS setting.",
                code="tls_failed",
            ) from exc
        if state == "3D000" or "does not exist" in text:
            raise ConfigError(f"{host} says: {text}.", code="not_found") from exc
        if "no pg_hba.conf entry" in text:
            raise ConfigError(
                f"{host} lets this user in from nowhere that we are: {text}. Add a "
                "line for our address to its pg_hba.conf.",
                code="permission_denied",
            ) from exc
        if state == "42501" or "permission denied for database" in text:
            raise ConfigError(
                f"The user may not read this: {text}. Grant SELECT on it.",
                code="permission_denied",
            ) from exc
        if state == "57014":
            raise TransientError(
                "A statement took longer than the time-out; raise it, or add an index "
                f"on the ordering columns ({text}).",
                code="statement_timeout",
            ) from exc
        if isinstance(exc, psycopg.OperationalError):
            raise TransientError(
                f"{host}:{port} could not be reached or hung up: {text}.",
                code="connection_failed",
            ) from exc
        raise ConfigError(f"{host} says: {text}.", code="query_failed") from exc


def _authorities(given: dict[str, Any]) -> dict[str, Any]:
    """Who vouches for a server without a CA certificate of its own."""
    if given["sslmode"] == "verify-ca":
        # Anybody has a certificate of some public authority, for some name.
        raise ConfigError(
            "To verify the certificate without the name, give the CA certificate; a "
            "public authority needs the name verified as well.",
            code="tls_failed",
            fields={"ca_certificate": "required"},
        )
    return {"sslrootcert": certifi.where()} if given["sslmode"] == "verify-full" else {}


def _query(table: Table, bound: Bound) -> tuple[sql.Composed, list[Any]]:
    names = [column.name for column in table.columns] or list(table.key)
    where: list[sql.Composable] = []
    values: list[Any] = []
    if bound.after is not None:
        where.append(
            sql.SQL("({}) > ({})").format(
                _names(bound.order),
                sql.SQL(", ").join(_cast(table, name) for name in bound.order),
            )
        )
        values += [_text(value) for value in bound.after]
    for operator, value in ((">=", bound.least), ("<", bound.below)):
        if value is not None:
            where.append(
                sql.SQL("{} {} {}").format(
                    _name(bound.watermark),
                    sql.SQL(operator),
                    _limit_cast(table, bound.watermark),
                )
            )
            values.append(_text(value))
    query = sql.SQL(
        "SELECT row_to_json({row})::text FROM (SELECT {} FROM {}{}{}) {row}"
    ).format(
        _names(names),
        _name(table.schema, table.name),
        sql.SQL(" WHERE ") + sql.SQL(" AND ").join(where) if where else sql.SQL(""),
        sql.SQL(" ORDER BY ") + _names(bound.order) if bound.order else sql.SQL(""),
        # A column of this name would be taken for the row.
        row=sql.Identifier("churnguard row"),
    )
    return query, values


def _names(names: Any) -> sql.Composed:
    return sql.SQL(", ").join(_name(name) for name in names)


def _name(*parts: str) -> sql.Identifier:
    # psycopg would read a % of a name as a placeholder.
    return sql.Identifier(*(part.replace("%", "%%") for part in parts))


def _cast(table: Table, name: str) -> sql.Composable:
    return sql.SQL("%s::text::") + sql.SQL(table.types[name].replace("%", "%%"))  # type: ignore[arg-type]


def _limit_cast(table: Table, name: str) -> sql.Composable:
    """A limit keeps its time of day where the column has only dates."""
    if table.types[name] == "date":
        return sql.SQL("%s::text::timestamp")
    return _cast(table, name)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _grouped(found: list[tuple[Any, ...]]) -> list[Table]:
    by_name: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for row in found:
        by_name.setdefault((row[0], row[1]), []).append(row)
    tables = []
    for (schema, name), columns in by_name.items():
        keyed = sorted((row[6], row[2]) for row in columns if row[6])
        tables.append(
            Table(
                schema=schema,
                name=name,
                columns=tuple(
                    Column(row[2], "array" if row[5] else _TYPES.get(row[3], "string"))
                    for row in columns
                ),
                types={row[2]: row[4] for row in columns},
                key=tuple(column for _position, column in keyed),
            )
        )
    return tables
