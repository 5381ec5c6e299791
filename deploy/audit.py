"""The locked packages -> are known vulnerabilities among them? pip-audit asks PyPI, then OSV; this judges its answer.

Run as `audit.py PIP_AUDIT LOCK...`. Exit codes: 0 none is known, or no service could be reached, which it says; 1 some
are known, or pip-audit failed in another way. pip-audit itself calls a package that no service knows "skipped" and ends
with 0, so that without a network it would look as if all were well.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

SERVICES = ("pypi", "osv")
TIMEOUT_S = 240.0
UNREACHED = ("ConnectionError", "NameResolutionError", "Max retries exceeded", "ReadTimeout", "ConnectTimeout")


class AuditFailed(Exception):
    """pip-audit did not answer although that is not the network's fault; the text is what it said."""


def ask(program: str, service: str, lock: str) -> list[dict[str, Any]] | None:
    """What the service knows of each package, in pip-audit's JSON; None where it cannot be reached.

    Raises:
        AuditFailed: anything else went wrong.
    """
    command = [program, "--vulnerability-service", service, "--format", "json", "--progress-spinner", "off",
               "--require-hashes", "--disable-pip", "--timeout", "10", "--requirement", lock]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return None
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        if any(word in done.stderr for word in UNREACHED):
            return None
        raise AuditFailed(done.stderr[-2000:]) from None
    return found if any("skip_reason" not in package for package in found) else None


def judge(found: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """Exit code and lines to print."""
    known = {
        f"{package['name']} {package['version']}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions']) or 'nothing'}"
        for package in found
        for flaw in package.get("vulns", ())
    }
    unknown = sorted({package["name"] for package in found if "skip_reason" in package})
    lines = sorted(known)
    if unknown:
        lines.append(f"not looked up: {', '.join(unknown)}")
    lines.append(f"audit: {len(found) - len(unknown)} packages looked up, {len(known)} known vulnerabilities")
    return (1 if known else 0), lines


def main(arguments: Sequence[str]) -> int:
    """The command."""
    program, *locks = arguments
    try:
        for service in SERVICES:
            # One at a time: pip-audit takes a package that two locks have for a mistake.
            asked = {lock: ask(program, service, lock) for lock in locks}
            if any(asked.values()):
                code, lines = judge([package for answer in asked.values() for package in answer or ()])
                lines += [
                    f"not looked up: {lock}, the service broke off" for lock, answer in asked.items() if not answer
                ]
                print("\n".join(lines))
                return code
    except AuditFailed as error:
        print(f"audit failed: {error}", file=sys.stderr)
        return 1
    print("audit skipped: no vulnerability service is reached")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
