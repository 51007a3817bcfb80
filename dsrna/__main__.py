"""All commands behind one word: ``dsrna search …``, ``dsrna doctor``, … or ``python -m dsrna …``.

``dsrna search`` is ``python -m dsrna.search``; so are ``retrain``, ``evaluate``, ``rank``, ``query``, ``compare`` and
``benchmark``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.table import Table
from rich.text import Text

from dsrna import __version__
from dsrna.console import output
from dsrna.errors import CheckpointError
from dsrna.importing import importing
from dsrna.runs.exit_status import run_command
from dsrna.streams import StandardStream

MODULES = ("search", "retrain", "evaluate", "rank", "query", "compare", "tune", "benchmark")
"""Commands that are modules of their own."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status, as :func:`dsrna.runs.exit_status.run_command` has it."""
    words = sys.argv[1:] if arguments is None else arguments
    try:
        if words and words[0] in MODULES:
            start(words[0], words[1:])
        else:
            run_command(lambda: run(words))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def start(entry: str, words: list[str]) -> None:
    """Does what ``python -m dsrna.ENTRY WORDS`` does."""
    if entry == "benchmark":
        from dsrna.benchmark import main as run_benchmark

        run_benchmark(words)
        return
    if entry == "compare":
        from dsrna.compare import main as run_compare

        run_compare(words)
        return
    with importing():
        from dsrna.commands import main_of

    sys.argv = [f"dsrna {entry}", *words]  # Hydra reads it
    main_of(entry)


def run(arguments: list[str]) -> None:
    """Does what one command line asks for."""
    parser = argparse.ArgumentParser(prog="dsrna", description=__doc__)
    parser.add_argument("--version", action="version", version=f"dsrna {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for entry in MODULES:
        commands.add_parser(entry, help=f"python -m dsrna.{entry}", add_help=False)
    commands.add_parser("doctor", help="versions, devices, optional parts and what each enables")
    listing = commands.add_parser("list", help="config groups and their choices")
    listing.add_argument("words", nargs="*", metavar="GROUP", help="one group, e.g. metric; all when left out")
    showing = commands.add_parser("show", help="the composed config")
    showing.add_argument("overrides", nargs="*", metavar="[COMMAND] OVERRIDES", help=(
        "of search, or of the command that is named first, e.g. +experiment=cifar10_jacobian, or: benchmark train n=5"
    ))  # fmt: skip
    planning = commands.add_parser("plan", help="time, memory and disk of a run, from a few steps of each stage")
    planning.add_argument("overrides", nargs="*", metavar="[COMMAND] OVERRIDES", help=(
        "of search, or of retrain or evaluate, named first, e.g. +experiment=cifar10_jacobian, or: retrain from=RNAS"
    ))  # fmt: skip
    planning.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there as well")
    reporting = commands.add_parser("report", help="draw the report of a run folder again")
    reporting.add_argument("folder", type=Path)
    indexing = commands.add_parser("index", help="a page that lists the runs of a folder")
    indexing.add_argument("folder", type=Path)
    agreeing = commands.add_parser("consensus", help="one genotype from several finished searches of one space")
    agreeing.add_argument("folders", type=Path, nargs="+", help="run folders, or folders of them, as of a multirun")
    agreeing.add_argument("--out", type=Path, default=Path("consensus.json"), help="default: consensus.json")
    agreeing.add_argument("--tables", help="folder of the published tables; $DSRNA_DATA or ./data when left out")
    exporting = commands.add_parser("export", help="a trained network for verifiers (ONNX, VNN-LIB) or programs")
    exporting.add_argument("overrides", nargs="+", help="as for dsrna.evaluate: from=RUN_FOLDER or from=best.ckpt, …")
    exporting.add_argument("--network", help="retrain, certified or baseline; the first there is when left out")
    exporting.add_argument("--images", type=int, default=10, help="the first ones of the test split (default: 10)")
    exporting.add_argument("--timeout", type=float, default=300, help="seconds an image, for instances.csv")
    exporting.add_argument("--out", type=Path, help="folder; export/ in the run folder when left out")
    exporting.add_argument("--vnnlib", choices=("1.0", "2.0"), default="1.0", help="version (default: 1.0)")
    exporting.add_argument("--deploy", action="store_true", help=(
        "ONNX and torch.export of any number of images instead, and the latency of each"
    ))  # fmt: skip
    exporting.add_argument("--opset", type=int, default=18, help="of --deploy (default: 18)")
    exporting.add_argument("--as-is", action="store_true", help="keep the network's own layers, see docs/guide.md")
    publishing = commands.add_parser("publish", help="a trained network as a folder for others, with a model card")
    publishing.add_argument("source", metavar="from=RUN_FOLDER")
    publishing.add_argument("--network", help="retrain, certified or baseline; the first there is when left out")
    publishing.add_argument("--out", type=Path, help="new folder; published/ in the run folder when left out")
    publishing.add_argument("--name", help="title of the model card; the run's name when left out")
    publishing.add_argument("--licence", "--license", help="of the weights, an SPDX identifier such as apache-2.0")
    verifying = commands.add_parser("verify", help="decide a VNN-LIB property of an ONNX network")
    verifying.add_argument("network", type=Path, help="ONNX file of one input and one output")
    verifying.add_argument(
        "property", type=Path, help="VNN-LIB 1.0 or 2.0: a box, and outputs that may not be the largest"
    )
    verifying.add_argument("--seconds", type=float, default=300, help="time limit (default: 300)")
    for command in (listing, showing, planning, exporting):
        command.add_argument("--config-dir", metavar="FOLDER", help="a config folder of your own beside ours")
    word, *rest = arguments or ["--help"]
    if word not in commands.choices:
        parser.parse_args([word])  # prints help, or says what the commands are
    chosen = commands.choices[word].parse_intermixed_args(rest)  # options may stand between overrides
    if word == "doctor":
        show_doctor()
    elif word == "list":
        show_list(chosen.words, chosen.config_dir)
    elif word == "show":
        show_config(chosen.overrides, chosen.config_dir)
    elif word == "plan":
        tell_cost(chosen.overrides, chosen.config_dir, chosen.json)
    elif word == "consensus":
        write_agreed(chosen.folders, chosen.out, chosen.tables)
    elif word == "export":
        export_network(chosen)
    elif word == "publish":
        publish_network(chosen)
    elif word == "index":
        write_index(chosen.folder)
    elif word == "verify":
        verify_property(chosen.network, chosen.property, chosen.seconds)
    else:
        draw_report(chosen.folder)


def show_doctor() -> None:
    """Prints what is installed and what it enables."""
    from dsrna.config.doctor import checks

    table = Table(show_header=True, box=None, pad_edge=False)
    for column in ("part", "found", "enables"):
        table.add_column(column, overflow="fold")
    for check in checks():
        table.add_row(check.part, check.found or Text("not here", style="yellow"), check.enables)
    output().print(table)


def show_list(words: list[str], config_folder: str | None) -> None:
    """Prints config groups, their choices, and each choice's first comment line.

    Args:
        words: the groups to print, all if there is none; and ``hydra.searchpath=[…]``, as in a command that runs.
        config_folder: one of the user's own.
    """
    from dsrna.config.catalog import choices, description, groups, is_searchpath
    from dsrna.config.command_line import with_config_folder
    from dsrna.config.parts import nearest
    from dsrna.errors import ConfigError

    places = with_config_folder([word for word in words if is_searchpath(word)], config_folder)
    known, asked = groups(places), [word for word in words if not is_searchpath(word)]
    for group in asked:
        if group not in known:
            raise ConfigError(f"Unknown group `{group}`.{nearest(group, known)} Choose from: {', '.join(known)}.")
    console = output()
    for name in asked or known:
        table = Table(title=name, title_justify="left", show_header=False, box=None, title_style="bold")
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for choice in choices(name, places):
            table.add_row(f"  {choice}", description(name, choice, places))
        console.print(table)


def show_config(overrides: list[str], config_folder: str | None) -> None:
    """Prints the config that ``dsrna search OVERRIDES`` would run with, or that of the command that is named first."""
    with importing():
        from dsrna.commands import named
        from dsrna.config.command_line import with_config_folder

        command, given = named(overrides)
        text = command.config_text(with_config_folder(given, config_folder))
    console = output()
    if console.is_terminal:
        from rich.syntax import Syntax

        console.print(Syntax(text, "yaml", background_color="default"))
    else:
        StandardStream("stdout").write(text)


def tell_cost(overrides: list[str], config_folder: str | None, json: Path | None) -> None:
    """Prints what a run will cost on this machine."""
    from dsrna.commands import named
    from dsrna.config.command_line import with_config_folder
    from dsrna.planning.command import plan

    command, given = named(overrides)
    plan(command, with_config_folder(given, config_folder), json)


def draw_report(folder: Path) -> None:
    """Draws pictures and page again from what the run folder holds, and prints the result table if there is one."""
    from dsrna.commands import redraw
    from dsrna.run_folder import RunFolder
    from dsrna.stages.summary import show_result

    redraw(folder)
    show_result(RunFolder.open(folder))


def write_index(folder: Path) -> None:
    """Writes the page that lists the runs of a folder, and says where it is."""
    from dsrna.report.index import write_index

    if not folder.is_dir():
        raise CheckpointError(f"Expected a folder with runs, got {folder}, which is none.")
    output().print(f"index: {write_index(folder)}", soft_wrap=True)


def write_agreed(folders: list[Path], out: Path, tables: str | None) -> None:
    """Writes the genotype that the mean of the searches' operation weights stands for, and says what is known of it."""
    from dsrna.runs.sources import tables_folder
    from dsrna.stages.consensus import published_lines, searches_in, write_consensus

    searches = searches_in(folders)
    genotype = write_consensus(searches, out)
    console = output()
    console.print(f"consensus of {len(searches)} searches: {out}", soft_wrap=True)
    for line in published_lines(genotype, tables_folder(tables, None)[0]):
        console.print(line, soft_wrap=True)


def export_network(chosen: argparse.Namespace) -> None:
    """Writes the files of :mod:`dsrna.stages.export` and says where they are."""
    from dsrna.config.command_line import with_config_folder
    from dsrna.stages.export import LATENCY_BATCHES, export, export_for_deployment

    overrides = with_config_folder(chosen.overrides, chosen.config_dir)
    if chosen.deploy:
        folder, what, measured = export_for_deployment(
            overrides, chosen.network, chosen.images, chosen.out, chosen.opset
        )
        table = Table(box=None, pad_edge=False)
        for column in ("", "largest difference", *(f"ms, batch {size}" for size in LATENCY_BATCHES)):
            table.add_column(column, justify="right" if column else "left")
        for one in measured:
            table.add_row(one.name, f"{one.difference:.2g}", *(f"{each:.3g}" for each in one.latencies))
        output().print(table)
        output().print(f"{what}: {folder}", soft_wrap=True)
        return
    folder, what = export(
        overrides, chosen.network, chosen.images, chosen.timeout, chosen.out, not chosen.as_is, chosen.vnnlib
    )
    output().print(f"{what}: {folder}", soft_wrap=True)


def publish_network(chosen: argparse.Namespace) -> None:
    """Writes the folder of :func:`dsrna.stages.publish.publish` and says where it is."""
    from dsrna.stages.publish import publish

    source = Path(chosen.source.removeprefix("from="))
    folder = publish(source, chosen.network, chosen.out, chosen.name, chosen.licence)
    output().print(f"published: {folder}", soft_wrap=True)


def verify_property(network: Path, claim: Path, seconds: float) -> None:
    """Prints unsat, unknown, or sat and the point, as VNN-COMP wants it."""
    from dsrna.verification.files import verify_files

    verdict = verify_files(network, claim, seconds)
    values = [] if verdict.point is None else enumerate(verdict.point.flatten().tolist())
    lines = [verdict.answer, *(f"X_{index} {value!r}" for index, value in values)]
    StandardStream("stdout").write("\n".join(lines) + "\n")


def command() -> None:
    """The console script ``dsrna``."""
    sys.exit(main())


if __name__ == "__main__":
    command()
