"""MySQL 5.7 and later and MariaDB 10.5 and later as a source, over PyMySQL.

Sessions are read-only, in UTC, with a statement time-out; rows come through an
unbuffered cursor, so memory stays flat. DECIMAL stays exact (text), JSON is decoded,
zero dates are null, binary values are base64. A certificate is verified unless TLS is
set otherwise. Not covered: the binary log, and deletes between id sweeps.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pymysql
from pymysql.constants import CR, ER
from pymysql.cursors import SSCursor

from churnguard.errors import AuthenticationError, ConfigError, TransientError
from integrations.connectors.base import Column, Field, JsonDict
from integrations.connectors.sql.base import COMMON_FIELDS, SqlConnector
from integrations.connectors.sql.mysql_values import (
    READERS,
    TYPES,
    from_json,
    open_socket,
    plain,
    tls_context,
    utc,
)
from integrations.connectors.sql.tables import Bound, Table

_LIST_TABLES = """
SELECT c.table_schema, c.table_name, c.column_name, c.data_type, c.column_type,
       coalesce(k.ordinal_position, 0)
FROM information_schema.columns c
JOIN information_schema.tables t
  ON t.table_schema = c.table_schema AND t.table_name = c.table_name
LEFT JOIN information_schema.key_column_usage k
  ON k.table_schema = c.table_schema AND k.table_name = c.table_name
 AND k.column_name = c.column_name AND k.constraint_name = 'PRIMARY'
WHERE c.table_schema = %s
ORDER BY c.table_schema, c.table_name, c.ordinal_position
"""
_JSON_CHECKS = """
SELECT table_name, check_clause FROM information_schema.check_constraints
WHERE constraint_schema = %s AND lower(check_clause) LIKE 'json_valid%%'
"""
_DENIED = {
    ER.ACCESS_DENIED_ERROR,
    1698,  # ER_ACCESS_DENIED_NO_PASSWORD_ERROR
}
_NO_RIGHT = {ER.TABLEACCESS_DENIED_ERROR, ER.COLUMNACCESS_DENIED_ERROR}
_TIMED_OUT = {1969, 3024}


class MysqlConnector(SqlConnector):
    name: ClassVar[str] = "mysql"
    label: ClassVar[str] = "MySQL / MariaDB"
    summary: ClassVar[str] = (
        "Tables of a MySQL or MariaDB database, in full or changed."
    )
    prepare: ClassVar[str] = (
        "Make a user that may only read: CREATE USER churnguard IDENTIFIED BY '…'; "
        "GRANT SELECT ON the database to it. The server must be reachable from here; "
        "a private address has to be allowed by an administrator."
    )
    docs: ClassVar[str] = "docs/connectors/mysql.md"
    default_port: ClassVar[int] = 3306
    fields: ClassVar[tuple[Field, ...]] = (
        *COMMON_FIELDS,
        Field(
            "sslmode",
            "TLS",
            kind="choice",
            required=False,
            default="verify-full",
            choices=(
                ("verify-full", "Encrypted, certificate and name verified"),
                ("verify-ca", "Encrypted, certificate verified"),
                ("require", "Encrypted, not verified"),
                ("disable", "Not encrypted"),
            ),
        ),
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._connection: pymysql.Connection[Any] | None = None
        self._tables: list[Table] | None = None
        self._json: set[tuple[str, str]] = set()
        self._is_mariadb = False

    def whoami(self) -> str:
        ((database, version),) = self._fetch("SELECT database(), version()")
        product = "MariaDB" if "mariadb" in version.lower() else "MySQL"
        host, _port = self.address
        return f"Connected to {database} on {host} ({product} {version.split('-')[0]})."

    def tables(self) -> list[Table]:
        if self._tables is None:
            database = self.settings.get("database")
            found = self._fetch(_LIST_TABLES, [database])
            self._json = {(row[1], row[2]) for row in found if row[3] == "json"}
            if self._is_mariadb:
                # MariaDB's JSON is text with a check.
                for name, clause in self._fetch(_JSON_CHECKS, [database]):
                    column = clause.partition("(")[2].rstrip(")").strip("`")
                    self._json.add((name, column))
            self._tables = self._grouped(found)
        return self._tables

    def rows(self, table: Table, bound: Bound, size: int) -> Iterator[list[JsonDict]]:
        names = [column.name for column in table.columns] or list(table.key)
        query, values = _query(table, names, bound)
        readers = [self._reader(table, name) for name in names]
        while True:
            # A time-out counts the whole statement, also while we are busy storing:
            # after some rows the rest is asked for again.
            last: JsonDict | None = None
            try:
                for last_rows in self._rows(query, values, names, readers, size):
                    last = last_rows[-1]
                    yield last_rows
                return
            except TransientError as exc:
                if exc.code != "statement_timeout" or not bound.order or last is None:
                    raise
            position = tuple(last[name] for name in bound.order)
            query, values = _query(table, names, replace(bound, after=position))

    def _rows(
        self,
        query: str,
        values: list[Any],
        names: list[str],
        readers: list[Any],
        size: int,
    ) -> Iterator[list[JsonDict]]:
        cursor = SSCursor(self._session())
        is_done = False
        try:
            with _Guarded(self):
                cursor.execute(query, values)
                while found := cursor.fetchmany(size):
                    yield [
                        {
                            name: reader(value) if value is not None else None
                            for name, reader, value in zip(
                                names, readers, row, strict=True
                            )
                        }
                        for row in found
                    ]
            is_done = True
        finally:
            if is_done:
                cursor.close()
            else:
                # Closing an unread cursor would read the rest of the table.
                self._drop()

    def newest(self, table: Table, watermark: str) -> Any:
        name = _quote(watermark)
        ((found,),) = self._fetch(f"SELECT max({name}) FROM {_place(table)}", [])
        return None if found is None else self._reader(table, watermark)(found)

    def has_offset(self, type_name: str) -> bool:
        return type_name.startswith("timestamp")

    def count(self, table: Table) -> int | None:
        rows = self._fetch(
            "SELECT table_rows FROM information_schema.tables "
            "WHERE table_schema = %s AND table_name = %s",
            [table.schema, table.name],
        )
        return int(rows[0][0]) if rows and rows[0][0] else None

    def close(self) -> None:
        self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection._force_close()
            self._connection = None

    def _fetch(self, query: str, values: Any = None) -> list[tuple[Any, ...]]:
        session = self._session()
        with _Guarded(self), session.cursor() as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall())

    def _session(self) -> pymysql.Connection[Any]:
        if self._connection is None:
            with _Guarded(self):
                self._connection = self._connect()
        return self._connection

    def _connect(self) -> pymysql.Connection[Any]:
        host, port = self.address
        timeout_s = float(self.settings.get("statement_timeout_s") or 300)
        connection: pymysql.Connection[Any] = pymysql.connect(
            host=host,
            port=port,
            user=str(
                self.settings.get("username") or self.secrets.get("username") or ""
            ),
            password=str(self.secrets.get("password") or ""),
            database=str(self.settings.get("database") or ""),
            charset="utf8mb4",
            read_timeout=timeout_s + 30,
            write_timeout=60,
            connect_timeout=10,
            autocommit=True,
            ssl=None if host.startswith("/") else tls_context(self.settings),
            program_name="churnguard",
            defer_connect=True,
        )
        # The socket goes to the checked address; the host name is verified by TLS.
        connection.connect(open_socket(self.checked_address(), port))
        self._is_mariadb = "mariadb" in connection.get_server_info().lower()
        limit = (
            f"max_statement_time = {timeout_s:.3f}"
            if self._is_mariadb
            else f"max_execution_time = {timeout_s * 1000:.0f}"
        )
        with connection.cursor() as cursor:
            cursor.execute(
                "SET SESSION time_zone = '+00:00', net_write_timeout = 600, "
                f"SESSION {limit}"
            )
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
        return connection

    def _reader(self, table: Table, name: str) -> Any:
        if (table.name, name) in self._json:
            return from_json
        kind = table.types[name].split("(")[0].split()[0]
        if kind == "timestamp":
            return utc
        return READERS.get(kind, plain)

    def _grouped(self, found: list[tuple[Any, ...]]) -> list[Table]:
        by_name: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
        for row in found:
            by_name.setdefault((row[0], row[1]), []).append(row)
        return [
            Table(
                schema=schema,
                name=name,
                columns=tuple(
                    Column(
                        row[2],
                        "json"
                        if (name, row[2]) in self._json
                        else TYPES.get(row[3], "string"),
                    )
                    for row in columns
                ),
                types={row[2]: row[4].lower() for row in columns},
                key=tuple(
                    column
                    for _position, column in sorted(
                        (row[5], row[2]) for row in columns if row[5]
                    )
                ),
            )
            for (schema, name), columns in by_name.items()
        ]


class _Guarded:
    """Turns what PyMySQL raises into our errors."""

    def __init__(self, connector: MysqlConnector) -> None:
        self.connector = connector

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: Any, exc: BaseException | None, _trace: Any) -> None:
        if not isinstance(exc, (pymysql.Error, OSError)):
            return
        host, port = self.connector.address
        code = exc.args[0] if exc.args else 0
        text = str(exc.args[1] if len(exc.args) > 1 else exc)[:300]
        if code in _DENIED:
            raise AuthenticationError(
                f"{self.connector.label} on {host} refused the user or the password: "
                f"{text}. Correct them and connect again."
            ) from exc
        if code in _NO_RIGHT:
            raise ConfigError(
                f"The user may not read this: {text}. Grant SELECT on it.",
                code="permission_denied",
            ) from exc
        if code == ER.DBACCESS_DENIED_ERROR:
            raise ConfigError(
                f"There is no such database, or the user may not use it: {text}. "
                "Grant SELECT on it.",
                code="permission_denied",
            ) from exc
        if code == ER.BAD_FIELD_ERROR:
            raise ConfigError(f"{host} says: {text}.", code="query_failed") from exc
        if code == ER.BAD_DB_ERROR:
            raise ConfigError(f"{host} says: {text}.", code="not_found") from exc
        if code in _TIMED_OUT:
            raise TransientError(
                "A statement took longer than the time-out; raise it, or add an index "
                f"on the ordering columns ({text}).",
                code="statement_timeout",
            ) from exc
        cause = getattr(exc, "original_exception", exc)
        if code == CR.CR_SSL_CONNECTION_ERROR or isinstance(cause, ssl.SSLError):
            raise ConfigError(
                f"The encrypted connection to {host} failed: {text}. Give the CA "
                "certificate, or choose another TLS setting.",
                code="tls_failed",
            ) from exc
        if isinstance(exc, (OSError, pymysql.OperationalError, pymysql.InterfaceError)):
            raise TransientError(
                f"{host}:{port} could not be reached or hung up: {text}.",
                code="connection_failed",
            ) from exc
        raise ConfigError(f"{host} says: {text}.", code="query_failed") from exc


def _query(table: Table, names: list[str], bound: Bound) -> tuple[str, list[Any]]:
    where: list[str] = []
    values: list[Any] = []
    if bound.after is not None:
        marks = ", ".join(["%s"] * len(bound.after))
        where.append(f"({_order(table, bound)}) > ({marks})")
        values += [
            _parameter(table, n, v)
            for n, v in zip(bound.order, bound.after, strict=True)
        ]
    for operator, value in ((">=", bound.least), ("<", bound.below)):
        if value is not None:
            where.append(f"{_quote(bound.watermark)} {operator} %s")
            values.append(_parameter(table, bound.watermark, value))
    query = f"SELECT {_list(names)} FROM {_place(table)}"
    if where:
        query += f" WHERE {' AND '.join(where)}"
    if bound.order:
        query += f" ORDER BY {_order(table, bound)}"
    return query, values


def _parameter(table: Table, name: str, value: Any) -> Any:
    """A cursor value as the server compares it: times without T and offset, bytes."""
    if not isinstance(value, str):
        return value
    kind = table.types[name]
    if kind.startswith(("timestamp", "datetime", "date")):
        return value.replace("T", " ").removesuffix("+00:00")
    if "binary" in kind or "blob" in kind:
        return base64.b64decode(value)
    return value


def _order(table: Table, bound: Bound) -> str:
    """The ordering columns; ENUM and SET by their text, since they are sorted by
    number but compared with a value by text."""
    return ", ".join(
        f"CAST({_quote(name)} AS CHAR)"
        if table.types[name].startswith(("enum", "set"))
        else _quote(name)
        for name in bound.order
    )


def _quote(name: str) -> str:
    return f"`{name.replace('`', '``').replace('%', '%%')}`"


def _list(names: Any) -> str:
    return ", ".join(_quote(name) for name in names)


def _place(table: Table) -> str:
    return f"{_quote(table.schema)}.{_quote(table.name)}"
