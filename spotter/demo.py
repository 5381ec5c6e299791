"""`spotter demo`, once: a stack of its own on a free port, one picture, a table, and everything stopped."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from spotter import show, stack
from spotter.client import Spotter
from spotter.errors import StackError
from spotter.finding import Finding, drawn_path, find
from spotter.supervisor import stopped_by_signals

SAMPLE = Path(__file__).with_name("sample") / "dog.jpg"
DETECT_TIMEOUT_S = 120.0


def run(picture: Path, out: Path, data: Path | None, models_dir: Path, environ: Mapping[str, str]) -> bool:
    """Show what is found in one picture; returns whether it succeeded.

    Args:
        out: folder for the annotated picture; made when missing.
        data: the stack's data folder; None: a temporary one.

    Raises:
        StackError: the stack cannot start or gave up. Its log is kept, and named in the text.
        OSError, SpotterClientError: the picture cannot be read or written, or the service refuses.
    """
    scratch = Path(tempfile.mkdtemp(prefix="spotter-demo-"))
    log_path = scratch / "stack.log"
    keep = True
    try:
        findings, written = _detect(picture, out, data or scratch / "data", models_dir, environ, log_path)
        keep = False
    except StackError as error:
        raise StackError(f"{error} The log is {log_path}") from None
    finally:
        if not keep:
            shutil.rmtree(scratch)
    show.console().print(show.table(findings))
    for path in written:
        show.console().print(f"Annotated picture: {path}", soft_wrap=True, markup=False)
    return all(finding.picture.status == "succeeded" for finding in findings)


def _detect(
    picture: Path, out: Path, data: Path, models_dir: Path, environ: Mapping[str, str], log_path: Path
) -> tuple[list[Finding], list[Path]]:
    plan = stack.Plan(port=0, data=data, models_dir=models_dir)
    with ExitStack() as held:
        log = show.prefixed(held.enter_context(log_path.open("w")), colour=False)
        running = held.enter_context(stack.prepared(plan, environ, log))
        held.enter_context(stopped_by_signals(running.supervisor))
        service = held.enter_context(Spotter(running.url))
        running.supervisor.start()
        # The supervisor needs this thread; so the client gets another. It ends by its own timeouts.
        client = held.enter_context(ThreadPoolExecutor(1))
        future = client.submit(_post, service, picture, out)
        running.supervisor.run(future.done)
        if running.supervisor.stop_requested:
            raise StackError("The demo was interrupted.")
        return future.result()


def _post(service: Spotter, picture: Path, out: Path) -> tuple[list[Finding], list[Path]]:
    findings = list(find(service, [str(picture)], DETECT_TIMEOUT_S, draw=True))
    return findings, write_drawn(service, findings, out)


def write_drawn(service: Spotter, findings: list[Finding], out: Path) -> list[Path]:
    """Bring the annotated picture of each success into the folder; returns the paths, in order.

    Raises:
        OSError: the folder cannot be written. SpotterClientError: a picture is not to be had.
    """
    out.mkdir(parents=True, exist_ok=True)
    taken: set[Path] = set()
    for finding in findings:
        if finding.picture.status == "succeeded":
            drawn = service.picture(finding.job.id, finding.picture.index)
            drawn_path(out, finding.name, taken).write_bytes(drawn)
    return sorted(taken)
