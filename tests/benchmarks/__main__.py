"""`python -m tests.benchmarks [--quick] [ROW ...]`: runs rows and prints one table. Gives no verdicts.

A row whose peer is not installed is skipped, and the table says what it wanted.
"""

from __future__ import annotations

import argparse
import os

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.benchmarks.process import allow_many_files
from tests.benchmarks.row import FULL, QUICK, Figure, Missing, Row, Scale
from tests.benchmarks.rows import ROWS

WIDTH = 150


def main() -> None:
    arguments = _arguments()
    allow_many_files()
    console = Console()
    rows = [row for row in ROWS if row.name in arguments.rows or not arguments.rows]
    results = run(rows, QUICK if arguments.quick else FULL, console)
    wide = console if console.is_terminal else Console(width=WIDTH)
    wide.print(table(results))
    if arguments.quick:
        wide.print("--quick: shows that everything runs; no figure means anything")
    if any(isinstance(figures, Exception) and not isinstance(figures, Missing) for _, figures in results):
        raise SystemExit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short and small: only shows that it works")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of: {' '.join(row.name for row in ROWS)}")
    arguments = parser.parse_args()
    unknown = set(arguments.rows) - {row.name for row in ROWS}
    if unknown:
        parser.error(f"no such row: {' '.join(sorted(unknown))}")
    return arguments


def run(rows: list[Row], scale: Scale, console: Console) -> list[tuple[Row, list[Figure] | Exception]]:
    """Each row's figures, or what it lacks."""
    results: list[tuple[Row, list[Figure] | Exception]] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(rows))
        for row in rows:
            progress.update(task, description=f"{row.name}: {row.compared}")
            try:
                figures: list[Figure] | Exception = row.run(scale)
            except (Missing, RuntimeError, OSError) as error:  # one broken row shall not hide the others
                figures = error
            results.append((row, figures))
            progress.advance(task)
            _say(progress.console, row, figures)
    return results


def _say(console: Console, row: Row, figures: list[Figure] | Exception) -> None:
    """What a row has shown, at once: a long run that is broken off has not been for nothing."""
    if isinstance(figures, Exception):
        console.print(f"{row.name}: {_fate(figures)}, {figures}", style="yellow")
        return
    for figure in figures:
        console.print(f"{row.name}: {figure.what}: {' / '.join(figure.low_middle_high())}", highlight=False)


def _fate(error: Exception) -> str:
    return "skipped" if isinstance(error, Missing) else "FAILED"


def table(results: list[tuple[Row, list[Figure] | Exception]]) -> Table:
    """One line per figure: min, median and max of the paired runs."""
    shown = Table(title=f"presence-svc, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")
    for name in ("row", "figure", "aim"):
        shown.add_column(name, overflow="fold")
    for name in ("min", "median", "max"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("compared", overflow="fold")
    for row, figures in results:
        if isinstance(figures, Exception):
            shown.add_row(row.name, _fate(figures), "", "", "", "", str(figures), end_section=True)
            continue
        for n, figure in enumerate(figures):
            last = n == len(figures) - 1
            names = (row.name, row.compared) if n == 0 else ("", "")
            shown.add_row(
                names[0], figure.what, figure.aim, *figure.low_middle_high(), names[1], end_section=last
            )
    return shown


if __name__ == "__main__":
    main()
