"""Bulk API 2.0 query jobs: made, waited for, read by locator, removed.

Results are kept for a week, only the version that made a job can read them, and rows
come in no order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from churnguard.errors import ConfigError, TransientError
from integrations.connectors.base import JsonDict, Page
from integrations.connectors.salesforce.reading import Reader
from integrations.connectors.salesforce.rows import csv_rows, plain, select
from integrations.http import Call, RefusedError, Reply
from integrations.loopguard import LoopGuard

_WAITS_S = (0.5, 1.0, 2.0, 3.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0)
# About a day, with a try every half a minute.
MOST_LOOKS = 2_500
_RUNNING = ("UploadComplete", "InProgress")

MakePage = Callable[[list[JsonDict], JsonDict], Page]


class JobFailedError(ConfigError):
    """Salesforce gave the job up."""

    code = "job_failed"


class JobGoneError(TransientError):
    """The job does not exist any more; another one can be made."""

    code = "job_gone"


def start(reader: Reader, condition: str) -> str:
    """Id of a new query job, "" where Bulk API 2.0 does not offer the object. No
    ORDER BY: Salesforce splits the work by key."""
    body = {
        "operation": "queryAll",
        "query": select(reader.described.types, reader.name, condition),
        "contentType": "CSV",
        "columnDelimiter": "COMMA",
        "lineEnding": "LF",
    }
    call = Call(method="POST", url=reader.org.path("/jobs/query"), json=body)
    try:
        return str(reader.org.send_bulk(call).json()["id"])
    except RefusedError as refusal:
        if refusal.provider_code.upper() != "INVALIDENTITY":
            raise
        return ""


def read(reader: Reader, cursor: JsonDict, make_page: MakePage) -> Iterator[Page]:
    """Pages of the job in the cursor. The next read starts at the time this one began
    ("begun"). A job that came to nothing is forgotten before the error, so that the
    next try makes another. make_page: gets rows and cursor."""
    cursor["version"] = reader.org.version
    try:
        yield from _pages(_Job(reader, str(cursor["job"])), cursor, make_page)
    except (JobFailedError, JobGoneError):
        yield make_page([], without_job(cursor))
        raise


def without_job(cursor: JsonDict) -> JsonDict:
    """Where the read stood before there was a job."""
    return {"since": cursor["since"]} if "since" in cursor else {}


def _pages(job: _Job, cursor: JsonDict, make_page: MakePage) -> Iterator[Page]:
    yield make_page([], dict(cursor))
    if "locator" not in cursor:
        for looks in job.wait(int(cursor.get("looks") or 0)):
            cursor["looks"] = looks
            yield make_page([], dict(cursor))
    cursor.pop("looks", None)
    done = {"since": cursor["begun"]} if "begun" in cursor else {}
    for rows, following in job.results(str(cursor.get("locator") or "")):
        cursor["locator"] = following
        yield make_page(rows, dict(cursor) if following else done)
    job.drop()


@dataclass(frozen=True, slots=True)
class _Job:
    reader: Reader
    id: str

    def wait(self, looks: int) -> Iterator[int]:
        """Yields how often was looked, between looks, so that the caller can stop;
        ends when the job is complete. looks: those of earlier tries. Raises
        JobFailedError, JobGoneError, and TransientError when it takes long, to look
        again later."""
        for wait_s in _WAITS_S[looks:] or _WAITS_S[-1:]:
            state = self._send(Call(method="GET", url=self._path)).json()
            if state.get("state") == "JobComplete":
                return
            if state.get("state") not in _RUNNING or looks >= MOST_LOOKS:
                raise JobFailedError(
                    f"Salesforce did not finish the Bulk job {self.id} of "
                    f"{self.reader.name} ({state.get('state')}): "
                    f"{state.get('errorMessage') or ''}"
                )
            looks += 1
            yield looks
            self.reader.org.http.sleep(wait_s)
        raise TransientError(
            f"The Bulk job {self.id} of {self.reader.name} is not finished yet.",
            code="job_running",
            retry_after_s=30.0,
        )

    def results(self, locator: str) -> Iterator[tuple[list[JsonDict], str]]:
        """Pages of a complete job, each with the locator of the next, "" at the end.
        Raises JobGoneError."""
        guard = LoopGuard()
        while True:
            call = Call(
                method="GET",
                url=f"{self._path}/results",
                params={"maxRecords": self.reader.size, "locator": locator or None},
                headers={"Accept": "text/csv"},
            )
            reply = self._send(call)
            types = self.reader.described.types
            rows = [plain(row, types) for row in csv_rows(reply.text)]
            promised = reply.headers.get("sforce-numberofrecords")
            if promised is not None and int(promised) != len(rows):
                raise TransientError(
                    f"Salesforce promised {promised} rows of {self.reader.name} and "
                    f"sent {len(rows)}.",
                    code="bad_shape",
                )
            locator = reply.headers.get("sforce-locator") or "null"
            # The end is the text "null".
            locator = "" if locator == "null" else locator
            if locator:
                guard.check(locator, rows)
            yield rows, locator
            if not locator:
                return

    def drop(self) -> None:
        """Remove a job that was read; it would end by itself after a week."""
        call = Call(method="DELETE", url=self._path, ok=(400, 403, 404))
        self.reader.org.http.send(call)

    @property
    def _path(self) -> str:
        return self.reader.org.path(f"/jobs/query/{self.id}")

    def _send(self, call: Call) -> Reply:
        try:
            return self.reader.org.send_bulk(call)
        except RefusedError as refusal:
            if refusal.status != 404:
                raise
            raise JobGoneError(
                f"The Bulk job {self.id} of {self.reader.name} was deleted, or is "
                "older than Salesforce keeps results; another one is made."
            ) from refusal
