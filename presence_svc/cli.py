"""The command line `presence-svc`: commands and their options. What a command does is in commands/.

Every setting is an environment variable; an option sets the same variable for this run.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from . import __version__
from .errors import PresenceError

cli = typer.Typer(
    name="presence-svc",
    help="Shows who is watching which course and chapter now. Settings are environment variables PRESENCE_*.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Url = Annotated[str, typer.Option("--url", help="The URL of the service.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON: one object, or one per line.")]
Course = Annotated[str, typer.Argument(help="The course's id.", metavar="COURSE")]
Host = Annotated[str | None, typer.Option(help="Sets PRESENCE_HOST.", show_default=False)]
Port = Annotated[int | None, typer.Option(help="Sets PRESENCE_PORT.", show_default=False)]
LOCAL = "http://127.0.0.1:8000"


def main() -> None:
    """The entry point. Our own errors end with one line and status 2, Ctrl-C with status 130."""
    try:
        cli()
    except PresenceError as error:
        typer.secho(error.detail, fg="red", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _set(**values: Any) -> None:
    """Sets options as environment variables, which worker processes inherit."""
    for name, value in values.items():
        if value is not None:
            os.environ[f"PRESENCE_{name.upper()}"] = str(value)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"presence-svc {__version__}")
        raise typer.Exit


@cli.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@cli.command()
def serve(
    host: Host = None,
    port: Port = None,
    workers: Annotated[int | None, typer.Option(help="Sets PRESENCE_WORKERS.", show_default=False)] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Directory in which the embedded server keeps its data.", show_default=False),
    ] = None,
) -> None:
    """Run the service, with an embedded server if PRESENCE_REDIS_URL is not set."""
    gc.disable()  # imports leave nothing to collect, and are a seventh faster without
    from .commands import serve as command

    gc.enable()
    _set(host=host, port=port, workers=workers)
    command.run(data_dir=data)


@cli.command()
def demo(
    port: Port = None,
    viewers: Annotated[int, typer.Option(min=1, max=2000, help="About how many viewers.")] = 60,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Use a Cluster of three embedded servers.")
    ] = False,
) -> None:
    """Run the service on an embedded server, with simulated viewers to look at."""
    from .commands import demo as command

    _set(port=port)
    command.run(viewers, cluster=cluster)


@cli.command()
def watch(course: Course, url: Url = "", lines: Json = False) -> None:
    """Show a course's count live, from Redis (PRESENCE_REDIS_URL) or else from a running service."""
    from .commands import watch as command

    raise typer.Exit(command.run(course, url=url, as_json=lines))


@cli.command()
def history(
    course: Course,
    chapter: Annotated[str, typer.Option(help="Only this chapter.", show_default=False)] = "",
    step: Annotated[str, typer.Option(help="Length of a step: 1m, 15m, 1h or 1d.")] = "1h",
    begin: Annotated[str, typer.Option("--from", help="ISO 8601 or ms since 1970.", show_default=False)] = "",
    end: Annotated[
        str, typer.Option("--to", help="ISO 8601 or ms since 1970; by default now.", show_default=False)
    ] = "",
    tz: Annotated[str, typer.Option(help="Time zone, such as Asia/Kolkata.")] = "UTC",
    as_json: Annotated[bool, typer.Option("--json", help="Print the HTTP API's JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV: one line per step.")] = False,
) -> None:
    """Show a course's history: its viewers by step (PRESENCE_REDIS_URL)."""
    from .commands import history as command

    form = "json" if as_json else "csv" if as_csv else "table"
    command.run(command.Question(course, chapter, step, begin, end, tz, form))


@cli.command()
def simulate(
    url: Url = LOCAL,
    viewers: Annotated[int, typer.Option("--viewers", "-n", min=1, max=100_000, help="How many.")] = 100,
    courses: Annotated[int, typer.Option(min=1, max=10_000, help="How many courses they watch.")] = 4,
    seconds: Annotated[float, typer.Option(min=0.1, max=86_400, help="For how many seconds.")] = 60,
    interval: Annotated[
        float | None,
        typer.Option(min=0.01, help="Seconds between heartbeats, instead of what the server asks for."),
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="PRESENCE_API_KEY", help="API key, sent as a bearer token.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Simulate viewers who arrive, change chapters and leave, and print how fast the service answered."""
    from .commands import simulate as command

    plan = command.Plan(url, viewers, courses, seconds, interval, api_key)
    raise typer.Exit(command.run(plan, as_json=as_json))


@cli.command()
def sweep(as_json: Json = False) -> None:
    """Remove what has expired and publish what is due, once."""
    from .commands import sweep as command

    command.run(as_json=as_json)


@cli.command()
def keys(course: Course, as_json: Json = False) -> None:
    """Show the names of a course's keys and of its channel in Redis."""
    from .commands import keys as command

    command.run(course, as_json=as_json)


@cli.command()
def token(
    viewer: Annotated[str, typer.Argument(help="The viewer's id.", metavar="VIEWER")],
    name: Annotated[str | None, typer.Option(help="The viewer's name.", show_default=False)] = None,
    course: Annotated[
        list[str] | None,
        typer.Option(
            help="A course that it gives access to; may be repeated. None = all.", show_default=False
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, max=31_536_000, help="Seconds until it expires.")] = 3600,
    as_json: Json = False,
) -> None:
    """Make a token for development (PRESENCE_AUTH=jwt with PRESENCE_JWT_SECRET)."""
    from .commands import token as command

    made = command.make(viewer, name=name, courses=tuple(course or ()), seconds=seconds)
    typer.echo(json.dumps({"token": made, "viewer_id": viewer, "expires_in": seconds}) if as_json else made)


@cli.command()
def doctor(
    token: Annotated[
        str | None,
        typer.Option(help="Also check this token; - reads it from standard input.", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the settings, the issuer's keys, Redis and its data; exit with 1 if something is wrong."""
    from .commands import doctor as command

    given = sys.stdin.buffer.read().decode(errors="replace") if token == "-" else token  # noqa: S105
    raise typer.Exit(command.run(given, as_json=as_json))
