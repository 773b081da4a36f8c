"""The files of a configuration: one, or a folder with `driftd.yaml` and one file a model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from daemon.config.document import read_document
from daemon.config.errors import ConfigurationError, Problem
from daemon.config.tree import Node, Place, problem_at

MAIN_FILE = "driftd.yaml"
MODELS_FOLDER = "models"
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Sources:
    """The tree of all files together; `folder` is what relative paths are taken from."""

    root: Node
    folder: Path
    problems: tuple[Problem, ...]


def read_sources(path: Path) -> Sources:
    """Read a file, or a folder: `driftd.yaml`, and the models NAME.yaml beside it or in `models/`.

    Names beginning with a dot are skipped: Kubernetes keeps copies of mounted files under `..data`.
    Raises ConfigurationError when the main file cannot be read at all.
    """
    main = path / MAIN_FILE if path.is_dir() else path
    root, problems = _read(main, ())
    model_files = _model_files(path) if path.is_dir() else []
    bodies: dict[str, Node] = {}
    for file in model_files:
        body, found = _read(file, ("models", file.stem))
        problems += found
        if body is None:
            place = Place(str(file), 1, 1)
            body = Node({}, place, place, ("models", file.stem), broken=True)
        first = bodies.get(file.stem)
        if first is not None:
            problems.append(_twice(body, first.at))
        else:
            bodies[file.stem] = body
    if root is None:
        raise ConfigurationError(problems)
    return Sources(_with_models(root, bodies, problems), main.absolute().parent, tuple(problems))


def _model_files(folder: Path) -> list[Path]:
    found = [*folder.iterdir(), *((folder / MODELS_FOLDER).iterdir() if (folder / MODELS_FOLDER).is_dir() else ())]
    return sorted(
        file
        for file in found
        if file.suffix in SUFFIXES and not file.name.startswith(".") and file != folder / MAIN_FILE and file.is_file()
    )


def _read(file: Path, path: tuple[str, ...]) -> tuple[Node | None, list[Problem]]:
    try:
        data = file.read_bytes()
    except OSError as error:
        problem = problem_at(Place(str(file), 0, 0), path, f"cannot be read: {error.strerror or error}")
        hint = "a folder needs a driftd.yaml" if file.name == MAIN_FILE and file.parent.is_dir() else ""
        return None, [replace(problem, hint=hint)]
    root, problems = read_document(str(file), data, path)
    if root is not None and path:
        # The whole file stands for the model's key.
        root = replace(root, key_at=root.at)
    return root, problems


def _with_models(root: Node, bodies: dict[str, Node], problems: list[Problem]) -> Node:
    """The main tree with the models of the other files added to its own."""
    if not bodies or not isinstance(root.value, dict):
        return root
    models = root.value.get("models")
    if models is not None and isinstance(models.value, dict):
        own = models.value
        problems += [_twice(body, own[name].place) for name, body in bodies.items() if name in own]
        models = replace(models, value={**bodies, **own})
    elif models is None or models.value is None:
        models = Node(dict(bodies), root.at, path=("models",))
    return replace(root, value={**root.value, "models": models})


def _twice(body: Node, first: Place) -> Problem:
    return body.key_problem(f"the model {body.path[-1]!r} is configured twice", f"the first is in {first}")
