"""What the doctor found, as text and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockpool.report.documents import Diagnosed, fields_of
from blockpool.report.json import document
from blockpool.report.text import count, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blockpool.doctor.findings import Finding

__all__ = ["doctor_json", "doctor_lines"]

_STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def doctor_lines(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """Return the lines of a report: (text, style). The text holds no control characters, whatever was found.

    >>> doctor_lines([])
    [('Nothing is wrong.', 'green')]
    """
    lines = []
    for finding in findings:
        lines += [
            (f"{finding.severity}: {printable(finding.sentence)}", _STYLES[finding.severity]),
            (f"    {printable(finding.remedy)}", ""),
        ]
    wrong = sum(finding.severity != "info" for finding in findings)
    if wrong:
        lines.append((f"{count(wrong, 'thing is', 'things are')} wrong.", "bold"))
    else:
        lines.append(("Nothing is wrong.", "green"))
    return lines


def doctor_json(findings: Sequence[Finding], pool: str | None) -> str:
    """Return the report as a JSON document; `pool` is which one was asked about, None for all."""
    wrong = any(finding.severity != "info" for finding in findings)
    return document(*fields_of(Diagnosed(pool=pool, healthy=not wrong, findings=tuple(findings))))
