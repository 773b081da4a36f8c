"""`driftd store`: upkeep of the file that holds the daemon's state."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.errors import StoreIsHeld, Unreachable, UsageError
from daemon.cli.opening import load_settings
from daemon.cli.options import ConfigOption, config_path
from daemon.cli.output import say


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    group = typer.Typer(help="Upkeep of the file that holds the daemon's state.", no_args_is_help=True)
    group.command()(migrate)
    group.command()(backup)
    app.add_typer(group, name="store")


def migrate(context: typer.Context, config: ConfigOption = None) -> None:
    """Bring a store that an older driftd made up to date; stop the daemon first."""
    from daemon.store import StoreError, StoreHeld
    from daemon.store.maintenance import migrate_store

    path = load_settings(config_path(context, config)).store.path
    try:
        before, after = migrate_store(path)
    except StoreHeld as error:
        raise StoreIsHeld(str(error)) from error
    except StoreError as error:
        raise Unreachable(str(error)) from error
    say(f"{path} is up to date." if before == after else f"{path} was migrated from {before or 'nothing'} to {after}.")


def backup(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Where to write the copy; the file must not exist yet.")],
    config: ConfigOption = None,
) -> None:
    """Copy the store while the daemon goes on; the copy is complete in itself."""
    from daemon.store import StoreError
    from daemon.store.maintenance import backup

    if path.exists():
        raise UsageError(f"{path} exists already; give a name that is free")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {path.absolute().parent}; make it first")
    settings = load_settings(config_path(context, config))
    try:
        backup(settings.store.path, path)
    except StoreError as error:
        raise Unreachable(str(error)) from error
    except OSError as error:
        raise Unreachable(f"{path} cannot be written: {error.strerror or error}") from error
    say(f"{settings.store.path} was copied to {path} ({path.stat().st_size:,} bytes).")
