"""`spotter models ...`: what is in the repository on this machine, and how it gets there. Needs the zoo, no service."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from spotter import show
from spotter.client import Spotter
from spotter.errors import StackError

models = typer.Typer(no_args_is_help=True, help="Models on this machine.")

ModelsDir = Annotated[Path, typer.Option(envvar="SPOTTER_MODELS_DIR", help="Model repository.")]
Resize = Literal["stretch", "letterbox", "corner"]
FAILED = 1
FOLLOW_S = 30
"""For the workers of a service to follow: those that have the version need as long as their next look at the disk."""
Name = Annotated[str, typer.Argument(metavar="NAME", help="A model of the repository.")]


@models.command()
def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model of the catalog.")],
    models_dir: ModelsDir = Path("models"),
) -> None:
    """Bring a model of the catalog: fetch, check, convert."""
    with _zoo_errors():
        from zoo.pull import pull as bring

        made = bring(name, models_dir, console=show.console(sys.stderr))
    _say(f"Model {made.name}, version {made.version}, is in {models_dir}")


@models.command("import")
def import_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the model shall be called here.")],
    cfg: Annotated[Path | None, typer.Option(help="Darknet: the network's .cfg.")] = None,
    topology: Annotated[str | None, typer.Option(help="Darknet: a network by name, in place of a cfg.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Darknet: the .weights.")] = None,
    data: Annotated[Path | None, typer.Option(help="Darknet: the .data, which names the labels.")] = None,
    tree: Annotated[Path | None, typer.Option(help="Darknet: the label tree, if it is not beside the cfg.")] = None,
    tree_threshold: Annotated[float, typer.Option(min=0, max=1, help="Darknet: how sure a step down is.")] = 0.5,
    mapped: Annotated[Path | None, typer.Option("--map", help="Darknet: classes of the tree that are told.")] = None,
    interpolation: Annotated[Literal["linear", "darknet"], typer.Option(help="Darknet: how to scale.")] = "linear",
    onnx: Annotated[Path | None, typer.Option(help="A detector of another system.")] = None,
    head: Annotated[str | None, typer.Option(help="ONNX: its kind, if it is not recognised.")] = None,
    names: Annotated[Path | None, typer.Option(help="Labels, one a line, in the order of the classes.")] = None,
    frame: Annotated[str | None, typer.Option(metavar="WxH", help="Size of the network's input.")] = None,
    resize: Annotated[Resize | None, typer.Option(help="How pictures are fitted into it.")] = None,
    threshold: Annotated[float | None, typer.Option(min=0, max=1, help="Smallest confidence by default.")] = None,
    iou: Annotated[float | None, typer.Option(min=0, max=1, help="Overlap in one label, at most, by default.")] = None,
    max_batch: Annotated[int | None, typer.Option(min=1, max=1024, help="Pictures in one run, at most.")] = None,
    licence: Annotated[str, typer.Option(help="Whose it is, in your words.")] = "not stated",
    models_dir: ModelsDir = Path("models"),
) -> None:
    """Take a model of your own: darknet (--cfg, --weights) or ONNX (--onnx). It becomes the next version of NAME."""
    darknet = {
        "--cfg": cfg,
        "--topology": topology,
        "--weights": weights,
        "--data": data,
        "--tree": tree,
        "--map": mapped,
    }
    given = [option for option, value in darknet.items() if value is not None]
    if onnx is not None and given:
        raise StackError(f"{given[0]} is for darknet models, --onnx for those of other systems: give one of them.")
    with _zoo_errors():
        from zoo import intake

        size = intake.frame(frame) if frame else None
        wishes = intake.Wishes(names, size, resize, threshold, iou, max_batch, licence)
        if onnx is not None:
            made = intake.import_onnx(models_dir, name, onnx, head, wishes)
        elif weights is not None:
            files = intake.DarknetFiles(weights, cfg, topology, data, tree, mapped, interpolation, tree_threshold)
            made = intake.import_darknet(models_dir, name, files, wishes)
        else:
            raise StackError("Give --weights and --cfg for a darknet model, or --onnx for one of another system.")
    about = f"{made.family}, {len(made.labels)} labels, {made.frame.width} x {made.frame.height}"
    _say(f"Model {name}, version {made.version}, is in {models_dir}: {about}")
    _say(f"See whether it is right: spotter detect --local --model {name} PICTURE")


@models.command("list")
def list_models(models_dir: ModelsDir = Path("models")) -> None:
    """Show the models of the catalog and those that are here."""
    with _zoo_errors():
        from zoo import catalog, shelf

        known = catalog.load()
        here = {entry.name: entry for entry in shelf.entries(models_dir)}
    rows = []
    for name in sorted({*known, *here}):
        entry = here.get(name)
        versions = ", ".join(entry.versions) if entry else "-"
        named = ", ".join(f"{alias} -> {version}" for alias, version in entry.aliases.items()) if entry else ""
        rows.append((name, versions, entry.default if entry else "-", named, "yes" if name in known else "no"))
    show.console().print(show.rows(("model", "versions here", "default", "aliases", "in the catalog"), rows))


@models.command("show")
def show_model(
    reference: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="A version or an alias after the @.")],
    models_dir: ModelsDir = Path("models"),
    as_json: Annotated[bool, typer.Option("--json", help="Its model.json instead of a table.")] = False,
) -> None:
    """Show what a model is: labels, frame, thresholds, variants, where it came from."""
    with _zoo_errors():
        from zoo import shelf

        found = shelf.look(models_dir, reference)
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        show.console().print(show.rows(("", f"{found.name}@{found.version}"), shelf.facts(found)))


@models.command()
def alias(
    name: Name,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="default, stable, canary or any other.")],
    version: Annotated[str | None, typer.Argument(metavar="VERSION", help="What it shall mean from now on.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Forget the alias.")] = False,
    models_dir: ModelsDir = Path("models"),
    url: Annotated[str | None, typer.Option(help="Ask this running service, in place of a repository.")] = None,
) -> None:
    """Name a version; running workers follow. The alias `default` answers where a job names no version.

    With --url for all workers of a service, wherever their repositories are, and before what those say.
    """
    if remove == (version is not None):
        raise StackError("Give either the version that the alias shall mean, or --remove.")
    if url is not None:
        _alias_at(url, name, alias, version)
        return
    with _zoo_errors():
        from zoo import aliases

        if version is None:
            aliases.remove_alias(models_dir, name, alias)
            _say(f"{name} has no alias {alias} any more")
        else:
            aliases.set_alias(models_dir, name, alias, version)
            _say(f"{name}@{alias} is version {version}")


def _alias_at(url: str, name: str, alias: str, version: str | None) -> None:
    """Ask the service; exit code 1 where some worker does not follow."""
    with Spotter(url) as service:
        if version is None:
            told = service.drop_alias(name, alias, FOLLOW_S)
        else:
            told = service.set_alias(name, alias, version, FOLLOW_S)
    means = f"is version {told['version']}" if told["version"] else "means nothing any more"
    followed = len(told["followed"])
    _say(f"{name}@{alias} {means} at {followed} worker{'s' * (followed != 1)}")
    for one in told["behind"]:
        _say(f"{one['worker']} does not follow (there it is {one['version'] or 'nothing'}): {one['reason']}")
    if told["behind"]:
        raise typer.Exit(FAILED)


@models.command("rm")
def remove_model(
    reference: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="One version, or all of them.")],
    models_dir: ModelsDir = Path("models"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a version, or a whole model. Workers finish what they have begun with it."""
    name, at, version = reference.partition("@")
    what = f"version {version} of {name}" if at else f"every version of {name}"
    if not yes and not typer.confirm(f"Delete {what} from {models_dir}?"):
        raise StackError("Nothing was deleted.")
    with _zoo_errors():
        from zoo import aliases

        gone = aliases.remove(models_dir, name, version if at else None)
    _say(f"Deleted: {', '.join(f'{name}@{one}' for one in gone)}")


@contextmanager
def _zoo_errors() -> Iterator[None]:
    """The zoo's one-sentence errors as this command's."""
    from zoo.errors import ZooError

    try:
        yield
    except ZooError as error:
        raise StackError(error.detail) from None


def _say(text: str) -> None:
    show.console(sys.stderr).print(text, soft_wrap=True, markup=False)
