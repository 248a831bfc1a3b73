"""`[completion]` and `[jobs]`: when a study is analysed, and how often it is tried."""

from __future__ import annotations

from pydantic import Field

from cad_node.settings.section import NAME_WITH_DOTS, Section


class CompletionSettings(Section):
    """When a study counts as complete."""

    quiet_time_s: float = Field(
        20.0, ge=0, le=86400, description="No new instance for so long: the study is complete."
    )
    forced_end_s: float = Field(
        600.0, gt=0, le=86400, description="Processed after so long even if instances keep arriving."
    )


class JobsSettings(Section):
    """The durable work queue."""

    database_url: str | None = Field(
        None,
        description="PostgreSQL, as `postgresql://user@host/database`; absent: SQLite in the data folder. "
        "Keep passwords out of the file: `CADNODE_JOBS__DATABASE_URL` or `PGPASSFILE`.",
        examples=["postgresql://cadnode@database.example.org/cadnode"],
        repr=False,
    )
    executor_id: str = Field(
        "node-1", pattern=NAME_WITH_DOTS, description="Stable name of this machine among several."
    )
    workers: int = Field(1, ge=1, le=64, description="Studies analysed at the same time.")
    retry_first_s: float = Field(
        10.0, gt=0, description="Wait before the second delivery attempt; then it doubles."
    )
    retry_longest_s: float = Field(3600.0, gt=0, description="Longest wait between two attempts.")
    retry_give_up_s: float = Field(
        604800.0, gt=0, description="Give up on an unreachable destination after so long."
    )

    def delay_s(self, attempts: int) -> float:
        """Wait after the nth failure, doubling up to the longest."""
        doubled = self.retry_first_s * 2.0 ** min(attempts - 1, 30)
        return min(doubled, self.retry_longest_s)
